package delivery_test

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/delivery"
)

// contend fills all kinds of lanes of a client and returns how many packets of
// each were among the first n bytes it read, offered window bytes at a time and
// taking take of them (0: all).
type contend struct {
	window, take int
	sizes        map[string]int // payload bytes by name
	writes       int
}

func (x contend) run(t *testing.T) map[string]int {
	t.Helper()
	best := latest()
	best.MaxMessages, best.MaxBytes = 1000, 8<<20
	rel := certain()
	rel.MaxMessages, rel.MaxBytes, rel.MaxInFlight = 1000, 8<<20, 1000
	r := newRig(t, options(1, topic("best", best), topic("sure", rel)))
	c := r.stalled(0)
	s := c.join("best", "sure")
	c.do(func() {
		for range 300 {
			s.Send(event("evnt", fill(x.sizes["evnt"])))
		}
	})
	for range 300 {
		r.publish("best", fill(x.sizes["best"]))
		r.publish("sure", fill(x.sizes["sure"]))
	}
	r.settle()
	c.do(func() {
		left := x.writes
		c.take = func(offered int) int {
			if left--; left <= 0 {
				return 0
			}
			if x.take > 0 {
				return x.take
			}
			return offered
		}
	})
	for range x.writes {
		c.open(x.window)
	}
	var wire []byte
	c.do(func() { wire = append(wire, c.wire...) })
	packets, _ := decode(t, wire)
	got := make(map[string]int)
	for i := range packets {
		got[packets[i].name()]++
	}
	return got
}

func wantAll(t *testing.T, got map[string]int) {
	t.Helper()
	for _, name := range []string{"evnt", "sure", "best"} {
		if got[name] == 0 {
			t.Errorf("%s starved: %v", name, got)
		}
	}
}

func TestTurnsStarveNoKind(t *testing.T) {
	got := contend{window: wide, sizes: map[string]int{"evnt": 100, "sure": 100, "best": 100}, writes: 2}.run(t)
	wantAll(t, got)
	if got["evnt"] <= got["sure"] || got["sure"] <= got["best"] {
		t.Errorf("events, reliable and best effort in that order get more: %v", got)
	}
}

// A large entry that does not fit behind others has its turn all the same.
func TestTurnsDoNotStarveLargeEntries(t *testing.T) {
	for _, big := range []string{"evnt", "sure", "best"} {
		for _, size := range []int{31 << 10, 100 << 10} {
			sizes := map[string]int{"evnt": 1000, "sure": 1000, "best": 1000}
			sizes[big] = size
			got := contend{window: wide, sizes: sizes, writes: 20}.run(t)
			if t.Run(big, func(t *testing.T) { wantAll(t, got) }); t.Failed() {
				break
			}
		}
	}
}

// A client whose kernel takes one packet at a time gets all kinds: what was
// gathered and not written has not had its turn.
func TestTurnsCountWhatIsWritten(t *testing.T) {
	const size = 1000
	frame := len(event("evnt", fill(size)).Wire())
	for _, batch := range []int{1, 2, 3, 5, 7, 14} {
		got := contend{
			window: batch * frame, take: frame, writes: 40,
			sizes: map[string]int{"evnt": size, "best": size, "sure": size - len(metadata)},
		}.run(t)
		if t.Run(strings.Repeat("x", batch), func(t *testing.T) { wantAll(t, got) }); t.Failed() {
			t.Logf("batches of %d packets of which one is written", batch)
		}
	}
}

// metadata is as long as what a reliable delivery carries besides its payload.
const metadata = `,{"namespace":"/feed","topic":"sure","messageId":"xxxxxxxxxx-xx","ackRequired":true}`

// Lanes of one kind take as many entries a turn as their weight says.
func TestTurnsFollowWeights(t *testing.T) {
	heavy, light := latest(), latest()
	heavy.Weight = 3
	r := newRig(t, options(1, topic("heavy", heavy), topic("light", light)))
	c := r.stalled(0)
	c.join("heavy", "light")
	for range 12 {
		r.publish("heavy", "1")
		r.publish("light", "1")
	}
	c.open(wide)
	var order strings.Builder
	for _, p := range c.received()[:16] {
		order.WriteByte(p.name()[0])
	}
	if !strings.Contains(order.String(), "hhhlhhhlhhhl") {
		t.Errorf("order %s, want three heavy to one light", &order)
	}
}

func TestTurnsOfTwoSocketsOnOneConnection(t *testing.T) {
	o := options(1, topic("ticks", latest()))
	o.Namespaces = append(o.Namespaces, delivery.NamespaceSpec{Path: "/other", Events: eventsPolicy(), Topics: []delivery.TopicSpec{topic("ticks", latest())}})
	r := newRig(t, o)
	c := r.stalled(0)
	c.join("ticks")
	other := &rig{Hub: r.Hub, t: t, ns: r.Namespace("/other")}
	c.rig = other
	c.join("ticks")
	c.rig = r
	for range 20 {
		r.publish("ticks", fill(1000))
		other.publish("ticks", fill(1000))
	}
	r.settle()
	c.do(func() { c.take = func(n int) int { c.take = func(int) int { return 0 }; return n } })
	c.open(6000)
	counts := make(map[string]int)
	var wire []byte
	c.do(func() { wire = append(wire, c.wire...) })
	packets, _ := decode(t, wire)
	for _, p := range packets {
		counts[string(p.Namespace)]++
	}
	if counts["/feed"] < 2 || counts["/other"] < 2 {
		t.Errorf("one batch holds %v", counts)
	}
}
