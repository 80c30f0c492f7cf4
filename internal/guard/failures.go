package guard

import (
	"net/netip"
	"sync"
	"time"
)

const (
	defaultFailureMax    = 20
	defaultFailureWindow = time.Minute
)

// FailureLimit is how many failed authentications an address may have in a window (`access.failures`).
type FailureLimit struct {
	Max    int           // 0 means 20
	Window time.Duration // 0 means 60 s
}

// Failures refuses addresses that keep failing to authenticate. Failures of connect, subscribe and publish count
// alike, and a success clears nothing: or else one valid account would be a licence to guess (protocol.md 3.8).
//
// The window is fixed and begins with the first failure; around its end an address can so have twice Max failures in
// the time of one window. An address is a Subnet, without the port (streamfence.md J4). At most 65,536 addresses are
// remembered, the oldest windows being forgotten first: who commands more than that is beyond this limit.
type Failures struct {
	max    int
	window time.Duration

	mu     sync.Mutex
	failed ledger[netip.Addr, failure]
}

type failure struct {
	first time.Time
	count int
}

// NewFailures returns a limiter that has seen nothing; hold is told of its memory.
func NewFailures(limit FailureLimit, hold Hold) *Failures {
	f := &Failures{max: limit.Max, window: limit.Window}
	if f.max <= 0 {
		f.max = defaultFailureMax
	}
	if f.window <= 0 {
		f.window = defaultFailureWindow
	}
	f.failed.init(maxLedger, hold, nil)
	return f
}

// Blocked says whether addr has used up its failures, so that it is refused without looking at its token. The zero
// Addr, a peer without an address, is never blocked.
func (f *Failures) Blocked(addr netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, ok := f.failed.find(Subnet(addr))
	return ok && seen.count >= f.max && !f.over(seen, now)
}

// Fail counts a failed authentication of addr. It reports true for the one that uses up its failures: from now on the
// address is refused, until then.
func (f *Failures) Fail(addr netip.Addr, now time.Time) (until time.Time, blocked bool) {
	if !addr.IsValid() {
		return time.Time{}, false
	}
	key := Subnet(addr)
	f.mu.Lock()
	defer f.mu.Unlock()
	if seen, ok := f.failed.find(key); ok && !f.over(seen, now) {
		seen.count++
		return seen.first.Add(f.window), seen.count == f.max
	}
	f.failed.renew(key, failure{first: now, count: 1})
	f.forgetLocked(2, now) // two for one: the past shrinks faster than it grows
	return now.Add(f.window), f.max == 1
}

// Sweep forgets what no longer matters. Without it that happens as new failures come; an occasional call gives the
// memory of a burst back when none do.
func (f *Failures) Sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgetLocked(maxLedger, now)
}

// Len is the number of addresses remembered.
func (f *Failures) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.failed.pages)
}

func (f *Failures) forgetLocked(n int, now time.Time) {
	f.failed.forget(n, func(seen *failure) bool { return f.over(seen, now) })
}

func (f *Failures) over(seen *failure, now time.Time) bool { return now.Sub(seen.first) >= f.window }
