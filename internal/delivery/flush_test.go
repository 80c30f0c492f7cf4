package delivery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/wire/ws"
)

// fill is a JSON string that makes a payload of n bytes.
func fill(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }

// ping is what Control hands out.
func ping() []byte { return ws.AppendFrame(nil, ws.Ping, nil) }

func TestFlushWritesWhatWasPublishedInOrder(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.connect(0)
	c.join("ticks")
	for i := range 3 {
		r.publish("ticks", fmt.Sprint(i))
	}
	wantTexts(t, c.texts(), `2/feed,["ticks",0]`, `2/feed,["ticks",1]`, `2/feed,["ticks",2]`)
}

func TestFlushBatchesWhatWaits(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.stalled(0)
	c.join("ticks")
	for i := range 10 {
		r.publish("ticks", fmt.Sprint(i))
	}
	c.open(wide)
	if got := len(c.received()); got != 10 {
		t.Fatalf("%d messages, want 10", got)
	}
	if len(c.batches) != 1 {
		t.Errorf("%d writes for what fits into one", len(c.batches))
	}
}

// A batch is what the window takes, or one entry (architecture.md D1).
func TestFlushOffersTheWindowOrOneEntry(t *testing.T) {
	for _, window := range []int{1, 100, 1000, 8 << 10, wide, 48 << 10} {
		r := newRig(t, options(1, topic("ticks", latest())))
		c := r.stalled(0)
		c.join("ticks")
		for i := range 40 {
			r.publish("ticks", fill(10+i*i*25%40_000))
		}
		c.open(window)
		if got := len(c.received()); got < 2 {
			t.Fatalf("window %d: %d messages", window, got)
		}
		for _, b := range c.batches {
			if packets, _ := decode(t, c.wire[b.at:b.at+b.offered]); b.offered > window && len(packets) > 1 {
				t.Errorf("window %d: a batch of %d bytes with %d packets", window, b.offered, len(packets))
			}
		}
	}
}

func TestFlushFinishesAPacketBeforeAnyOther(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.connect(0)
	c.take = func(int) int { return 7 }
	s := c.join("ticks")
	r.publishWith("ticks", delivery.Publication{Payload: []byte("binary payload"), Binary: true})
	r.settle()
	c.do(func() { c.control = ping(); s.Send(event("hello")) })
	for range 40 {
		c.open(wide)
	}
	got := c.received()
	if len(got) != 3 || string(got[0].attachments[0]) != "binary payload" {
		t.Fatalf("client read %d packets: %q", len(got), c.texts())
	}
}

// Heartbeats go out however much waits: a client that gets none believes the
// server dead (architecture.md D1).
func TestFlushControlIsNotHeldUpByABacklog(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.stalled(0)
	c.take = func(offered int) int { return offered - 10 } // every batch ends inside a packet
	c.join("ticks")
	for range 60 {
		r.publish("ticks", fill(1000))
	}
	c.open(2500)
	c.do(func() { c.control = ping() })
	for range 5 {
		c.open(2500)
	}
	c.do(func() {
		if c.control != nil {
			t.Error("five batches were written, and no control frame")
		}
	})
	c.do(func() { c.take = nil })
	for c.rig.readable(c) {
		c.open(2500)
	}
	if n := len(c.texts()); n != 61 {
		t.Errorf("client read %d texts, want 60 ticks and a ping", n)
	}
}

// readable reports whether there is something left for c.
func (r *rig) readable(c *client) (more bool) {
	c.do(func() { more = c.conn.Depth() > 0 })
	return more
}

// What is partly written is finished even if its subscription has ended: nothing
// else would be legible.
func TestFlushFinishesAPacketWhoseLaneIsGone(t *testing.T) {
	for _, p := range map[string]delivery.TopicSpec{"best effort": topic("ticks", latest()), "reliable": topic("ticks", certain())} {
		r := newRig(t, options(1, p))
		c := r.connect(0)
		c.take = func(int) int { return 7 }
		s := c.join("ticks")
		r.publish("ticks", `"a"`)
		r.publish("ticks", `"b"`)
		r.settle()
		c.do(func() { c.take = nil; s.Unsubscribe("ticks"); s.Send(event("unsubscribed")) })
		c.open(wide)
		got := c.received()
		if len(got) != 2 || got[0].name() != "ticks" || string(got[0].args[1]) != `"a"` || got[1].name() != "unsubscribed" {
			t.Errorf("%v: client read %q", p.Policy.Mode, c.texts())
		}
		if r.Unbalanced.Load() != 0 {
			t.Error("books do not add up")
		}
	}
}

func TestFlushAfterAFailedWriteKeepsTheBooks(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest()), topic("orders", certain())))
	c := r.connect(0)
	c.fault = errors.New("connection reset")
	c.join("ticks", "orders")
	for i := range 5 {
		r.publish("ticks", fmt.Sprint(i))
		r.publish("orders", fmt.Sprint(i))
	}
	r.settle()
	c.do(func() { c.conn.Close(base.CauseTransportError) })
	for _, name := range []string{"ticks", "orders"} {
		if got := r.totals(name); got.Offered != 5 || got.Written != 0 || got.Dropped[base.ReasonDisconnect] != 5 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if held := r.account(); held != 0 || r.Unbalanced.Load() != 0 {
		t.Errorf("%d bytes held, %d lanes unbalanced", held, r.Unbalanced.Load())
	}
}

