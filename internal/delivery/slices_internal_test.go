package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/kept"
	"github.com/streamweir/weir/internal/lane"
)

// valuesRig is a hub whose steps the test makes, with so many clients that have asked for
// the values of so many keys.
func valuesRig(tb testing.TB, clients, keys int) *Shard {
	tb.Helper()
	p := lane.Policy{Overflow: base.Coalesce, MaxMessages: 64, MaxBytes: 1 << 20, Weight: 1}
	spec := TopicSpec{Name: "t", Policy: p, Snapshot: true, Keep: kept.Limits{Keys: keys, Bytes: 1 << 30}}
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Events: p, Topics: []TopicSpec{spec}}}})
	n, sh := h.Namespace("/"), h.shards[0]
	for k := range keys {
		m := Publication{Payload: []byte(`{"symbol":"AAPL","bid":101.25,"ask":101.5}`), Key: fmt.Sprint("key", k)}
		if _, err := h.Publish(tb.Context(), n, "t", &m, false); err != nil {
			tb.Fatal(err)
		}
	}
	for range clients {
		o := &drain{}
		s := sh.Open(o, o).OpenSocket(n, newSocketID(0), "", nil)
		if err := s.Subscribe("t", SubscribeOptions{Snapshot: true}, func(Subscription) {}); err != nil {
			tb.Fatal(err)
		}
	}
	return sh
}

// drain is a connection that takes everything and keeps nothing.
type drain struct {
	Out
	bytes int
}

func (o *drain) Window() int { return 32 << 10 }
func (o *drain) Write(p []byte, _ base.Packing) (int, error) {
	o.bytes += len(p)
	return len(p), nil
}

// No step gives more values of snapshots to lanes than its share and one window, however
// many clients have asked for however many; and all get all.
func TestSnapshotsAreReadInSlices(t *testing.T) {
	const clients, keys, window = 200, 1000, 32 << 10 / 64
	sh := valuesRig(t, clients, keys)
	most, all, steps := 0, 0, 0
	for more := true; more; steps++ {
		more = sh.step()
		most, all = max(most, sh.refilled), all+sh.refilled
		if steps > clients*keys {
			t.Fatal("it does not end")
		}
	}
	if most > refillSlice+window {
		t.Errorf("%d values in one step, want %d and a window's at most", most, refillSlice)
	}
	if all != clients*keys || steps < all/(refillSlice+window) {
		t.Errorf("%d values in %d steps, want %d", all, steps, clients*keys)
	}
	for _, c := range sh.conns {
		if n := c.Depth(); n != 0 {
			t.Fatalf("%d messages wait", n)
		}
	}
}

// A socket whose lanes become many and few again is among the crowded once, or not at all.
func TestCrowdedSocketIsListedOnce(t *testing.T) {
	p := lane.Policy{Overflow: base.DropOldest, MaxMessages: 1, MaxBytes: 1 << 20, Weight: 1}
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Events: p, Topics: []TopicSpec{{Name: "t*", Policy: p}}}}})
	sh := h.shards[0]
	c := sh.Open(&Out{}, &Out{})
	s := c.OpenSocket(h.Namespace("/"), newSocketID(0), "", nil)
	for range 100 {
		for k := range crowdedAt + 1 {
			_ = s.Subscribe(fmt.Sprint("t", k), SubscribeOptions{}, func(Subscription) {})
		}
		if len(sh.crowds) != 1 {
			t.Fatalf("listed %d times", len(sh.crowds))
		}
		for k := range crowdedAt + 1 {
			s.Unsubscribe(fmt.Sprint("t", k))
		}
		if len(sh.crowds) != 0 {
			t.Fatalf("listed %d times with few lanes", len(sh.crowds))
		}
	}
	for k := range crowdedAt + 1 {
		_ = s.Subscribe(fmt.Sprint("t", k), SubscribeOptions{}, func(Subscription) {})
	}
	if c.Close(base.CauseTransportClose); len(sh.crowds) != 0 {
		t.Errorf("listed %d times when it has left", len(sh.crowds))
	}
}

// What a broadcast to chosen ones has found is counted until it is over.
func TestRecipientsFoundAreCounted(t *testing.T) {
	r := newBroadcastRig(t, 600, 8, 8)
	r.emit(t, "x", Target{})
	most := int64(0)
	for r.sh.step() {
		most = max(most, r.sh.chosen)
	}
	if most != 600*socketPlace || r.sh.chosen != 0 {
		t.Errorf("%d bytes at most, %d at the end", most, r.sh.chosen)
	}
}

// BenchmarkSnapshots is 10,000 clients that ask for 1,000 values each at the same time:
// how long until all have all, and the longest step of the loop.
func BenchmarkSnapshots(b *testing.B) {
	const clients, keys = 10_000, 1000
	for b.Loop() {
		b.StopTimer()
		sh := valuesRig(b, clients, keys)
		b.StartTimer()
		for sh.step() {
		}
		b.ReportMetric(float64(sh.watch.longest.Load())/float64(time.Millisecond), "ms/longest-step")
	}
}
