package wheel_test

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/wheel"
)

const tick = int64(wheel.DefaultTick)

// alarm is a timer's owner that notes when it fired.
type alarm struct {
	wheel.Timer
	fired []int64
	then  func(now int64)
}

func newAlarm() *alarm {
	a := &alarm{}
	a.Init(a)
	return a
}

func (a *alarm) Expire(t *wheel.Timer, now int64) {
	if t != &a.Timer {
		panic("expired somebody else's timer")
	}
	a.fired = append(a.fired, now)
	if a.then != nil {
		a.then(now)
	}
}

func (a *alarm) wantFired(t *testing.T, at ...int64) {
	t.Helper()
	if len(a.fired) != len(at) {
		t.Fatalf("fired at %v, want %v", a.fired, at)
	}
	for i := range at {
		if a.fired[i] != at[i] {
			t.Fatalf("fired at %v, want %v", a.fired, at)
		}
	}
}

func TestTimerIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(wheel.Timer{}); size > 48 {
		t.Errorf("a timer takes %d bytes, want at most 48", size)
	}
}

func TestTimerFiresNeverEarlyAndAtMostOneTickLate(t *testing.T) {
	distances := []int64{1, tick - 1, tick, tick + 1, 63 * tick, 64 * tick, 64*tick + 1, 4095 * tick, 4096 * tick,
		5000*tick - 3, 64 * 4096 * tick, 1e6*tick + 5}
	for _, start := range []int64{0, 7, -3 * tick, 1e18} {
		for _, d := range distances {
			w := wheel.New(0, start)
			w.Advance(start+12345, 0)
			a := newAlarm()
			when := start + 12345 + d
			w.Schedule(&a.Timer, when)

			if w.Advance(when-1, 0); len(a.fired) != 0 {
				t.Fatalf("start %d, distance %d: fired before its time", start, d)
			}
			if w.Advance(when+tick, 0); len(a.fired) != 1 {
				t.Fatalf("start %d, distance %d: fired %d times one tick after its time", start, d, len(a.fired))
			}
		}
	}
}

func TestEveryTickIsKeptAcrossCascades(t *testing.T) {
	w := wheel.New(0, 0)
	const n = 3 * 4096
	alarms := make([]*alarm, n)
	for i := range alarms {
		alarms[i] = newAlarm()
		w.Schedule(&alarms[i].Timer, int64(i+1)*tick)
	}
	for i := range alarms {
		now := int64(i+1) * tick
		if fired, _ := w.Advance(now, 0); fired != 1 {
			t.Fatalf("tick %d fired %d timers, want 1", i+1, fired)
		}
		alarms[i].wantFired(t, now)
	}
	if w.Len() != 0 {
		t.Errorf("%d timers left", w.Len())
	}
}

func TestLongSleepFiresEverythingInOrder(t *testing.T) {
	w := wheel.New(0, 0)
	var order []int
	const n = 500
	for i := range n {
		a := newAlarm()
		a.then = func(int64) { order = append(order, i) }
		// Quadratic distances reach over four levels; scheduled backwards.
		j := int64(n - i)
		w.Schedule(&a.Timer, j*j*j*tick)
	}
	week := int64(7 * 24 * time.Hour)
	sleeping := w.Len()
	if fired, more := w.Advance(200*week, 0); fired != sleeping || more {
		t.Fatalf("Advance = %d, %v after a long sleep, want %d, false", fired, more, sleeping)
	}
	for i := 1; i < n; i++ {
		if order[i] >= order[i-1] {
			t.Fatalf("timer %d fired after %d, which is later", order[i], order[i-1])
		}
	}
}

func TestFarFutureStaysArmedAndFiresInTime(t *testing.T) {
	year := int64(365 * 24 * time.Hour)
	for _, when := range []int64{year / 12, year, 20 * year, 250 * year} {
		w := wheel.New(0, 0)
		a := newAlarm()
		w.Schedule(&a.Timer, when)
		for now := int64(0); now < when; {
			next, ok := w.Next()
			if !ok || next <= now || next > when+tick {
				t.Fatalf("Next = %d, %v at %d for a timer at %d", next, ok, now, when)
			}
			if next < when {
				w.Advance(next, 0)
				a.wantFired(t)
			}
			now = next
		}
		w.Advance(when+tick, 0)
		a.wantFired(t, when+tick)
	}
}