// The subscribe answer comes before the first delivery, and after the unsubscribe
// answer comes none, whatever the turn was at.
func TestSubscribeAnswerPrecedesDeliveries(t *testing.T) {
	for _, p := range []delivery.TopicSpec{topic("ticks", latest()), topic("ticks", certain())} {
		for before := range 7 { // entries written before move the turn
			r := newRig(t, options(1, p))
			c := r.connect(0)
			s := c.join()
			for range before {
				c.do(func() { s.Send(event("before")) })
				r.settle()
			}
			c.do(func() { c.window = 0 })
			c.do(func() {
				err := s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) { s.Send(event("answer")) })
				if err != nil {
					t.Error(err)
				}
			})
			r.publish("ticks", "1")
			r.settle()
			c.open(wide)
			got := c.received()[before:]
			if len(got) != 2 || got[0].name() != "answer" {
				t.Errorf("%v, after %d events: first read %q", p.Policy.Mode, before, got[0].text)
			}
		}
	}
}

func TestSubscribeAnswerPrecedesDeliveriesBehindABacklog(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.stalled(0)
	s := c.join()
	c.do(func() {
		for range 20 {
			s.Send(event("before"))
		}
		if err := s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) { s.Send(event("answer")) }); err != nil {
			t.Error(err)
		}
	})
	r.publish("ticks", "1")
	r.settle()
	c.open(wide)
	for _, p := range c.received() {
		switch p.name() {
		case "answer":
			return
		case "ticks":
			t.Fatal("a delivery was written before the answer")
		}
	}
}

// Events that are refused while the answer waits do not count as written before it.
func TestSubscribeAnswerPrecedesDeliveriesWhateverIsRefused(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.stalled(0)
	s := c.join()
	c.do(func() {
		for range 5 {
			s.Send(event("before"))
		}
		if err := s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) { s.Send(event("answer")) }); err != nil {
			t.Error(err)
		}
	})
	r.publish("ticks", "1")
	for range 10 {
		if err := s.Emit(t.Context(), "now", delivery.Emission{Frame: event("now")}, true); err != nil {
			t.Fatal(err)
		}
	}
	r.settle()
	length := len(event("before").Wire())
	c.do(func() { c.take = func(int) int { return length } }) // one packet at a time
	for range 10 {
		c.open(wide)
	}
	for _, p := range c.received() {
		switch p.name() {
		case "answer":
			return
		case "ticks":
			t.Fatal("a delivery was written before the answer")
		}
	}
}

func TestUnsubscribeEndsDeliveries(t *testing.T) {
	for _, p := range []delivery.TopicSpec{topic("ticks", latest()), topic("ticks", certain())} {
		r := newRig(t, options(1, p))
		c := r.stalled(0)
		s := c.join("ticks")
		r.publish("ticks", "1")
		r.publish("ticks", "2")
		r.settle()
		c.do(func() {
			if !s.Unsubscribe("ticks") || s.Subscribed("ticks") {
				t.Error("unsubscribe found no subscription")
			}
			s.Send(event("answer"))
		})
		c.open(wide)
		wantTexts(t, c.texts(), `2/feed,["answer"]`)
		if got := r.totals("ticks").Dropped[base.ReasonUnsubscribe]; got != 2 {
			t.Errorf("%d booked as unsubscribe, want 2", got)
		}
	}
}

// Nothing of a namespace follows its DISCONNECT.
func TestDisconnectIsTheLastPacket(t *testing.T) {
	for before := range 7 {
		r := newRig(t, options(1, topic("orders", certain()), topic("ticks", latest())))
		c := r.connect(0)
		s := c.join("orders")
		c.subscribe(s, "ticks", delivery.SubscribeOptions{Tell: true})
		for range before {
			c.do(func() { s.Send(event("before")) })
			r.settle()
		}
		c.do(func() { c.window = 0 })
		r.publish("orders", "1")
		r.publish("ticks", "1")
		r.settle()
		c.do(func() { s.Close(base.CauseServerDisconnect, disconnectFrame("/feed")) })
		c.open(wide)
		wantTexts(t, c.texts()[before:], "1/feed,")
	}
}

func TestSocketsOfOneConnectionShareIt(t *testing.T) {
	o := options(1, topic("ticks", latest()))
	o.Namespaces = append(o.Namespaces, delivery.NamespaceSpec{Path: "/other", Events: eventsPolicy()})
	r := newRig(t, o)
	c := r.connect(0)
	s := c.join("ticks")
	var other *delivery.Socket
	c.do(func() { other = c.conn.OpenSocket(r.Namespace("/other"), c.conn.NewSocketID(), "", c) })
	c.do(func() { s.Close(base.CauseServerDisconnect, disconnectFrame("/feed")) })
	r.publish("ticks", "1")
	c.do(func() { other.Send(event("still here")) })
	wantTexts(t, c.texts(), "1/feed,", `2/feed,["still here"]`)
	if len(c.gone) != 1 || c.gone[0] != base.CauseServerDisconnect {
		t.Errorf("sockets gone: %v", c.gone)
	}
}
