// Package recent makes what is done under an id idempotent: doing it a second time
// gives the answer of the first, also while that is still under way.
package recent

import (
	"context"
	"sync"
	"time"
)

// How long, and how many, ids are remembered: two generations, the older one
// forgotten when the younger is full or old.
const (
	lifetime = 5 * time.Minute
	most     = 100_000
)

// IDs remembers what was done lately. The zero IDs remembers nothing; any goroutine
// may use it.
type IDs[K comparable, Result any] struct {
	mu         sync.Mutex
	young, old map[K]*entry[Result]
	since      time.Time
}

type entry[Result any] struct {
	done   chan struct{}
	result Result
	ok     bool // else it failed: the next one tries again
}

// Once calls do unless that was done under the same id before; again says that it
// was. An error is do's, or that of ctx, which ended while another attempt was under
// way.
func (r *IDs[K, Result]) Once(ctx context.Context, id K, do func() (Result, error)) (result Result, again bool, err error) {
	for {
		e, first := r.enter(id)
		if first {
			result, err = do()
			r.leave(id, e, result, err == nil)
			return result, false, err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return result, false, ctx.Err()
		}
		if e.ok {
			return e.result, true, nil
		}
	}
}

func (r *IDs[K, Result]) enter(id K) (e *entry[Result], first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= most || time.Since(r.since) > lifetime {
		r.young, r.old, r.since = nil, r.young, time.Now()
	}
	if e = r.young[id]; e == nil {
		e = r.old[id]
	}
	if e != nil {
		return e, false
	}
	if r.young == nil {
		r.young = make(map[K]*entry[Result])
	}
	e = &entry[Result]{done: make(chan struct{})}
	r.young[id] = e
	return e, true
}

func (r *IDs[K, Result]) leave(id K, e *entry[Result], result Result, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.result, e.ok = result, ok; !ok {
		delete(r.young, id)
		delete(r.old, id)
	}
	close(e.done)
}
