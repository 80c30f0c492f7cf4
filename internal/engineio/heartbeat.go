package engineio

import (
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
// on what it was given (design D3, "Liveness"). Without that it is dead
//
//   - timeout after the ping has left the socket buffer, if it has;
//   - interval + timeout after the last sign otherwise.
type heartbeat struct {
	interval, timeout int64

	phase  phase
	next   int64 // when to ping, in quiet
	sign   int64 // the last sign of life
	seen   int64 // transport.Progress.Taken when last looked at
	looked int64 // when that was
	mark   int64 // Progress.Given right after the ping
	leftAt int64
}

type phase uint8

const (
	quiet phase = iota
	due
	taken
	given
	left
)

// verdict is what an expired deadline means.
type verdict uint8

const (
	wait verdict = iota
	ping
	dead
)

// minCheck keeps short time-outs from becoming a busy loop.
const minCheck = 10 * time.Millisecond

func newHeartbeat(interval, timeout time.Duration, now int64) heartbeat {
	h := heartbeat{interval: int64(interval), timeout: int64(timeout), sign: now, looked: now}
	h.next = now + h.interval
	return h
}

// pong: the peer answered, or sent one unasked (protocol.md 1.3: it resets the timer).
func (h *heartbeat) pong(now int64) {
	h.sign = now
	if h.phase == quiet || h.phase >= taken {
		h.phase, h.next = quiet, now+h.interval
	}
}

// take reports whether a ping is due; it is in the caller's batch then.
func (h *heartbeat) take() bool {
	if h.phase != due {
		return false
	}
	h.phase = taken
	return true
}

// handed: the batch with the ping is with the kernel, or the response with it
// was written.
func (h *heartbeat) handed(now int64, p transport.Progress) {
	h.phase, h.mark = given, p.Given
	h.look(now, p)
}

// moved: another transport carries the session from here on, and its bytes are
// counted afresh.
func (h *heartbeat) moved(now int64, p transport.Progress) {
	h.sign, h.seen, h.looked = now, p.Taken, now
	if h.phase >= taken {
		h.phase, h.mark, h.leftAt = left, p.Given, now
	}
}

// look turns progress into signs of life. When it happened is not known, only
// that it was since the last look: the peer gets the benefit.
func (h *heartbeat) look(now int64, p transport.Progress) {
	if p.Taken > h.seen {
		sign := now
		if h.phase == left && p.Taken == h.mark {
			sign = h.looked // only the ping itself was acknowledged, whenever since then
		}
		h.sign = max(h.sign, sign)
	}
	h.seen, h.looked = p.Taken, now
	if h.phase == given && p.Left >= h.mark {
		h.phase, h.leftAt = left, now
	}
}

// expire judges; heard is when bytes last came.
func (h *heartbeat) expire(now, heard int64, p transport.Progress) verdict {
	h.sign = max(h.sign, heard)
	if h.phase == quiet {
		if now < h.next {
			return wait
		}
		h.look(now, p)
		h.phase = due
		return ping
	}
	h.look(now, p)
	switch {
	case now >= h.limit():
		return dead
	case h.phase == left && h.sign > h.leftAt && now >= h.leftAt+h.interval:
		h.phase = due // alive, its pong missing: the client still counts on our pings
		return ping
	}
	return wait
}

// spare is told instead of expire while the server itself does not read: the
// peer cannot show life.
func (h *heartbeat) spare(now int64) { h.sign = now }

// limit is when the peer is dead unless it shows life before.
func (h *heartbeat) limit() int64 {
	if h.phase == left {
		return max(h.leftAt, h.sign) + h.timeout
	}
	return h.sign + h.interval + h.timeout
}

// deadline is when expire is to be asked again.
func (h *heartbeat) deadline(now int64) int64 {
	check := now + max(h.timeout/4, int64(minCheck))
	switch {
	case h.phase == quiet:
		return h.next
	case h.phase == left && h.sign > h.leftAt:
		return min(h.limit(), max(h.leftAt+h.interval, check))
	case h.phase == left:
		return h.limit()
	}
	return min(h.limit(), check)
}
