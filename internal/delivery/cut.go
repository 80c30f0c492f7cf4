package delivery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/lately"
)

// CutNotice says which client the server cut and why, with its last state.
type CutNotice struct {
	Cause   base.Cause
	Clients []ClientView // one per socket on the connection
}

// How much is remembered of clients that were cut (protocol.md 5): of each its sums and the
// lanes that were worst. Beyond the bytes, or a part of the budget, the oldest go. It is
// held whatever else is: who was cut because the budget was spent is what one asks for.
const (
	cutMost  = 10_000
	cutFor   = time.Hour
	cutLanes = 16
	cutBytes = 32 << 20
	cutShare = 32 // of the budget
)

// cutLog remembers the last state of clients that were cut.
type cutLog struct {
	counts [base.Causes]atomic.Uint64

	mu    sync.Mutex
	views lately.Log[ClientView]
}

func (l *cutLog) init(b *budget.Budget) {
	most := int64(cutBytes)
	if limit := b.Limit(); limit > 0 {
		most = min(most, limit/cutShare)
	}
	l.views = lately.Log[ClientView]{
		Most: cutMost, Bytes: most, For: cutFor, Cost: (*ClientView).cost, At: func(v *ClientView) time.Time { return v.CutAt },
		Hold: func(n int64) { b.Hold(budget.Cut, n) },
	}
}

// Cuts is how many connections have ended for that cause: the server has cut them, or they left (base.Cause.Leaves).
func (h *Hub) Cuts(c base.Cause) uint64 { return h.cuts.counts[c].Load() }

// CountCut counts a connection that ended by another room's decision, or left.
func (h *Hub) CountCut(c base.Cause) { h.cuts.counts[c].Add(1) }

// cut records a connection that is about to be cut, before its lanes are closed.
// Loop only.
func (h *Hub) cut(c *Conn, cause base.Cause) {
	e := CutNotice{Cause: cause}
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
		l.views.Add(v)
	}
}

// expire forgets those whose hour is over.
func (l *cutLog) expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.views.Expire(now)
}

// list returns the clients cut in the last hour, newest first.
func (l *cutLog) list(now time.Time) []ClientView {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.views.Newest(now)
}

// cost is what the view holds in memory, in bytes.
func (v *ClientView) cost() int64 {
	const view, lane, drops = 432, 192, 320
	n := view + len(v.ID) + len(v.Principal) + len(v.Address) + len(v.Agent) + len(v.Lanes)*lane
	if v.Drops != nil {
		n += drops
	}
	for i := range v.Lanes {
		n += len(v.Lanes[i].Topic)
		if v.Lanes[i].Drops != nil {
			n += drops
		}
	}
	return int64(n)
}
