package delivery

import (
	"context"
	"sync"
	"time"
)

// How long, and how many, idempotency keys are remembered: two generations, the
// older one forgotten when the younger is full or old.
const (
	recentFor  = 5 * time.Minute
	recentMost = 100_000
)

type recentKey struct{ namespace, topic, id string }

// recentIDs makes publishing with an id idempotent: the second publish of an id
// gets the answer of the first, also while that is still under way.
type recentIDs struct {
	mu         sync.Mutex
	young, old map[recentKey]*recentEntry
	since      time.Time
}

type recentEntry struct {
	done   chan struct{}
	result *Pending // nil if it failed: the next one tries again
}

func (r *recentIDs) once(ctx context.Context, key recentKey, publish func() (*Pending, error)) (*Pending, error) {
	for {
		e, first := r.enter(key)
		if first {
			p, err := publish()
			r.leave(key, e, p)
			return p, err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, ErrBusy
		}
		if e.result != nil {
			again := *e.result
			again.Duplicate = true
			return &again, nil
		}
	}
}

func (r *recentIDs) enter(key recentKey) (e *recentEntry, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= recentMost || time.Since(r.since) > recentFor {
		r.young, r.old, r.since = nil, r.young, time.Now()
	}
	if e = r.young[key]; e == nil {
		e = r.old[key]
	}
	if e != nil {
		return e, false
	}
	if r.young == nil {
		r.young = make(map[recentKey]*recentEntry)
	}
	e = &recentEntry{done: make(chan struct{})}
	r.young[key] = e
	return e, true
}

func (r *recentIDs) leave(key recentKey, e *recentEntry, p *Pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.result = p; p == nil {
		delete(r.young, key)
		delete(r.old, key)
	}
	close(e.done)
}
