package survey

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/survey/lately"
)

// CutNotice says which client the server cut and why, with its last state.
type CutNotice struct {
	Cause   base.Cause
	Clients []Client // one per socket on the connection
}

// How much is remembered of clients that were cut (protocol.md 5): of each its sums and the
// lanes that were worst. Beyond the bytes, or a part of the budget, the oldest go. It is
// held whatever else is: who was cut because the budget was spent is what one asks for.
const (
	CutMost  = 10_000
	CutLanes = 16 // of a client
	cutFor   = time.Hour
	cutBytes = 32 << 20
	cutShare = 32 // of the budget
)

// Cuts remembers the last state of clients that were cut, and counts all connections that ended, by cause. Any goroutine may
// call its methods once Init has returned.
type Cuts struct {
	counts [base.Causes]atomic.Uint64

	mu    sync.Mutex
	views lately.Log[Client]
}

// Init says what the budget is, 0 for none, and who is told of the bytes held, more or less.
func (l *Cuts) Init(budget int64, hold func(n int64)) {
	most := int64(cutBytes)
	if budget > 0 {
		most = min(most, budget/cutShare)
	}
	l.views = lately.Log[Client]{
		Most: CutMost, Bytes: most, For: cutFor, Cost: (*Client).cost, At: func(v *Client) time.Time { return v.CutAt },
		Hold: hold,
	}
}

// Count counts a connection that ended.
func (l *Cuts) Count(c base.Cause) { l.counts[c].Add(1) }

// Counted is how many connections have ended for that cause.
func (l *Cuts) Counted(c base.Cause) uint64 { return l.counts[c].Load() }

// Add counts a connection that is cut and remembers its clients.
func (l *Cuts) Add(c CutNotice) {
	l.Count(c.Cause)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range c.Clients {
		l.views.Add(v)
	}
}

// Expire forgets those whose hour is over.
func (l *Cuts) Expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.views.Expire(now)
}

// List returns at most so many of the clients cut in the last hour, newest first.
func (l *Cuts) List(now time.Time, limit int) []Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.views.Newest(now)
	return list[:min(limit, len(list))]
}

// cost is what the view holds in memory, in bytes.
func (v *Client) cost() int64 {
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
