package delivery_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/cursor"
	"github.com/streamweir/weir/internal/delivery"
)

// lost and found: the cursors that subscriptions have left.
type cursors struct {
	mu   sync.Mutex
	left []delivery.Left
}

func (c *cursors) keep(l delivery.Left) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = append(c.left, l)
}

// take returns the cursor left last, which was for that reason.
func (c *cursors) take(t *testing.T, reason base.Reason) cursor.Cursor {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.left) == 0 {
		t.Fatal("no cursor was left")
	}
	l := c.left[len(c.left)-1]
	if l.Reason != reason || l.Cursor.Topic == "" || l.Cursor.Epoch == "" {
		t.Errorf("left %+v", l)
	}
	return l.Cursor
}

// wantDone checks which of the offsets up to the highest are done.
func wantDone(t *testing.T, what string, c *cursor.Cursor, highest uint64, open ...uint64) {
	t.Helper()
	for o := uint64(1); o <= highest; o++ {
		if c.Has(o) == slices.Contains(open, o) {
			t.Errorf("%s: offset %d is done: %v; %+v", what, o, c.Has(o), *c)
		}
	}
	if c.Has(highest + 1) {
		t.Errorf("%s: %d is done: %+v", what, highest+1, *c)
	}
}

// A subscription leaves a cursor however it ends: messages in flight and those that wait are not done, acknowledged ones
// are, in whatever order; what was for others does not matter.
func TestSubscriptionLeavesACursor(t *testing.T) {
	for _, row := range []struct {
		name   string
		end    func(*client, *delivery.Socket)
		reason base.Reason
	}{
		{"unsubscribe", func(_ *client, s *delivery.Socket) { s.Unsubscribe("sure") }, base.ReasonUnsubscribe},
		{"leave", func(_ *client, s *delivery.Socket) { s.Close(base.CauseClientDisconnect, nil) }, base.ReasonDisconnect},
		{"disconnect", func(c *client, _ *delivery.Socket) { c.conn.Close(base.CauseTransportClose) }, base.ReasonDisconnect},
	} {
		kept := &cursors{}
		o := options(1, topic("sure", certain())) // a window of 8
		o.OnLeft = kept.keep
		r := newRig(t, o)
		before := r.connect(0)
		before.join("sure")
		for range 3 {
			r.publish("sure", `"before"`)
		}
		c := r.connect(0)
		s := c.join("sure")
		ids := make(map[uint64]string)
		for n := range 12 {
			p := delivery.Publication{Payload: fmt.Append(nil, n)}
			if n == 1 {
				p.Target.Socket = s.ID
			}
			sent := r.publishWith("sure", p)
			ids[sent.Offset] = sent.MessageID
		}
		r.publishWith("sure", delivery.Publication{Payload: []byte("1"), Target: delivery.Target{Principal: "nobody"}})
		r.settle() // 4 to 11 are in flight, 12 to 15 wait, 16 is for nobody
		c.do(func() {
			for _, o := range []uint64{9, 4, 6, 7} {
				if !s.Ack("sure", ids[o]) {
					t.Errorf("offset %d is not in flight", o)
				}
			}
			row.end(c, s)
		})
		got := kept.take(t, row.reason)
		wantDone(t, row.name, &got, 4, 5)
		wantDone(t, row.name, &got, 9, 5, 8)
		if got.Top() != 9 || got.Floor != 4 {
			t.Errorf("%s: %+v", row.name, got)
		}
		if n := len(kept.left); n != 1 {
			t.Errorf("%s: %d cursors left", row.name, n)
		}
		before.do(func() { before.conn.Close(base.CauseTransportClose) })
		was := kept.take(t, base.ReasonDisconnect) // it has acknowledged nothing, and 5 was for another
		wantDone(t, row.name+", who was there before", &was, 5, 1, 2, 3, 4)
	}
}

// Best effort, what was written is done, and what waits is not.
func TestBestEffortLeavesACursorToo(t *testing.T) {
	kept := &cursors{}
	o := options(1, topic("ticks", latest()))
	o.OnLeft = kept.keep
	r := newRig(t, o)
	c := r.connect(0)
	s := c.join("ticks")
	r.publish("ticks", "1")
	r.publish("ticks", "2")
	r.settle()
	c.do(func() { c.window = 0 })
	r.publish("ticks", "3")
	r.publish("ticks", "4")
	r.settle()
	c.do(func() { s.Unsubscribe("ticks") })
	if got := kept.take(t, base.ReasonUnsubscribe); got.Floor != 2 || got.Top() != 2 {
		t.Errorf("%+v", got)
	}
}

