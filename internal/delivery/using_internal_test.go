package delivery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/lane"
)

// However many namespaces there are, a shard adds up those of which it holds something, and
// what it adds up is what all of them hold: while clients come, are refused, read nothing, are
// emitted to and leave, in namespaces that are declared meanwhile. At the end it is nothing.
func TestOnlyNamespacesInUseAreAddedUp(t *testing.T) {
	p := lane.Policy{Overflow: base.DropOldest, MaxMessages: 100, MaxBytes: 1 << 20, Weight: 1}
	h := New(Options{Shards: 1})
	sh := h.shards[0]
	sh.Pace(4, 3)
	var conns []*Conn
	rnd := func() *Namespace {
		path := fmt.Sprint("/", rand.IntN(60))
		if n := h.Namespace(path); n != nil {
			return n
		}
		return h.Declare(NamespaceSpec{Path: path, Events: p, Topics: []TopicSpec{{Name: "t", Policy: p}}})
	}
	for range 4000 {
		switch r := rand.IntN(8); {
		case r < 2 && len(conns) < 12:
			o := &Out{window: rand.IntN(2) * 100}
			c := sh.Open(o, o)
			conns = append(conns, c)
			if n := rnd(); r == 0 {
				c.Refuse(n, packetOf("no"))
			} else {
				s := c.OpenSocket(n, c.NewSocketID(), "", nil)
				_ = s.Join("red")
				_ = s.Subscribe("t", SubscribeOptions{}, func(Subscription) {})
			}
		case r < 5:
			if err := h.Emit(t.Context(), rnd(), []string{"t", "plain"}[rand.IntN(2)], Emission{Frame: packetOf("x")}, Target{}); err != nil {
				t.Fatal(err)
			}
		case r == 5 && len(conns) > 0:
			i := rand.IntN(len(conns))
			conns[i].Close(base.CauseTransportClose)
			conns = slices.Delete(conns, i, i+1)
		default:
			sh.step()
		}
		checkUsing(t, h, sh)
	}
	for _, c := range conns {
		c.Close(base.CauseTransportClose)
	}
	for sh.step() {
	}
	for _, n := range h.namespaces.All() {
		n.trim(0)
		n.trim(0)
	}
	sh.drop()
	sh.count()
	if by := h.Accounts(); len(sh.using) > 0 || h.Held() != by[budget.Topics] {
		t.Errorf("%d namespaces in use, %d bytes held, %v", len(sh.using), h.Held(), by)
	}
}

// checkUsing compares what the shard adds up with what all namespaces hold.
func checkUsing(t *testing.T, h *Hub, sh *Shard) {
	t.Helper()
	sh.count()
	var all, used sums
	for _, n := range h.namespaces.All() {
		all.add(n.sumsOn(sh))
		if n.on(sh).used != slices.Contains(sh.using, n) {
			t.Fatalf("%s is marked as used: %t", n.Path, n.on(sh).used)
		}
	}
	for _, n := range sh.using {
		used.add(n.sumsOn(sh))
	}
	if all != used {
		t.Fatalf("all namespaces hold %+v, those in use %+v", all, used)
	}
	if len(sh.using) > len(sh.conns)+60 || sh.told[budget.Rooms] != all.rooms {
		t.Fatalf("%d in use with %d connections; rooms of %d bytes, told of %d", len(sh.using), len(sh.conns), all.rooms, sh.told[budget.Rooms])
	}
}
