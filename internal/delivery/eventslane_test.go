package delivery_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/survey"
)

// holdsEvents reports whether the socket has an events lane now.
func (c *client) holdsEvents(s *delivery.Socket) (yes bool) {
	c.rig.settle()
	c.do(func() { yes = s.EventsLane() })
	return yes
}

// eventsView is the events lane of the only client, as the management API shows it.
func (r *rig) eventsView() string {
	r.t.Helper()
	r.settle()
	found, err := r.Survey(r.t.Context(), survey.Query{Limit: 1})
	if err != nil || len(found.Clients) != 1 {
		r.t.Fatalf("survey: %d clients, %v", len(found.Clients), err)
	}
	lane, err := json.Marshal(found.Clients[0].Lanes[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return string(lane)
}

const noLosses = `{"topic":"","depth":%d,"bytes":%d,"inFlight":0,"spilled":0,"oldestAgeMs":0,"offered":%d,"written":%d,` +
	`"acked":0,"retries":0,"coalesced":0,"balanced":true}`

// An idle socket has no events lane: neither one that got only its answers, nor one
// that got more. What is shown of it is as if it had one.
func TestIdleSocketHoldsNoEventsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, topic("ticks", latest())))
		c := r.connect(0)
		s := c.join()
		wantJSON(t, r.eventsView(), 0, 0, 0, 0)
		c.do(func() {
			s.Send(event("connect"))
			_ = s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) { s.Send(event("subscribed")) })
		})
		if c.holdsEvents(s) {
			t.Error("an events lane is held after the answers to CONNECT and a subscribe")
		}
		wantJSON(t, r.eventsView(), 0, 0, 2, 2)
		for i := range 3 {
			if err := s.Emit(t.Context(), "e", delivery.Emission{Frame: event("e")}, false); err != nil {
				t.Fatal(err)
			}
			r.publish("ticks", fmt.Sprint(i))
		}
		if c.holdsEvents(s) {
			t.Error("an events lane is held after three events")
		}
		wantJSON(t, r.eventsView(), 0, 0, 5, 5)
		c.do(func() { c.window = 0; s.Send(event("waits")) })
		if !c.holdsEvents(s) {
			t.Error("no events lane while an event waits")
		}
		wantJSON(t, r.eventsView(), 1, event("waits").Len(), 6, 5)
		c.open(wide)
		wantJSON(t, r.eventsView(), 0, 0, 6, 6)
	})
}

func wantJSON(t *testing.T, got string, depth, bytes, offered, written int) {
	t.Helper()
	if want := fmt.Sprintf(noLosses, depth, bytes, offered, written); got != want {
		t.Errorf("the events lane is shown as\n%s, want\n%s", got, want)
	}
}

// Losses are remembered without the lane (promise P5), and put first who had them.
func TestEventLossesOutliveTheLane(t *testing.T) {
	o := options(1)
	o.Namespaces[0].Events.Overflow, o.Namespaces[0].Events.MaxMessages = base.RejectNew, 2
	r := newRig(t, o)
	r.connect(0).join()
	c := r.stalled(0)
	s := c.join()
	emit := func(n int) {
		for range n {
			if err := s.Emit(t.Context(), "e", delivery.Emission{Frame: event("e")}, false); err != nil {
				t.Fatal(err)
			}
		}
		r.settle()
	}
	emit(5)
	c.open(wide)
	if c.holdsEvents(s) {
		t.Fatal("an events lane is held with nothing in it")
	}
	found, err := r.Survey(t.Context(), survey.Query{Sort: survey.ByDrops, Limit: 1})
	if err != nil || len(found.Clients) != 1 {
		t.Fatalf("survey: %+v, %v", found, err)
	}
	if v := found.Clients[0]; v.ID != s.ID || v.Dropped != 3 || v.Lanes[0].Offered != 5 || v.Lanes[0].Written != 2 || !v.Lanes[0].Balanced {
		t.Errorf("the client with losses is shown as %+v", v)
	}
	c.open(0)
	emit(3)
	c.open(wide)
	found, _ = r.Survey(t.Context(), survey.Query{Sort: survey.ByDrops, Limit: 1})
	if v := found.Clients[0]; v.Drops["rejected"] != 4 || v.Lanes[0].Offered != 8 || v.Lanes[0].Written != 4 {
		t.Errorf("the client with losses is later shown as %+v", v)
	}
	if got := r.ns.EventTotals(); got.Offered != 8 || got.Written != 4 || got.Dropped[base.ReasonRejected] != 4 {
		t.Errorf("books of the namespace: %+v", got)
	}
}

