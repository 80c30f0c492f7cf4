package wheel_test

import (
	"testing"
	"time"

	"github.com/streamweir/weir/internal/wheel"
)

const million = 1_000_000

// heart is a connection's heartbeat: every 25 s, as Engine.IO's default.
type heart struct {
	timer wheel.Timer
	w     *wheel.Wheel
}

const beat = int64(25 * time.Second)

func (h *heart) Expire(t *wheel.Timer, _ int64) { h.w.Schedule(t, t.When()+beat) }

// hearts is a wheel with n heartbeats spread evenly.
func hearts(n int) (*wheel.Wheel, []heart) {
	w := wheel.New(0, 0)
	all := make([]heart, n)
	for i := range all {
		h := &all[i]
		h.w = w
		h.timer.Init(h)
		w.Schedule(&h.timer, 1+int64(i)*(beat/int64(n)))
	}
	return w, all
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	w, all := hearts(1000)
	var now int64
	allocs := testing.AllocsPerRun(1000, func() {
		now += int64(30 * time.Millisecond)
		w.Schedule(&all[0].timer, now+beat)
		w.Stop(&all[1].timer)
		w.Next()
		w.Advance(now, 64)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a step, want 0", allocs)
	}
}

func BenchmarkSchedule1M(b *testing.B) {
	w, all := hearts(million)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h := &all[i]
		w.Schedule(&h.timer, h.timer.When()+beat/2)
		i = (i + 7919) % million
	}
}

func BenchmarkStopSchedule1M(b *testing.B) {
	w, all := hearts(million)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h := &all[i]
		w.Stop(&h.timer)
		w.Schedule(&h.timer, h.timer.When())
		i = (i + 7919) % million
	}
}

// BenchmarkAdvance1M is one tick of a million heartbeats: 400 fire and are armed again, and as many move down.
func BenchmarkAdvance1M(b *testing.B) {
	w, _ := hearts(million)
	b.ReportAllocs()
	var now int64
	fired := 0
	for b.Loop() {
		now += int64(wheel.DefaultTick)
		n, _ := w.Advance(now, 0)
		fired += n
	}
	b.ReportMetric(float64(fired)/float64(b.N), "fired/op")
}

// BenchmarkIdle1M is the price of a million armed timers while none is due.
func BenchmarkIdle1M(b *testing.B) {
	w, all := hearts(million)
	for i := range all {
		w.Schedule(&all[i].timer, int64(24*time.Hour))
	}
	b.ReportAllocs()
	var now int64
	for b.Loop() {
		now++
		w.Advance(now, 128)
		w.Next()
	}
}
