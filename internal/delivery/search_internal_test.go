package delivery

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// findSlowly searches in slices of so many looks, and calls between between them.
func (m *membership) findSlowly(t *Target, looks func() int, between func()) []*Socket {
	var u underWay
	m.begin(t, &u)
	for {
		m.search.looks = looks()
		if m.goOn() {
			m.search.of = nil
			return u.chosen
		}
		between()
	}
}

// crowded is a membership and what the naive model knows of it.
type crowded struct {
	m     *membership
	all   []*Socket
	in    map[*Socket]map[string]bool
	next  int
	stirs map[*Socket]bool // who has left a room or the namespace since a search began
}

var crowdRooms = []string{"a", "b", "c", "s0", "s1", "s2"}

// stir lets one socket come, go, join or leave.
func (c *crowded) stir() {
	r := rand.IntN(10)
	if r < 2 || len(c.all) < 3 {
		s := &Socket{ID: fmt.Sprintf("s%d", c.next), Principal: []string{"", "p", "q"}[rand.IntN(3)]}
		if c.next = (c.next + 1) % 40; c.m.sockets[s.ID] != nil {
			return
		}
		c.m.add(s)
		c.all, c.in[s] = append(c.all, s), map[string]bool{s.ID: true}
		return
	}
	i, name := rand.IntN(len(c.all)), crowdRooms[rand.IntN(len(crowdRooms))]
	s := c.all[i]
	switch {
	case r < 4:
		c.m.remove(s)
		s.closed = true
		c.stirs[s] = true
		delete(c.in, s)
		c.all = slices.Delete(c.all, i, i+1)
	case r < 7:
		c.m.join(s, name)
		c.in[s][name] = true
	case name != s.ID && c.in[s][name]:
		c.m.leave(s, name)
		delete(c.in[s], name)
		c.stirs[s] = true
	}
}

// meant reports whether a target means a socket at this moment.
func (c *crowded) meant(t *Target, s *Socket) bool {
	in := func(name string) bool { return c.in[s][name] }
	return (t.Socket == "" || s.ID == t.Socket) && (t.Principal == "" || s.Principal == t.Principal) &&
		(t.Rooms == nil || slices.ContainsFunc(t.Rooms, in)) && !slices.ContainsFunc(t.Except, in)
}

func randomTarget() (t Target) {
	pick := func() (out []string) {
		for range rand.IntN(4) {
			out = append(out, crowdRooms[rand.IntN(len(crowdRooms))])
		}
		return out
	}
	switch rand.IntN(6) {
	case 0:
		t.Socket = "s" + strconv.Itoa(rand.IntN(40))
	case 1, 2:
		t.Principal = "p"
	}
	t.Rooms, t.Except = pick(), pick()
	return t
}

// While a search goes on sockets come and go and change rooms. Who was meant at its
// beginning and has left nothing since is found; who was not, or came later, is not; and
// nobody is found twice. Also where the numbers of searches are used up.
func TestSearchInSlicesFindsWhoWasThereAndStayed(t *testing.T) {
	c := &crowded{m: newMembership(nil), in: map[*Socket]map[string]bool{}}
	found, left := 0, 0
	for n := range 3000 {
		if n%4 == 2 {
			c.m.round = math.MaxUint32 // the first numbers come again, which marks still bear
		}
		c.stirs = map[*Socket]bool{}
		for range rand.IntN(6) {
			c.stir()
		}
		clear(c.stirs)
		to := randomTarget()
		meant, there := map[*Socket]bool{}, map[*Socket]bool{}
		unless := Target{Socket: to.Socket, Principal: to.Principal, Rooms: to.Rooms}
		for _, s := range c.all {
			meant[s], there[s] = c.meant(&to, s), c.meant(&unless, s)
		}
		got := c.m.findSlowly(&to, func() int { return 1 + rand.IntN(4) }, func() {
			for range rand.IntN(4) {
				c.stir()
			}
		})
		times := map[*Socket]int{}
		for _, s := range got {
			found++
			times[s]++
			// Who has left an excepted room may be found, as if it had been before.
			if !meant[s] && !(there[s] && c.stirs[s]) {
				t.Fatalf("search %d, %+v: finds %s, which came later or is not meant", n, to, s.ID)
			}
		}
		for s := range meant {
			switch {
			case times[s] > 1:
				t.Fatalf("search %d, %+v: finds %s %d times", n, to, s.ID, times[s])
			case c.stirs[s]:
				left++
			case meant[s] && times[s] == 0:
				t.Fatalf("search %d, %+v: passes over %s, which has stayed", n, to, s.ID)
			}
		}
	}
	if found < 3000 || left < 1000 {
		t.Errorf("%d found, %d left meanwhile: the test shows nothing", found, left)
	}
}

// broadcastRig is a hub whose steps the test makes, with many sockets in /.
type broadcastRig struct {
	*Hub
	sh    *Shard
	n     *Namespace
	m     *membership
	socks []*Socket
}

func newBroadcastRig(t *testing.T, most, step, turn int) *broadcastRig {
	t.Helper()
	p := lane.Policy{Overflow: base.Disconnect, MaxMessages: 100, MaxBytes: 1 << 20, Weight: 1}
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Events: p, Topics: []TopicSpec{{Name: "t", Policy: p}}}}})
	r := &broadcastRig{Hub: h, sh: h.shards[0], n: h.Namespace("/")}
	r.m = r.sh.namespaces[r.n]
	r.sh.Pace(step, turn)
	for range most {
		r.come(t)
	}
	return r
}

func (r *broadcastRig) come(t *testing.T) *Socket {
	t.Helper()
	c := r.sh.Open(&Out{}, &Out{})
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

// touched is how many sockets the search under way, or the last, is done with.
func (r *broadcastRig) touched() (n int) {
	for _, s := range r.socks {
		if s.seen == r.m.round {
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
		s.conn.out.(*Out).window = 1 << 20
		s.conn.markDirty()
		for r.sh.step() {
		}
		var got []string
		wire := string(slices.Concat(s.conn.out.(*Out).wrote...))
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
		if n := len(s.conn.out.(*Out).wrote); n > 0 {
			t.Errorf("%d packets written to one that had left", n)
		}
	}
}