// A burst larger than the lane, to a client that takes everything, is written in
// between; the lane changes hands meanwhile, and the order stays.
func TestEventBurstKeepsOrderWhileTheLaneRests(t *testing.T) {
	o := options(1)
	o.Namespaces[0].Events.MaxMessages = 4
	r := newRig(t, o)
	c := r.connect(0)
	s := c.join()
	release := r.block(c.shard)
	var want []string
	for i := range 50 {
		if err := s.Emit(t.Context(), "e", delivery.Emission{Frame: event("e", fmt.Sprint(i))}, false); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf(`2/feed,["e",%d]`, i))
	}
	release()
	wantTexts(t, c.texts(), want...)
	if got := c.wasCut(); len(got) != 0 || r.Unbalanced.Load() != 0 {
		t.Errorf("cut for %v, %d lanes do not add up", got, r.Unbalanced.Load())
	}
}

// An entry that is partly written keeps the lane, also when its socket is closed.
func TestPartlyWrittenEventKeepsTheLane(t *testing.T) {
	r := newRig(t, options(1))
	c := r.connect(0)
	s := c.join()
	c.do(func() {
		c.take = func(int) int { c.take = nil; return 5 }
		s.Send(event("a"))
	})
	if !c.holdsEvents(s) {
		t.Fatal("the lane was given away under a packet that is half written")
	}
	other := r.connect(0)
	os := other.join()
	c.do(func() { s.Close(base.CauseClientDisconnect, nil) })
	other.do(func() { os.Send(event("b")) })
	if !c.holdsEvents(s) {
		t.Fatal("the lane was given away when its socket was closed")
	}
	c.open(wide)
	wantTexts(t, c.texts(), `2/feed,["a"]`)
	wantTexts(t, other.texts(), `2/feed,["b"]`)
	c.do(func() {
		if s.EventsLane() || len(c.conn.Sockets()) != 0 {
			t.Error("the socket is still there when everything is written")
		}
	})
}

// Events one after another to many clients share one lane, and a wave's lanes are
// given back (promise P10).
func TestEventsLanesAreSharedAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 100
		r := newRig(t, options(1))
		var all []*client
		var sockets []*delivery.Socket
		for range clients {
			c := r.connect(0)
			all = append(all, c)
			sockets = append(sockets, c.join())
		}
		resting := func() (n int) {
			r.settle()
			r.on(r.Shards()[0], func() { n = r.Shards()[0].RestingLanes() })
			return n
		}
		for i, s := range sockets {
			all[i].do(func() { s.Send(event("a")) })
			r.settle()
		}
		if got := resting(); got != 1 {
			t.Errorf("%d events lanes for events one after another, want 1", got)
		}
		all[0].do(func() {
			for _, s := range sockets {
				s.Send(event("b"))
			}
		})
		if got := resting(); got != clients {
			t.Errorf("%d events lanes after as many events at the same time, want %d", got, clients)
		}
		time.Sleep(time.Minute)
		if got := resting(); got != 0 {
			t.Errorf("%d events lanes are kept for nobody", got)
		}
	})
}

// A steady flow of events through many sockets allocates their messages and nothing
// else.
func TestEventsLanesAllocateNothingInSteadyState(t *testing.T) {
	r := newRig(t, options(1))
	writes := new(int)
	sh := r.Shards()[0]
	sockets := make([]*delivery.Socket, 200)
	r.on(sh, func() {
		for i := range sockets {
			c := sh.Open(&sink{writes}, &sink{writes})
			sockets[i] = c.OpenSocket(r.ns, c.NewSocketID(), "", nil)
		}
	})
	f := event("a")
	flow := func(sockets []*delivery.Socket) float64 {
		return testing.AllocsPerRun(20, func() {
			r.on(sh, func() {
				for _, s := range sockets {
					s.Send(f)
				}
			})
			r.settle()
		})
	}
	one := flow(sockets[:1])
	if perPacket := (flow(sockets) - one) / float64(len(sockets)-1); perPacket > 1.1 {
		t.Errorf("%.2f allocations for each packet, want 1", perPacket)
	}
}
