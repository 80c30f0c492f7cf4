package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Header is what a proxy says of a connection before its first byte (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
type Header struct {
	// Source is the client's address and port. The zero value: the proxy names nobody, because it speaks for itself (LOCAL, such as
	// its health checks), does not know (UNKNOWN), or its client has no IP address.
	Source netip.AddrPort
	// Size is how many bytes the header took.
	Size int
}

// MaxHeader is the longest header in bytes. The protocol allows 64 KiB of extensions; proxies send some hundred.
const MaxHeader = 4096

// The faults of a header.
var (
	ErrShort     = errors.New("the PROXY header is not complete")
	ErrNoHeader  = errors.New("no PROXY header")
	ErrBadHeader = errors.New("a broken PROXY header")
	ErrTooLong   = errors.New("a PROXY header of more than 4096 bytes")
)

// signature begins a header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// Of version 2: what stands before the addresses, and how long those are.
const (
	fixedBytes = len(signature) + 4
	bytesIPv4  = 4 + 4 + 2 + 2
	bytesIPv6  = 16 + 16 + 2 + 2
)

// maxLine is the longest header of version 1, with its line end.
const maxLine = 107

// ParseHeader reads the header that b begins with. ErrShort asks for more bytes than b has, and is never the answer to MaxHeader of
// them; any other error is final.
func ParseHeader(b []byte) (Header, error) {
	switch {
	case begins(b, signature):
		return parseBinary(b)
	case begins(b, "PROXY "):
		return parseLine(b)
	}
	return Header{}, ErrNoHeader
}

// begins reports whether b begins with text, as far as it goes.
func begins(b []byte, text string) bool {
	n := min(len(b), len(text))
	return string(b[:n]) == text[:n]
}

// parseBinary reads version 2. Its extensions (TLV) are passed over.
func parseBinary(b []byte) (Header, error) {
	if len(b) < fixedBytes {
		return Header{}, ErrShort
	}
	const versionAt, familyAt, lengthAt = len(signature), len(signature) + 1, len(signature) + 2
	length := int(binary.BigEndian.Uint16(b[lengthAt:]))
	h := Header{Size: fixedBytes + length}
	const local, proxied = 0x20, 0x21
	version := b[versionAt]
	switch {
	case version != local && version != proxied:
		return Header{}, ErrBadHeader
	case h.Size > MaxHeader:
		return Header{}, ErrTooLong
	case len(b) < h.Size:
		return Header{}, ErrShort
	case version == local:
		return h, nil
	}
	body := b[fixedBytes:h.Size]
	switch b[familyAt] {
	case 0x00, 0x31: // unknown, a Unix socket
		return h, nil
	case 0x11:
		if len(body) < bytesIPv4 {
			return Header{}, ErrBadHeader
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:]))
		return h, nil
	case 0x21:
		if len(body) < bytesIPv6 {
			return Header{}, ErrBadHeader
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:]))
		return h, nil
	}
	return Header{}, ErrBadHeader // datagrams, and what does not exist
}

// parseLine reads version 1.
func parseLine(b []byte) (Header, error) {
	end := bytes.Index(b[:min(len(b), maxLine)], []byte("\r\n"))
	switch {
	case end < 0 && len(b) >= maxLine:
		return Header{}, ErrBadHeader
	case end < 0:
		return Header{}, ErrShort
	}
	h := Header{Size: end + len("\r\n")}
	line := string(b[:end])
	if line == "PROXY UNKNOWN" || strings.HasPrefix(line, "PROXY UNKNOWN ") {
		return h, nil
	}
	parts := strings.Split(line, " ")
	if len(parts) != 6 || parts[1] != "TCP4" && parts[1] != "TCP6" {
		return Header{}, ErrBadHeader
	}
	source, from := addressOf(parts[2], parts[1]), port(parts[4])
	if target, to := addressOf(parts[3], parts[1]), port(parts[5]); !source.IsValid() || !target.IsValid() || from < 0 || to < 0 {
		return Header{}, ErrBadHeader
	}
	h.Source = netip.AddrPortFrom(source.Unmap(), uint16(from))
	return h, nil
}

// addressOf is an address of a family as version 1 writes it; the zero value if it is none.
func addressOf(text, family string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") {
		return netip.Addr{}
	}
	return a
}

// port is a port in decimal digits without zeros before them; -1 if it is none.
func port(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return -1
	}
	return int(n)
}
