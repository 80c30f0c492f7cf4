package sio

import "fmt"

// Type is the first byte of a packet's text (2.1).
type Type byte

// The packet types of 2.1.
const (
	Connect      Type = '0'
	Disconnect   Type = '1'
	Event        Type = '2'
	Ack          Type = '3'
	ConnectError Type = '4'
	BinaryEvent  Type = '5'
	BinaryAck    Type = '6'
)

func (t Type) String() string {
	names := [...]string{"CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR", "BINARY_EVENT", "BINARY_ACK"}
	if t < Connect || t > BinaryAck {
		return fmt.Sprintf("Type(%q)", byte(t))
	}
	return names[t-Connect]
}

// HasAttachments reports whether packets of this type are followed by binary messages.
func (t Type) HasAttachments() bool { return t == BinaryEvent || t == BinaryAck }

// MaxAttachments is the most attachments a packet may have, in both directions: the official clients refuse more (2.1).
const MaxAttachments = 10

// Packet is a decoded packet text. Namespace and Data are views of the text and must not be written to.
type Packet struct {
	Namespace   []byte // never empty; "/" if the text names none; may hold a query string, which is part of the name
	Data        []byte // raw JSON without leading white space, or empty
	ID          uint64 // the ack id, if HasID
	Attachments int    // binary messages that follow, 1 to MaxAttachments, if the type has them
	Type        Type
	HasID       bool
}

// Error is a fault in what a client sent; the connection is to be closed (2.1, Rejections).
type Error struct {
	Reason string
	Pos    int // offset in the text or JSON that was decoded; -1 if it is not about a byte
}

func (e *Error) Error() string {
	if e.Pos < 0 {
		return "socket.io: " + e.Reason
	}
	return fmt.Sprintf("socket.io: %s at byte %d", e.Reason, e.Pos)
}

func errorAt(pos int, format string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(format, args...), Pos: pos}
}

// Reserved reports whether name belongs to the protocol's own events and may not be sent or received (2.4).
func Reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
