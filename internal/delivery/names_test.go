package delivery_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
)

// churn subscribes to new names and unsubscribes again.
func (c *client) churn(s *delivery.Socket, from, names int) {
	c.do(func() {
		for i := range names {
			name := fmt.Sprintf("user:%d", from+i)
			if err := s.Subscribe(name, delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
				c.rig.t.Errorf("%s: %v", name, err)
				return
			}
			s.Unsubscribe(name)
		}
		c.wire, c.batches = nil, nil
	})
}

// Who makes up names and leaves them makes nothing grow (promise P1).
func TestTopicNobodyHasSentToGoesWithItsLastSubscriber(t *testing.T) {
	r := newRig(t, options(2, topic("user:*", latest())))
	c := r.connect(0)
	s := c.join()
	for i := range 20 {
		c.churn(s, i*1000, 1000)
	}
	if n := r.ns.Live(); n != 0 {
		t.Errorf("%d topics remembered", n)
	}
	r.account()
	if by := r.Accounts(); by[accounts.Topics] != 0 || by[accounts.Lanes] != 0 {
		t.Errorf("accounts: %v", by)
	}
}

// Names that were published to go by themselves, at the defaults, however many they are.
func TestManyUnusedTopicsAreForgottenByTheLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(2, topic("user:*", latest())))
		for i := range 20_000 {
			r.publish(fmt.Sprintf("user:%d", i), "1")
		}
		r.settle()
		if n := r.ns.Live(); n != 20_000 {
			t.Errorf("%d topics, want all: none has been idle for a minute", n)
		}
		if held := r.Accounts()[accounts.Topics]; held < 20_000*300 {
			t.Errorf("topics hold %d bytes", held)
		}
		time.Sleep(2 * time.Minute)
		if n := r.ns.Live(); n != 0 {
			t.Errorf("%d topics remembered after two minutes", n)
		}
		if held := r.Accounts()[accounts.Topics]; held != 0 {
			t.Errorf("topics hold %d bytes", held)
		}
	})
}

// A topic in use is not forgotten, and one that is published to stays as long as it is.
func TestTopicInUseIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, topic("user:*", latest())))
		first := r.publish("user:busy", "1")
		r.connect(0).join("user:1")
		for range 10 {
			time.Sleep(40 * time.Second)
			r.publish("user:busy", "1")
		}
		if again := r.publish("user:busy", "1"); again.Epoch != first.Epoch || again.Offset != 12 {
			t.Errorf("%+v, first %+v", again.Placed, first.Placed)
		}
		if n := r.ns.Live(); n != 2 {
			t.Errorf("%d topics, want 2", n)
		}
	})
}

// At the limit the idlest topic gives way; when all are in use a subscription, a
// publish and an emit are refused.
func TestTopicsOfPatternsAreLimited(t *testing.T) {
	o := options(1, topic("user:*", latest()))
	o.Namespaces[0].Names = 10
	r := newRig(t, o)
	for i := range 100 {
		r.publish(fmt.Sprint("user:idle", i), "1")
	}
	if n := r.ns.Live(); n != 10 {
		t.Errorf("%d topics, want 10", n)
	}
	c := r.connect(0)
	s := c.join()
	for i := range 10 {
		c.subscribe(s, fmt.Sprint("user:", i), delivery.SubscribeOptions{})
	}
	c.do(func() {
		err := s.Subscribe("user:more", delivery.SubscribeOptions{}, func(delivery.Subscription) {})
		if !errors.Is(err, delivery.ErrTooManyTopics) {
			t.Errorf("subscribe: %v", err)
		}
	})
	if _, err := r.Publish(t.Context(), r.ns, "user:more", &delivery.Publication{Payload: []byte("1")}, false); !errors.Is(err, delivery.ErrTooManyTopics) {
		t.Errorf("publish: %v", err)
	}
	if err := r.Emit(t.Context(), r.ns, "user:more", delivery.Emission{Frame: event("user:more", "1")}, delivery.Target{}); !errors.Is(err, delivery.ErrTooManyTopics) {
		t.Errorf("emit: %v", err)
	}
	c.do(func() { s.Unsubscribe("user:3") })
	r.publish("user:more", "1")
}

