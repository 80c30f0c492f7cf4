package delivery_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/survey"
)

// stuck is a reader that has begun to read a snapshot of so many keys and goes no further.
func stuck(r *rig, topic string, keys int, p delivery.Publication) *reader {
	for k := range keys {
		p.Key = fmt.Sprint("k", k)
		r.publishWith(topic, p)
	}
	c := r.reader(0)
	c.do(func() { c.take = func(int) int { return 5 } })
	c.ask(topic)
	r.settle()
	return c
}

// Whoever reads a snapshot slowly lags like others: by how long it has waited for it,
// with what waits in its lanes.
func TestSnapshotHalfReadIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, keeping("keys", base.Coalesce, 8, 100), topic("none", latest())))
		c := stuck(r, "keys", 50, delivery.Publication{Payload: []byte("{}")})
		time.Sleep(3 * time.Second)
		r.settle()
		for _, q := range []survey.Query{{Limit: 1}, {Limit: 1, Topic: "keys"}, {Limit: 1, Sort: survey.ByBytes}} {
			got := r.survey(q)
			if got.Lagging != 1 || got.Total != 1 {
				t.Errorf("%+v: %d of %d lag", q, got.Lagging, got.Total)
				continue
			}
			v := got.Clients[0]
			if v.OldestMs < 3000 || v.Depth != 8 || v.Bytes == 0 || got.Ages.Count() != 1 {
				t.Errorf("%+v: %d messages, %d bytes wait, the oldest for %d ms; %d ages", q, v.Depth, v.Bytes, v.OldestMs, got.Ages.Count())
			}
		}
		c.do(func() { c.conn.RecordCut(base.CauseSlowConsumer) })
		if v := r.Cut(1)[0]; v.Depth != 8 || v.OldestMs < 3000 {
			t.Errorf("when cut: %d messages, the oldest for %d ms", v.Depth, v.OldestMs)
		}
		c.do(func() { c.take = nil })
		c.drain(wide)
		if got := r.survey(survey.Query{Limit: 1}); got.Lagging != 0 {
			t.Error("lags when all is read")
		}
	})
}

// What waits of a snapshot is evicted like other messages where memory is short, and counted.
func TestSnapshotHalfReadIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, keeping("keys", base.Coalesce, 64, 100)))
		c := stuck(r, "keys", 20, delivery.Publication{Payload: []byte(fmt.Sprintf(`{"x":"%02000d"}`, 0))})
		time.Sleep(time.Second)
		r.account()
		more := int(budget*93/100 - r.Held())
		r.Hold(accounts.Mailboxes, more)
		time.Sleep(2 * time.Second)
		r.settle()
		if n := r.totals("keys").Dropped[base.ReasonBudget]; n == 0 {
			t.Error("nothing is evicted")
		}
		if cuts := c.wasCut(); len(cuts) > 0 {
			t.Errorf("cut for %v", cuts)
		}
		r.Hold(accounts.Mailboxes, -more)
		c.do(func() { c.take = nil })
		c.drain(wide)
		settledRig(t, r, []*reader{c})
	})
}

// At the limit the client that pins the most is cut, also if it is a snapshot it pins.
func TestSnapshotHalfReadPinsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, keeping("keys", base.Coalesce, 64, 100), topic("orders", certain())))
		small := r.stalled(0)
		small.join("orders")
		r.publish("orders", "1")
		c := stuck(r, "keys", 20, delivery.Publication{Payload: []byte(fmt.Sprintf(`{"x":"%02000d"}`, 0))})
		c.do(func() { c.linger = true })
		r.Hold(accounts.Mailboxes, budget)
		time.Sleep(100 * time.Millisecond)
		r.settle()
		r.Hold(accounts.Mailboxes, -budget)
		if cuts := c.wasCut(); len(cuts) != 1 || cuts[0] != base.CauseMemoryBudget {
			t.Errorf("cut for %v", cuts)
		}
	})
}

// A value whose time is over does not wait until its client reads on.
func TestSnapshotHalfReadExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, keeping("keys", base.Coalesce, 8, 100)))
		c := stuck(r, "keys", 50, delivery.Publication{Payload: []byte("{}"), TTL: time.Second})
		time.Sleep(3 * time.Second)
		r.settle()
		c.do(func() {
			if n := c.conn.Depth(); n != 1 {
				t.Errorf("%d messages wait, want the one that is partly written", n)
			}
			c.conn.Close(base.CauseTransportClose)
			if n := c.shard.TimersArmed(); n != 0 {
				t.Errorf("%d timers are left", n)
			}
		})
		settledRig(t, r, []*reader{c})
	})
}

// The value of a key is replaced though the share of all values is spent: it takes no more.
func TestKeptValueIsReplacedWhenTheShareIsSpent(t *testing.T) {
	o := options(1, keeping("keys", base.Coalesce, 64, 1000))
	o.BudgetBytes = 1 << 20
	r := newRig(t, o)
	publish := func(k int) {
		r.publishWith("keys", delivery.Publication{Payload: []byte(fmt.Sprintf(`{"x":"%0500d"}`, k)), Key: fmt.Sprint("k", k)})
	}
	for k := range 500 {
		publish(k)
	}
	before := r.ns.Declared("keys").Kept()
	for k := range before.Values {
		publish(int(k))
	}
	if now := r.ns.Declared("keys").Kept(); now.Values != before.Values || now.Evicted != before.Evicted {
		t.Errorf("%+v, before %+v", now, before)
	}
}
