package sio

import (
	"strconv"
	"unicode/utf8"
)

// EventHeader is what precedes the arguments of an event or ack.
type EventHeader struct {
	Namespace   string // "" and "/" are the default namespace; else begins with '/' and holds no comma
	ID          uint64 // the ack id, if HasID
	Attachments int    // binary messages that follow, at most MaxAttachments; 0 for a packet without
	HasID       bool
}

// AppendHeader appends a packet up to its JSON, which the caller adds, if the type has any: a client's CONNECT, for
// instance, is this header and the auth object. The count of attachments is written for the binary types only.
func AppendHeader(dst []byte, typ Type, h EventHeader) []byte {
	dst = append(dst, byte(typ))
	if typ.HasAttachments() {
		dst = strconv.AppendInt(dst, int64(h.Attachments), 10)
		dst = append(dst, '-')
	}
	if h.Namespace != "" && h.Namespace != "/" {
		dst = append(dst, h.Namespace...)
		dst = append(dst, ',')
	}
	if h.HasID {
		dst = strconv.AppendUint(dst, h.ID, 10)
	}
	return dst
}

// AppendConnect appends a server's CONNECT answer. pid is the private session id of connection state recovery (2.8), ""
// without recovery.
func AppendConnect(dst []byte, nsp, sid, pid string) []byte {
	dst = AppendHeader(dst, Connect, EventHeader{Namespace: nsp})
	dst = AppendString(append(dst, `{"sid":`...), sid)
	if pid != "" {
		dst = AppendString(append(dst, `,"pid":`...), pid)
	}
	return append(dst, '}')
}

// AppendConnectError appends a CONNECT_ERROR; data is JSON, empty for none.
func AppendConnectError(dst []byte, nsp, message string, data []byte) []byte {
	dst = AppendHeader(dst, ConnectError, EventHeader{Namespace: nsp})
	dst = AppendString(append(dst, `{"message":`...), message)
	if len(data) > 0 {
		dst = append(append(dst, `,"data":`...), data...)
	}
	return append(dst, '}')
}

// AppendDisconnect appends a DISCONNECT.
func AppendDisconnect(dst []byte, nsp string) []byte {
	return AppendHeader(dst, Disconnect, EventHeader{Namespace: nsp})
}

// AppendEvent appends an EVENT, or a BINARY_EVENT if h has attachments. args are JSON, the first the name.
func AppendEvent(dst []byte, h EventHeader, args ...[]byte) []byte {
	if h.Attachments > 0 {
		return appendArgs(dst, BinaryEvent, h, args)
	}
	return appendArgs(dst, Event, h, args)
}

// AppendAck appends an ACK, or a BINARY_ACK if h has attachments. h.ID is the id that the other side gave. args are
// JSON.
func AppendAck(dst []byte, h EventHeader, args ...[]byte) []byte {
	h.HasID = true
	if h.Attachments > 0 {
		return appendArgs(dst, BinaryAck, h, args)
	}
	return appendArgs(dst, Ack, h, args)
}

func appendArgs(dst []byte, typ Type, h EventHeader, args [][]byte) []byte {
	dst = append(AppendHeader(dst, typ, h), '[')
	for i, arg := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, arg...)
	}
	return append(dst, ']')
}

// AppendPlaceholder appends the JSON that stands for attachment num, counted from 0 (2.1).
func AppendPlaceholder(dst []byte, num int) []byte {
	dst = append(dst, `{"_placeholder":true,"num":`...)
	dst = strconv.AppendInt(dst, int64(num), 10)
	return append(dst, '}')
}

// AppendString appends s as a JSON string, escaped as JSON.stringify does: quote, backslash and control characters
// only. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < 0x20 || c == '"' || c == '\\' {
				dst = appendEscape(append(dst, s[done:i]...), c)
				done = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = utf8.AppendRune(append(dst, s[done:i]...), utf8.RuneError)
			done = i + 1
		}
		i += size
	}
	return append(append(dst, s[done:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
}
