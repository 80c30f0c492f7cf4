package guard

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// MaxPenalty is the longest a slow client is refused, unless its namespace's own base is longer.
const MaxPenalty = time.Minute

// goodFor is how many times its last penalty a client must stay good after it to start afresh.
const goodFor = 2

// Penalties refuses clients that were cut for being slow, for a while: otherwise one that cannot keep up costs a
// handshake and a lane's worth of messages every second (protocol.md 4). The first offence costs the base, each further
// one twice the last, up to MaxPenalty. Who stays good for twice the last penalty after it has ended starts afresh.
//
// A key names a client across its connections, see PenaltyKey. At most 65,536 are
// remembered, the oldest offences being forgotten first.
type Penalties struct {
	any    atomic.Bool // somebody is remembered
	mu     sync.Mutex
	served ledger[string, penalty]
}

// PenaltyKey is who a penalty falls on. Before a client has joined a namespace its address is all there is, as Subnet
// counts it; the kind of client is added so that not everybody behind one address pays for a slow one (ADR 0004).
func PenaltyKey(a netip.Addr, agent uint32) string {
	return Subnet(a).String() + " " + strconv.FormatUint(uint64(agent), 36)
}

type penalty struct {
	until  time.Time
	length time.Duration
}

// NewPenalties returns an empty box; hold is told of its memory.
func NewPenalties(hold Hold) *Penalties {
	p := &Penalties{}
	p.served.init(maxLedger, hold, func(key string, _ *penalty) int { return len(key) })
	return p
}

// Any reports whether anybody is remembered: as long as nobody is, no handshake needs to make up its key.
func (p *Penalties) Any() bool { return p.any.Load() }

// Until is how long key is refused still, and whether it is at all.
func (p *Penalties) Until(key string, now time.Time) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	served, ok := p.served.find(key)
	if !ok {
		return 0, false
	}
	left := served.until.Sub(now)
	return max(left, 0), left > 0
}

// Offend refuses key from now on and returns for how long. An offence while a penalty runs adds nothing: several
// connections of one principal that are cut together are one offence. A base of 0 or less is no penalty.
func (p *Penalties) Offend(key string, base time.Duration, now time.Time) time.Duration {
	if base <= 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	length := base
	if served, ok := p.served.find(key); ok && !served.over(now) {
		if left := served.until.Sub(now); left > 0 {
			return left
		}
		length = min(2*served.length, MaxPenalty)
		length = max(length, base)
	}
	p.served.renew(key, penalty{until: now.Add(length), length: length})
	p.forgetLocked(2, now)
	return length
}

// Sweep forgets who has been good for long enough. Without it that happens as new offences come.
func (p *Penalties) Sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(maxLedger, now)
}

// Len is the number of keys remembered.
func (p *Penalties) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.served.pages)
}

func (p *Penalties) forgetLocked(n int, now time.Time) {
	p.served.forget(n, func(served *penalty) bool { return served.over(now) })
	p.any.Store(len(p.served.pages) > 0)
}

// over says whether the offence no longer counts.
func (v *penalty) over(now time.Time) bool { return now.Sub(v.until) >= goodFor*v.length }
