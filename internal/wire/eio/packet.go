package eio

import "fmt"

// PacketType is the first byte of a packet's text (1.3).
type PacketType byte

// The packet types of 1.3.
const (
	Open    PacketType = '0'
	Close   PacketType = '1'
	Ping    PacketType = '2'
	Pong    PacketType = '3'
	Message PacketType = '4'
	Upgrade PacketType = '5'
	Noop    PacketType = '6'
)

// binaryMark starts a binary message in text, before its base64.
const binaryMark = 'b'

// types are the texts of the packets that are nothing but their type.
var types = []byte{byte(Open), byte(Close), byte(Ping), byte(Pong), byte(Message), byte(Upgrade), byte(Noop)}

// Text is the text of a packet of that type without data. The caller must not change it.
func (t PacketType) Text() []byte {
	i := t - Open
	return types[i : i+1 : i+1]
}

// AppendPacket appends the text of a packet.
func AppendPacket(dst []byte, t PacketType, data string) []byte {
	return append(append(dst, byte(t)), data...)
}

// Probe is the data of the ping and the pong by which a websocket is tried before an upgrade (1.7).
const Probe = "probe"

func (t PacketType) String() string {
	names := [...]string{"open", "close", "ping", "pong", "message", "upgrade", "noop"}
	if t < Open || t > Noop {
		return fmt.Sprintf("PacketType(%q)", byte(t))
	}
	return names[t-Open]
}

// Packet is a decoded packet. Data is what follows the type: a view of the text, or the caller's own bytes if Binary.
type Packet struct {
	Data   []byte
	Type   PacketType
	Binary bool // a message whose data came as base64
}

// ParseError is a fault in what the other side sent; the session ends with the reason "parse error".
type ParseError struct {
	Reason string
	Packet int // index in the payload; 0 for a single packet
	Pos    int // offset in the payload or packet in bytes
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("engine.io: packet %d at byte %d: %s", e.Packet, e.Pos, e.Reason)
}

// ParsePacket decodes the text of one packet, a websocket text frame or a part of a payload, which has to be UTF-8. A
// binary message in base64 ("b…") is accepted in both (1.4) and is the only case that allocates: at most three quarters
// of the text. Base64 is standard, padded and canonical. The error is a *[ParseError].
func ParsePacket(text []byte) (Packet, error) {
	p, err := parsePacket(text)
	if err != nil {
		return Packet{}, err
	}
	return p, nil
}

func parsePacket(text []byte) (Packet, *ParseError) {
	if len(text) == 0 {
		return Packet{}, &ParseError{Reason: "empty packet"}
	}
	if text[0] == binaryMark {
		data, err := decodeBase64(text[1:])
		return Packet{Type: Message, Data: data, Binary: true}, err
	}
	typ := PacketType(text[0])
	if typ < Open || typ > Noop {
		return Packet{}, &ParseError{Reason: fmt.Sprintf("unknown packet type %q", text[0])}
	}
	return Packet{Type: typ, Data: text[1:]}, nil
}
