// Package survey answers questions about all clients: it walks over them a slice of a loop's at a time, ranks them, and keeps
// the first. It also remembers those that were cut. How a client is described (Client, Lane, Loss) is its matter; where the
// clients are is told by Loop and Subject.
package survey

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/survey/top"
)

// SortKey says which clients a survey lists first.
type SortKey uint8

// The orders of GET /api/clients.
const (
	ByLag   SortKey = iota // age of the oldest waiting message
	ByBytes                // bytes waiting
	ByDrops                // messages dropped
	ByLoss                 // share dropped or replaced in the last seconds
	ByID                   // none but the Socket.IO id, from which lists go on page by page
)

// Query selects and orders clients. The zero value lists nobody: set Limit. Clients of the same rank are in the order of their ids.
type Query struct {
	Sort      SortKey
	Limit     int
	Lanes     int    // of topics, of each client that is listed, the worst; 0: all
	After     string // clients whose id comes behind this one
	Namespace string
	Among     []string // with Namespace "": clients of one of these namespaces; nil: all
	Topic     string   // clients with a lane of this topic, or of this pattern; figures are then those lanes'
	Principal string
	Address   string // without port
	ID        string
}

// picks reports whether a socket is one that is asked for, apart from its topics and address.
//
//weir:loop
func (q *Query) picks(s Subject) bool {
	if q.After != "" && s.Name() <= q.After {
		return false
	}
	if q.Namespace != "" || q.Among == nil {
		return s.Is(q.ID, q.Namespace, q.Principal)
	}
	return slices.ContainsFunc(q.Among, func(namespace string) bool { return s.Is(q.ID, namespace, q.Principal) })
}

// Found is what a walk over all clients found.
type Found struct {
	Clients []Client             // the first Limit in the order asked for
	Total   int                  // clients that match
	Lagging int                  // of them, with a message older than LagAfter
	Losing  int                  // of them, with a lane that loses, see Loss
	Unknown int                  // of them, with a lane that has lost messages and was never looked at before
	Behind  int                  // of them, with a lane that is behind its topic's log
	Unread  time.Duration        // how long the oldest record has waited in a log for such a lane
	Ages    latency.Distribution // age of the oldest waiting message, per lane that has one
}

// LagAfter is how old a waiting message is when its client counts as lagging.
const LagAfter = time.Second

// How much one step of a walk looks at, so that none holds a loop for long: so many
// connections, and so many lanes, of which each that is described counts for some. The
// connection that reaches either is looked at whole.
const (
	Slice     = 256
	laneSlice = 2048
	viewCost  = 8
)

// Loop is an event loop with the clients it owns.
//
//weir:loop
type Loop interface {
	// Post has the loop run a task.
	//
	//weir:any
	Post(base.Task)
	// Now is the loop's clock, which lanes have their times from.
	Now() int64
	// Connections is how many it owns.
	Connections() int
	// Each calls look with each socket on the i-th connection that has not left.
	Each(i int, look func(Subject))
}

// Subject is a socket as a walk meets it.
//
//weir:loop
type Subject interface {
	// Name is its Socket.IO id.
	Name() string
	// Is reports whether it is meant by these, each of which is "" for any.
	Is(id, namespace, principal string) bool
	// TopicLanes is how many topic lanes it has.
	TopicLanes() int
	// Any reports whether one of them is of a topic that match says yes to.
	Any(match func(topic string) bool) bool
	// Measure calls look with each lane that a figure is had from: the events lane, if it has one now, each topic's, and that
	// of each snapshot being read.
	Measure(look func(Held))
	// PastDrops is how many messages its events lane has dropped, of one that has none now.
	PastDrops() uint64
	// View describes it with at most so many lanes of topics, the worst; 0: with all.
	View(lanes int) Client
}

// Held is a lane as a walk meets it.
type Held struct {
	Lane  *lane.Lane
	Topic string        // "" for the events lane
	Age   time.Duration // of its oldest message, or of the snapshot it reads
	Waits bool          // there is something to come, also when the lane is empty

	Behind bool          // it is given what it has missed from its topic's log
	Unread time.Duration // then: how long the oldest record has waited there for it
}

// Take walks over the clients of all loops, a slice of each loop's at a time.
// Clients that come or go meanwhile may be missed. It fails only with ctx, whose cause is the error.
func Take(ctx context.Context, loops []Loop, q Query) (Found, error) {
	ended := &ended{done: make(chan struct{})}
	ended.left.Store(int32(len(loops)))
	parts := make([]walk, len(loops))
	for i, l := range loops {
		parts[i].init(l, q, ended)
		l.Post(&parts[i])
	}
	select {
	case <-ended.done:
	case <-ctx.Done():
		return Found{}, context.Cause(ctx)
	}
	var out Found
	for i := range parts {
		p := &parts[i]
		out.Total += p.total
		out.Lagging += p.lagging
		out.Losing += p.losing
		out.Unknown += p.unknown
		out.Behind += p.behind
		out.Unread = max(out.Unread, p.unread)
		out.Ages.Add(p.ages)
		out.Clients = append(out.Clients, p.top.Items...)
	}
	slices.SortFunc(out.Clients, func(a, b Client) int { return q.Sort.Rank(&a).Compare(q.Sort.Rank(&b)) })
	if len(out.Clients) > q.Limit {
		out.Clients = out.Clients[:q.Limit]
	}
	return out, nil
}

