package socketio

import (
	"bytes"
	"errors"
	"fmt"
	"unique"

	"github.com/streamweir/weir/internal/wire/sio"
)

// Incoming is an EVENT or BINARY_EVENT of a joined namespace.
type Incoming struct {
	Name        string
	Args        []byte   // the raw JSON array, name included; valid during the call only
	Attachments [][]byte // in the order of their placeholders' numbers; the receiver's
	ID          uint64   // the ack id the client waits on, if HasID
	HasID       bool
	Owned       bool // Args too is the receiver's
}

// Bytes is what the event holds in memory.
func (e *Incoming) Bytes() int {
	n := len(e.Args)
	for _, a := range e.Attachments {
		n += len(a)
	}
	return n
}

// Socket receives what a client sends to one namespace it has joined.
//
//weir:loop
type Socket interface {
	Event(Incoming)
	// Answered is an ACK or BINARY_ACK: args is the raw JSON array, valid during
	// the call only.
	Answered(id uint64, args []byte, attachments [][]byte)
	// Left is the client's DISCONNECT.
	Left()
}

// Entrance decides about a session's CONNECT requests and knows its limit.
//
//weir:loop
type Entrance interface {
	// Connect is a request to join a namespace; auth is a JSON object or empty,
	// and the callee's. It is answered by Accept or Leave, at once or later.
	Connect(namespace string, auth []byte)
	// MaxPacket is how many bytes a packet may have, attachments included.
	MaxPacket() int
}

// Conn is the protocol state of one session; the zero value is a fresh one. It must
// not be copied once used. There is one for every connection, and nearly all of them
// are in one namespace and idle: so that one is part of the Conn, and what all
// sessions of a server share comes with each message.
//
//weir:loop
type Conn struct {
	parts sio.Assembler
	first membership // vacant: no namespace at all
}

// membership is a namespace joined, or with socket nil one still being decided on.
//
//weir:loop
type membership struct {
	namespace unique.Handle[string] // all clients share the string
	socket    Socket
	next      *membership
}

// vacant is the namespace of a Conn that is in none.
var vacant unique.Handle[string]

// maxPending bounds how many namespaces a client may be waiting to enter.
const maxPending = 64

// The faults that close a session (protocol.md 2.1, "State rules").
var (
	errTextInside   = errors.New("text packet while attachments are missing")
	errNoHeader     = errors.New("binary message without a header")
	errJoined       = errors.New("CONNECT to a namespace that is joined already")
	errPending      = errors.New("too many CONNECT requests undecided")
	errConnectError = errors.New("CONNECT_ERROR from a client")
)

// Message takes one Engine.IO message; data is valid during the call only. d is the
// same for all messages of a session. An error is a fault of the client: the session
// is to be closed.
func (c *Conn) Message(d Entrance, data []byte, binary bool) error {
	if binary {
		return c.binary(data)
	}
	if c.parts.Pending() {
		return errTextInside
	}
	p, err := sio.Parse(data)
	if err != nil {
		return err
	}
	return c.packet(d, p, false)
}

// Text is a message that was parsed elsewhere, see Conn.Take.
type Text struct{ packet sio.Packet }

// ParseText does what of Message costs time that grows with the message, for a text that the packet may keep. Any
// goroutine may call it.
func ParseText(data []byte) (Text, error) {
	p, err := sio.Parse(data)
	return Text{p}, err
}

// Take is Message for what ParseText has returned. Nothing else may have come between.
func (c *Conn) Take(d Entrance, t Text) error {
	if c.parts.Pending() {
		return errTextInside
	}
	return c.packet(d, t.packet, true)
}

// packet takes a packet, which is the receiver's if it is owned.
func (c *Conn) packet(d Entrance, p sio.Packet, owned bool) error {
	switch p.Type {
	case sio.Connect:
		return c.connect(d, p)
	case sio.ConnectError:
		return errConnectError
	case sio.Disconnect, sio.Event, sio.Ack, sio.BinaryEvent, sio.BinaryAck: // are of a namespace that is joined
	}
	s := c.socket(p.Namespace)
	if s == nil {
		return fmt.Errorf("packet of type %c for namespace %q, which is not joined", p.Type, p.Namespace)
	}
	switch p.Type {
	case sio.BinaryEvent, sio.BinaryAck:
		return c.parts.Start(p, d.MaxPacket())
	case sio.Disconnect:
		c.leave(p.Namespace)
		s.Left()
		return nil
	default: // Event and Ack: Connect and ConnectError are dealt with above
		return deliver(s, p, nil, owned)
	}
}

func (c *Conn) binary(data []byte) error {
	if !c.parts.Pending() {
		return errNoHeader
	}
	complete, err := c.parts.Add(data)
	if err != nil || !complete {
		return err
	}
	p, attachments := c.parts.Take()
	s := c.socket(p.Namespace)
	if s == nil {
		return nil // it left while its attachments were arriving
	}
	return deliver(s, p, attachments, true)
}

//weir:loop
func deliver(s Socket, p sio.Packet, attachments [][]byte, owned bool) error {
	if p.Type == sio.Ack || p.Type == sio.BinaryAck {
		s.Answered(p.ID, p.Data, attachments)
		return nil
	}
	name, err := sio.NameOf(p.Data)
	if err != nil {
		return err
	}
	s.Event(Incoming{Name: name, Args: p.Data, Attachments: attachments, ID: p.ID, HasID: p.HasID, Owned: owned})
	return nil
}

func (c *Conn) connect(d Entrance, p sio.Packet) error {
	if c.find(p.Namespace) != nil {
		return errJoined
	}
	if c.undecided() >= maxPending {
		return errPending
	}
	namespace := unique.Make(string(p.Namespace))
	if c.first.namespace == vacant {
		c.first.namespace = namespace
	} else {
		c.first.next = &membership{namespace: namespace, next: c.first.next}
	}
	d.Connect(namespace.Value(), bytes.Clone(p.Data))
	return nil
}

// undecided is how many requests wait for Accept or Leave.
func (c *Conn) undecided() (n int) {
	for m := &c.first; m != nil; m = m.next {
		if m.namespace != vacant && m.socket == nil {
			n++
		}
	}
	return n
}

// Accept lets the client into a namespace it asked for. It reports false if the
// request is gone.
func (c *Conn) Accept(namespace string, s Socket) bool {
	m := c.find([]byte(namespace))
	if m == nil || m.socket != nil {
		return false
	}
	m.socket = s
	return true
}

// Leave forgets a namespace: refused, or left by either side. It may be asked for
// again.
func (c *Conn) Leave(namespace string) { c.leave([]byte(namespace)) }

func (c *Conn) leave(namespace []byte) {
	m := c.find(namespace)
	switch {
	case m == nil:
	case m.next != nil:
		*m = *m.next
	case m == &c.first:
		*m = membership{}
	default:
		last := &c.first
		for last.next != m {
			last = last.next
		}
		last.next = nil
	}
}

// Held is how many bytes of a packet whose attachments are missing are kept.
func (c *Conn) Held() int { return c.parts.Held() }

// socket is who hears what is sent to a namespace, nil unless that is joined.
func (c *Conn) socket(namespace []byte) Socket {
	if m := c.find(namespace); m != nil {
		return m.socket
	}
	return nil
}

// find returns the membership of a namespace, nil if there is none. It is valid
// until the next leave.
func (c *Conn) find(namespace []byte) *membership {
	for m := &c.first; m != nil; m = m.next {
		if m.namespace != vacant && m.namespace.Value() == string(namespace) {
			return m
		}
	}
	return nil
}
