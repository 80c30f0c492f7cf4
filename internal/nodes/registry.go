package nodes

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// The times and bounds of a registry.
const (
	Every = 2 * time.Second  // how often a node says that it lives
	Lease = 10 * time.Second // how long it is known without that

	answerAfter = 100 * time.Millisecond // how soon a newcomer is answered: one heartbeat for all who come together
	deafAfter   = 2 * Every              // without a heartbeat of its own a node has missed others'
	maxNodes    = 1024                   // others that are known: beyond that newcomers are not taken note of
)

// Node is one run of a server.
type Node struct {
	ID      string // nothing else has it
	Name    string // as configured; need not be unique
	Started time.Time
}

// Options are a registry's.
type Options struct {
	// Send gives data to all nodes, this one too. It may wait for a moment, and fail: what is not sent now is sent with the next
	// heartbeat.
	Send func(data []byte)

	// Came and Left hear of other nodes, one call at a time, the second with whether the node has said goodbye. They
	// must not block, nor call the registry.
	Came func(Node)
	Left func(n Node, goodbye bool)
}

// Registry is the nodes that are there. Any goroutine may call its methods.
//
// Its clock is what it hears of itself: a node hears its own heartbeats like those of others, and where they do not come back
// nobody's would. So who cannot hear takes nobody for dead, and knows that it may have missed who came.
type Registry struct {
	self    Node
	opts    Options
	running sync.WaitGroup
	soon    chan struct{} // has room for one: somebody waits for a heartbeat
	end     chan struct{}
	once    sync.Once

	mu      sync.Mutex
	others  map[string]*other // by id
	heard   time.Time         // when this node last heard itself
	clock   time.Duration     // how long it has heard itself: leases end by it
	since   time.Time         // nothing was missed since then; zero: nothing is heard
	changed chan struct{}     // closed when since changes
	gone    bool              // closed
}

// other is what is known of another node.
type other struct {
	Node
	heard time.Duration // on the registry's clock
}

// New returns a registry that says from now on that a node lives, until Close.
func New(self Node, o Options) *Registry {
	r := &Registry{
		self: self, opts: o, soon: make(chan struct{}, 1), end: make(chan struct{}), others: make(map[string]*other), changed: make(chan struct{}),
	}
	r.running.Go(r.run)
	return r
}

// Others are the nodes that are known but this one, by name.
func (r *Registry) Others() []Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Node, 0, len(r.others))
	for _, e := range r.others {
		list = append(list, e.Node)
	}
	slices.SortFunc(list, func(a, b Node) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return list
}

// NameOf is the name of the node with that id; "": it is not there.
func (r *Registry) NameOf(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.others[id]; e != nil {
		return e.Name
	}
	return ""
}

// Whole waits until whoever is there is known, which takes a heartbeat's time from when something may have been missed;
// false: ctx has ended, or the registry was closed.
func (r *Registry) Whole(ctx context.Context) bool {
	for !r.ended() && ctx.Err() == nil {
		left, changed := r.untilWhole(time.Now())
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		case <-r.end:
		}
		timer.Stop()
	}
	return false
}

// IsWhole reports whether Whole would not have to wait.
func (r *Registry) IsWhole() bool {
	left, _ := r.untilWhole(time.Now())
	return left <= 0
}

// Missed is closed when something may have been missed since it was called, and when that is over.
func (r *Registry) Missed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// untilWhole is how long to wait at least, or until changed is closed.
func (r *Registry) untilWhole(now time.Time) (left time.Duration, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() || now.Sub(r.heard) > deafAfter {
		return Every, r.changed
	}
	return r.since.Add(Every + answerAfter).Sub(now), r.changed
}

func (r *Registry) ended() bool {
	select {
	case <-r.end:
		return true
	default:
		return false
	}
}

// Lapsed says that something may have been missed: the others are asked to say that they live by a heartbeat of this node.
func (r *Registry) Lapsed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missedSinceLocked(time.Time{})
	r.signal()
}

// missedSinceLocked takes note that nothing was missed since a moment, but before it.
func (r *Registry) missedSinceLocked(now time.Time) {
	r.since = now
	close(r.changed)
	r.changed = make(chan struct{})
}

// signal has a heartbeat sent soon.
func (r *Registry) signal() {
	select {
	case r.soon <- struct{}{}:
	default:
	}
}

// Hear takes what a node has sent, this one too. What is of no form that this version knows is left alone.
func (r *Registry) Hear(data []byte) {
	n, kind, err := parse(data)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.others[n.ID]
	switch {
	case r.gone:
	case n.ID == r.self.ID:
		r.hearSelfLocked(time.Now())
	case kind == kindLeaves:
		if e != nil {
			r.forgetLocked(e, true)
		}
	case e != nil:
		e.heard = r.clock
	case len(r.others) < maxNodes:
		r.others[n.ID] = &other{n, r.clock}
		if r.opts.Came != nil {
			r.opts.Came(n)
		}
		r.signal()
	}
}

// hearSelfLocked moves the clock, by what can have been heard, and forgets who was not heard for a lease.
func (r *Registry) hearSelfLocked(now time.Time) {
	gap := now.Sub(r.heard)
	if r.since.IsZero() || gap > deafAfter {
		r.missedSinceLocked(now)
	}
	if !r.heard.IsZero() {
		r.clock += min(gap, deafAfter)
	}
	r.heard = now
	for _, e := range r.others {
		if r.clock-e.heard > Lease {
			r.forgetLocked(e, false)
		}
	}
}

// Close says goodbye and ends the heartbeats. It may be called twice.
func (r *Registry) Close() {
	r.once.Do(func() { close(r.end) })
	r.running.Wait()
}

// run sends heartbeats until Close, and then goodbye.
func (r *Registry) run() {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		r.opts.Send(appendMessage(nil, kindLives, &r.self))
		select {
		case <-tick.C:
		case <-r.soon:
			if !r.pause(answerAfter) {
				continue // the end is seen below
			}
		case <-r.end:
			r.mu.Lock()
			r.gone = true
			r.mu.Unlock()
			r.opts.Send(appendMessage(nil, kindLeaves, &r.self))
			return
		}
	}
}

// pause waits; false: the end has come.
func (r *Registry) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.end:
		return false
	}
}

func (r *Registry) forgetLocked(e *other, goodbye bool) {
	delete(r.others, e.ID)
	if r.opts.Left != nil {
		r.opts.Left(e.Node, goodbye)
	}
}
