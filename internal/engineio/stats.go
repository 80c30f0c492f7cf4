package engineio

import "sync/atomic"

// Stats are counts since the start, and sessions now, for metrics.
type Stats struct {
	Polling, WebSocket int64     // sessions now, by transport
	Handshakes         uint64    // sessions opened
	Upgrades           uint64    // sessions that changed to websocket
	UpgradesFailed     uint64    // probes closed before the change
	Refused            [6]uint64 // requests answered with an error, by code (protocol.md 1.1); Forbidden: by their origin; not those of Acceptor.Admit

	Strays [StrayKinds]uint64 // packets that cost something and say nothing
}

// Stray is a kind of packet that a client may send as often as it likes, and that says nothing.
type Stray uint8

// The kinds of strays.
const (
	StrayPong  Stray = iota // nobody has asked for it
	StrayOther              // open, upgrade, noop: ignored (protocol.md 1.3)
	StrayPing               // of the websocket: only the newest is answered

	StrayKinds = int(StrayPing) + 1
)

func (k Stray) String() string { return [StrayKinds]string{"pong", "ignored", "websocket_ping"}[k] }

// stats are counted by loops and HTTP goroutines.
type stats struct {
	polling, websocket                   atomic.Int64
	handshakes, upgrades, upgradesFailed atomic.Uint64
	refused                              [6]atomic.Uint64
	strays                               [StrayKinds]atomic.Uint64
}

func (c *stats) sessions(transport string) *atomic.Int64 {
	if transport == WebSocket {
		return &c.websocket
	}
	return &c.polling
}

func (c *stats) opened(transport string) {
	c.handshakes.Add(1)
	c.sessions(transport).Add(1)
}

func (c *stats) closed(transport string) { c.sessions(transport).Add(-1) }

func (c *stats) upgraded() {
	c.upgrades.Add(1)
	c.polling.Add(-1)
	c.websocket.Add(1)
}

// Stats returns the counts. Any goroutine may call it.
func (s *Server) Stats() Stats {
	c := &s.stats
	out := Stats{
		Polling:        c.polling.Load(),
		WebSocket:      c.websocket.Load(),
		Handshakes:     c.handshakes.Load(),
		Upgrades:       c.upgrades.Load(),
		UpgradesFailed: c.upgradesFailed.Load(),
	}
	for code := range c.refused {
		out.Refused[code] = c.refused[code].Load()
	}
	for k := range c.strays {
		out.Strays[k] = c.strays[k].Load()
	}
	return out
}
