package nodes

import (
	"cmp"
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
type Registry struct {
	self    Node
	opts    Options
	running sync.WaitGroup
	soon    chan struct{} // has room for one: a newcomer waits for an answer
	end     chan struct{}
	once    sync.Once

	mu     sync.Mutex
	others map[string]*other // by id
	gone   bool              // closed
}

// other is what is known of another node.
type other struct {
	Node
	heard time.Time
}

// New returns a registry that says from now on that a node lives, until Close.
func New(self Node, o Options) *Registry {
	r := &Registry{self: self, opts: o, soon: make(chan struct{}, 1), end: make(chan struct{}), others: make(map[string]*other)}
	r.running.Go(r.run)
	return r
}

// Others are the nodes that are known but this one, by name.
func (r *Registry) Others() []Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked(time.Now())
	list := make([]Node, 0, len(r.others))
	for _, e := range r.others {
		list = append(list, e.Node)
	}
	slices.SortFunc(list, func(a, b Node) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return list
}

// Hear takes what a node has sent. What is of no form that this version knows is left alone.
func (r *Registry) Hear(data []byte) {
	n, kind, err := parse(data)
	if err != nil || n.ID == r.self.ID {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.others[n.ID]
	switch {
	case r.gone:
	case kind == kindLeaves:
		if e != nil {
			r.forgetLocked(e, true)
		}
	case e != nil:
		e.heard = time.Now()
	case len(r.others) < maxNodes:
		r.others[n.ID] = &other{n, time.Now()}
		if r.opts.Came != nil {
			r.opts.Came(n)
		}
		select {
		case r.soon <- struct{}{}:
		default:
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
		r.mu.Lock()
		r.expireLocked(time.Now())
		r.mu.Unlock()
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

// expireLocked forgets who was not heard for a lease.
func (r *Registry) expireLocked(now time.Time) {
	for _, e := range r.others {
		if now.Sub(e.heard) > Lease {
			r.forgetLocked(e, false)
		}
	}
}

func (r *Registry) forgetLocked(e *other, goodbye bool) {
	delete(r.others, e.ID)
	if r.opts.Left != nil {
		r.opts.Left(e.Node, goodbye)
	}
}
