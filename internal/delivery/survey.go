package delivery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/top"
)

// SortKey says which clients a survey lists first.
type SortKey uint8

// The orders of GET /api/clients.
const (
	ByLag   SortKey = iota // age of the oldest waiting message
	ByBytes                // bytes waiting
	ByDrops                // messages dropped
	ByLoss                 // share dropped or replaced in the last seconds
)

// Query selects and orders clients. The zero value lists nobody: set Limit.
type Query struct {
	Sort      SortKey
	Limit     int
	Namespace string
	Topic     string // clients with a lane of this topic, or of this pattern; figures are then those lanes'
	Principal string
	Address   string // without port
	ID        string
}

// Survey is what a walk over all clients found.
type Survey struct {
	Clients []ClientView         // the first Limit in the order asked for
	Total   int                  // clients that match
	Lagging int                  // of them, with a message older than LagAfter
	Losing  int                  // of them, with a lane that loses, see Loss
	Unknown int                  // of them, with a lane that has lost messages and was never looked at before
	Ages    latency.Distribution // age of the oldest waiting message, per lane that has one
}

// LagAfter is how old a waiting message is when its client counts as lagging.
const LagAfter = time.Second

// How much one step of a walk looks at, so that none holds a shard for long: so many
// connections, and so many lanes, of which each that is described counts for some. The
// connection that reaches either is looked at whole.
const (
	surveySlice = 256
	surveyLanes = 2048
	viewCost    = 8
)

// Survey walks over all clients of the node, a slice of each shard's at a time.
// Clients that come or go meanwhile may be missed. It fails only with ctx.
func (h *Hub) Survey(ctx context.Context, q Query) (Survey, error) {
	finished := newTally(len(h.shards))
	parts := make([]walk, len(h.shards))
	for i, sh := range h.shards {
		parts[i] = walk{sh: sh, q: q, top: top.List[ClientView]{Most: q.Limit}, finished: finished, ages: new(latency.Histogram)}
		sh.Post(&parts[i])
	}
	select {
	case <-finished.done:
	case <-ctx.Done():
		return Survey{}, ctx.Err()
	case <-h.done:
		return Survey{}, ErrClosed
	}
	var out Survey
	for i := range parts {
		p := &parts[i]
		out.Total += p.total
		out.Lagging += p.lagging
		out.Losing += p.losing
		out.Unknown += p.unknown
		out.Ages.Add(p.ages)
		out.Clients = append(out.Clients, p.top.Items...)
	}
	slices.SortFunc(out.Clients, func(a, b ClientView) int { return cmp.Compare(q.rank(&b), q.rank(&a)) })
	if len(out.Clients) > q.Limit {
		out.Clients = out.Clients[:q.Limit]
	}
	return out, nil
}

// Cut lists the last state of clients that were cut, newest first.
func (h *Hub) Cut(limit int) []ClientView {
	l := h.cuts.list(time.Now())
	return l[:min(limit, len(l))]
}

func (q *Query) rank(v *ClientView) int64 {
	switch q.Sort {
	case ByBytes:
		return int64(v.Bytes)
	case ByDrops:
		return int64(v.Dropped)
	case ByLoss:
		return lossRank(v.Losing, v.LossShare)
	default:
		return v.OldestMs
	}
}

// lossRank orders by share, those who lose before all others.
func lossRank(losing bool, share float64) int64 {
	rank := int64(share * 1e6)
	if losing {
		rank += 1e6 + 1
	}
	return rank
}

// matches reports whether a lane is of the query's topic.
func (q *Query) matches(l *outLane) bool {
	return q.Topic == "" || (l.topic != nil && Named(q.Topic, l.topic.Name))
}

// walk is a survey of one shard: a task that posts itself until it is through.
type walk struct {
	sh       *Shard
	q        Query
	finished *tally
	next     int
	cost     int // lanes looked at in this step
	total    int
	lagging  int
	losing   int
	unknown  int
	ages     *latency.Histogram
	top      top.List[ClientView]
}

// Run implements base.Task.
func (w *walk) Run() {
	end := min(w.next+surveySlice, len(w.sh.conns))
	for w.cost = 0; w.next < end && w.cost < surveyLanes; w.next++ {
		for _, s := range w.sh.conns[w.next].sockets {
			if !s.closed {
				w.look(s)
			}
		}
	}
	if w.next < len(w.sh.conns) {
		w.sh.Post(w)
		return
	}
	w.finished.finished()
}

