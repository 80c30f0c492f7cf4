package engineio

import "sync/atomic"

// Stats are counts since the start, and sessions now, for metrics.
type Stats struct {
	Polling, WebSocket int64     // sessions now, by transport
	Handshakes         uint64    // sessions opened
	Upgrades           uint64    // sessions that changed to websocket
	UpgradesFailed     uint64    // probes closed before the change
	Refused            [6]uint64 // requests answered with an error, by code (protocol.md 1.1); Forbidden: by their origin; not those of Acceptor.Admit
}

// stats are counted by loops and HTTP goroutines.
type stats struct {
	polling, websocket                   atomic.Int64
	handshakes, upgrades, upgradesFailed atomic.Uint64
	refused                              [6]atomic.Uint64
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
	return out
}
