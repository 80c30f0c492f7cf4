package wheel_test

import (
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamweir/weir/internal/wheel"
)

// model is the wheel as a list: what is armed, and what each Expire is going to do.
type model struct {
	t     *rapid.T
	w     *wheel.Wheel
	tick  int64
	start int64
	now   int64

	timers []*modelTimer
	fired  []*modelTimer // in the current Advance
}

type modelTimer struct {
	wheel.Timer
	m     *model
	armed bool
	when  int64
	past  bool // armed for a moment not after the clock's: due without rounding, in an Advance begun after that
	fresh bool // armed so since the current Advance began

	onExpire reaction
}

// reaction is what a timer's Expire does: stop or schedule some timer, perhaps itself.
type reaction struct {
	victim   *modelTimer
	stop     bool
	distance int64
}

func (x *modelTimer) schedule(when int64) {
	m := x.m
	m.w.Schedule(&x.Timer, when)
	x.armed, x.when, x.past, x.fresh = true, when, when <= m.now, true
}

func (x *modelTimer) stop() {
	if was := x.m.w.Stop(&x.Timer); was != x.armed {
		x.m.t.Fatalf("Stop = %v for a timer whose armed is %v", was, x.armed)
	}
	x.armed = false
}

// expiry is the moment from which on the timer may not stay armed.
func (x *modelTimer) expiry() int64 {
	if x.past {
		return x.when
	}
	m := x.m
	ticks := (x.when - m.start + m.tick - 1) / m.tick
	return m.start + ticks*m.tick
}

func (x *modelTimer) Expire(t *wheel.Timer, now int64) {
	m := x.m
	switch {
	case t != &x.Timer:
		m.t.Fatal("Expire for another owner's timer")
	case !x.armed || t.Armed():
		m.t.Fatalf("fired while armed is %v in the model and %v in the wheel", x.armed, t.Armed())
	case now != m.now || x.when > now || x.expiry() > now:
		m.t.Fatalf("fired at %d of %d, armed for %d, due at %d", now, m.now, x.when, x.expiry())
	case x.past && x.fresh:
		m.t.Fatal("armed in the past by an Expire and fired in the same Advance")
	}
	x.armed = false
	m.fired = append(m.fired, x)
	r := x.onExpire
	switch {
	case r.victim == nil:
	case r.stop:
		r.victim.stop()
	default:
		r.victim.schedule(now + r.distance)
	}
}

func (m *model) advance(delta int64, limit int) {
	m.now += delta
	m.fired = m.fired[:0]
	for _, x := range m.timers {
		x.fresh = false
	}
	fired, more := m.w.Advance(m.now, limit)
	if fired != len(m.fired) || limit > 0 && fired > limit {
		m.t.Fatalf("Advance says %d fired of at most %d, %d were", fired, limit, len(m.fired))
	}
	if more && limit == 0 {
		m.t.Fatal("Advance without a limit has more to do")
	}
	if more {
		return
	}
	for _, x := range m.timers {
		if x.armed && !(x.past && x.fresh) && x.expiry() <= m.now {
			m.t.Fatalf("armed for %d, due at %d, and not fired at %d", x.when, x.expiry(), m.now)
		}
	}
}

// check compares what can be seen from outside.
func (m *model) check(*rapid.T) {
	var due []int64
	for _, x := range m.timers {
		if x.armed != x.Armed() {
			m.t.Fatalf("Armed = %v, want %v", x.Armed(), x.armed)
		}
		if x.armed {
			due = append(due, max(x.expiry(), m.now))
		}
	}
	sort.Slice(due, func(i, j int) bool { return due[i] < due[j] })
	if m.w.Len() != len(due) {
		m.t.Fatalf("Len = %d, want %d", m.w.Len(), len(due))
	}
	next, ok := m.w.Next()
	if ok != (len(due) > 0) || ok && next > due[0] {
		m.t.Fatalf("Next = %d, %v; the earliest is due at %v", next, ok, due[:min(1, len(due))])
	}
}

// distances prefers the neighbourhood of ticks and of level boundaries, and reaches from the past to years ahead.
func distances(tick int64) *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		shift := rapid.IntRange(0, 5).Draw(t, "level")
		span := tick << (6 * shift)
		d := rapid.Int64Range(-1, 70).Draw(t, "slots") * span
		return d + rapid.Int64Range(-tick, tick).Draw(t, "offset")
	})
}

func TestWheelAgreesWithAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]time.Duration{wheel.MinTick, 3 * time.Millisecond, wheel.DefaultTick}).Draw(t, "tick")
		start := rapid.SampledFrom([]int64{0, 1, -12345678, 987654321987}).Draw(t, "start")
		m := &model{t: t, w: wheel.New(width, start), tick: int64(width), start: start, now: start}
		for range 12 {
			x := &modelTimer{m: m}
			x.Init(x)
			m.timers = append(m.timers, x)
		}
		timer, distance := rapid.SampledFrom(m.timers), distances(m.tick)

		t.Repeat(map[string]func(*rapid.T){
			"": m.check,
			"schedule": func(t *rapid.T) {
				x := timer.Draw(t, "timer")
				x.onExpire = reaction{}
				if rapid.Bool().Draw(t, "reacts") {
					x.onExpire = reaction{
						victim:   timer.Draw(t, "victim"),
						stop:     rapid.Bool().Draw(t, "stops"),
						distance: distance.Draw(t, "victim distance"),
					}
				}
				x.schedule(m.now + distance.Draw(t, "distance"))
			},
			"stop": func(t *rapid.T) { timer.Draw(t, "timer").stop() },
			"advance": func(t *rapid.T) {
				m.advance(max(0, distance.Draw(t, "delta")), rapid.IntRange(0, 3).Draw(t, "limit"))
			},
			"sleep until Next": func(*rapid.T) {
				if next, ok := m.w.Next(); ok {
					m.advance(max(0, next-m.now), 0)
				}
			},
			"wake before Next": func(*rapid.T) {
				next, ok := m.w.Next()
				if !ok || next <= m.now {
					return
				}
				if m.advance(next-1-m.now, 0); len(m.fired) != 0 {
					m.t.Fatalf("%d fired before Next", len(m.fired))
				}
			},
		})
	})
}
