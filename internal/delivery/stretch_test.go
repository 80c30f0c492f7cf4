package delivery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
)

// from subscribes so many clients of shard 0 at the beginning of a topic.
func (r *rig) from(clients int, topic string) []*client {
	r.t.Helper()
	from := cursorAt(topic, "e", 0)
	all := make([]*client, clients)
	for i := range all {
		all[i] = r.connect(0)
		all[i].subscribe(all[i].join(), topic, delivery.SubscribeOptions{From: &from})
	}
	return all
}

// Lanes that stand at about the same place wait for one read, which is over when the last of them has left.
func TestLanesAtOnePlaceShareARead(t *testing.T) {
	const clients = 50
	r, g := gatedRig(t, options(1, spilling("ticks", narrow(2), 0)), 1000)
	r.numbered("ticks", 1, 100)
	open := g.shut()
	defer open()
	all := r.from(clients, "ticks")
	r.wait(func() bool { return g.waiting() == 1 })
	for _, c := range all[:clients/2] {
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
	}
	open()
	r.wait(func() bool { return r.totals("ticks").Behind == 0 })
	for _, c := range all[clients/2:] {
		wantPayloads(t, "who has stayed", sequence(c, "ticks"), counted(1, 100))
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
	}
	if n := g.read(); n > 3 {
		t.Errorf("%d reads of 100 records for %d clients", n, clients)
	}
	open = g.shut()
	defer open()
	was := g.waiting()
	all = r.from(clients, "ticks")
	r.wait(func() bool { return g.waiting() > was })
	for _, c := range all {
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
	}
	open()
	r.wait(func() bool { return r.Reads() == 0 })
	if n := g.waiting() - was; n != 1 {
		t.Errorf("%d reads for clients that have left", n)
	}
	settledRig(t, r, nil)
}

// Who catches up has a stretch of its log read at a time, and not what its lane has room for; and so have, in the same reads, those
// who follow it.
func TestWhoCatchesUpTakesFewReads(t *testing.T) {
	const records, clients = 600, 3
	for name, p := range map[string]delivery.TopicSpec{"best effort": spilling("ticks", narrow(16), 0), "reliable": spilling("ticks", strict(16), 0)} {
		t.Run(name, func(t *testing.T) {
			r, g := gatedRig(t, options(1, p), 10_000)
			readers := make([]*reader, clients)
			for i := range readers {
				readers[i] = r.reader(0)
				readers[i].do(func() { readers[i].window = 0 })
				readers[i].subscribe(readers[i].socket, "ticks", delivery.SubscribeOptions{})
			}
			r.numbered("ticks", 1, records)
			for _, c := range readers {
				c.open(wide)
			}
			r.wait(func() bool {
				for _, c := range readers {
					c.acknowledge("ticks", func(int) bool { return true })
				}
				n := r.totals("ticks")
				return n.Behind+n.Queued+n.InFlight == 0
			})
			for _, c := range readers {
				wantPayloads(t, "each", sequence(c.client, "ticks"), counted(1, records))
			}
			if n := g.read(); n > clients*(records/delivery.AheadRecords+3) {
				t.Errorf("%d reads of %d records", n, records)
			}
		})
	}
}

// What is for one client is not in the way of the others, nor read for them: each of them reads for itself, as long as that is so.
func TestScatteredRecordsAreReadOneByOne(t *testing.T) {
	r, g := gatedRig(t, options(1, spilling("mail", narrow(4), 0)), 10_000)
	all := make([]*client, 4)
	for i := range all {
		all[i] = r.stalled(0)
		c := all[i]
		var s *delivery.Socket
		c.do(func() { s = c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), fmt.Sprint("p", i), c) })
		c.subscribe(s, "mail", delivery.SubscribeOptions{})
	}
	want := make([][]string, len(all))
	for n := range 400 {
		i := n % len(all)
		want[i] = append(want[i], fmt.Sprint(n))
		r.publishWith("mail", delivery.Publication{Payload: []byte(fmt.Sprint(n)), Target: delivery.Target{Principal: fmt.Sprint("p", i)}})
	}
	r.settle()
	for _, c := range all {
		c.open(wide)
	}
	r.wait(func() bool { return r.totals("mail").Behind == 0 })
	for i, c := range all {
		wantPayloads(t, fmt.Sprint("client ", i), sequence(c, "mail"), want[i])
	}
	scattered := g.read()
	for _, c := range all {
		c.do(func() { c.window = 0 })
	}
	r.numbered("mail", 1, 1000)
	for _, c := range all {
		c.open(wide)
	}
	r.wait(func() bool { return r.totals("mail").Behind == 0 })
	if n := g.read() - scattered; n > 100 {
		t.Errorf("%d reads of 1,000 records that are for all", n)
	}
	if n := r.totals("mail"); n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// What is kept for lanes to come is bounded, in number, bytes, and by what nobody has room for yet; the budget counts it,
// and gets it back where memory is short, and when nobody is behind.
func TestStretchesAreBoundedAndCounted(t *testing.T) {
	o := options(1, spilling("ticks", narrow(4), 0))
	o.BudgetBytes = 256 << 20
	r, _ := gatedRig(t, o, 10_000)
	large := strings.Repeat("x", 4000)
	for n := range 3000 {
		r.publish("ticks", fmt.Sprintf(`"%d%s"`, n, large))
	}
	r.settle()
	before := r.Held()
	all := make([]*client, 200)
	for i := range all {
		from := cursorAt("ticks", "e", uint64(i*14)) //nolint:gosec // small
		all[i] = r.stalled(0)
		all[i].subscribe(all[i].join(), "ticks", delivery.SubscribeOptions{From: &from})
	}
	r.wait(func() bool { return r.Reads() == 0 })
	r.settle()
	r.account()
	var kept delivery.Kept
	all[0].do(func() { kept = all[0].shard.Kept() })
	if kept.Stretches == 0 || kept.Stretches > delivery.MaxStretches || kept.Bytes > delivery.MaxStretchBytes || kept.Unread > delivery.MaxStretchBytes/2 {
		t.Errorf("kept: %+v", kept)
	}
	if grown := r.Held() - before; grown < int64(kept.Bytes) {
		t.Errorf("the budget counts %d bytes more with %+v", grown, kept)
	}
	short := int(o.BudgetBytes*85/100 - r.Held())
	r.Hold(accounts.Mailboxes, short)
	r.account()
	all[0].do(func() { kept = all[0].shard.Kept() })
	if kept.Stretches+kept.Bytes+kept.Unread > 0 { // what is asked may still be under way
		t.Errorf("kept while memory is short: %+v", kept)
	}
	r.Hold(accounts.Mailboxes, -short)
	for _, c := range all {
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
	}
	r.wait(func() bool { return r.totals("ticks").Behind == 0 && r.Reads() == 0 })
	r.account()
	all[0].do(func() { kept = all[0].shard.Kept() })
	if kept != (delivery.Kept{}) || r.Held() > before {
		t.Errorf("kept for nobody: %+v, %d bytes more than before", kept, r.Held()-before)
	}
}
