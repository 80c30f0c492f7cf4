// Package recent makes what is done under an id idempotent: doing it a second time
// gives the answer of the first, also while that is still under way.
package recent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// How long ids are remembered, and how many. Beyond that many, or if memory is short,
// those that came first are forgotten before their time, and counted.
const (
	Lifetime = 5 * time.Minute
	Most     = 1_000_000

	generations = 10 // ids are forgotten by so many
)

// ErrNoRoom says that there is no memory for even one id.
var ErrNoRoom = errors.New("no room for an id")

// IDs remembers what was done lately. The zero IDs remembers nothing; any goroutine
// may use it.
type IDs[K comparable, Result any] struct {
	Account   Account[K]    // set before use
	Forgotten atomic.Uint64 // ids forgotten before their time

	mu   sync.Mutex
	gens []*generation[K, Result] // the oldest first
	n    int
}

// Account is where the memory for ids comes from. The zero Account has any amount of it.
type Account[K comparable] struct {
	Cost  func(K) int64 // what an id takes, in bytes
	Claim func(bytes int64) Claimed
	Give  func(bytes int64) // gives it back
}

// Claimed is what Account.Claim says.
type Claimed uint8

// The answers of Account.Claim.
const (
	Taken   Claimed = iota // there was room
	GiveWay                // there is, if others are forgotten
	Refused                // there is none, whatever is forgotten here
)

// generation is ids that came one after the other, and are forgotten together.
type generation[K comparable, Result any] struct {
	ids           map[K]*known[Result]
	began, latest time.Time
	bytes         int64
}

type known[Result any] struct {
	done   chan struct{} // closed when it is done; nil: nobody waits for that
	result Result
	busy   bool // it is under way
	ok     bool // else it failed: the next one tries again
}

// Later is an error of do that says that it is not known yet whether it was done. Until it is, the id is under way: another
// attempt waits.
type Later[Result any] interface {
	error
	// Hear calls f, which does not block, once the outcome is known: at once if it is.
	Hear(f func(Result, error))
}

// Once calls do unless that was done under the same id before; again says that it
// was. An error is do's, which may be a Later, ErrNoRoom, or that of ctx, which ended while another attempt was
// under way.
func (r *IDs[K, Result]) Once(ctx context.Context, id K, do func() (Result, error)) (result Result, again bool, err error) {
	for {
		e, done, first, err := r.enter(id)
		switch {
		case err != nil:
			return result, false, err
		case first:
			result, err = r.attempt(id, e, do)
			return result, false, err
		case done != nil:
			select {
			case <-done:
			case <-ctx.Done():
				return result, false, ctx.Err()
			}
		}
		if e.ok {
			return e.result, true, nil
		}
	}
}

// attempt calls do. If that panics it counts as one that failed, so that nobody waits for it.
func (r *IDs[K, Result]) attempt(id K, e *known[Result], do func() (Result, error)) (result Result, err error) {
	ok, later := false, Later[Result](nil)
	defer func() {
		if later == nil {
			r.leave(id, e, result, ok)
		}
	}()
	result, err = do()
	if ok = err == nil; !ok && errors.As(err, &later) {
		later.Hear(func(result Result, err error) { r.leave(id, e, result, err == nil) })
	}
	return result, err
}

// enter returns the entry of an id, whether it was just made, and what is closed when it
// is done, nil if it is.
func (r *IDs[K, Result]) enter(id K) (e *known[Result], done <-chan struct{}, first bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.expireLocked(now)
	for i := len(r.gens) - 1; i >= 0; i-- {
		if known := r.gens[i].ids[id]; known != nil {
			done = known.waited()
			return known, done, false, nil
		}
	}
	for r.n >= Most {
		r.forgetLocked()
	}
	cost, ok := r.claimLocked(id)
	if !ok {
		return nil, nil, false, ErrNoRoom
	}
	g := r.youngestLocked(now)
	e = &known[Result]{busy: true}
	g.ids[id] = e
	g.latest = now
	g.bytes += cost
	r.n++
	return e, nil, true, nil
}

// claimLocked claims memory for an id; the oldest give way to it if that helps.
func (r *IDs[K, Result]) claimLocked(id K) (cost int64, ok bool) {
	if r.Account.Cost == nil {
		return 0, true
	}
	for cost = r.Account.Cost(id); ; {
		switch r.Account.Claim(cost) {
		case Taken:
			return cost, true
		case Refused:
			return 0, false
		case GiveWay: // the oldest are forgotten, and it is tried again
		}
		if !r.forgetLocked() {
			return 0, false
		}
	}
}

// waited returns what is closed when the entry is done, nil if it is.
func (e *known[Result]) waited() <-chan struct{} {
	if e.busy && e.done == nil {
		e.done = make(chan struct{})
	}
	if e.busy {
		return e.done
	}
	return nil
}

// youngestLocked returns the generation that ids are born into.
func (r *IDs[K, Result]) youngestLocked(now time.Time) *generation[K, Result] {
	if last := len(r.gens) - 1; last >= 0 {
		if g := r.gens[last]; now.Sub(g.began) < Lifetime/generations && len(g.ids) < Most/generations {
			return g
		}
	}
	g := &generation[K, Result]{ids: make(map[K]*known[Result]), began: now}
	r.gens = append(r.gens, g)
	return g
}

// forgetLocked forgets the oldest generation before its time; false: there is none.
func (r *IDs[K, Result]) forgetLocked() bool {
	if len(r.gens) == 0 {
		return false
	}
	r.Forgotten.Add(uint64(len(r.gens[0].ids)))
	r.dropLocked()
	return true
}

func (r *IDs[K, Result]) dropLocked() {
	g := r.gens[0]
	r.gens[0] = nil
	r.gens = r.gens[1:]
	r.n -= len(g.ids)
	r.give(g.bytes)
}

func (r *IDs[K, Result]) give(bytes int64) {
	if r.Account.Give != nil {
		r.Account.Give(bytes)
	}
}

func (r *IDs[K, Result]) expireLocked(now time.Time) {
	for len(r.gens) > 0 && now.Sub(r.gens[0].latest) > Lifetime {
		r.dropLocked()
	}
}

// Expire forgets ids whose time is over, which Once does too when it is called.
func (r *IDs[K, Result]) Expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked(time.Now())
}

// leave ends what enter began. Others may have had e forgotten meanwhile.
func (r *IDs[K, Result]) leave(id K, e *known[Result], result Result, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.result, e.ok, e.busy = result, ok, false
	if e.done != nil {
		close(e.done)
		e.done = nil
	}
	if ok {
		return
	}
	for _, g := range r.gens {
		if g.ids[id] != e {
			continue
		}
		delete(g.ids, id)
		r.n--
		if r.Account.Cost != nil {
			cost := r.Account.Cost(id)
			g.bytes -= cost
			r.give(cost)
		}
	}
}
