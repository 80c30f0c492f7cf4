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
	hold func(n int)

	mu     sync.Mutex
	meters ledger[senderKey, sharedMeter]
}

// sharedMeter is the Meter of a sender, and what is held for it.
type sharedMeter struct {
	Meter
	bytes int32
}

// senderBytes is what a sender takes, beside the text of its principal: a page of the ledger, and its place in a map.
const senderBytes = 256

func newShared(hold func(n int)) *shared {
	s := &shared{hold: hold}
	s.meters.init(maxLedger)
	return s
}

// ofLocked is the Meter of a sender, who is now the one that has sent something last. It is valid as long as the lock is held.
func (s *shared) ofLocked(k senderKey, q *Quota, now int64) *Meter {
	m, known := s.meters.find(k)
	if !known {
		s.forgetLocked(2, q, now) // two for one: the past shrinks faster than it grows
		if len(s.meters.pages) >= s.meters.limit {
			s.hold(-int(s.meters.root.next.value.bytes)) // it gives way
		}
		fresh := sharedMeter{bytes: int32(senderBytes + len(k.principal))}
		s.hold(int(fresh.bytes))
		s.meters.renew(k, fresh)
	} else {
		s.meters.renew(k, *m)
	}
	m, _ = s.meters.find(k)
	return &m.Meter
}

func (s *shared) forgetLocked(n int, q *Quota, now int64) {
	s.meters.forget(n, func(m *sharedMeter) bool {
		over := m.Idle(q, now)
		if over {
			s.hold(-int(m.bytes))
		}
		return over
	})
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
