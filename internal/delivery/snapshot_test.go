package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	account "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/kept"
	"github.com/streamweir/weir/internal/lane"
)

// tick is a payload whose number is its offset.
type tick struct {
	Key string `json:"k"`
	N   uint64 `json:"n"`
	Pad string `json:"x,omitempty"`
}

// keeping is a topic that keeps up to that many values.
func keeping(name string, o base.Overflow, messages, keys int) delivery.TopicSpec {
	spec := topic(name, lane.Policy{Overflow: o, MaxMessages: messages, MaxBytes: 1 << 20, Weight: 1})
	spec.Keep, spec.Snapshot = kept.Limits{Keys: keys, Bytes: 1 << 20}, true
	spec.Key = func(p []byte) string {
		var x tick
		_ = json.Unmarshal(p, &x)
		return x.Key
	}
	return spec
}

// history is what was published to a topic: the key of each offset, from 1.
type history struct {
	mu   sync.Mutex
	keys []string
}

func (h *history) publish(r *rig, topic, key, pad string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, key)
	b, _ := json.Marshal(tick{key, uint64(len(h.keys)), pad})
	r.publish(topic, string(b))
}

// newest is the offset of the newest value of each key as of an offset.
func (h *history) newest(as uint64) map[string]uint64 {
	m := make(map[string]uint64)
	for i, key := range h.keys[:as] {
		m[key] = uint64(i + 1)
	}
	return m
}

// reader is a client with its subscriptions.
type reader struct {
	*client
	socket *delivery.Socket
	subs   map[string]delivery.Subscription
}

func (r *rig) reader(shard int) *reader {
	c := r.connect(shard)
	return &reader{client: c, socket: c.join(), subs: make(map[string]delivery.Subscription)}
}

// ask subscribes with a snapshot.
func (c *reader) ask(topic string) delivery.Subscription {
	c.rig.t.Helper()
	var err error
	c.do(func() {
		err = c.socket.Subscribe(topic, delivery.SubscribeOptions{Snapshot: true}, func(s delivery.Subscription) { c.subs[topic] = s })
	})
	if err != nil {
		c.rig.t.Fatalf("subscribe to %s: %v", topic, err)
	}
	return c.subs[topic]
}

// drain lets the client take everything, so much at a time.
func (c *reader) drain(window int) {
	for left := 1; left > 0; c.rig.settle() {
		c.do(func() {
			c.window = window
			c.conn.Writable()
			left = c.conn.Depth()
		})
	}
}

// heardTick is a delivery as the client saw it.
type heardTick struct {
	tick
	snapshot bool
}

func (c *reader) heard(topic string) (list []heardTick) {
	c.rig.t.Helper()
	for _, p := range c.received() {
		if p.name() != topic {
			continue
		}
		var h heardTick
		if err := json.Unmarshal(p.args[1], &h.tick); err != nil {
			c.rig.t.Fatal(err)
		}
		if len(p.args) > 2 {
			var m struct{ Snapshot bool }
			_ = json.Unmarshal(p.args[2], &m)
			h.snapshot = m.Snapshot
		}
		list = append(list, h)
	}
	return list
}

// auditEvery holds a lane that drops nothing to the promise: the newest value as of the
// subscription, then every later one, each once and in order.
func auditEvery(t *testing.T, what string, h *history, from uint64, got []heardTick) {
	t.Helper()
	var want []heardTick
	for n := max(from, 1); n <= uint64(len(h.keys)); n++ {
		want = append(want, heardTick{tick{Key: h.keys[n-1], N: n}, n <= from})
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: subscribed after %d of %d and heard %d: %.300v", what, from, len(h.keys), len(got), got)
	}
}

// auditKeys holds COALESCE to it: values of the snapshot first, each the newest of its
// key at that moment; then newer ones of each key in order; in the end the newest of all.
func auditKeys(t *testing.T, what string, h *history, from uint64, got []heardTick) {
	t.Helper()
	then, last, live := h.newest(from), make(map[string]uint64), false
	for _, x := range got {
		switch {
		case x.snapshot && (live || then[x.Key] != x.N || last[x.Key] != 0):
			t.Errorf("%s: %v of the snapshot after %d, live %v, before it %d", what, x, then[x.Key], live, last[x.Key])
		case !x.snapshot && (x.N <= from || x.N <= last[x.Key]):
			t.Errorf("%s: %v after %d, subscribed after %d", what, x, last[x.Key], from)
		}
		live = live || !x.snapshot
		last[x.Key] = x.N
	}
	for key, n := range h.newest(uint64(len(h.keys))) {
		if last[key] != n {
			t.Errorf("%s: the last value of %q is %d, want %d", what, key, last[key], n)
		}
	}
}

