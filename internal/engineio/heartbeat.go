package engineio

import (
	"math/rand/v2"
	"time"

	"github.com/streamweir/weir/internal/transport"
)

// heartbeat decides when to ping and when the peer is dead. Times are
// nanoseconds of the loop's clock; it has no timer, expire says what is due and
// deadline when to ask again.
//
//	quiet --interval--> due --Control--> taken --Write--> given --sent--> left
//	  ^                                                                    |
//	  +------------------------------- pong ------------------------------+
//
// A peer shows life by any byte it sends and by any progress its kernel makes
// on what it was given (architecture.md D3). Without that it is dead
//
//   - timeout after the ping has left the socket buffer, if it has;
//   - interval + timeout after the last sign otherwise.
//
//weir:loop
type heartbeat struct {
	at   int64 // in quiet: when to ping; in left: when the ping left
	sign int64 // the last sign of life
	seen int64 // transport.Progress.Taken when last looked at
	beat *beat // nil: quiet, as a session is nearly always
}

// beat is a ping from when it is due.
type beat struct {
	phase  phase
	looked int64 // when progress was last looked at
	mark   int64 // Progress.Given right after the ping
}

func (h *heartbeat) phase() phase {
	if h.beat == nil {
		return quiet
	}
	return h.beat.phase
}

func (h *heartbeat) due(r rhythm, now int64) {
	if h.beat == nil {
		h.beat = r.spare.take()
	}
	*h.beat = beat{phase: due, looked: now}
}

func (h *heartbeat) quiet(r rhythm, at int64) {
	if h.beat != nil {
		r.spare.put(h.beat)
	}
	h.beat, h.at = nil, at
}

// beats are those of one loop that no session needs now: a million clients have
// forty thousand beats a second.
type beats struct{ free []*beat }

// keepBeats is how many are kept.
const keepBeats = 1024

func (p *beats) take() *beat {
	last := len(p.free) - 1
	if last < 0 {
		return new(beat)
	}
	b := p.free[last]
	p.free = p.free[:last]
	return b
}

func (p *beats) put(b *beat) {
	if len(p.free) < keepBeats {
		p.free = append(p.free, b)
	}
}

// rhythm is how often the sessions of a server on one loop are pinged, and how long their answers are waited for.
type rhythm struct {
	interval, timeout int64
	early             int64 // at most, of a session's first ping
	spare             *beats
	deaf              bool // the peer is not read now: no pong can come
}

type phase uint8

const (
	quiet phase = iota
	due
	taken
	given
	left
)

// verdict says what is to be done with a session whose deadline has expired.
type verdict uint8

const (
	wait verdict = iota
	ping
	dead
)

// minCheck keeps short time-outs from becoming a busy loop.
const minCheck = 10 * time.Millisecond

// newHeartbeat begins with the first ping early by that much.
func newHeartbeat(r rhythm, now, early int64) heartbeat {
	return heartbeat{at: now + r.interval - early, sign: now}
}

// newRhythm lets first pings be up to a quarter of the interval early, so that a wave of clients that came together does
// not beat together for ever after.
func newRhythm(interval, timeout time.Duration) rhythm {
	return rhythm{interval: int64(interval), timeout: int64(timeout), early: int64(interval) / 4, spare: new(beats)}
}

// spread is by how much the first ping of one more session is early.
func (r rhythm) spread() int64 { return rand.Int64N(r.early + 1) }

// pong: the peer answered, or sent one unasked (protocol.md 1.3: it resets the timer).
func (h *heartbeat) pong(r rhythm, now int64) {
	h.sign = now
	if h.phase() != due {
		h.quiet(r, now+r.interval)
	}
}

// take reports whether a ping is due; it is in the caller's batch then.
func (h *heartbeat) take() bool {
	if h.phase() != due {
		return false
	}
	h.beat.phase = taken
	return true
}

// handed: the batch with the ping is with the kernel, or the response with it
// was written.
func (h *heartbeat) handed(now int64, p transport.Progress) {
	h.beat.phase, h.beat.mark = given, p.Given
	h.look(now, p)
}

// moved: another transport carries the session from here on, and its bytes are
// counted afresh.
func (h *heartbeat) moved(now int64, p transport.Progress) {
	h.sign, h.seen = now, p.Taken
	if b := h.beat; b != nil {
		b.looked = now
		if b.phase >= taken {
			b.phase, b.mark, h.at = left, p.Given, now
		}
	}
}

// What follows judges a session by three times: sign, the last sign of life; at, when the ping left; and looked, when the
// kernel's progress was last looked at. By phase:
//
//	phase              dead from                  asked again at
//	quiet              sign + interval + timeout  at, when a ping is due
//	due, taken, given  sign + interval + timeout  looked + a quarter of timeout: has the ping left?
//	left, no sign of   max(at, sign) + timeout    then
//	  life since
//	left, alive since  the same                   at + interval, to ping again, and not before a look is due
//	left, deaf         the later of those two     as before
//
// and never later than it would be dead; quiet sessions are judged only when a request meets them (over).

// look turns the kernel's progress into signs of life. The moment of the progress is
// not known, only that it was since the last look: the peer is given the latest.
func (h *heartbeat) look(now int64, p transport.Progress) {
	b := h.beat
	if p.Taken > h.seen { // the peer's kernel has acknowledged something
		sign := now
		if h.phase() == left && p.Taken == b.mark {
			sign = b.looked // only the ping itself was acknowledged, whenever since then
		}
		h.sign = max(h.sign, sign)
	}
	h.seen = p.Taken
	if b == nil {
		return
	}
	b.looked = now
	if b.phase == given && p.Left >= b.mark { // all up to the ping has left the socket buffer
		b.phase, h.at = left, now
	}
}

// expire judges a session whose deadline has expired; heard is when bytes last came.
func (h *heartbeat) expire(r rhythm, now, heard int64, p transport.Progress) verdict {
	h.sign = max(h.sign, heard)
	if h.beat == nil {
		if now < h.at {
			return wait
		}
		h.look(now, p)
		h.due(r, now)
		return ping
	}
	h.look(now, p)
	switch {
	case now >= h.limit(r):
		return dead
	case h.phase() == left && h.sign > h.at && now >= h.at+r.interval:
		h.due(r, now) // alive, its pong missing: the client still counts on our pings
		return ping
	}
	return wait
}

// over reports whether the peer is dead, for who meets the session before a timer has. It is no reason to ping.
func (h *heartbeat) over(r rhythm, now, heard int64, p transport.Progress) bool {
	h.sign = max(h.sign, heard)
	h.look(now, p)
	return now >= h.limit(r)
}

// spare takes the place of expire while the server itself does not read: the peer
// cannot show life then, and is taken to be alive.
func (h *heartbeat) spare(now int64) { h.sign = now }

// limit is when the peer is dead unless it shows life before.
func (h *heartbeat) limit(r rhythm) int64 {
	silent := h.sign + r.interval + r.timeout
	switch {
	case h.phase() != left:
		return silent
	case r.deaf:
		return max(h.at+r.timeout, silent)
	}
	return max(h.at, h.sign) + r.timeout
}

// deadline is when expire is to be asked.
func (h *heartbeat) deadline(r rhythm) int64 {
	if h.beat == nil {
		return h.at
	}
	check := h.beat.looked + max(r.timeout/4, int64(minCheck))
	switch left := h.phase() == left; {
	case left && h.sign > h.at:
		return min(h.limit(r), max(h.at+r.interval, check))
	case left:
		return h.limit(r)
	}
	return min(h.limit(r), check)
}
