package nodes_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/nodes"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// network carries what registries say to all of them, unless it is cut.
type network struct {
	mu   sync.Mutex
	all  map[string]*nodes.Registry
	cut  map[string]bool // nodes that neither hear nor are heard, not even by themselves
	gone map[string]bool // nodes that are not heard
	sent int
}

func newNetwork() *network {
	return &network{all: make(map[string]*nodes.Registry), cut: make(map[string]bool), gone: make(map[string]bool)}
}

func (w *network) separate(id string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[id] = on
}

// kill has a node not be heard any more.
func (w *network) kill(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone[id] = true
}

// hearers are those whom a node reaches.
func (w *network) hearers(from string) (list []*nodes.Registry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	for id, r := range w.all {
		if !w.gone[from] && (!w.cut[from] && !w.cut[id]) {
			list = append(list, r)
		}
	}
	return list
}

// log is what a node was told.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (w *network) start(id, name string) (*nodes.Registry, *log) {
	told := &log{}
	r := nodes.New(nodes.Node{ID: id, Name: name, Started: time.Now()}, nodes.Options{
		Send: func(data []byte) {
			for _, to := range w.hearers(id) {
				to.Hear(data)
			}
		},
		Came: func(n nodes.Node) { told.add("came %s", n.ID) },
		Left: func(n nodes.Node, goodbye bool) { told.add("left %s %t", n.ID, goodbye) },
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[id] = r
	return r, told
}

func want(t *testing.T, when string, r *nodes.Registry, ids ...string) {
	t.Helper()
	var got []string
	for _, n := range r.Others() {
		got = append(got, n.ID)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%s: it knows %q, want %q", when, got, ids)
	}
}

// Nodes know one another soon; one that says goodbye is gone at once, one that is not heard within its lease, and one
// that comes back under its old name is another.
func TestNodesKnowWhoIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork()
		a, told := w.start("a", "x")
		b, _ := w.start("b", "y")
		c, _ := w.start("c", "z")
		time.Sleep(nodes.Every + time.Second)
		want(t, "all three there", a, "b", "c")
		want(t, "all three there", b, "a", "c")
		want(t, "all three there", c, "a", "b")
		c.Close()
		want(t, "one has said goodbye", a, "b")
		w.separate("b", true)
		time.Sleep(nodes.Lease - nodes.Every)
		want(t, "one was not heard for less than a lease", a, "b")
		time.Sleep(2*nodes.Every + time.Second)
		want(t, "one was not heard for a lease", a)
		want(t, "it hears nobody, and knows whom it knew", b, "a")
		again, _ := w.start("b2", "y")
		time.Sleep(nodes.Every)
		want(t, "one of its name has come", a, "b2")
		w.separate("b", false)
		time.Sleep(nodes.Every + time.Second)
		want(t, "both are there", a, "b", "b2")
		if slices.Sort(told.lines[:2]); !slices.Equal(told.lines, []string{"came b", "came c", "left c true", "left b false", "came b2", "came b"}) {
			t.Errorf("it was told %q", told.lines)
		}
		for _, r := range []*nodes.Registry{a, b, again, c} {
			r.Close()
		}
	})
}

// Who hears nobody, itself not either, takes nobody for dead: the lease of others goes on when it is back, and until
// a heartbeat's time is over it says that it may not know all. So a node that came and one that died meanwhile are known,
// and not known, by then.
func TestWhoCannotHearTakesNobodyForDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork()
		a, _ := w.start("a", "x")
		b, _ := w.start("b", "y")
		c, _ := w.start("c", "z")
		if !a.Whole(t.Context()) {
			t.Error("it never knows who is there")
		}
		want(t, "it knows all", a, "b", "c")
		w.separate("a", true)
		time.Sleep(10 * nodes.Lease)
		want(t, "after a long time alone", a, "b", "c")
		soon, cancel := context.WithTimeout(t.Context(), nodes.Lease)
		defer cancel()
		if a.Whole(soon) {
			t.Error("it says that it knows all, alone")
		}
		w.kill("c")
		d, _ := w.start("d", "zz")
		time.Sleep(10 * nodes.Lease)
		want(t, "the others know", b, "d")
		w.separate("a", false)
		a.Lapsed()
		if !a.Whole(t.Context()) {
			t.Error("it never knows who is there again")
		}
		want(t, "back, it asks whom it knew and who came", a, "b", "c", "d")
		time.Sleep(nodes.Lease + nodes.Every)
		want(t, "after a lease", a, "b", "d")
		time.Sleep(10 * nodes.Lease) // what is stopped as a whole wakes up with all that was said meanwhile
		for _, r := range []*nodes.Registry{a, b, c, d} {
			r.Close()
		}
		if a.Whole(t.Context()) {
			t.Error("closed, it says that it knows all")
		}
	})
}

// A hundred that come at once are known to each other, and say little for it; more than can be known are left alone.
func TestManyNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork()
		var all []*nodes.Registry
		for i := range 100 {
			r, _ := w.start(fmt.Sprintf("%03d", i), "n")
			all = append(all, r)
		}
		time.Sleep(nodes.Every)
		for _, r := range all {
			if n := len(r.Others()); n != 99 {
				t.Errorf("it knows %d", n)
			}
		}
		w.mu.Lock()
		if w.sent > 100*5 {
			t.Errorf("%d heartbeats until they know each other", w.sent)
		}
		w.mu.Unlock()
		for _, r := range all {
			r.Close()
		}
		r, _ := newNetwork().start("me", "n")
		defer r.Close()
		for i := range 3000 {
			r.Hear(nodes.Lives(nodes.Node{ID: fmt.Sprint(i)}))
		}
		if n := len(r.Others()); n != 1024 {
			t.Errorf("of 3,000 it knows %d", n)
		}
	})
}

// FuzzHear: whatever comes, at most one more node is known, and that one by what it has sent.
func FuzzHear(f *testing.F) {
	f.Add(nodes.Lives(nodes.Node{ID: "a", Name: "b", Started: time.Unix(1, 0)}))
	f.Add([]byte{1, 2, 0, 0, 0})
	f.Add([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := nodes.New(nodes.Node{ID: "me"}, nodes.Options{Send: func([]byte) {}})
		defer r.Close()
		r.Hear(data)
		list := r.Others()
		if len(list) > 1 {
			t.Fatalf("%q: %v", data, list)
		}
		for _, n := range list {
			again := nodes.New(nodes.Node{ID: "me"}, nodes.Options{Send: func([]byte) {}})
			again.Hear(nodes.Lives(n))
			if got := again.Others(); len(got) != 1 || got[0].ID != n.ID || got[0].Name != n.Name || !got[0].Started.Equal(n.Started) {
				t.Errorf("%v became %v", n, got)
			}
			again.Close()
		}
	})
}
