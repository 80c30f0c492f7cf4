package linger_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/delivery/linger"
	"github.com/streamweir/weir/internal/wheel"
)

// Everything that is added is woken once, in the order in which it came, not later
// than asked for, and together with others: the wheel hears of it once for all that
// came within a length.
func TestEverythingIsWokenOnceAndInTime(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	const length = 5 * time.Millisecond
	var now int64
	var since []int64 // when each was added, by number
	woken, moments, last := 0, 0, int64(-1)
	w := wheel.New(linger.Tick, 0)
	l := linger.New(w, length, func(n int) {
		if n != woken {
			t.Fatalf("seed %d: %d woken after %d", seed, n, woken-1)
		}
		if waited := now - since[n]; waited > int64(length) {
			t.Fatalf("seed %d: %d has waited for %v", seed, n, time.Duration(waited))
		}
		if woken++; now != last {
			moments++
			last = now
		}
	})
	run := func(until int64) { // as a loop that sleeps until the wheel's next moment
		for at, ok := w.Next(); ok && at <= until; at, ok = w.Next() {
			now = max(now, at)
			w.Advance(now, 0)
		}
		now = until
	}
	for range 5000 {
		for range rnd.IntN(4) {
			l.Add(len(since), now)
			since = append(since, now)
		}
		if rnd.IntN(50) == 0 {
			l.Trim()
		}
		run(now + int64(rnd.IntN(400))*int64(time.Microsecond))
	}
	run(now + int64(length))
	if woken != len(since) || l.Len() != 0 || w.Len() != 0 {
		t.Errorf("seed %d: %d of %d woken, %d wait, %d timers", seed, woken, len(since), l.Len(), w.Len())
	}
	if moments > len(since)/10 {
		t.Errorf("seed %d: %d things were woken at %d moments", seed, len(since), moments)
	}
}

// What is added while a long line is being woken waits for its own time.
func TestLongLinesAreWokenInSlices(t *testing.T) {
	const length, long = 10 * time.Millisecond, 2*linger.Slice + 1
	woken, late := 0, 0
	w := wheel.New(linger.Tick, 0)
	l := linger.New(w, length, func(n int) {
		if n < 0 {
			late++
			return
		}
		woken++
	})
	for n := range long {
		l.Add(n, 0)
	}
	now := int64(length)
	for i, want := range []int{linger.Slice, 2 * linger.Slice, long} {
		w.Advance(now, 0)
		if woken != want || late != 0 {
			t.Fatalf("%d and %d late ones woken after %d turns, want %d", woken, late, i+1, want)
		}
		if at, ok := w.Next(); i < 2 && (!ok || at > now) {
			t.Fatal("the wheel does not know that there is more to wake")
		}
		if i == 0 {
			l.Add(-1, now)
		}
		now += int64(time.Millisecond)
	}
	w.Advance(2*int64(length)-2*int64(linger.Tick), 0)
	if late != 0 {
		t.Error("what came meanwhile was woken with the others")
	}
	w.Advance(2*int64(length), 0)
	if late != 1 || l.Len() != 0 {
		t.Errorf("%d late ones woken, %d left", late, l.Len())
	}
}

func TestSteadyLineAllocatesNothingAndIsTrimmed(t *testing.T) {
	var now int64
	w := wheel.New(linger.Tick, 0)
	l := linger.New(w, time.Millisecond, func(int) {})
	round := func() {
		for n := range 1000 {
			l.Add(n, now)
		}
		now += int64(time.Millisecond)
		w.Advance(now, 0)
	}
	round()
	if n := testing.AllocsPerRun(10, func() { round(); l.Trim() }); n != 0 {
		t.Errorf("%v allocations for a thousand things each time", n)
	}
	if n := testing.AllocsPerRun(10, func() { l.Trim(); l.Trim(); round() }); n == 0 {
		t.Error("a line nobody uses keeps its memory")
	}
}
