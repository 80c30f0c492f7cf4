package ws

import (
	"encoding/binary"
	"fmt"
)

// Opcode is the four-bit frame type of RFC 6455 5.2.
type Opcode byte

// The opcodes RFC 6455 defines; all others are refused.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// IsControl reports whether frames of this type may stand between the fragments of a message (RFC 6455 5.5).
func (o Opcode) IsControl() bool { return o&0x8 != 0 }

func (o Opcode) defined() bool { return o <= Binary || (o >= Close && o <= Pong) }

// Role is the side of the connection that decodes.
type Role byte

const (
	// Server requires every incoming frame to be masked (RFC 6455 5.1).
	Server Role = iota
	// Client requires every incoming frame to be unmasked.
	Client
)

// MaxControlPayload is the longest payload of a control frame in bytes (RFC 6455 5.5).
const MaxControlPayload = 125

const (
	finBit  = 0x80
	rsv1Bit = 0x40 // the message is compressed (RFC 7692 6)
	rsvBits = 0x70
	maskBit = 0x80

	len16 = 126 // the length follows in 2 bytes
	len64 = 127 // the length follows in 8 bytes

	keySize   = 4
	maxHeader = 2 + 8 + keySize
)

// header is a frame header. size is its length on the wire; zero means that more bytes are needed.
type header struct {
	length uint64
	size   int
	key    [4]byte
	op     Opcode
	fin    bool
	masked bool
	packed bool // RSV1
}

// rules are what a connection's frames have to keep.
type rules struct {
	role    Role
	deflate bool // RSV1 may mark the first frame of a compressed message
}

// parseHeader reads the header at the start of b. Faults are reported from the byte that shows them, in wire order, so
// a prefix of a header and the whole of it are refused alike.
//
//	 0               1               2 …
//	+-+-+-+-+-------+-+-------------+--------------------+-----------+
//	|F|R|R|R| opcode|M|  length     | length, 0/2/8 bytes| key, 0/4  |
//	+-+-+-+-+-------+-+-------------+--------------------+-----------+
func parseHeader(b []byte, r rules) (header, error) {
	if len(b) < 2 {
		return header{}, nil
	}
	h := header{op: Opcode(b[0] & 0x0F), fin: b[0]&finBit != 0, masked: b[1]&maskBit != 0, packed: b[0]&rsv1Bit != 0}
	if err := h.check(b[0], b[1], r); err != nil {
		return header{}, err
	}
	size, err := h.readLength(b)
	if err != nil || size == 0 {
		return header{}, err
	}
	if h.masked {
		if len(b) < size+keySize {
			return header{}, nil
		}
		h.key = [4]byte(b[size:])
		size += keySize
	}
	h.size = size
	return h, nil
}

// check refuses what the first two bytes show (RFC 6455 5.2, 5.5).
func (h header) check(b0, b1 byte, r rules) error {
	n := b1 &^ maskBit
	reserved := b0 & rsvBits
	if r.deflate && (h.op == Text || h.op == Binary) {
		reserved &^= rsv1Bit
	}
	switch {
	case reserved != 0:
		return protocolError("reserved bits are set: first byte 0x%02x", b0)
	case !h.op.defined():
		return protocolError("unknown opcode 0x%x", byte(h.op))
	case h.op.IsControl() && !h.fin:
		return protocolError("fragmented control frame, opcode 0x%x", byte(h.op))
	case h.op.IsControl() && n > MaxControlPayload:
		return protocolError("control frame longer than %d bytes, opcode 0x%x", MaxControlPayload, byte(h.op))
	case r.role == Server && !h.masked:
		return protocolError("frame from a client is not masked")
	case r.role == Client && h.masked:
		return protocolError("frame from a server is masked")
	}
	return nil
}

// readLength sets h.length and returns the bytes of the header read so far, or 0 if the length is not complete. Only
// the shortest form of a length is allowed, and its highest bit is reserved (RFC 6455 5.2).
func (h *header) readLength(b []byte) (int, error) {
	switch n := b[1] &^ maskBit; n {
	case len16:
		if len(b) < 4 {
			return 0, nil
		}
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
		if h.length < len16 {
			return 0, protocolError("length %d written in 2 bytes", h.length)
		}
		return 4, nil
	case len64:
		if len(b) < 10 {
			return 0, nil
		}
		h.length = binary.BigEndian.Uint64(b[2:])
		if h.length>>63 != 0 {
			return 0, protocolError("length 0x%x has its highest bit set", h.length)
		}
		if h.length <= 0xFFFF {
			return 0, protocolError("length %d written in 8 bytes", h.length)
		}
		return 10, nil
	default:
		h.length = uint64(n)
		return 2, nil
	}
}

// unmask restores the payload bytes b, which start at offset pos of the frame's payload.
func (h header) unmask(b []byte, pos uint64) {
	if h.masked {
		Mask(b, h.key, int(pos&3))
	}
}

// HeaderLen is the size in bytes of an unmasked frame's header for a payload of n bytes: 2, 4 or 10.
func HeaderLen(n int) int {
	switch {
	case n < len16:
		return 2
	case n <= 0xFFFF:
		return 4
	default:
		return 10
	}
}

// AppendHeader appends the header of a final, unmasked frame whose payload of n bytes the caller adds.
// It panics if n is negative.
func AppendHeader(dst []byte, op Opcode, n int) []byte { return appendHeader(dst, op, n, 0) }

// AppendFrame appends one final, unmasked frame, as a server sends it.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	dst = AppendHeader(dst, op, len(payload))
	return append(dst, payload...)
}

// AppendMasked appends one final frame masked with key, as a client sends it; payload is left as it is. The key has to
// be unpredictable for whoever chooses the payload (RFC 6455 5.3).
func AppendMasked(dst []byte, op Opcode, key [4]byte, payload []byte) []byte {
	dst = appendHeader(dst, op, len(payload), maskBit)
	dst = append(dst, key[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	Mask(dst[start:], key, 0)
	return dst
}

func appendHeader(dst []byte, op Opcode, n int, mask byte) []byte {
	if n < 0 {
		panic(fmt.Sprintf("ws: frame of %d bytes", n))
	}
	dst = append(dst, finBit|byte(op))
	switch HeaderLen(n) {
	case 2:
		return append(dst, mask|byte(n))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, mask|len16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, mask|len64), uint64(n))
	}
}