// ended is closed by the last loop that is through.
type ended struct {
	left atomic.Int32
	done chan struct{}
}

func (e *ended) one() {
	if e.left.Add(-1) == 0 {
		close(e.done)
	}
}

// Rank is a place among clients.
type Rank = top.Rank

// Rank is the place of a client in that order.
func (k SortKey) Rank(v *Client) Rank {
	r := Rank{ID: v.ID}
	switch k {
	case ByBytes:
		r.By = int64(v.Bytes) + v.SpilledBytes
	case ByDrops:
		r.By = int64(v.Dropped)
	case ByLoss:
		r.By = lossRank(v.Losing, v.LossShare)
	case ByID:
	default:
		r.By = v.OldestMs
	}
	return r
}

// lossRank orders by share, those who lose before all others.
func lossRank(losing bool, share float64) int64 {
	rank := int64(share * 1e6)
	if losing {
		rank += 1e6 + 1
	}
	return rank
}

// matches reports whether a topic, "" for the events lane's, is the query's.
func (q *Query) matches(topic string) bool {
	return q.Topic == "" || (topic != "" && base.TopicNamed(q.Topic, topic))
}

// walk is a survey of one loop: a task that posts itself until it is through.
//
//weir:loop
type walk struct {
	loop    Loop
	q       Query
	ended   *ended
	next    int
	cost    int // lanes looked at in this step
	total   int
	lagging int
	losing  int
	unknown int
	behind  int
	unread  time.Duration
	ages    *latency.Histogram
	top     top.List[Client]

	at      finding       // of the socket that is looked at
	look    func(Subject) // lookAt, made once
	measure func(Held)    // measureLane
	match   func(topic string) bool
}

//weir:any
func (w *walk) init(l Loop, q Query, e *ended) {
	*w = walk{loop: l, q: q, ended: e, top: top.List[Client]{Most: q.Limit}, ages: new(latency.Histogram)}
	w.look, w.measure, w.match = w.lookAt, w.measureLane, w.q.matches
}

// Run implements base.Task.
func (w *walk) Run() {
	end := min(w.next+Slice, w.loop.Connections())
	for w.cost = 0; w.next < end && w.cost < laneSlice; w.next++ {
		w.loop.Each(w.next, w.look)
	}
	if w.next < w.loop.Connections() {
		w.loop.Post(w)
		return
	}
	w.ended.one()
}

// lookAt counts one socket and keeps its view if it is among the first.
func (w *walk) lookAt(s Subject) {
	q, lanes := &w.q, s.TopicLanes()
	w.cost += lanes // also those that do not match
	if !q.picks(s) || (q.Topic != "" && !s.Any(w.match)) {
		return
	}
	rank := w.find(s)
	if q.Address == "" { // else only a full view knows
		w.count()
		if !w.top.Takes(rank) {
			return
		}
	}
	w.cost += viewCost * (1 + lanes)
	v := s.View(w.lanes())
	if q.Topic != "" {
		v.only(q)
		v.LeaveOut(q.Lanes)
	}
	if q.Address != "" {
		if v.Address != q.Address {
			return
		}
		w.count()
	}
	w.top.Keep(v, q.Sort.Rank(&v))
}

// lanes is how many a view has: which of them are of a topic that is asked for, only one with all of them shows.
func (w *walk) lanes() int {
	if w.q.Topic != "" {
		return 0
	}
	return w.q.Lanes
}

// finding is what a walk counts of one socket.
type finding struct {
	oldest, unread          time.Duration
	losing, unknown, behind bool
	share                   float64 // the largest of a lane
	sum                     int64   // of what is ranked by
}

// find finds what is counted of a socket, and its rank, without building its view.
func (w *walk) find(s Subject) top.Rank {
	w.at = finding{}
	s.Measure(w.measure)
	if w.q.Sort == ByDrops && w.q.Topic == "" {
		w.at.sum += int64(s.PastDrops())
	}
	switch w.q.Sort {
	case ByLag:
		w.at.sum = w.at.oldest.Milliseconds()
	case ByLoss:
		w.at.sum = lossRank(w.at.losing, w.at.share)
	case ByBytes, ByDrops, ByID: // are added up, or nothing is
	}
	return top.Rank{By: w.at.sum, ID: s.Name()}
}

func (w *walk) measureLane(h Held) {
	if !w.q.matches(h.Topic) {
		return
	}
	f := &w.at
	if h.Topic != "" {
		loss, known := LossOf(h.Lane, w.loop.Now())
		f.losing, f.unknown, f.share = f.losing || loss.Losing, f.unknown || !known, max(f.share, loss.Share)
	}
	if h.Waits {
		w.ages.Observe(int64(h.Age))
	}
	f.oldest, f.unread, f.behind = max(f.oldest, h.Age), max(f.unread, h.Unread), f.behind || h.Behind
	switch w.q.Sort {
	case ByBytes:
		_, spilled, _ := h.Lane.Spilled()
		f.sum += int64(h.Lane.Bytes()) + spilled
	case ByDrops:
		f.sum += int64(h.Lane.AllDropped())
	case ByLag, ByLoss, ByID: // age and share are enough
	}
}

func (w *walk) count() {
	w.total++
	if w.at.oldest > LagAfter {
		w.lagging++
	}
	if w.at.losing {
		w.losing++
	}
	if w.at.unknown {
		w.unknown++
	}
	if w.at.behind {
		w.behind++
		w.unread = max(w.unread, w.at.unread)
	}
}