// A lane that begins at a cursor skips what it says is done, once this node comes to it, and leaves a cursor that says it
// still. A cursor of another epoch or topic says nothing.
func TestSubscriptionBeginsAtACursor(t *testing.T) {
	kept := &cursors{}
	o := options(1, topic("sure", certain()), topic("other", certain()))
	o.OnLeft = kept.keep
	r := newRig(t, o)
	first := r.publish("sure", "1")
	start := cursor.At("sure", first.Epoch, 7, []uint64{4, 6}) // another node has given it 7 already
	c := r.connect(0)
	s := c.join()
	at := c.resume(s, "sure", start)
	if !at.Resumed || at.Behind || at.Offset != 1 {
		t.Errorf("subscribed at %+v", at)
	}
	for n := 2; n <= 5; n++ {
		r.publish("sure", fmt.Sprint(n))
	}
	if got := sequence(c, "sure"); !slices.Equal(got, []string{"4"}) {
		t.Errorf("read %q", got)
	}
	c.do(func() { s.Unsubscribe("sure") })
	half := kept.take(t, base.ReasonUnsubscribe)
	wantDone(t, "ended half-way", &half, 7, 4, 6)

	c.resume(s, "sure", half)
	for n := 6; n <= 9; n++ {
		r.publish("sure", fmt.Sprint(n))
	}
	if got := sequence(c, "sure"); !slices.Equal(got, []string{"4", "6", "8", "9"}) {
		t.Errorf("read %q", got)
	}
	c.do(func() { s.Unsubscribe("sure") })
	past := kept.take(t, base.ReasonUnsubscribe)
	wantDone(t, "ended behind it", &past, 7, 4, 6)

	ahead := cursor.At("sure", first.Epoch, 12, []uint64{11})
	c.resume(s, "sure", ahead)
	for n := 10; n <= 13; n++ {
		r.publish("sure", fmt.Sprint(n))
	}
	if got := sequence(c, "sure"); !slices.Equal(got, []string{"4", "6", "8", "9", "11", "13"}) {
		t.Errorf("read %q", got)
	}
	c.do(func() {
		if n := s.Began(); n != 0 {
			t.Errorf("%d cursors kept of lanes that are past them", n)
		}
		s.Unsubscribe("sure")
	})
	past = kept.take(t, base.ReasonUnsubscribe)
	wantDone(t, "ended past it", &past, 12, 11)
	for what, x := range map[string]cursor.Cursor{
		"another epoch": cursor.At("sure", "e", 100, nil), "another topic": cursor.At("other", first.Epoch, 100, nil),
	} {
		if at := c.resume(s, "sure", x); at.Resumed || at.Behind || at.Offset != 13 {
			t.Errorf("%s: subscribed at %+v", what, at)
		}
		c.do(func() { s.Unsubscribe("sure") })
	}
	c.do(func() {
		if s.Subscribe("sure", delivery.SubscribeOptions{From: &past}, func(delivery.Subscription) {}) != nil || s.Began() != 1 {
			t.Error("who leaves at a cursor takes it along")
		}
		s.Close(base.CauseClientDisconnect, nil)
		if s.Began() != 0 {
			t.Error("who has left keeps a cursor")
		}
	})
}

// resume subscribes at a cursor.
func (c *client) resume(s *delivery.Socket, topic string, from cursor.Cursor) (at delivery.Subscription) {
	c.rig.t.Helper()
	var err error
	c.do(func() {
		err = s.Subscribe(topic, delivery.SubscribeOptions{From: &from, Snapshot: true}, func(a delivery.Subscription) { at = a })
	})
	if err != nil {
		c.rig.t.Fatalf("subscribe %s: %v", topic, err)
	}
	return at
}

// What was between a cursor and the moment of subscribing is not sent, which the client is told; the cursor it leaves does
// not say that it is done.
func TestCursorThatIsBehindStaysBehind(t *testing.T) {
	kept := &cursors{}
	o := options(1, topic("sure", certain()))
	o.OnLeft = kept.keep
	r := newRig(t, o)
	var ids []string
	for n := range 9 {
		ids = append(ids, r.publish("sure", fmt.Sprint(n)).MessageID)
	}
	start := cursor.At("sure", r.ns.LastOf("sure").Epoch, 8, []uint64{3, 5}) // 9 it has not been given
	c := r.connect(0)
	s := c.join()
	if at := c.resume(s, "sure", start); !at.Resumed || !at.Behind || at.Offset != 9 {
		t.Errorf("subscribed at %+v", at)
	}
	for n := 10; n <= 12; n++ {
		ids = append(ids, r.publish("sure", fmt.Sprint(n)).MessageID)
	}
	if got := sequence(c, "sure"); !slices.Equal(got, []string{"10", "11", "12"}) {
		t.Errorf("read %q", got)
	}
	c.do(func() {
		for _, id := range ids[9:] {
			if id != ids[10] {
				s.Ack("sure", id)
			}
		}
		s.Unsubscribe("sure")
	})
	got := kept.take(t, base.ReasonUnsubscribe)
	wantDone(t, "behind", &got, 12, 3, 5, 9, 11)
}

// A subscription that ends with its snapshot half read has not been given what it had still to read there, neither values of
// before nor publications for which newer values stand.
func TestSnapshotHalfReadIsNotDone(t *testing.T) {
	kept := &cursors{}
	o := options(1, keeping("keys", base.Coalesce, 8, 1000))
	o.OnLeft = kept.keep
	r := newRig(t, o)
	h := &history{}
	for k := range 3 {
		h.publish(r, "keys", fmt.Sprint("k", k), "")
	}
	c := r.reader(0)
	c.do(func() { c.window = 0 })
	c.ask("keys")
	h.publish(r, "keys", "k0", "")
	r.settle()
	c.do(func() { c.socket.Unsubscribe("keys") })
	left := kept.take(t, base.ReasonUnsubscribe)
	for o := uint64(1); o <= 4; o++ {
		if left.Has(o) {
			t.Errorf("offset %d is done: %+v", o, left)
		}
	}
}
