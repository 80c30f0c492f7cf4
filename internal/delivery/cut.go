package delivery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// CutEvent says which client the server cut and why, with its last state.
type CutEvent struct {
	Cause   base.Cause
	Clients []ClientView // one per socket on the connection
}

// How much is remembered of clients that were cut (design 5.3).
const (
	cutMost = 10_000
	cutFor  = time.Hour
)

// cutLog remembers the last state of clients that were cut.
type cutLog struct {
	counts [base.Causes]atomic.Uint64

	mu   sync.Mutex
	ring []ClientView
	next int
}

// Cuts is how many connections the server has closed for that cause.
func (h *Hub) Cuts(c base.Cause) uint64 { return h.cuts.counts[c].Load() }

// CountCut counts a connection closed by another room's decision.
func (h *Hub) CountCut(c base.Cause) { h.cuts.counts[c].Add(1) }

// cut records a connection that is about to be cut, before its lanes are closed.
// Loop only.
func (h *Hub) cut(c *Conn, cause base.Cause) {
	e := CutEvent{Cause: cause}
	for _, s := range c.sockets {
		if s.closed {
			continue
		}
		v := s.view()
		v.Cause, v.CutAt = cause.String(), h.Time(c.shard.now)
		e.Clients = append(e.Clients, v)
	}
	h.cuts.counts[cause].Add(1)
	h.cuts.add(e.Clients)
	if h.opts.OnCut != nil {
		h.opts.OnCut(e)
	}
}

// RecordCut is cut for a decision made outside of this package. Loop only.
func (c *Conn) RecordCut(cause base.Cause) { c.shard.hub.cut(c, cause) }

func (l *cutLog) add(views []ClientView) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range views {
		if len(l.ring) < cutMost {
			l.ring = append(l.ring, v)
			continue
		}
		l.ring[l.next] = v
		l.next = (l.next + 1) % cutMost
	}
}

// list returns the clients cut in the last hour, newest first.
func (l *cutLog) list(now time.Time) []ClientView {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []ClientView
	for i := range l.ring {
		v := l.ring[(l.next+len(l.ring)-1-i)%len(l.ring)]
		if now.Sub(v.CutAt) > cutFor {
			break
		}
		out = append(out, v)
	}
	return out
}
