package delivery

import (
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// broadcastRig is a hub whose steps the test makes, with many sockets in /.
type broadcastRig struct {
	*Hub
	sh    *Shard
	n     *Namespace
	socks []*Socket
	outs  map[*Conn]*Out
}

func newBroadcastRig(t *testing.T, most, step, turn int) *broadcastRig {
	t.Helper()
	p := lane.Policy{Overflow: base.Disconnect, MaxMessages: 100, MaxBytes: 1 << 20, Weight: 1}
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Events: p, Topics: []TopicSpec{{Name: "t", Policy: p}}}}})
	r := &broadcastRig{Hub: h, sh: h.shards[0], n: h.Namespace("/"), outs: make(map[*Conn]*Out)}
	r.sh.Pace(step, turn)
	for range most {
		r.come(t)
	}
	return r
}

func (r *broadcastRig) come(t *testing.T) *Socket {
	t.Helper()
	o := &Out{}
	c := r.sh.Open(o, o)
	r.outs[c] = o
	s := c.OpenSocket(r.n, c.NewSocketID(), "p", nil)
	if err := s.Join("red"); err != nil {
		t.Fatal(err)
	}
	r.socks = append(r.socks, s)
	return s
}

func (r *broadcastRig) emit(t *testing.T, event string, to Target) {
	t.Helper()
	if err := r.Emit(t.Context(), r.n, event, Emission{Frame: packetOf(event)}, to); err != nil {
		t.Fatal(err)
	}
}

// touched is how many sockets the first search is done with.
func (r *broadcastRig) touched() (n int) {
	for _, s := range r.socks {
		if s.seen != 0 {
			n++
		}
	}
	return n
}

// No step of a broadcast looks at more sockets than its share, however many there are and
// whatever it is that means them; and it gets to all of them.
func TestBroadcastBeginsInSlices(t *testing.T) {
	const most, step, turn = 1500, 32, 16
	for what, c := range map[string]struct {
		to   Target
		want int
	}{
		"everybody":          {Target{}, most},
		"all but a few":      {Target{Except: []string{"few"}}, most - 3},
		"all but all":        {Target{Except: []string{"red"}}, 0},
		"a room":             {Target{Rooms: []string{"red"}}, most},
		"rooms of nobody":    {Target{Rooms: make([]string, 5000)}, 0},
		"a principal":        {Target{Principal: "p"}, most},
		"a principal's room": {Target{Principal: "p", Rooms: []string{"few"}}, 3},
	} {
		r := newBroadcastRig(t, most, step, turn)
		for _, s := range r.socks[:3] {
			_ = s.Join("few")
		}
		r.emit(t, "x", c.to)
		steps, before, offers := 0, 0, 0
		for r.sh.step() || steps == 0 {
			if steps++; steps > 10*most {
				t.Fatal("it does not end")
			}
			now := r.touched()
			if now-before > step*lookCost {
				t.Errorf("%s: step %d looks at %d sockets, want at most %d", what, steps, now-before, step*lookCost)
			}
			if before = now; r.sh.spent > step+turn {
				t.Errorf("%s: step %d spends %d", what, steps, r.sh.spent)
			}
		}
		for _, s := range r.socks {
			if s.events != nil {
				offers += s.events.Depth()
			}
		}
		if offers != c.want {
			t.Errorf("%s: %d got it, want %d", what, offers, c.want)
		}
	}
}

// Who connects when a broadcast has begun does not get it, who leaves neither, and the
// next of its stream waits for it. A broadcast of another stream may begin meanwhile.
func TestBroadcastIsForThoseWhoWereThere(t *testing.T) {
	const most = 600
	r := newBroadcastRig(t, most, 8, 4)
	r.emit(t, "first", Target{Except: []string{"nobody"}})
	r.emit(t, "second", Target{})
	r.emit(t, "t", Target{Rooms: []string{"red"}})
	r.sh.step()
	if n := r.touched(); n == 0 || n == most {
		t.Fatalf("the first step is done with %d sockets", n)
	}
	late := r.come(t)
	gone := r.socks[:most/2]
	for _, s := range gone {
		s.Close(base.CauseServerDisconnect, nil)
	}
	for r.sh.step() {
	}
	for i, s := range r.socks[most/2:] {
		want := []string{"first", "second"}
		if s == late {
			want = []string{"second"}
		}
		r.outs[s.conn].window = 1 << 20
		s.conn.markDirty()
		for r.sh.step() {
		}
		var got []string
		wire := string(slices.Concat(r.outs[s.conn].wrote...))
		for _, name := range []string{"first", "second"} {
			if strings.Contains(wire, name) {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) || (s != late && strings.Index(wire, "first") > strings.Index(wire, "second")) {
			t.Errorf("socket %d reads %q, want %v", i, wire, want)
		}
		if s != late && !strings.Contains(wire, `"t"`) {
			t.Errorf("socket %d reads %q, not the topic's event", i, wire)
		}
	}
	for _, s := range gone {
		if n := len(r.outs[s.conn].wrote); n > 0 {
			t.Errorf("%d packets written to one that had left", n)
		}
	}
}
