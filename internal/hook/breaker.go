package hook

import "time"

// breaker decides whether a backend is asked at all: after so many calls in a row that found nobody it is not, for a
// while; then one call tries, and its end says how things go on. It is pure: its owner has the lock and the clock.
type breaker struct {
	after int           // calls in a row that found nobody
	pause time.Duration // for which it is not asked then

	state BreakerState
	row   int
	until time.Time // open: not before then
}

// BreakerState is what a breaker does with calls.
type BreakerState uint8

// The states.
const (
	Closed  BreakerState = iota // they are made
	Open                        // none is
	Probing                     // one is under way, which decides
)

func (s BreakerState) String() string { return [...]string{"closed", "open", "probing"}[s] }

// verdict is what the end of a call says of the backend.
type verdict uint8

const (
	there   verdict = iota // it has answered, whatever that was
	away                   // nobody has answered
	unknown                // the call was given up
)

// lets reports whether a call that comes now would be made, as far as is known: begin decides.
func (b *breaker) lets(now time.Time) bool {
	return b.state == Closed || b.state == Open && !now.Before(b.until)
}

// begin reports whether a call is made, and whether it is the one that decides; who begins one has to end it.
func (b *breaker) begin(now time.Time) (ok, decides bool) {
	if !b.lets(now) {
		return false, false
	}
	if b.state == Closed {
		return true, false
	}
	b.state = Probing
	return true, true
}

// end takes the end of a call into account.
func (b *breaker) end(now time.Time, decides bool, v verdict) {
	switch {
	case decides && v == there:
		b.state, b.row = Closed, 0
	case decides && v == away:
		b.state, b.until = Open, now.Add(b.pause)
	case decides:
		b.state, b.until = Open, now // the next one tries
	case b.state != Closed || v == unknown:
		// A call from before says nothing new.
	case v == there:
		b.row = 0
	default:
		b.row++
		if b.row >= b.after {
			b.state, b.until = Open, now.Add(b.pause)
		}
	}
}
