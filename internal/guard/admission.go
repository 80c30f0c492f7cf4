package guard

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// AdmissionLimits bound who comes in. 0 is no limit. An address is a Subnet; who has none is bounded by no limit of addresses.
type AdmissionLimits struct {
	Connections         int // at once
	Pending             int // at once, that have connected and joined no namespace yet
	PerAddress          int // connections at once
	PerPrincipal        int // connections at once
	HandshakesPerSecond int // on average; twice as many within one second after a quiet one
	HandshakesOfAddress int // a second, as a Meter counts
}

// Admission decides about handshakes. Any goroutine may call its methods, loops as well: none waits, and a handshake that is
// refused leaves nothing. Times are nanoseconds of one clock that does not go back.
type Admission struct {
	limits      AdmissionLimits
	connections atomic.Int64
	pending     atomic.Int64
	addresses   crowd[netip.Addr]
	principals  crowd[string]
	perAddress  Quota
	knocks      *shared // of addresses; nil: they are not counted

	mu     sync.Mutex
	tokens float64
	filled int64 // 0: not yet
}

// Verdict is what Admission says of a handshake.
type Verdict uint8

// The verdicts.
const (
	Welcome       Verdict = iota
	Full                  // Connections
	Crowded               // Pending
	TooFast               // HandshakesPerSecond
	AddressFull           // PerAddress
	AddressFast           // HandshakesOfAddress
	PrincipalFull         // PerPrincipal: of a client that has been let in, and says who it is

	Verdicts = int(PrincipalFull) + 1
)

// NewAdmission returns an admission that has let nobody in. hold is told of the memory that it takes for addresses and
// principals, as they come and go, in bytes; any goroutine calls it.
func NewAdmission(l AdmissionLimits, hold Hold) *Admission {
	a := &Admission{limits: l, tokens: float64(l.HandshakesPerSecond)}
	a.addresses.init(l.PerAddress, hold)
	a.principals.init(l.PerPrincipal, hold)
	if l.HandshakesOfAddress > 0 {
		a.perAddress = Quota{Messages: l.HandshakesOfAddress, Window: time.Second}
		a.knocks = newShared(hold)
	}
	return a
}

// Check is asked before a handshake is answered. Of the rates it takes its share, of that of all only after what is about its
// address alone: one that floods takes nothing from others. Of an address that comes too fast, until is when it may again.
func (a *Admission) Check(addr netip.Addr, now int64) (v Verdict, until int64) {
	l := &a.limits
	if l.Connections > 0 && a.connections.Load() >= int64(l.Connections) {
		return Full, 0
	}
	if l.Pending > 0 && a.pending.Load() >= int64(l.Pending) {
		return Crowded, 0
	}
	if addr.IsValid() {
		key := Subnet(addr)
		if a.addresses.full(key) {
			return AddressFull, 0
		}
		if a.knocks != nil {
			if until, ok := a.knocks.take(senderKey{addr: key}, &a.perAddress, now, 0); !ok {
				return AddressFast, until
			}
		}
	}
	if l.HandshakesPerSecond > 0 && !a.take(now) {
		return TooFast, 0
	}
	return Welcome, 0
}

// take takes one of the tokens that come in at the rate and are kept for one second.
func (a *Admission) take(now int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	rate := float64(a.limits.HandshakesPerSecond)
	if a.filled == 0 {
		a.filled = now
	}
	if passed := time.Duration(now - a.filled).Seconds(); passed > 0 {
		a.tokens, a.filled = min(a.tokens+passed*rate, rate), now
	}
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}

// Enter counts a connection that was welcome. It is not if others were faster: the limits of connections hold
// exactly. Leave ends it either way.
func (a *Admission) Enter(addr netip.Addr) Verdict {
	a.pending.Add(1)
	n := a.connections.Add(1)
	ofAddress := !addr.IsValid() || a.addresses.enter(Subnet(addr))
	switch {
	case a.limits.Connections > 0 && n > int64(a.limits.Connections):
		return Full
	case !ofAddress:
		return AddressFull
	}
	return Welcome
}

// Joined says that a connection is no longer pending.
func (a *Admission) Joined() { a.pending.Add(-1) }

// Leave ends what Enter began; joined says whether Joined was said.
func (a *Admission) Leave(addr netip.Addr, joined Membership) {
	a.connections.Add(-1)
	if joined == NeverJoined {
		a.pending.Add(-1)
	}
	if addr.IsValid() {
		a.addresses.leave(Subnet(addr))
	}
}

// EnterAs counts a connection of a principal until LeaveAs. It reports false, having counted nothing, if the principal has as
// many as it may.
func (a *Admission) EnterAs(principal string) bool {
	if a.principals.enter(principal) {
		return true
	}
	a.principals.leave(principal)
	return false
}

// LeaveAs ends what EnterAs began.
func (a *Admission) LeaveAs(principal string) { a.principals.leave(principal) }

// CountsPrincipals reports whether connections of principals are bounded.
func (a *Admission) CountsPrincipals() bool { return a.limits.PerPrincipal > 0 }

// Sweep forgets addresses that have not come lately. Without it that happens as others come.
func (a *Admission) Sweep(now int64) {
	if a.knocks != nil {
		a.knocks.sweep(&a.perAddress, now)
	}
}

// Remembered is how many addresses and principals are counted, and how many addresses that have come lately are remembered.
func (a *Admission) Remembered() (present, lately int) {
	if a.knocks != nil {
		lately = a.knocks.len()
	}
	return a.addresses.len() + a.principals.len(), lately
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
