package delivery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
)

// CutEvent says which client the server cut and why, with its last state.
type CutEvent struct {
	Cause   base.Cause
	Clients []ClientView // one per socket on the connection
}

// How much is remembered of clients that were cut (design 5.3): of each its sums and the
// lanes that were worst. Beyond the bytes, or if the budget has no room, the oldest go.
const (
	cutMost  = 10_000
	cutFor   = time.Hour
	cutLanes = 16
	cutBytes = 32 << 20
)

// cutLog remembers the last state of clients that were cut.
type cutLog struct {
	counts [base.Causes]atomic.Uint64
	budget *budget.Budget

	mu    sync.Mutex
	views []ClientView // the oldest first, from head on
	head  int
	bytes int64
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
		v := s.view(cutLanes)
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
		cost := v.cost()
		for l.len() >= cutMost || l.bytes+cost > cutBytes {
			l.dropLocked()
		}
		for !l.budget.Claim(budget.Cut, cost) {
			if l.len() == 0 {
				return // there is no memory even for this one
			}
			l.dropLocked()
		}
		l.views = append(l.views, v)
		l.bytes += cost
	}
}

func (l *cutLog) len() int { return len(l.views) - l.head }

// dropLocked forgets the oldest.
func (l *cutLog) dropLocked() {
	cost := l.views[l.head].cost()
	l.views[l.head] = ClientView{}
	l.head++
	l.bytes -= cost
	l.budget.Hold(budget.Cut, -cost)
	if l.len() == 0 {
		l.views, l.head = nil, 0
	} else if l.head > 64 && l.head > len(l.views)/2 {
		l.views, l.head = append([]ClientView(nil), l.views[l.head:]...), 0
	}
}

// expire forgets those whose hour is over.
func (l *cutLog) expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.len() > 0 && now.Sub(l.views[l.head].CutAt) > cutFor {
		l.dropLocked()
	}
}

// list returns the clients cut in the last hour, newest first.
func (l *cutLog) list(now time.Time) []ClientView {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []ClientView
	for i := len(l.views) - 1; i >= l.head && now.Sub(l.views[i].CutAt) <= cutFor; i-- {
		out = append(out, l.views[i])
	}
	return out
}

// cost is what the view holds in memory, in bytes.
func (v *ClientView) cost() int64 {
	const view, lane, drops = 384, 192, 320
	n := view + len(v.ID) + len(v.Principal) + len(v.Address) + len(v.Lanes)*lane
	if v.Drops != nil {
		n += drops
	}
	if v.Kernel != nil {
		n += 32
	}
	for i := range v.Lanes {
		n += len(v.Lanes[i].Topic)
		if v.Lanes[i].Drops != nil {
			n += drops
		}
	}
	return int64(n)
}
