package guard

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// AdmissionLimits bound who comes in. 0 is no limit.
type AdmissionLimits struct {
	Connections         int // at once
	Pending             int // at once, that have connected and joined no namespace yet
	HandshakesPerSecond int // on average; twice as many within one second after a quiet one
}

// Admission decides about handshakes. Any goroutine may call its methods; none waits or allocates.
type Admission struct {
	limits      AdmissionLimits
	connections atomic.Int64
	pending     atomic.Int64

	mu     sync.Mutex
	tokens float64
	filled time.Time
}

// Verdict is what Admission says of a handshake.
type Verdict uint8

// The verdicts.
const (
	Welcome Verdict = iota
	Full            // Connections
	Crowded         // Pending
	TooFast         // HandshakesPerSecond
)

// NewAdmission returns an admission that has let nobody in.
func NewAdmission(l AdmissionLimits) *Admission {
	return &Admission{limits: l, tokens: float64(l.HandshakesPerSecond)}
}

// Check is asked before a handshake is answered. Of the rate it takes its share.
func (a *Admission) Check(now time.Time) Verdict {
	switch l := &a.limits; {
	case l.Connections > 0 && a.connections.Load() >= int64(l.Connections):
		return Full
	case l.Pending > 0 && a.pending.Load() >= int64(l.Pending):
		return Crowded
	case l.HandshakesPerSecond > 0 && !a.take(now):
		return TooFast
	}
	return Welcome
}

// take takes one of the tokens that come in at the rate and are kept for one second.
func (a *Admission) take(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	rate := float64(a.limits.HandshakesPerSecond)
	if a.filled.IsZero() {
		a.filled = now
	}
	if passed := now.Sub(a.filled).Seconds(); passed > 0 {
		a.tokens, a.filled = min(a.tokens+passed*rate, rate), now
	}
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}

// Enter counts a connection that was welcome. It reports false if others were faster: the limit of connections holds
// exactly. Leave ends it either way.
func (a *Admission) Enter() bool {
	a.pending.Add(1)
	n := a.connections.Add(1)
	return a.limits.Connections == 0 || n <= int64(a.limits.Connections)
}

// Joined says that a connection is no longer pending.
func (a *Admission) Joined() { a.pending.Add(-1) }

// Leave ends what Enter began; pending says whether Joined was never said.
func (a *Admission) Leave(joined Membership) {
	a.connections.Add(-1)
	if joined == NeverJoined {
		a.pending.Add(-1)
	}
}

// Membership is whether a connection has joined a namespace.
type Membership bool

// The memberships.
const (
	NeverJoined Membership = false
	HasJoined   Membership = true
)

// Jitter spreads those who are sent away together over half as long again.
func Jitter(d time.Duration) time.Duration { return d + rand.N(d/2+1) }

// AddressOf is where a request comes from; the zero value if that is no IP address.
func AddressOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