// Random publications, subscriptions and readers of every speed against the model.
func TestSnapshotThenLiveMissesNothingAndRepeatsNothing(t *testing.T) {
	for seed := range uint64(12) {
		r := newRig(t, options(2, keeping("every", base.DropOldest, 4096, 1), keeping("strict", base.Disconnect, 4096, 1),
			keeping("keys", base.Coalesce, 64, 1000), keeping("latest", base.SnapshotOnly, 1, 1)))
		topics := map[string]*history{"every": {}, "strict": {}, "keys": {}, "latest": {}}
		if seed%2 == 0 {
			r.pace(1+int(seed)%5, 1+int(seed)%3)
		}
		var wg sync.WaitGroup
		for name, h := range topics {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(len(name))))
				for range 500 {
					h.publish(r, name, fmt.Sprint("k", rnd.IntN(60)), "")
				}
			})
		}
		readers := make([]*reader, 8)
		for i := range readers {
			rnd := rand.New(rand.NewPCG(seed, uint64(100+i)))
			c := r.reader(i % 2)
			kernel := rand.New(rand.NewPCG(seed, uint64(200+i)))
			c.do(func() { c.take = func(offered int) int { return kernel.IntN(offered + 1) } })
			readers[i] = c
			wg.Go(func() {
				for name := range topics { // in a random order
					for range rnd.IntN(4) {
						c.do(func() { c.window = rnd.IntN(3000); c.conn.Writable() })
					}
					c.ask(name)
				}
			})
		}
		wg.Wait()
		for i, c := range readers {
			c.do(func() { c.take = nil })
			c.drain(200 + 100*i)
			for name, h := range topics {
				what, from, got := fmt.Sprintf("seed %d, reader %d, %s", seed, i, name), c.subs[name].Offset, c.heard(name)
				switch name {
				case "keys":
					auditKeys(t, what, h, from, got)
				case "latest":
					auditLatest(t, what, h, from, got)
				default:
					auditEvery(t, what, h, from, got)
				}
			}
		}
		settledRig(t, r, readers)
	}
}

// auditLatest: newer and newer ones, the last of which is the newest.
func auditLatest(t *testing.T, what string, h *history, from uint64, got []heardTick) {
	t.Helper()
	var last uint64
	for _, x := range got {
		if x.N <= last || x.N < from || x.snapshot != (x.N == from) {
			t.Errorf("%s: %v after %d, subscribed after %d", what, x, last, from)
		}
		last = x.N
	}
	if last != uint64(len(h.keys)) {
		t.Errorf("%s: the last is %d of %d", what, last, len(h.keys))
	}
}

// settledRig ends a round: nothing is left of the readers, and the books balance.
func settledRig(t *testing.T, r *rig, readers []*reader) {
	t.Helper()
	for _, c := range readers {
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
	}
	held := r.account()
	var values int64
	for _, d := range r.ns.Topics() {
		k, b := d.Kept(), d.Totals()
		values += k.Bytes
		dropped := uint64(0)
		for _, n := range b.Dropped {
			dropped += n
		}
		if b.Offered != b.Written+b.Coalesced+dropped || b.Queued != 0 || b.Bytes != 0 || d.Subscribers() != 0 {
			t.Errorf("%s: %d subscribers, %+v", d.Spec.Name, d.Subscribers(), b)
		}
	}
	if n := r.Unbalanced.Load(); n != 0 || held != values || r.Accounts()[account.Kept] != values {
		t.Errorf("%d lanes unbalanced; %d bytes held, %d kept, %d in the account", n, held, values, r.Accounts()[account.Kept])
	}
}

// A snapshot of a thousand keys goes to a client whose lane holds eight, who takes a few
// hundred bytes at a time while every key moves on: nothing is dropped, and what waits
// for it stays within its lane.
func TestSnapshotOfManyKeysReachesASlowReaderWhole(t *testing.T) {
	r := newRig(t, options(1, keeping("keys", base.Coalesce, 8, 1000)))
	h := &history{}
	for k := range 1000 {
		h.publish(r, "keys", fmt.Sprint("k", k), "")
	}
	c, left := r.reader(0), 0
	c.do(func() {
		c.window = 0
		c.take = func(n int) int { n = min(n, left); left -= n; return n }
	})
	if sub := c.ask("keys"); sub.Values != 1000 || !sub.Complete || sub.Offset != 1000 {
		t.Fatalf("%+v", sub)
	}
	for i := range 1500 {
		h.publish(r, "keys", fmt.Sprint("k", i*7%1000), "")
		if i%10 > 0 {
			continue
		}
		c.do(func() { left = 300 })
		c.open(1000)
		c.do(func() {
			if n := c.conn.Depth(); n == 0 || n > 2*8 {
				t.Errorf("%d messages wait", n)
			}
		})
	}
	c.do(func() { c.take = nil })
	c.drain(300)
	auditKeys(t, "slow reader", h, 1000, c.heard("keys"))
	if b := r.totals("keys"); b.Dropped[base.ReasonOverflow] != 0 {
		t.Errorf("%d dropped", b.Dropped[base.ReasonOverflow])
	}
	h.publish(r, "keys", "k1", "")
	if got := c.heard("keys"); got[len(got)-1].N != 2501 || got[len(got)-1].snapshot {
		t.Errorf("live at last: %v", got[len(got)-1])
	}
	settledRig(t, r, []*reader{c})
}