func TestEndOfTimeDoesNotOverflow(t *testing.T) {
	w := wheel.New(0, math.MinInt64/2)
	a := newAlarm()
	w.Schedule(&a.Timer, math.MaxInt64)
	for range 20 {
		next, ok := w.Next()
		if !ok || len(a.fired) != 0 {
			t.Fatalf("Next = %d, %v with %d fired", next, ok, len(a.fired))
		}
		if next == math.MaxInt64 {
			return
		}
		w.Advance(next, 0)
	}
	t.Fatal("Next does not reach the end of time")
}

func TestPastFiresInNextAdvance(t *testing.T) {
	w := wheel.New(0, 1000*tick)
	w.Advance(2000*tick+5, 0)
	now := 2000*tick + 5
	for _, when := range []int64{now, now - 1, 0, -tick, math.MinInt64} {
		a := newAlarm()
		w.Schedule(&a.Timer, when)
		if next, ok := w.Next(); !ok || next != now {
			t.Errorf("Next = %d, %v with a timer in the past, want %d", next, ok, now)
		}
		w.Advance(now, 0)
		a.wantFired(t, now)
	}
}

func TestClockThatGoesBackFiresNothingEarly(t *testing.T) {
	w := wheel.New(0, 0)
	w.Advance(100*tick, 0)
	a := newAlarm()
	w.Schedule(&a.Timer, 101*tick)
	w.Advance(50*tick, 0)
	a.wantFired(t)
	w.Advance(101*tick, 0)
	a.wantFired(t, 101*tick)

	w.Advance(50*tick, 0)
	b := newAlarm()
	w.Schedule(&b.Timer, 60*tick)
	w.Advance(60*tick, 0)
	b.wantFired(t, 101*tick)
}

func TestStopAndReschedule(t *testing.T) {
	w := wheel.New(0, 0)
	a := newAlarm()
	if w.Stop(&a.Timer) || a.Armed() {
		t.Error("a new timer counts as armed")
	}
	w.Schedule(&a.Timer, 5*tick)
	w.Schedule(&a.Timer, 500*tick)
	if !a.Armed() || a.When() != 500*tick || w.Len() != 1 {
		t.Errorf("armed %v for %d, %d timers; want one for %d", a.Armed(), a.When(), w.Len(), 500*tick)
	}
	w.Advance(100*tick, 0)
	a.wantFired(t)
	if !w.Stop(&a.Timer) || w.Stop(&a.Timer) {
		t.Error("Stop does not tell the armed timer from the stopped one")
	}
	if _, ok := w.Next(); ok {
		t.Error("a stopped timer still keeps the loop awake")
	}
	w.Advance(1000*tick, 0)
	a.wantFired(t)
}

func TestStoppedTimerDoesNotWakeTheLoop(t *testing.T) {
	w := wheel.New(0, 0)
	a, b := newAlarm(), newAlarm()
	for _, when := range []int64{5 * tick, 500 * tick, 50_000 * tick} {
		w.Schedule(&b.Timer, 10*when)
		alone, _ := w.Next()
		w.Schedule(&a.Timer, when)
		w.Stop(&a.Timer)
		if next, ok := w.Next(); !ok || next != alone {
			t.Errorf("Next = %d, %v after a timer at %d was stopped, want %d as before", next, ok, when, alone)
		}
	}
}

func TestExpireMayRearmItself(t *testing.T) {
	w := wheel.New(0, 0)
	a := newAlarm()
	a.then = func(now int64) { w.Schedule(&a.Timer, now+3*tick) }
	w.Schedule(&a.Timer, tick)
	for i := range int64(10) {
		w.Advance((1+3*i)*tick, 0)
	}
	if len(a.fired) != 10 {
		t.Errorf("a heartbeat of 3 ticks fired %d times in 28, want 10", len(a.fired))
	}
}

