package guard

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// Comers counts clients that come back after having been cut, by Subnet: an estimate, since many clients may share
// one. Any goroutine may call its methods.
type Comers struct {
	hold Hold
	mu   sync.Mutex
	away map[netip.Addr]int
	some atomic.Bool // away is not empty
	back atomic.Uint64
}

// maxAway bounds how many addresses are remembered.
const maxAway = 65_536

// NewComers returns one that has seen nobody; hold is told of its memory.
func NewComers(hold Hold) *Comers { return &Comers{hold: hold} }

// Left says that a client of that address was cut.
func (c *Comers) Left(a netip.Addr) {
	a = Subnet(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away == nil {
		c.away = make(map[netip.Addr]int)
	}
	if n := c.away[a]; n > 0 || len(c.away) < maxAway {
		if n == 0 && c.hold != nil {
			c.hold(placeBytes(a))
		}
		c.away[a]++
		c.some.Store(true)
	}
}

// Came says that a client of that address has connected.
func (c *Comers) Came(a netip.Addr) {
	if !c.some.Load() {
		return
	}
	a = Subnet(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.away[a]
	if n == 0 {
		return
	}
	if n--; n > 0 {
		c.away[a] = n
	} else {
		delete(c.away, a)
		if c.hold != nil {
			c.hold(-placeBytes(a))
		}
		c.some.Store(len(c.away) > 0)
	}
	c.back.Add(1)
}

// Back is how many have come back.
func (c *Comers) Back() uint64 { return c.back.Load() }
