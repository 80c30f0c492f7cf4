package engineio

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// carrier is a session as the receiver of the websocket that carries it.
//
//weir:loop
type carrier Session

// Message implements transport.Receiver.
func (c *carrier) Message(data []byte, binary bool) error {
	s := (*Session)(c)
	if s.state != open {
		return nil
	}
	p, err := packetOf(data, binary)
	if err != nil {
		return s.fault(base.CauseParseError, err)
	}
	return s.packet(p)
}

// Writable implements transport.Receiver.
func (c *carrier) Writable() {
	if s := (*Session)(c); s.state == open {
		s.noteHanded()
		s.host.Writable()
	}
}

// Closed implements transport.Receiver.
func (c *carrier) Closed(cause base.Cause, err error) {
	s := (*Session)(c)
	if s.state == open {
		s.begin(cause, err)
	}
	s.finish()
}

// latecomer is the receiver of a websocket that comes to a session that exists: it
// probes, carries the session after that, or, dismissed, is ignored.
//
//weir:loop
type latecomer struct {
	session *Session
	socket  *transport.WebSocket
}

func (c *latecomer) carries() bool { return c.session.ws == c.socket }

func (c *latecomer) probes() bool {
	u := c.session.upgrade()
	return u != nil && u.socket == c.socket
}

// Message implements transport.Receiver.
func (c *latecomer) Message(data []byte, binary bool) error {
	switch {
	case c.carries():
		return (*carrier)(c.session).Message(data, binary)
	case c.probes():
		if p, err := packetOf(data, binary); err != nil {
			c.session.endProbe()
		} else {
			c.session.probePacket(p)
		}
	}
	return nil
}

// Writable implements transport.Receiver.
func (c *latecomer) Writable() {
	switch {
	case c.carries():
		(*carrier)(c.session).Writable()
	case c.session.state != closed:
		c.pong()
	}
}

// pong answers a ping frame on a websocket whose Control nobody asks for.
func (c *latecomer) pong() {
	if frame := c.socket.Control(nil); len(frame) > 0 {
		if n, err := c.socket.Write(frame); n < len(frame) || err != nil {
			c.socket.Abort()
		}
	}
}

// Closed implements transport.Receiver.
func (c *latecomer) Closed(cause base.Cause, err error) {
	switch {
	case c.carries():
		(*carrier)(c.session).Closed(cause, err)
	case c.probes():
		c.session.endProbe()
	}
}

func packetOf(message []byte, binary bool) (eio.Packet, error) {
	if binary {
		return eio.Packet{Type: eio.Message, Data: message, Binary: true}, nil
	}
	return eio.ParsePacket(message)
}
