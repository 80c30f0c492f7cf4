package socketio

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/streamweir/weir/internal/wire/sio"
)

// Event is an EVENT or BINARY_EVENT of a joined namespace.
type Event struct {
	Name        string
	Args        []byte   // the raw JSON array, name included; valid during the call only
	Attachments [][]byte // in the order of their placeholders' numbers; the receiver's
	ID          uint64   // the ack id the client waits on, if HasID
	HasID       bool
}

// Bytes is what the event holds in memory.
func (e *Event) Bytes() int {
	n := len(e.Args)
	for _, a := range e.Attachments {
		n += len(a)
	}
	return n
}

// Socket receives what a client sends to one namespace it has joined. Called on
// the loop.
type Socket interface {
	Event(Event)
	// Answered is an ACK or BINARY_ACK: args is the raw JSON array, valid during
	// the call only.
	Answered(id uint64, args []byte, attachments [][]byte)
	// Left is the client's DISCONNECT.
	Left()
}

// Door decides about CONNECT requests. Called on the loop.
type Door interface {
	// Connect is a request to join a namespace; auth is a JSON object or empty,
	// and the callee's. It is answered by Accept or Refuse, at once or later.
	Connect(namespace string, auth []byte)
}

// Conn is the protocol state of one session. The zero value is not usable.
type Conn struct {
	door   Door
	parts  sio.Assembler
	joined []membership
}

// membership is a namespace joined, or with socket nil one still being decided on.
type membership struct {
	namespace string
	socket    Socket
}

// maxPending bounds how many namespaces a client may be waiting to enter.
const maxPending = 64

// New returns the state of a fresh session whose packets may have maxPacket bytes,
// attachments included.
func New(door Door, maxPacket int) Conn {
	return Conn{door: door, parts: sio.NewAssembler(maxPacket)}
}

// The faults that close a session (protocol.md 2.1, "State rules").
var (
	errTextInside   = errors.New("text packet while attachments are missing")
	errNoHeader     = errors.New("binary message without a header")
	errJoined       = errors.New("CONNECT to a namespace that is joined already")
	errPending      = errors.New("too many CONNECT requests undecided")
	errConnectError = errors.New("CONNECT_ERROR from a client")
)

// Message takes one Engine.IO message; data is valid during the call only. An
// error is a fault of the client: the session is to be closed.
func (c *Conn) Message(data []byte, binary bool) error {
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
	switch p.Type {
	case sio.Connect:
		return c.connect(p)
	case sio.ConnectError:
		return errConnectError
	}
	i := c.index(p.Namespace)
	if i < 0 || c.joined[i].socket == nil {
		return fmt.Errorf("packet of type %c for namespace %q, which is not joined", p.Type, p.Namespace)
	}
	switch p.Type {
	case sio.BinaryEvent, sio.BinaryAck:
		return c.parts.Start(p)
	case sio.Disconnect:
		s := c.joined[i].socket
		c.Leave(c.joined[i].namespace)
		s.Left()
		return nil
	}
	return deliver(c.joined[i].socket, p, nil)
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
	i := c.index(p.Namespace)
	if i < 0 || c.joined[i].socket == nil {
		return nil // it left while its attachments were arriving
	}
	return deliver(c.joined[i].socket, p, attachments)
}

func deliver(s Socket, p sio.Packet, attachments [][]byte) error {
	switch p.Type {
	case sio.Ack, sio.BinaryAck:
		s.Answered(p.ID, p.Data, attachments)
		return nil
	}
	name, err := sio.EventName(sio.FirstArg(p.Data))
	if err != nil {
		return err
	}
	s.Event(Event{Name: name, Args: p.Data, Attachments: attachments, ID: p.ID, HasID: p.HasID})
	return nil
}

func (c *Conn) connect(p sio.Packet) error {
	if c.index(p.Namespace) >= 0 {
		return errJoined
	}
	undecided := 0
	for _, m := range c.joined {
		if m.socket == nil {
			undecided++
		}
	}
	if undecided >= maxPending {
		return errPending
	}
	namespace := string(p.Namespace)
	c.joined = append(c.joined, membership{namespace: namespace})
	c.door.Connect(namespace, bytes.Clone(p.Data))
	return nil
}

// Accept lets the client into a namespace it asked for. It reports false if the
// request is gone.
func (c *Conn) Accept(namespace string, s Socket) bool {
	i := c.index([]byte(namespace))
	if i < 0 || c.joined[i].socket != nil {
		return false
	}
	c.joined[i] = membership{namespace, s} // the caller's string, which all clients share
	return true
}

// Leave forgets a namespace: refused, or left by either side. It may be asked for
// again.
func (c *Conn) Leave(namespace string) {
	if i := c.index([]byte(namespace)); i >= 0 {
		last := len(c.joined) - 1
		c.joined[i] = c.joined[last]
		c.joined[last] = membership{}
		c.joined = c.joined[:last]
	}
}

// Held is how many bytes of a packet whose attachments are missing are kept.
func (c *Conn) Held() int { return c.parts.Held() }

func (c *Conn) index(namespace []byte) int {
	for i := range c.joined {
		if c.joined[i].namespace == string(namespace) {
			return i
		}
	}
	return -1
}