// A budget that is spent takes no new names and no new lanes.
func TestTopicsAreRefusedWhenTheBudgetIsSpent(t *testing.T) {
	r := newRig(t, tight(1, topic("user:*", latest()), topic("ticks", latest())))
	c := r.connect(0)
	s := c.join()
	r.Hold(accounts.Mailboxes, budget)
	c.do(func() {
		for _, name := range []string{"user:1", "ticks"} {
			err := s.Subscribe(name, delivery.SubscribeOptions{}, func(delivery.Subscription) {})
			if !errors.Is(err, delivery.ErrBudget) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	r.Hold(accounts.Mailboxes, -budget)
	c.subscribe(s, "user:1", delivery.SubscribeOptions{})
}

// Emits under ever new names make no more lanes than there is a limit to, and those
// that are empty go.
func TestLanesOfEmitsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, topic("price.*", latest())))
		reads, stalls := r.connect(0), r.stalled(0)
		for _, c := range []*client{reads, stalls} {
			s := c.join()
			for n := range 3000 {
				name := fmt.Sprintf("price.%d", n)
				if err := s.Emit(t.Context(), name, delivery.Emission{Frame: event(name, "1")}, false); err != nil {
					t.Fatal(err)
				}
			}
			r.settle()
			if n := r.lanesOf(c); n > delivery.MaxEmitLanes {
				t.Errorf("%d lanes", n)
			}
		}
		if n := len(reads.received()); n != 3000 {
			t.Errorf("%d events read, want all", n)
		}
		time.Sleep(time.Minute)
		if n := r.lanesOf(reads); n > 16 {
			t.Errorf("%d empty lanes are kept", n)
		}
		if n := r.lanesOf(stalls); n != delivery.MaxEmitLanes {
			t.Errorf("%d lanes of the stalled client, want %d: its newest events", n, delivery.MaxEmitLanes)
		}
	})
}

// lanesOf is how many topic lanes the sockets of a client have.
func (r *rig) lanesOf(c *client) (n int) {
	c.do(func() {
		for _, s := range c.conn.Sockets() {
			n += s.Lanes()
		}
	})
	return n
}

// Many subscriptions and many lanes of emits on one socket do not disturb each other.
func TestCrowdedSocketFindsItsLanes(t *testing.T) {
	r := newRig(t, options(1, topic("a.*", latest()), topic("b.*", latest())))
	c := r.connect(0)
	s := c.join()
	for i := range 100 {
		c.subscribe(s, fmt.Sprint("a.", i), delivery.SubscribeOptions{})
		r.emitTo(delivery.Target{}, fmt.Sprint("b.", i), "0")
	}
	c.subscribe(s, "b.7", delivery.SubscribeOptions{})
	r.settle()
	c.do(func() {
		c.wire, c.batches = nil, nil
		if n := s.Lanes(); n != 200 {
			t.Errorf("%d lanes, want 200", n)
		}
		for i := range 90 {
			if name := fmt.Sprint("a.", i); !s.Subscribed(name) || !s.Unsubscribe(name) || s.Subscribed(name) {
				t.Errorf("%s is not found", name)
			}
		}
		if s.Subscribed("b.8") || !s.Subscribed("b.7") {
			t.Error("a lane of emits is taken for a subscription, or the other way round")
		}
	})
	r.publish("a.95", "1")
	r.publish("b.7", "2")
	r.publish("b.8", "3")
	wantTexts(t, c.texts(), `2/feed,["a.95",1]`, `2/feed,["b.7",2]`)
}

// Where there is no memory, a new name costs others theirs in small numbers, not all at
// once on a loop; a subscription that would be refused anyway costs none.
func TestNewNamesForgetFewOthers(t *testing.T) {
	r := newRig(t, tight(1, topic("user:*", latest())))
	for i := range 500 {
		r.publish(fmt.Sprint("user:", i), "1")
	}
	c := r.connect(0)
	s := c.join()
	r.account()
	r.Hold(accounts.Mailboxes, budget)
	before := r.ns.Live()
	c.do(func() {
		if err := s.Subscribe("user:more", delivery.SubscribeOptions{}, func(delivery.Subscription) {}); !errors.Is(err, delivery.ErrBudget) {
			t.Errorf("subscribe: %v", err)
		}
	})
	if n := r.ns.Live(); n != before {
		t.Errorf("%d names of %d are left after a refused subscription", n, before)
	}
	if _, err := r.ns.Topic("user:more"); !errors.Is(err, delivery.ErrBudget) {
		t.Errorf("a new name: %v", err)
	}
	if n := r.ns.Live(); before-n > 128 {
		t.Errorf("%d names of %d are left", n, before)
	}
	r.Hold(accounts.Mailboxes, -budget)
}

// Whoever lists the topics meanwhile sees those that stay, each once.
func TestPresenceWhileTopicsComeAndGo(t *testing.T) {
	r := newRig(t, options(1, topic("user:*", latest())))
	c := r.connect(0)
	s := c.join()
	const stay = 2000
	c.do(func() {
		for i := range stay {
			_ = s.Subscribe(fmt.Sprint("user:", i), delivery.SubscribeOptions{}, func(delivery.Subscription) {})
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3000 {
			name := fmt.Sprint("user:other", i)
			c.do(func() {
				_ = s.Subscribe(name, delivery.SubscribeOptions{}, func(delivery.Subscription) {})
				if i%3 > 0 {
					s.Unsubscribe(name)
				}
			})
		}
	}()
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		seen := make(map[string]int)
		for _, p := range r.ns.Declared("user:0").Presence() {
			seen[p.Topic]++
		}
		for i := range stay {
			if n := seen[fmt.Sprint("user:", i)]; n != 1 {
				t.Fatalf("user:%d is listed %d times", i, n)
			}
		}
	}
}