// look counts one socket and keeps its view if it is among the first.
func (w *walk) look(s *Socket) {
	q := &w.q
	w.cost += len(s.lanes) // also those that do not match
	if (q.Namespace != "" && s.Namespace.Path != q.Namespace) || (q.Principal != "" && s.Principal != q.Principal) ||
		(q.ID != "" && s.ID != q.ID) || (q.Topic != "" && !slices.ContainsFunc(s.lanes, q.matches)) {
		return
	}
	rank, f := w.measure(s)
	if q.Address == "" { // else only a full view knows
		w.count(f)
		if !w.top.Takes(rank) {
			return
		}
	}
	w.cost += viewCost * (1 + len(s.lanes))
	v := s.view(len(s.lanes))
	if q.Topic != "" {
		v = v.only(s, q)
	}
	if q.Address != "" {
		if v.Address != q.Address {
			return
		}
		w.count(f)
	}
	w.top.Keep(v, q.rank(&v))
}

// finding is what a walk counts of one socket.
type finding struct {
	oldest          int64
	losing, unknown bool
}

// measure finds a socket's rank without building its view.
func (w *walk) measure(s *Socket) (rank int64, f finding) {
	var share float64
	now := w.sh.now
	each := func(l *outLane, waited time.Duration) {
		if !w.q.matches(l) {
			return
		}
		loss, known := w.sh.loss(l)
		f.losing, f.unknown, share = f.losing || loss.Losing, f.unknown || !known, max(share, loss.Share)
		age := int64(waited)
		if l.Depth() > 0 || l.stage == stageCatching {
			w.ages.Observe(age)
		}
		f.oldest = max(f.oldest, age)
		switch w.q.Sort {
		case ByBytes:
			rank += int64(l.Bytes())
		case ByDrops:
			rank += int64(l.AllDropped())
		}
	}
	if s.events != nil {
		each(s.events, s.events.age(now))
	} else if w.q.Sort == ByDrops && w.q.Topic == "" {
		rank += int64(s.past.AllDropped())
	}
	for _, l := range s.lanes {
		each(l, l.age(now))
	}
	for _, c := range s.ties.catchUps() {
		each(&c.outLane, c.age(now))
	}
	switch w.q.Sort {
	case ByLag:
		rank = f.oldest / int64(time.Millisecond)
	case ByLoss:
		rank = lossRank(f.losing, share)
	}
	return rank, f
}

func (w *walk) count(f finding) {
	w.total++
	if f.oldest > int64(LagAfter) {
		w.lagging++
	}
	if f.losing {
		w.losing++
	}
	if f.unknown {
		w.unknown++
	}
}

// only narrows a view of s to the lanes of the query's topic.
func (v ClientView) only(s *Socket, q *Query) ClientView {
	v.Lanes, v.Depth, v.Bytes, v.InFlight, v.OldestMs, v.Dropped, v.Drops = nil, 0, 0, 0, 0, 0, nil
	v.Losing, v.LossShare = false, 0
	for _, l := range s.lanes {
		if q.matches(l) {
			v.addLane(l.viewWhole(s.shard()))
		}
	}
	return v
}

// ShardStats are a shard's figures.
type ShardStats struct {
	Connections   int64
	Sockets       int64
	Subscriptions int64
	HeldBytes     int64
	Tasks, Jobs   int // waiting in the inbox
	Loop          latency.Distribution
	Stalls        uint64 // steps longer than StallFrom
	Longest       time.Duration
}

// Stats returns the shard's figures. Any goroutine may call it.
func (sh *Shard) Stats() ShardStats {
	s := ShardStats{
		Connections: sh.connections.Load(), Sockets: sh.sockets.Load(), Subscriptions: sh.subscriptions.Load(),
		HeldBytes: sh.held.Load(),
	}
	s.Tasks, s.Jobs = sh.in.Depth()
	s.Loop.Add(&sh.loop)
	s.Stalls, s.Longest = sh.watch.stalls.Load(), time.Duration(sh.watch.longest.Load())
	return s
}

// Latency returns how long messages of the topic took from publish to the kernel
// and to their ack, over all shards.
func (d *Declared) Latency() (write, ack latency.Distribution) {
	for _, l := range d.latency {
		write.Add(&l.write)
		ack.Add(&l.ack)
	}
	return write, ack
}
