package guard

import (
	"sync"
	"time"
)

// strikesFor is how long an offence counts, and strikesOut how many are too many.
const (
	strikesFor = 10 * time.Minute
	strikesOut = 3
)

// Strikes counts how often clients were sent away for sending too much: whoever is for the third time within ten minutes is
// not to come back by itself. A key names a client across its connections, see PenaltyKey. At most 65,536 are remembered,
// the oldest offences being forgotten first. Any goroutine may use it.
type Strikes struct {
	mu   sync.Mutex
	made ledger[string, strikes]
}

// strikes are the times of a client's latest offences, the oldest first.
type strikes [strikesOut]time.Time

// NewStrikes returns an empty one; hold is told of its memory.
func NewStrikes(hold Hold) *Strikes {
	s := &Strikes{}
	s.made.init(maxLedger, hold, func(key string, _ *strikes) int { return len(key) })
	return s
}

// Strike counts an offence and reports whether it is one too many.
func (s *Strikes) Strike(key string, now time.Time) (out bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v strikes
	if old, ok := s.made.find(key); ok {
		v = *old
	}
	copy(v[:], v[1:])
	v[strikesOut-1] = now
	s.made.renew(key, v)
	s.forgetLocked(2, now)
	return !v[0].IsZero() && now.Sub(v[0]) < strikesFor
}

// Sweep forgets offences that no longer count.
func (s *Strikes) Sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(maxLedger, now)
}

// Len is the number of keys remembered.
func (s *Strikes) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.made.pages)
}

func (s *Strikes) forgetLocked(n int, now time.Time) {
	s.made.forget(n, func(v *strikes) bool { return now.Sub(v[strikesOut-1]) >= strikesFor })
}
