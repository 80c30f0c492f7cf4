package link

import (
	"slices"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/packet"
)

// How a client joins a namespace:
//
//	CONNECT ── Connect ── Reception.Admits, where there are limits ─┬─ Delay ··> its turn: Join
//	                                                                ├─ Decline ─> CONNECT_ERROR
//	                                                                └─ Join
//	Join ── Reception.Apply ─┬─ no such namespace ─────────────> CONNECT_ERROR
//	                         ├─ nobody is asked ──────> Accept ─> Socket.Enter, which answers
//	                         └─ others decide: undecided ─┬───────^
//	                                                      └─> Refuse ─> CONNECT_ERROR

// MaxPacket implements socketio.Entrance.
func (c *Client) MaxPacket() int { return c.door.opts.Engine.MaxHTTPBufferSize }

// Connect implements socketio.Entrance: a client asks to join a namespace.
func (c *Client) Connect(path string, auth []byte) {
	if c.door.Inbound == nil || c.door.reception.Admits(c, path, auth) {
		c.Join(path, auth)
	}
}

// maxAuth is how many bytes the auth object of a CONNECT may have, which is kept for as long as its socket.
const maxAuth = 64 << 10

// Join goes on with a client's request to join a namespace.
func (c *Client) Join(path string, auth []byte) {
	if len(auth) > maxAuth {
		c.Decline(path, "too_large: the auth object has more than 65536 bytes", []byte(`{"code":"too_large","retryable":false}`))
		return
	}
	switch s, ask := c.door.reception.Apply(c, path, auth); {
	case s == nil:
		c.Decline(path, "Invalid namespace", nil)
	case ask == nil:
		c.Accept(s)
	default:
		w := c.toWait()
		w.undecided = append(w.undecided, s)
		ask()
	}
}

// Decline answers a CONNECT of which nothing was made with CONNECT_ERROR; the session goes on.
func (c *Client) Decline(path, message string, data []byte) {
	c.proto.Leave(path)
	c.out.Refuse(c.door.Lobby, packet.ConnectError(path, message, data))
}

// Accept lets a socket in: it is a member before the answer is queued, and what
// handlers emit comes after (protocol.md 2.3).
func (c *Client) Accept(s Socket) {
	c.decided(s)
	if c.closed || !c.proto.Accept(s.Behind().Path, s) {
		return
	}
	if c.joined == guard.NeverJoined {
		c.joined = guard.HasJoined
		c.door.admission.Joined()
	}
	s.Enter()
}

// Refuse answers a CONNECT with CONNECT_ERROR; the session goes on.
func (c *Client) Refuse(s Socket, message string, data []byte) {
	c.decided(s)
	if c.closed {
		return
	}
	n := s.Behind()
	c.proto.Leave(n.Path)
	c.out.Refuse(n, packet.ConnectError(n.Path, message, data))
	s.Gone(base.CauseForbidden)
}

// decided takes a socket off the list of those undecided, if it is on it.
func (c *Client) decided(s Socket) {
	if w := c.waiting(); w != nil {
		w.undecided = slices.DeleteFunc(w.undecided, func(u Socket) bool { return u == s })
		c.tidy()
	}
}

// abandon ends what is undecided of a client that has left.
func (c *Client) abandon(cause base.Cause) {
	if w := c.waiting(); w != nil {
		for _, s := range w.undecided {
			s.Gone(cause)
		}
		w.undecided = nil
	}
}

// Left says that a socket of the client has left its namespace. What it had sent is remembered: who comes back on the same
// connection goes on where it was.
func (c *Client) Left(path string) {
	c.proto.Leave(path)
	c.resign(func(e *enrolment) bool { return e.namespace == path })
}