// Who leaves, or unsubscribes, with its snapshot half read leaves nothing behind, and
// may ask again.
func TestSnapshotHalfReadLeavesNothing(t *testing.T) {
	r := newRig(t, options(1, keeping("keys", base.Coalesce, 8, 1000)))
	h := &history{}
	for k := range 100 {
		h.publish(r, "keys", fmt.Sprint("k", k), "")
	}
	left, stays := r.reader(0), r.reader(0)
	for _, c := range []*reader{left, stays} {
		c.do(func() { c.take = func(n int) int { return min(n, 250) } })
		c.ask("keys")
		r.settle()
		h.publish(r, "keys", "k5", "")
	}
	stays.do(func() { stays.socket.Unsubscribe("keys") })
	left.do(func() { left.conn.Close(base.CauseTransportClose) })
	stays.do(func() { stays.take = nil })
	stays.drain(wide)
	before := len(stays.heard("keys"))
	stays.ask("keys")
	stays.drain(wide)
	auditKeys(t, "asked again", h, 102, stays.heard("keys")[before:])
	settledRig(t, r, []*reader{left, stays})
}

// What is no value of the topic is not in its snapshot: directed messages, emits, what
// has expired, what is too large; and a value that another has replaced.
func TestSnapshotHasOnlyValuesOfTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		small := keeping("small", base.DropOldest, 64, 1)
		small.Keep.Bytes = 2000
		r := newRig(t, options(1, keeping("one", base.DropOldest, 64, 1), small, keeping("user:*", base.DropOldest, 64, 1), topic("none", latest())))
		other := r.reader(0)
		r.publish("one", `{"k":"","n":1}`)
		r.publishWith("one", delivery.Publication{Payload: []byte(`{"n":2}`), Target: delivery.Target{Socket: other.socket.ID}})
		if err := r.Emit(context.Background(), r.ns, "one", delivery.Emission{Frame: event("one", `{"n":3}`)}, delivery.Target{}); err != nil {
			t.Fatal(err)
		}
		c := r.reader(0)
		if sub := c.ask("one"); sub.Values != 1 || !sub.Complete {
			t.Errorf("%+v", sub)
		}
		if got := c.heard("one"); len(got) != 1 || got[0].N != 1 || !got[0].snapshot {
			t.Errorf("heard %v", got)
		}
		r.publish("small", `{"n":1}`)
		r.publish("small", fmt.Sprintf(`{"n":2,"x":"%02000d"}`, 0))
		if sub := c.ask("small"); sub.Values != 0 || sub.Complete {
			t.Errorf("too large: %+v", sub)
		}
		r.publishWith("user:1", delivery.Publication{Payload: []byte(`{"n":1}`), TTL: time.Second})
		time.Sleep(2 * time.Second)
		if sub := c.ask("user:1"); sub.Values != 0 || !sub.Complete {
			t.Errorf("expired: %+v", sub)
		}
		c.do(func() {
			if err := c.socket.Subscribe("none", delivery.SubscribeOptions{Snapshot: true}, nil); !errors.Is(err, delivery.ErrNothingKept) {
				t.Errorf("asked where nothing is kept: %v", err)
			}
		})
		r.publish("user:2", `{"n":1}`)
		if k := r.ns.Declared("user:2").Kept(); k.Values != 1 || k.Bytes == 0 {
			t.Errorf("%+v", k)
		}
		time.Sleep(5 * time.Minute)
		r.settle()
		r.ns.Sweep()
		if k := r.ns.Declared("user:2").Kept(); k.Values != 0 || k.Bytes != 0 {
			t.Errorf("kept of a topic that is forgotten: %+v", k)
		}
		r.Close()
	})
}

