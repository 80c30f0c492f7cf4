package guard

import (
	"net/netip"
	"sync"
)

// senderKey is who is counted together: a principal, or else an address.
type senderKey struct {
	principal string
	addr      netip.Addr
}

// key is what a sender counts under; false if it is not counted.
func (s *Sender) key(per InboundScope) (k senderKey, counts bool) {
	if per == PerPrincipal && s.Principal != "" {
		return senderKey{principal: s.Principal}, true
	}
	return senderKey{addr: Subnet(s.Addr)}, s.Addr.IsValid()
}

// shared is the Meters of a rule that counts several sockets together, on whatever loop they are. At most 65,536 senders are
// remembered, those being forgotten first who have sent nothing for the longest: who commands more than that is beyond
// this limit.
type shared struct {
	mu     sync.Mutex
	meters ledger[senderKey, Meter]
}

func newShared(hold Hold) *shared {
	s := new(shared)
	s.meters.init(maxLedger, hold, func(k senderKey, _ *Meter) int { return len(k.principal) })
	return s
}

// take counts what a sender has sent, unless it is beyond the quota; then until is when it would not be.
func (s *shared) take(k senderKey, q *Quota, now int64, bytes int) (until int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.ofLocked(k, q, now)
	if m.Take(q, now, bytes) {
		return 0, true
	}
	return m.Next(q, now, bytes), false
}

// ofLocked is the Meter of a sender, who is now the one that has sent something last. It is valid as long as the lock is held.
func (s *shared) ofLocked(k senderKey, q *Quota, now int64) *Meter {
	m, known := s.meters.find(k)
	if !known {
		s.forgetLocked(2, q, now) // two for one: the past shrinks faster than it grows
		s.meters.renew(k, Meter{})
	} else {
		s.meters.renew(k, *m)
	}
	m, _ = s.meters.find(k)
	return m
}

func (s *shared) forgetLocked(n int, q *Quota, now int64) {
	s.meters.forget(n, func(m *Meter) bool { return m.Idle(q, now) })
}

// sweepSenders is how many senders are forgotten while the lock is held, which loops take.
const sweepSenders = 1024

func (s *shared) sweep(q *Quota, now int64) {
	for before := s.len(); before > 0; {
		s.mu.Lock()
		s.forgetLocked(sweepSenders, q, now)
		left := len(s.meters.pages)
		s.mu.Unlock()
		if left > before-sweepSenders {
			return
		}
		before = left
	}
}

func (s *shared) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.meters.pages)
}
