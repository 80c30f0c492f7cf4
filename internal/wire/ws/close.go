package ws

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// CloseCode is the status code of a close frame (RFC 6455 7.4).
type CloseCode uint16

// The codes of RFC 6455 7.4.1 that this package produces or that callers send. NoStatus never travels: it stands for a
// close frame without a code.
const (
	NormalClosure   CloseCode = 1000
	GoingAway       CloseCode = 1001
	ProtocolFault   CloseCode = 1002
	UnsupportedData CloseCode = 1003
	NoStatus        CloseCode = 1005
	InvalidPayload  CloseCode = 1007
	PolicyViolation CloseCode = 1008
	TooBig          CloseCode = 1009
	InternalError   CloseCode = 1011
	TryAgainLater   CloseCode = 1013
)

// Valid reports whether the code may travel in a close frame: 1000-1003, 1007-1014, 3000-4999 (RFC 6455 7.4 and the
// IANA registry).
func (c CloseCode) Valid() bool {
	switch {
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014, c >= 3000 && c <= 4999:
		return true
	}
	return false
}

// Error is a fault of the peer. Code is what the close frame that answers it should carry.
type Error struct {
	Code   CloseCode
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("websocket %d: %s", e.Code, e.Reason) }

func protocolError(format string, args ...any) *Error {
	return &Error{Code: ProtocolFault, Reason: fmt.Sprintf(format, args...)}
}

// maxReason is what the two bytes of the code leave for the reason of a close frame.
const maxReason = MaxControlPayload - 2

// ParseClose reads the payload of a close frame (RFC 6455 5.5.1, 7.4). An empty payload is NoStatus. The error is nil
// or says with which code to answer a malformed payload: ProtocolFault or InvalidPayload.
func ParseClose(payload []byte) (CloseCode, string, *Error) {
	if len(payload) == 0 {
		return NoStatus, "", nil
	}
	if len(payload) == 1 {
		return 0, "", protocolError("close payload of one byte")
	}
	code, reason := CloseCode(binary.BigEndian.Uint16(payload)), payload[2:]
	if !code.Valid() {
		return 0, "", protocolError("close code %d may not be sent", code)
	}
	if !utf8.Valid(reason) {
		return 0, "", &Error{Code: InvalidPayload, Reason: "close reason is not UTF-8"}
	}
	return code, string(reason), nil
}

// AppendClosePayload appends code and reason as the payload of a close frame; the reason is cut at a rune to fit into
// 125 bytes. Codes 0 and NoStatus append nothing, as a reason cannot travel without a code.
func AppendClosePayload(dst []byte, code CloseCode, reason string) []byte {
	if code == 0 || code == NoStatus {
		return dst
	}
	if len(reason) > maxReason {
		n := maxReason
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// AppendClose appends a server's close frame; see [AppendClosePayload] for code and reason. A client wraps the payload
// with [AppendMasked].
func AppendClose(dst []byte, code CloseCode, reason string) []byte {
	var payload [MaxControlPayload]byte
	return AppendFrame(dst, Close, AppendClosePayload(payload[:0], code, reason))
}
