package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/op"
)

// emitTo sends a plain event under a name to all sockets.
func (r *rig) emitTo(to delivery.Target, name string, args ...string) {
	r.t.Helper()
	if err := r.Emit(context.Background(), r.ns, name, delivery.Emission{Frame: event(name, args...)}, to); err != nil {
		r.t.Fatalf("emit %s: %v", name, err)
	}
	r.settle()
}

func TestSubscriptionBeginsAfterItsOffset(t *testing.T) {
	r := newRig(t, options(2, topic("ticks", latest())))
	early, late := r.connect(0), r.connect(1)
	early.join("ticks")
	var last *delivery.Pending
	for i := range 5 {
		last = r.publish("ticks", fmt.Sprint(i))
	}
	s := late.join()
	late.do(func() {
		err := s.Subscribe("ticks", delivery.SubscribeOptions{}, func(at delivery.Subscription) {
			if at.Offset != last.Offset || at.Epoch != last.Epoch {
				t.Errorf("subscription at %+v, last published %+v", at, last.Placed)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	r.publish("ticks", "5")
	wantTexts(t, late.texts(), `2/feed,["ticks",5]`)
	if got := len(early.received()); got != 6 {
		t.Errorf("%d messages, want 6", got)
	}
}

func TestSubscribingTwiceIsHarmless(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.connect(0)
	s := c.join("ticks", "ticks")
	r.publish("ticks", "1")
	wantTexts(t, c.texts(), `2/feed,["ticks",1]`)
	c.do(func() {
		if !s.Unsubscribe("ticks") || s.Unsubscribe("ticks") {
			t.Error("one unsubscribe ends what two subscribes began")
		}
	})
	if got := c.shard.Stats().Subscriptions; got != 0 {
		t.Errorf("%d subscriptions", got)
	}
}

func TestUnknownTopicsAreRefused(t *testing.T) {
	r := newRig(t, options(1, topic("price*", latest()), topic("price.us*", certain())))
	c := r.connect(0)
	s := c.join("price.eu")
	c.do(func() {
		err := s.Subscribe("other", delivery.SubscribeOptions{}, func(delivery.Subscription) { t.Error("answered") })
		if !errors.Is(err, delivery.ErrUnknownTopic) {
			t.Errorf("subscribe: %v", err)
		}
	})
	if _, err := r.Publish(t.Context(), r.ns, "other", &delivery.Publication{Payload: []byte("1")}, false); !errors.Is(err, delivery.ErrUnknownTopic) {
		t.Errorf("publish: %v", err)
	}
	if d := r.ns.Declared("price.us.x"); d == nil || d.Spec.Name != "price.us*" {
		t.Errorf("the longest prefix wins, not %v", d)
	}
}

// An emit under a topic's name takes its lane, subscribed or not (D1). The shape
// and the notices of a later subscription are its own all the same.
func TestSubscriptionAfterAnEmitHasItsOwnShape(t *testing.T) {
	p := latest()
	p.MaxMessages = 1
	r := newRig(t, options(1, topic("ticks", p)))
	c := r.connect(0)
	s := c.join()
	r.emitTo(delivery.Target{}, "ticks", "0")
	c.subscribe(s, "ticks", delivery.SubscribeOptions{Shape: base.ShapeEnvelope, Tell: true})
	c.do(func() { c.window = 0 })
	r.publish("ticks", "1")
	r.publish("ticks", "2")
	r.settle()
	c.open(wide)
	got := c.texts()
	if len(got) != 3 || !strings.Contains(got[1], "weir:lost") || !strings.Contains(got[2], `"payload":2`) {
		t.Errorf("client read %q, want a notice and an envelope", got[1:])
	}
}

func TestEmitsDoNotRaiseTheLimitOfSubscriptions(t *testing.T) {
	o := options(1, topic("a", latest()), topic("b", latest()))
	o.Namespaces[0].Subscriptions = 1
	r := newRig(t, o)
	c := r.connect(0)
	s := c.join("a")
	r.emitTo(delivery.Target{}, "b")
	c.do(func() {
		err := s.Subscribe("b", delivery.SubscribeOptions{}, func(delivery.Subscription) {})
		if !errors.Is(err, delivery.ErrTooManySubscriptions) {
			t.Errorf("the second subscription of one allowed: %v", err)
		}
		if err := s.Subscribe("a", delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
			t.Errorf("the first one again: %v", err)
		}
	})
}

// Topics of patterns are forgotten when nobody has used them for a while, and
// come back with another epoch; declared names stay.
func TestUnusedTopicsOfPatternsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, topic("user:*", latest()), topic("ticks", latest())))
		c := r.connect(0)
		s := c.join("user:1")
		r.publish("ticks", "1")
		first := r.publish("user:2", "1")
		time.Sleep(5 * time.Minute)
		if got := r.ns.Live(); got != 2 {
			t.Errorf("%d topics remembered, want the subscribed and the declared one", got)
		}
		again := r.publish("user:2", "1")
		if again.Epoch == first.Epoch || again.Offset != 1 {
			t.Errorf("after it was forgotten: %+v, before: %+v", again.Placed, first.Placed)
		}
		c.do(func() { s.Unsubscribe("user:1") })
		time.Sleep(5 * time.Minute)
		if got := r.ns.Live(); got != 1 {
			t.Errorf("%d topics remembered, want the declared one", got)
		}
	})
}

