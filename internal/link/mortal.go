package link

import (
	"math"
	"slices"
	"time"
)

// Mortal is a socket that may not stay for ever: what its client has proved comes to an end.
//
//weir:loop
type Mortal interface {
	// DueIn is how long it is until something is to be done about that; false: nothing ever is.
	DueIn() (time.Duration, bool)
	// Due does what is due.
	Due()
}

// Expect has the client's timer know when something is due for a Mortal of its sockets, which may have changed.
func (c *Client) Expect() {
	for _, d := range c.out.Sockets() {
		if m, ok := d.Peer.(Mortal); ok {
			if _, ends := m.DueIn(); ends {
				c.toWait().tokens = true
				c.session.Expire(c.out.Shard().Now()) // asked too early, it has all deadlines named again
				return
			}
		}
	}
}

// tokenDue is when something is due for one of the sockets, by the hub's clock; 0: never.
func (c *Client) tokenDue() int64 {
	if w := c.waiting(); w == nil || !w.tokens {
		return 0
	}
	first := time.Duration(math.MaxInt64)
	c.mortals(func(_ Mortal, in time.Duration) { first = min(first, in) })
	if first == math.MaxInt64 {
		return 0
	}
	return max(c.out.Shard().Now()+int64(first), 1)
}

// lookAtTokens does what is due for sockets.
func (c *Client) lookAtTokens() {
	if w := c.waiting(); w != nil && w.tokens {
		c.mortals(func(m Mortal, in time.Duration) {
			if in <= 0 {
				m.Due()
			}
		})
	}
}

func (c *Client) mortals(f func(m Mortal, in time.Duration)) {
	for _, d := range slices.Clone(c.out.Sockets()) {
		if m, ok := d.Peer.(Mortal); ok {
			if in, ends := m.DueIn(); ends {
				f(m, in)
			}
		}
	}
}