// A topic that does not declare it keeps its value from when it is first asked for, and
// says that it has not before; what nobody gets and nobody asks for is not even encoded.
func TestValueIsKeptFromTheFirstRequest(t *testing.T) {
	plain := keeping("plain", base.Coalesce, 64, 10)
	plain.Snapshot = false
	r := newRig(t, options(1, plain))
	h := &history{}
	first, second := r.reader(0), r.reader(0)
	first.join("plain")
	h.publish(r, "plain", "k1", "")
	if k := r.ns.Declared("plain").Kept(); k.Values != 0 {
		t.Errorf("kept though nobody asked: %+v", k)
	}
	if sub := first.ask("plain"); sub.Values != 0 || sub.Complete || sub.Offset != 1 {
		t.Errorf("the first: %+v", sub)
	}
	first.do(func() { first.socket.Unsubscribe("plain") })
	h.publish(r, "plain", "k2", "") // nobody gets it
	if sub := second.ask("plain"); sub.Values != 1 || sub.Complete || sub.Offset != 2 {
		t.Errorf("the second: %+v", sub)
	}
	if got := second.heard("plain"); len(got) != 1 || got[0].N != 2 || !got[0].snapshot {
		t.Errorf("heard %v", got)
	}
}

// Beyond its limits a topic keeps the newest, and says that it is not all; all topics
// together keep an eighth of the budget.
func TestKeptValuesStayWithinTheirLimits(t *testing.T) {
	o := options(1, keeping("keys", base.Coalesce, 64, 10), keeping("a*", base.Coalesce, 64, 1000))
	o.BudgetBytes = 1 << 20
	r := newRig(t, o)
	h := &history{}
	for k := range 30 {
		h.publish(r, "keys", fmt.Sprint("k", k), "")
	}
	c := r.reader(0)
	if sub := c.ask("keys"); sub.Values != 10 || sub.Complete {
		t.Errorf("%+v", sub)
	}
	if got := c.heard("keys"); len(got) != 10 || got[0].N != 21 || got[9].N != 30 {
		t.Errorf("heard %v", got)
	}
	for i := range 1000 {
		r.publish(fmt.Sprint("a", i), fmt.Sprintf(`{"k":"x","x":"%0500d"}`, i))
	}
	if held := r.Accounts()[account.Kept]; held > 1<<17 || held < 1<<16 {
		t.Errorf("%d bytes kept of a budget of 1 MiB", held)
	}
	if sub := c.ask("a999"); sub.Values != 0 || sub.Complete {
		t.Errorf("not kept: %+v", sub)
	}
	if e := r.ns.Declared("a1").Kept().Evicted; e == 0 {
		t.Error("nothing is counted as given way")
	}
}

// A value that the topic's limits take from a reader's snapshot is told and counted.
func TestValueTakenFromASnapshotIsCounted(t *testing.T) {
	r := newRig(t, options(1, keeping("keys", base.Coalesce, 8, 20)))
	h := &history{}
	for k := range 20 {
		h.publish(r, "keys", fmt.Sprint("k", k), "")
	}
	c := r.reader(0)
	c.do(func() { c.window = 0 })
	c.ask("keys")
	for k := range 5 {
		h.publish(r, "keys", fmt.Sprint("new", k), "")
	}
	c.drain(wide)
	if n := r.totals("keys").Dropped[base.ReasonOverflow]; n == 0 {
		t.Error("nothing is counted as dropped")
	}
	if got := c.heard("keys"); len(got) != 20 || got[19].Key != "new4" {
		t.Errorf("heard %v", got)
	}
}

// A reliable topic's snapshot is a reliable message.
func TestReliableSnapshotIsAcknowledgedLikeOthers(t *testing.T) {
	orders := keeping("orders", base.RejectNew, 64, 1)
	orders.Policy = certain()
	r := newRig(t, options(1, orders))
	r.publish("orders", `{"n":1}`)
	c := r.reader(0)
	c.ask("orders")
	r.publish("orders", `{"n":2}`)
	if got := c.heard("orders"); len(got) != 2 || !got[0].snapshot || got[1].snapshot {
		t.Fatalf("heard %v", got)
	}
	for _, p := range c.received() {
		if d := parseDelivery(&p); d.id != "" {
			c.do(func() { c.socket.Ack("orders", d.id) })
		}
	}
	if b := r.totals("orders"); b.Offered != 2 || b.Acked != 2 {
		t.Errorf("%+v", b)
	}
}

// Presence counts subscriptions, also of a pattern's topics by name.
func TestPresenceCountsSubscriptions(t *testing.T) {
	r := newRig(t, options(2, topic("user:*", latest()), topic("ticks", latest())))
	for i := range 4 {
		r.connect(i%2).join("ticks", fmt.Sprint("user:", i/3))
	}
	list := r.ns.Declared("user:0").Presence()
	slices.SortFunc(list, func(a, b delivery.Presence) int { return int(b.Subscribers - a.Subscribers) })
	if want := []delivery.Presence{{"user:0", 3}, {"user:1", 1}}; !slices.Equal(list, want) {
		t.Errorf("%v, want %v", list, want)
	}
	if a, b := r.ns.Declared("ticks").Subscribers(), r.ns.Declared("user:9").Subscribers(); a != 4 || b != 4 {
		t.Errorf("%d and %d subscribers", a, b)
	}
}