// A socket reached by emits keeps a lane of a topic that is forgotten meanwhile.
func TestSubscriptionOutlivesAForgottenTopicOfAnEmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, topic("user:*", latest())))
		c := r.connect(0)
		s := c.join()
		r.emitTo(delivery.Target{}, "user:1", "0")
		time.Sleep(5 * time.Minute)
		c.subscribe(s, "user:1", delivery.SubscribeOptions{})
		c.do(func() {
			if !s.Subscribed("user:1") {
				t.Error("subscribed, and it says not")
			}
		})
		r.publish("user:1", "1")
		r.settle()
		c.do(func() {
			if !s.Unsubscribe("user:1") {
				t.Error("the subscription cannot be ended")
			}
		})
		r.publish("user:1", "2")
		wantTexts(t, c.texts(), `2/feed,["user:1",0]`, `2/feed,["user:1",1]`)
	})
}

// Sweeping never loses a subscriber who comes at that moment.
func TestSweepLosesNoConcurrentSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(2, topic("user:*", latest())))
		for round := range 50 {
			name := fmt.Sprint("user:", round)
			r.publish(name, "0")
			time.Sleep(2 * time.Minute)
			r.publish("user:other", "0") // not swept by now
			c := r.connect(round % 2)
			s := c.join()
			swept := make(chan struct{})
			go func() { defer close(swept); r.ns.Sweep() }()
			c.subscribe(s, name, delivery.SubscribeOptions{})
			r.publish(name, "1")
			<-swept
			r.publish(name, "2")
			wantTexts(t, c.texts(), fmt.Sprintf("2/feed,[%q,1]", name), fmt.Sprintf("2/feed,[%q,2]", name))
		}
	})
}

// recipients is what a row of the table below sends to whom.
type recipients struct {
	to   delivery.Target
	want string // names of the sockets that get it
}

// crowd is a hub with sockets a to d: a and b are alice's, c and d bob's; a and c
// are in room red, b and c in blue. All but d subscribe.
func crowd(t *testing.T) (*rig, map[string]*client, map[string]*delivery.Socket) {
	r := newRig(t, options(2, topic("ticks", latest())))
	clients, sockets := make(map[string]*client), make(map[string]*delivery.Socket)
	for i, name := range []string{"a", "b", "c", "d"} {
		c := r.connect(i % 2)
		c.do(func() {
			s := c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), []string{"alice", "bob"}[i/2], c)
			if name == "a" || name == "c" {
				_ = s.Join("red")
			}
			if name == "b" || name == "c" {
				_ = s.Join("blue")
			}
			sockets[name] = s
		})
		if clients[name] = c; name != "d" {
			c.subscribe(sockets[name], "ticks", delivery.SubscribeOptions{})
		}
	}
	return r, clients, sockets
}

func TestEmitReachesWhomItsTargetMeans(t *testing.T) {
	r, clients, sockets := crowd(t)
	for i, row := range []recipients{
		{delivery.Target{}, "abcd"},
		{delivery.Target{Rooms: []string{"red"}}, "ac"},
		{delivery.Target{Rooms: []string{"red", "blue", "red"}}, "abc"},
		{delivery.Target{Rooms: []string{"red"}, Except: []string{"blue"}}, "a"},
		{delivery.Target{Except: []string{"blue", sockets["d"].ID}}, "a"},
		{delivery.Target{Rooms: []string{"blue", sockets["a"].ID}}, "abc"},
		{delivery.Target{Rooms: []string{"none"}}, ""},
		{delivery.Target{Socket: sockets["d"].ID}, "d"},
		{delivery.Target{Socket: "AAnobody"}, ""},
		{delivery.Target{Principal: "bob"}, "cd"},
		{delivery.Target{Principal: "bob", Except: []string{"red"}}, "d"},
		{delivery.Target{Principal: "carol"}, ""},
	} {
		name := fmt.Sprint("e", i)
		r.emitTo(row.to, name)
		row.check(t, clients, name)
	}
}