func TestRearmingInThePastCannotHoldTheLoop(t *testing.T) {
	for _, limit := range []int{0, 1, 2, 10} {
		w := wheel.New(0, 0)
		hog, other := newAlarm(), newAlarm()
		hog.then = func(int64) { w.Schedule(&hog.Timer, 0) }
		w.Schedule(&hog.Timer, 0)
		w.Schedule(&other.Timer, 3*tick)
		for call := 1; call <= 4; call++ {
			if fired, _ := w.Advance(5*tick, limit); fired > 2 {
				t.Fatalf("limit %d: call %d fired %d times", limit, call, fired)
			}
		}
		if len(other.fired) != 1 || len(hog.fired) < 3 || len(hog.fired) > 4 {
			t.Errorf("limit %d: the hog fired %d times, the other %d; want 3 or 4 and 1", limit, len(hog.fired), len(other.fired))
		}
	}
}

func TestExpireMayStopADueSibling(t *testing.T) {
	w := wheel.New(0, 0)
	a, b := newAlarm(), newAlarm()
	a.then = func(int64) { w.Stop(&b.Timer) }
	b.then = func(int64) { w.Stop(&a.Timer) }
	w.Schedule(&a.Timer, 5*tick)
	w.Schedule(&b.Timer, 5*tick)
	w.Advance(5*tick, 0)
	if len(a.fired)+len(b.fired) != 1 || w.Len() != 0 {
		t.Errorf("%d fired and %d are left, want 1 and 0", len(a.fired)+len(b.fired), w.Len())
	}
}

func TestExpireMayMoveADueSibling(t *testing.T) {
	w := wheel.New(0, 0)
	a, b := newAlarm(), newAlarm()
	a.then = func(now int64) { w.Schedule(&b.Timer, now+70*tick) }
	w.Schedule(&a.Timer, 4*tick)
	w.Schedule(&b.Timer, 5*tick)
	w.Advance(5*tick, 0)
	b.wantFired(t)
	w.Advance(75*tick, 0)
	b.wantFired(t, 75*tick)
}

func TestAdvanceStopsAtItsLimit(t *testing.T) {
	w := wheel.New(0, 0)
	const n = 1000
	for range n {
		// Two levels up: the slot is brought down in pieces as well.
		w.Schedule(&newAlarm().Timer, 5000*tick)
	}
	total, calls := 0, 0
	for more := true; more; calls++ {
		var fired int
		fired, more = w.Advance(5000*tick, 10)
		if fired > 10 {
			t.Fatalf("fired %d in one call, limit 10", fired)
		}
		if next, ok := w.Next(); more && (!ok || next > 5000*tick) {
			t.Fatalf("Next = %d, %v though Advance has more to do", next, ok)
		}
		total += fired
	}
	// 1000 timers move down twice at 80 a call, and fire at 10 a call.
	if want := n/10 + 2*n/80; total != n || calls < want || calls > want+2 {
		t.Errorf("fired %d of %d in %d calls, want %d or little more", total, n, calls, want)
	}
}

func TestNextKnowsOfTimersHalfwayDown(t *testing.T) {
	w := wheel.New(0, 0)
	for range 100 {
		w.Schedule(&newAlarm().Timer, 4300*tick)
	}
	last := newAlarm()
	w.Schedule(&last.Timer, 4097*tick)
	if fired, more := w.Advance(4096*tick, 1); fired != 0 || !more {
		t.Fatalf("Advance = %d, %v in the middle of a slot, want 0, true", fired, more)
	}
	if next, ok := w.Next(); !ok || next > 4097*tick {
		t.Fatalf("Next = %d, %v though a timer is due at %d", next, ok, 4097*tick)
	}
	w.Advance(4097*tick, 0)
	last.wantFired(t, 4097*tick)
}

func TestStopWhileCutShort(t *testing.T) {
	w := wheel.New(0, 0)
	var alarms []*alarm
	for range 200 {
		a := newAlarm()
		alarms = append(alarms, a)
		w.Schedule(&a.Timer, 5000*tick)
	}
	w.Advance(5000*tick, 5)
	fired := 0
	for _, a := range alarms {
		if w.Stop(&a.Timer) == (len(a.fired) == 1) {
			t.Fatal("a timer is both fired and armed, or neither")
		}
		fired += len(a.fired)
	}
	if n, more := w.Advance(6000*tick, 0); n != 0 || more || w.Len() != 0 {
		t.Errorf("Advance = %d, %v with %d left after all were stopped", n, more, w.Len())
	}
}

func TestScheduleWithoutOwnerPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	wheel.New(0, 0).Schedule(new(wheel.Timer), 1)
}

func TestTooShortTickPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	wheel.New(wheel.MinTick-1, 0)
}
