package guard

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Refusals remembers who was refused lately and why: for operators who ask, and for a log that a stranger cannot fill.
// At most 1,024 are remembered, for an hour after the last refusal. Methods may be called from any goroutine, loops
// included.
type Refusals struct {
	mu   sync.Mutex
	seen ledger[RefusalKey, refused]
	said map[string]int // lines about somebody new since the last Due, by kind
}

// RefusalKey is one reason to refuse somebody. Kind is of a fixed set.
type RefusalKey struct {
	Kind   string
	Addr   netip.Addr // counted by Subnet; not valid: everybody
	Detail string     // what the client has shown, such as an origin; at most 200 bytes are kept
}

type refused struct {
	first, last time.Time
	until       time.Time // when it would be let in, as of the last; zero: nobody knows
	count, told uint64    // refusals, and those a line has told of
}

// RefusalSummary is what Refusals remembers of one RefusalKey.
type RefusalSummary struct {
	RefusalKey
	First, Last time.Time
	Until       time.Time // when it would be let in by itself, as of Last; zero: nobody knows
	Count       uint64
	New         uint64 // in Due: of them, since the last line
}

const (
	maxRefusals  = 1024
	refusalsFor  = time.Hour
	linesOfAKind = 20 // about somebody new, between two calls of Due
	maxDetail    = 200
)

// NewRefusals returns an empty book; hold is told of its memory.
func NewRefusals(hold Hold) *Refusals {
	r := &Refusals{said: make(map[string]int)}
	r.seen.init(maxRefusals, hold, func(k RefusalKey, _ *refused) int { return len(k.Detail) })
	return r
}

// Note counts a refusal, which would be none at until, if that is known; and reports whether it is worth a line in the log now:
// it is the first of its key, and not one of too many new ones. Others are summed up by Due.
func (r *Refusals) Note(k RefusalKey, now, until time.Time) (say bool) {
	k.Addr = Subnet(k.Addr)
	if len(k.Detail) > maxDetail {
		k.Detail = strings.ToValidUTF8(k.Detail[:maxDetail], "") + "…"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := refused{first: now}
	if old, ok := r.seen.find(k); ok {
		v = *old
	} else if r.said[k.Kind] < linesOfAKind {
		r.said[k.Kind]++
		v.told, say = 1, true
	}
	v.count++
	v.last, v.until = now, until
	r.seen.renew(k, v)
	return say
}

// Due lists those refused again, or for the first time without a line, since it was last called, and forgets those of
// long ago.
func (r *Refusals) Due(now time.Time) (due []RefusalSummary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.said)
	r.seen.forget(maxRefusals, func(v *refused) bool { return now.Sub(v.last) >= refusalsFor })
	for p := r.seen.root.next; p != &r.seen.root; p = p.next {
		if v := &p.value; v.count > v.told {
			due = append(due, v.summary(p.key))
			v.told = v.count
		}
	}
	return due
}

// List returns everybody refused within the last hour, the latest first.
func (r *Refusals) List(now time.Time) (list []RefusalSummary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := r.seen.root.prev; p != &r.seen.root; p = p.prev {
		if v := &p.value; now.Sub(v.last) < refusalsFor {
			list = append(list, v.summary(p.key))
		}
	}
	return list
}

func (v *refused) summary(k RefusalKey) RefusalSummary {
	return RefusalSummary{k, v.first, v.last, v.until, v.count, v.count - v.told}
}

// Forget forgets those of a kind and an address, "" and the zero Addr meaning all, and returns how many.
func (r *Refusals) Forget(kind string, addr netip.Addr) int {
	addr = Subnet(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.dropIf(func(k RefusalKey, _ *refused) bool {
		return (kind == "" || k.Kind == kind) && (!addr.IsValid() || k.Addr == addr)
	})
}

// Blocking is an address that Failures or Penalties refuse now.
type Blocking struct {
	Addr  netip.Addr // a Subnet
	Count int        // failures; 0: of Penalties
	Since time.Time
	Until time.Time
}

// List returns the addresses refused now, the one refused for longest first.
func (f *Failures) List(now time.Time) (list []Blocking) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for addr, p := range f.failed.pages {
		if v := &p.value; v.count >= f.max && !f.over(v, now) {
			list = append(list, Blocking{addr, v.count, v.first, v.first.Add(f.window)})
		}
	}
	return sortedByUntil(list)
}

// Clear forgets the failures of an address, or of all with the zero Addr, and returns how many addresses were blocked.
func (f *Failures) Clear(addr netip.Addr, now time.Time) (n int) {
	addr = Subnet(addr)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed.dropIf(func(k netip.Addr, v *failure) bool {
		if addr.IsValid() && k != addr {
			return false
		}
		if v.count >= f.max && !f.over(v, now) {
			n++
		}
		return true
	})
	return n
}

// List returns the addresses of the clients refused now; several kinds of client of one address are several.
func (p *Penalties) List(now time.Time) (list []Blocking) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, page := range p.served.pages {
		if v := &page.value; v.until.After(now) {
			list = append(list, Blocking{addressOfPenalty(key), 0, v.until.Add(-v.length), v.until})
		}
	}
	return sortedByUntil(list)
}

// Clear forgets the penalties of an address, or of all with the zero Addr, and returns how many were running.
func (p *Penalties) Clear(addr netip.Addr, now time.Time) (n int) {
	addr = Subnet(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served.dropIf(func(key string, v *penalty) bool {
		if addr.IsValid() && addressOfPenalty(key) != addr {
			return false
		}
		if v.until.After(now) {
			n++
		}
		return true
	})
	p.any.Store(len(p.served.pages) > 0)
	return n
}

// addressOfPenalty undoes PenaltyKey.
func addressOfPenalty(key string) netip.Addr {
	text, _, _ := strings.Cut(key, " ")
	addr, _ := netip.ParseAddr(text) // the zero Addr of a peer without one
	return addr
}

func sortedByUntil(list []Blocking) []Blocking {
	slices.SortFunc(list, func(a, b Blocking) int { return cmp.Or(b.Until.Compare(a.Until), a.Addr.Compare(b.Addr)) })
	return list
}