func TestPublishReachesSubscribersItsTargetMeans(t *testing.T) {
	r, clients, sockets := crowd(t)
	for i, row := range []recipients{
		{delivery.Target{}, "abc"},
		{delivery.Target{Rooms: []string{"red"}}, "ac"},
		{delivery.Target{Except: []string{"red"}}, "b"},
		{delivery.Target{Rooms: []string{"red", "blue"}, Except: []string{sockets["c"].ID}}, "ab"},
		{delivery.Target{Socket: sockets["b"].ID}, "b"},
		{delivery.Target{Socket: sockets["d"].ID}, ""},
		{delivery.Target{Principal: "bob"}, "c"},
		{delivery.Target{Principal: "bob", Except: []string{"blue"}}, ""},
	} {
		payload := fmt.Sprintf(`"p%d"`, i)
		got := r.publishWith("ticks", delivery.Publication{Payload: []byte(payload), Target: row.to}).Receipt(t.Context())
		if got.Subscribers != len(row.want) || got.Queued != len(row.want) || !got.Complete {
			t.Errorf("%+v: receipt %+v, want %d subscribers", row.to, got, len(row.want))
		}
		row.check(t, clients, payload)
	}
}

func (x recipients) check(t *testing.T, clients map[string]*client, mark string) {
	t.Helper()
	var got strings.Builder
	for _, name := range []string{"a", "b", "c", "d"} {
		if texts := clients[name].texts(); len(texts) > 0 && strings.Contains(texts[len(texts)-1], mark) {
			got.WriteString(name)
		}
	}
	if got.String() != x.want {
		t.Errorf("%+v reached %q, want %q", x.to, &got, x.want)
	}
}

func TestRoomsAreLimited(t *testing.T) {
	o := options(1)
	o.Namespaces[0].Rooms = 2
	r := newRig(t, o)
	c := r.connect(0)
	s := c.join()
	c.do(func() {
		if err := s.Join("a", "b", "a", s.ID); err != nil {
			t.Errorf("two rooms: %v", err)
		}
		if err := s.Join("c"); !errors.Is(err, delivery.ErrTooManyRooms) {
			t.Errorf("a third: %v", err)
		}
		s.Leave("a")
		if err := s.Join("c"); err != nil || len(s.Rooms()) != 3 || s.Rooms()[0] != s.ID {
			t.Errorf("after leaving one: %v, in %q", err, s.Rooms())
		}
	})
}

func TestDisconnectClosesWhomItMeans(t *testing.T) {
	r, clients, _ := crowd(t)
	out, err := r.Do(t.Context(), &op.Op{
		Kind: op.Disconnect, Namespace: "/feed", Target: delivery.Target{Rooms: []string{"red", "blue"}}, Cause: base.CauseServerDisconnect,
	})
	if err != nil || out.Done != 3 || out.Partial {
		t.Fatalf("%+v, %v", out, err)
	}
	for name, c := range clients {
		var gone int
		if c.do(func() { gone = len(c.gone) }); (gone == 1) != (name != "d") {
			t.Errorf("%s is gone %d times", name, gone)
		}
	}
}

// Clients that know nothing of topics are protected too (architecture.md D1): an emit under
// a COALESCE topic's name finds its key as a publication does.
func TestEmitUnderACoalescingTopicHasItsKey(t *testing.T) {
	spec := topic("quotes", lane.Policy{Overflow: base.Coalesce, MaxMessages: 16, MaxBytes: 1 << 20, Weight: 1})
	spec.Key = func(payload []byte) string { return string(payload[:1]) }
	r := newRig(t, options(1, spec))
	c := r.stalled(0)
	c.join()
	for _, value := range []string{"A1", "B1", "A2"} {
		e := delivery.Emission{Frame: event("quotes", value), First: []byte(value)}
		if err := r.Emit(context.Background(), r.ns, "quotes", e, delivery.Target{}); err != nil {
			t.Fatal(err)
		}
	}
	r.settle()
	if got := r.totals("quotes"); got.Coalesced != 1 || got.Queued != 2 {
		t.Errorf("totals %+v, want one of three coalesced", got)
	}
}
