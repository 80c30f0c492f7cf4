package lane_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// flow is a steady stream through one lane: messages made in advance, offered
// one by one, written and acknowledged in batches.
type flow struct {
	class    *lane.Class
	lane     lane.Lane
	messages []*base.Message
	batch    int
	entries  []lane.Entry
	next     int
}

const flowKeys = 8

func newFlow(p lane.Policy, batch int) *flow {
	f := &flow{class: &lane.Class{Policy: p}, batch: batch, entries: make([]lane.Entry, 0, batch)}
	f.lane.Init(f.class, base.Plain, true)
	for i := range 256 {
		m := base.NewMessage(sized(100))
		m.ID, m.Key, m.Offset = fmt.Sprint("m", i), fmt.Sprint(i%flowKeys), uint64(i+1)
		f.messages = append(f.messages, m)
	}
	return f
}

func (f *flow) offer() {
	it := f.class.Hold(f.messages[f.next%len(f.messages)])
	f.next++
	f.lane.Offer(it, 0)
	f.class.Release(it)
}

// drain writes what there is, a batch at most.
func (f *flow) drain() {
	f.entries = f.entries[:0]
	for range f.batch {
		e, ok := f.lane.Take(0)
		if !ok {
			break
		}
		f.entries = append(f.entries, e)
	}
	for i := range f.entries {
		id := f.entries[i].Message().ID
		f.lane.Wrote(f.entries[i], 0)
		if f.class.Policy.Mode == base.AtLeastOnce {
			f.lane.Ack(id)
		}
	}
}

// run offers n messages; after every burst of them one batch is written.
func (f *flow) run(n, burst int) {
	for i := range n {
		f.offer()
		if i%burst == burst-1 {
			f.drain()
		}
	}
}

// flows are the policies in the steady states worth knowing: keeping up, and
// offered four times what is written.
func flows() map[string]func() *flow {
	makers := make(map[string]func() *flow)
	for _, o := range []base.Overflow{base.DropOldest, base.RejectNew, base.Coalesce, base.SnapshotOnly, base.Disconnect} {
		makers["BEST_EFFORT/"+o.String()] = func() *flow {
			return newFlow(lane.Policy{Overflow: o, MaxMessages: 64, MaxBytes: 1 << 16}, 16)
		}
	}
	for _, window := range []int{16, 64} { // scanned, indexed
		makers[fmt.Sprint("AT_LEAST_ONCE/REJECT_NEW/window=", window)] = func() *flow {
			return newFlow(lane.Policy{
				Mode: base.AtLeastOnce, Overflow: base.RejectNew, MaxMessages: 128, MaxBytes: 1 << 16, MaxInFlight: window,
			}, 16)
		}
	}
	return makers
}

// The package comment promises it, and ten thousand clients feel it.
func TestSteadyFlowAllocatesNothing(t *testing.T) {
	for name, build := range flows() {
		for _, burst := range []int{1, 16, 64} {
			t.Run(fmt.Sprint(name, "/burst=", burst), func(t *testing.T) {
				f := build()
				f.run(10_000, burst) // rings and maps reach their size
				if n := testing.AllocsPerRun(5, func() { f.run(10_000, burst) }); n != 0 {
					t.Errorf("%v allocations for 10,000 messages", n)
				}
				if !f.lane.Balanced() {
					t.Errorf("books do not balance: %+v", f.lane.Books)
				}
			})
		}
	}
}

// BenchmarkLane is one message through a lane: Hold, Offer, Release, Take, Wrote
// and for reliable topics Ack.
func BenchmarkLane(b *testing.B) {
	for name, build := range flows() {
		for burst, state := range map[int]string{16: "keeping-up", 64: "overloaded"} {
			b.Run(name+"/"+state, func(b *testing.B) {
				f := build()
				f.run(1000, burst)
				b.ReportAllocs()
				b.ResetTimer()
				f.run(b.N, burst)
			})
		}
	}
}

// BenchmarkFanOut is one message to many lanes, as a shard delivers it.
func BenchmarkFanOut(b *testing.B) {
	const clients = 1000
	class := &lane.Class{Policy: lane.Policy{Overflow: base.DropOldest, MaxMessages: 64, MaxBytes: 1 << 16}}
	lanes := make([]lane.Lane, clients)
	for i := range lanes {
		lanes[i].Init(class, base.Plain, false)
	}
	m := base.NewMessage(sized(100))
	b.ReportAllocs()
	for range b.N {
		it := class.Hold(m)
		for i := range lanes {
			lanes[i].Offer(it, 0)
		}
		class.Release(it)
		for i := range lanes {
			e, _ := lanes[i].Take(0)
			lanes[i].Wrote(e, 0)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/clients, "ns/delivery")
}
