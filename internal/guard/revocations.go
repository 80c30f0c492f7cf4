package guard

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// The most revocations that may be in force beside those of the configuration, and bytes of a token's id or a principal.
const (
	MaxRevocations  = maxLedger
	MaxRevokedBytes = 256
)

// ErrRevocationsFull says that as many revocations as may be are in force.
var ErrRevocationsFull = fmt.Errorf("%d revocations are in force, which is the limit: lift some, or revoke principals instead of their tokens", MaxRevocations)

// Revoked names what is not accepted any more: one token, or whatever a principal shows. Exactly one of both is set.
type Revoked struct{ Token, Principal string }

// Revocation is something revoked, and for how long.
type Revocation struct {
	Revoked
	Since, Until time.Time // Until is zero for what the configuration revokes: that has no end
	Lifted       bool      // it is in force no more, since Since; it is kept so that no other node brings it back

	at int // its place in the heap
}

// Revocations are what is revoked. What has come at run time ends by itself, and is at most MaxRevocations; what the configuration
// names stays. Any goroutine may use it, loops as well: its lock is held for steps of a map and a heap.
type Revocations struct {
	hold Hold
	any  atomic.Bool // something is, or was

	mu     sync.RWMutex
	fixed  map[Revoked]time.Time // since when
	passed map[Revoked]*Revocation
	ends   endings
}

// NewRevocations returns those of the configuration; hold is told of the memory of others, as they come and go.
func NewRevocations(tokens, principals []string, now time.Time, hold Hold) *Revocations {
	r := &Revocations{hold: hold, passed: make(map[Revoked]*Revocation)}
	r.Fix(tokens, principals, now)
	return r
}

// Fix has the configuration name others, and returns those that it did not before.
func (r *Revocations) Fix(tokens, principals []string, now time.Time) (more []Revoked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.fixed
	r.fixed = make(map[Revoked]time.Time, len(tokens)+len(principals))
	add := func(what Revoked) {
		since, known := before[what]
		if !known {
			since, more = now, append(more, what)
		}
		r.fixed[what] = since
	}
	for _, t := range tokens {
		add(Revoked{Token: t})
	}
	for _, p := range principals {
		add(Revoked{Principal: p})
	}
	if len(r.fixed) > 0 {
		r.any.Store(true)
	}
	return more
}

// Add revokes until a time, in the place of an earlier revocation of the same. It fails with ErrRevocationsFull.
func (r *Revocations) Add(what Revoked, now, until time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetLocked(2, now) // two for one: the past shrinks faster than it grows
	if known := r.passed[what]; known != nil {
		known.Since, known.Until, known.Lifted = later(known.Since, now), until, false
		heap.Fix(&r.ends, known.at)
		return nil
	}
	if len(r.passed) >= MaxRevocations {
		return ErrRevocationsFull
	}
	v := &Revocation{Revoked: what, Since: now, Until: until}
	r.passed[what] = v
	r.count(v, 1)
	heap.Push(&r.ends, v)
	r.any.Store(true)
	return nil
}

// Of reports whether a token, "" being one without an id, or its principal is revoked, and which of them; the token first.
func (r *Revocations) Of(token, principal string, now time.Time) (what Revoked, is bool) {
	if !r.any.Load() {
		return Revoked{}, false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, what := range [2]Revoked{{Token: token}, {Principal: principal}} {
		if what == (Revoked{}) {
			continue
		}
		if _, is := r.fixed[what]; is {
			return what, true
		}
		if v := r.passed[what]; v.inForce(now) {
			return what, true
		}
	}
	return Revoked{}, false
}

// inForce reports whether it is, or is nil.
func (v *Revocation) inForce(now time.Time) bool { return v != nil && !v.Lifted && v.Until.After(now) }

// Fixed reports whether the configuration revokes something: that cannot be lifted.
func (r *Revocations) Fixed(what Revoked) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, is := r.fixed[what]
	return is
}

// Lift takes a revocation back that has come at run time, and reports whether there was one in force.
func (r *Revocations) Lift(what Revoked, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.passed[what]
	if v == nil {
		return false
	}
	heap.Remove(&r.ends, v.at)
	delete(r.passed, what)
	r.count(v, -1)
	return v.inForce(now)
}

// List returns what is in force, newest first, those of the configuration last.
func (r *Revocations) List(now time.Time) (list []Revocation) {
	r.mu.RLock()
	for _, v := range r.ends {
		if v.inForce(now) {
			list = append(list, *v)
		}
	}
	for what, since := range r.fixed {
		list = append(list, Revocation{Revoked: what, Since: since})
	}
	r.mu.RUnlock()
	slices.SortFunc(list, func(a, b Revocation) int {
		return cmp.Or(endless(a)-endless(b), b.Since.Compare(a.Since), cmp.Compare(a.Token, b.Token), cmp.Compare(a.Principal, b.Principal))
	})
	return list
}

func endless(v Revocation) int {
	if v.Until.IsZero() {
		return 1
	}
	return 0
}

// Len is how many there are, with those that were lifted and are kept.
func (r *Revocations) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.fixed) + len(r.passed)
}

// sweepStep is how many revocations are forgotten while the lock is held.
const sweepStep = 1024

// Sweep forgets what has ended.
func (r *Revocations) Sweep(now time.Time) {
	for more := true; more; {
		r.mu.Lock()
		more = r.forgetLocked(sweepStep, now) == sweepStep
		r.mu.Unlock()
	}
}

func (r *Revocations) forgetLocked(most int, now time.Time) (n int) {
	for ; n < most && len(r.ends) > 0 && !r.ends[0].Until.After(now); n++ {
		v := heap.Pop(&r.ends).(*Revocation)
		delete(r.passed, v.Revoked)
		r.count(v, -1)
	}
	if len(r.passed) == 0 && n > 0 {
		r.passed, r.ends = make(map[Revoked]*Revocation), nil // an emptied map keeps its memory
	}
	return n
}

// count tells the budget of a revocation that has come, or with -1 goes.
func (r *Revocations) count(v *Revocation, sign int) {
	if r.hold != nil {
		r.hold(sign * (int(unsafe.Sizeof(*v)) + placeBytes(v.Revoked) + 2*int(unsafe.Sizeof(v)) + len(v.Token) + len(v.Principal)))
	}
}

// endings are revocations, the one that ends first at the front.
type endings []*Revocation

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].Until.Before(e[j].Until) }
func (e endings) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].at, e[j].at = i, j
}

// Push implements heap.Interface.
func (e *endings) Push(x any) {
	v := x.(*Revocation)
	v.at = len(*e)
	*e = append(*e, v)
}

// Pop implements heap.Interface.
func (e *endings) Pop() any {
	last := len(*e) - 1
	v := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return v
}
