package engineio

import (
	"math/rand/v2"
	"testing"

	"github.com/streamweir/weir/internal/transport"
)

// former is the heartbeat as it was at a6f026b, one object for each session.
type former struct {
	at     int64
	sign   int64
	seen   int64
	looked int64
	mark   int64
	phase  phase
}

func newFormer(r rhythm, now, early int64) former {
	return former{at: now + r.interval - early, sign: now, looked: now}
}

func (h *former) pong(r rhythm, now int64) {
	h.sign = now
	if h.phase == quiet || h.phase >= taken {
		h.phase, h.at = quiet, now+r.interval
	}
}

func (h *former) take() bool {
	if h.phase != due {
		return false
	}
	h.phase = taken
	return true
}

func (h *former) handed(now int64, p transport.Progress) {
	h.phase, h.mark = given, p.Given
	h.look(now, p)
}

func (h *former) moved(now int64, p transport.Progress) {
	h.sign, h.seen, h.looked = now, p.Taken, now
	if h.phase >= taken {
		h.phase, h.mark, h.at = left, p.Given, now
	}
}

func (h *former) look(now int64, p transport.Progress) {
	if p.Taken > h.seen {
		sign := now
		if h.phase == left && p.Taken == h.mark {
			sign = h.looked
		}
		h.sign = max(h.sign, sign)
	}
	h.seen, h.looked = p.Taken, now
	if h.phase == given && p.Left >= h.mark {
		h.phase, h.at = left, now
	}
}

func (h *former) expire(r rhythm, now, heard int64, p transport.Progress) verdict {
	h.sign = max(h.sign, heard)
	if h.phase == quiet {
		if now < h.at {
			return wait
		}
		h.look(now, p)
		h.phase = due
		return ping
	}
	h.look(now, p)
	switch {
	case now >= h.limit(r):
		return dead
	case h.phase == left && h.sign > h.at && now >= h.at+r.interval:
		h.phase = due
		return ping
	}
	return wait
}

func (h *former) spare(now int64) { h.sign = now }

func (h *former) limit(r rhythm) int64 {
	if h.phase == left {
		return max(h.at, h.sign) + r.timeout
	}
	return h.sign + r.interval + r.timeout
}

// deadline was counted from when it was asked for; since sessions state theirs in a set, it is from the last look.
func (h *former) deadline(r rhythm) int64 {
	check := h.looked + max(r.timeout/4, int64(minCheck))
	switch {
	case h.phase == quiet:
		return h.at
	case h.phase == left && h.sign > h.at:
		return min(h.limit(r), max(h.at+r.interval, check))
	case h.phase == left:
		return h.limit(r)
	}
	return min(h.limit(r), check)
}

// pair is a session with both.
type Pair struct {
	now heartbeat
	was former
	p   transport.Progress
}

// The heartbeat gives the verdicts and deadlines it gave before its pings became objects of their own, for sessions that
// share those.
func TestHeartbeatJudgesAsItDid(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := rhythm{interval: 1 + rnd.Int64N(30e9), timeout: 1 + rnd.Int64N(30e9), spare: new(beats)}
		now := rnd.Int64N(1e12)
		pairs := make([]*Pair, 1+rnd.IntN(5))
		fresh := func() *Pair {
			early := rnd.Int64N(r.interval)
			return &Pair{now: newHeartbeat(r, now, early), was: newFormer(r, now, early)}
		}
		for i := range pairs {
			pairs[i] = fresh()
		}
		for step := range 400 {
			i := rnd.IntN(len(pairs))
			s := pairs[i]
			if !s.step(t, rnd, r, &now) {
				pairs[i] = fresh()
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
			if s.now.phase() != s.was.phase {
				t.Fatalf("seed %d, step %d: phase %d, was %d", seed, step, s.now.phase(), s.was.phase)
			}
			if got, want := s.now.deadline(r), s.was.deadline(r); got != want {
				t.Fatalf("seed %d, step %d: deadline %d, was %d", seed, step, got, want)
			}
			if got, want := s.now.limit(r), s.was.limit(r); s.now.phase() != quiet && got != want {
				t.Fatalf("seed %d, step %d: limit %d, was %d", seed, step, got, want)
			}
		}
		seen := map[*beat]bool{}
		hold := func(b *beat) {
			if b != nil && seen[b] {
				t.Fatalf("seed %d: a beat has two owners", seed)
			}
			seen[b] = true
		}
		for _, s := range pairs {
			hold(s.now.beat)
		}
		for _, b := range r.spare.free {
			hold(b)
		}
	}
}

// step does the same to both; false when the session is dead.
func (s *Pair) step(t *testing.T, rnd *rand.Rand, r rhythm, now *int64) bool {
	switch rnd.IntN(4) { // time and bytes go on
	case 0:
		*now += rnd.Int64N(r.interval/4 + 1)
	case 1:
		*now += rnd.Int64N(r.timeout/4 + 1)
	case 2: // to the very deadline
		*now = max(*now, s.was.deadline(r))
	}
	switch rnd.IntN(5) {
	case 0:
		s.p.Given += rnd.Int64N(3)
	case 1:
		s.p.Left += rnd.Int64N(s.p.Given - s.p.Left + 1)
	case 2:
		s.p.Taken += rnd.Int64N(s.p.Left - s.p.Taken + 1)
	case 3:
		s.p.Left, s.p.Taken = s.p.Given, s.p.Given
	}
	switch rnd.IntN(9) {
	default:
		heard := *now - rnd.Int64N(r.interval+1)
		if rnd.IntN(2) == 0 {
			heard = 0
		}
		got, want := s.now.expire(r, *now, heard, s.p), s.was.expire(r, *now, heard, s.p)
		if got != want {
			t.Errorf("verdict %d, was %d", got, want)
		}
		return got != dead
	case 0:
		if got, want := s.now.take(), s.was.take(); got != want {
			t.Errorf("take %v, was %v", got, want)
		}
	case 1:
		if s.was.phase == taken { // as all callers ask first
			s.now.handed(*now, s.p)
			s.was.handed(*now, s.p)
		}
	case 2:
		s.now.look(*now, s.p)
		s.was.look(*now, s.p)
	case 3:
		if rnd.IntN(4) == 0 {
			s.p = transport.Progress{Given: rnd.Int64N(3)}
			s.now.moved(*now, s.p)
			s.was.moved(*now, s.p)
		}
	case 4:
		s.now.pong(r, *now)
		s.was.pong(r, *now)
	case 5:
		s.now.spare(*now)
		s.was.spare(*now)
	}
	return true
}
