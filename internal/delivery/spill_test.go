package delivery_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/cursor"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/op"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/topiclog/logtest"
)

// spilling is a topic with SPILL_TO_DISK and a log in memory that keeps so many records.
func spilling(name string, p lane.Policy, keep int) delivery.TopicSpec {
	p.Overflow = base.SpillToDisk
	s := topic(name, p)
	s.Memory = topiclog.Limits{Records: keep}
	return s
}

// narrow is a best-effort policy of so many messages.
func narrow(messages int) lane.Policy {
	p := latest()
	p.MaxMessages = messages
	return p
}

// strict is a reliable policy of so many messages.
func strict(messages int) lane.Policy {
	p := certain()
	p.MaxMessages, p.MaxInFlight = messages, min(messages, 4)
	return p
}

// laneView is what the management API shows of a client's lane.
func (c *client) laneView(topic string) (v survey.Lane) {
	c.rig.t.Helper()
	for _, x := range c.rig.survey(survey.Query{Limit: 100}).Clients {
		if c.conn.Sockets()[0].ID != x.ID {
			continue
		}
		for _, l := range x.Lanes {
			if l.Topic == topic {
				return l
			}
		}
	}
	return v
}

// numbered publishes the numbers from first to last to a topic.
func (r *rig) numbered(topic string, first, last int) {
	r.t.Helper()
	for n := first; n <= last; n++ {
		r.publish(topic, fmt.Sprint(n))
	}
	r.settle()
}

// counted is the numbers from first to last as payloads.
func counted(first, last int) (s []string) {
	for n := first; n <= last; n++ {
		s = append(s, fmt.Sprint(n))
	}
	return s
}

func wantPayloads(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: read %d: %q, want %d: %q", what, len(got), got, len(want), want)
	}
}

// StreamFence W2: who stalled, was spilled for and reads again gets everything in the order of publication, with what is
// published while it catches up; and of what waits nothing is counted as lost.
func TestSpillKeepsTheOrder(t *testing.T) {
	r := newRig(t, options(2, spilling("ticks", narrow(4), 10_000)))
	c, healthy := r.stalled(0), r.connect(1)
	c.join("ticks")
	healthy.join("ticks")
	r.numbered("ticks", 1, 300)
	r.settle()
	if v := c.laneView("ticks"); v.Depth != 4 || v.Spilled != 296 || v.SpilledBytes == 0 || !v.Balanced || v.Offered != 300 {
		t.Errorf("while it stalls its lane is %+v", v)
	}
	if n := r.totals("ticks"); n.Spilled != 296 || n.Behind != 1 || n.Spills != 296 {
		t.Errorf("the topic says %+v", n)
	}
	c.open(wide)
	r.numbered("ticks", 301, 400)
	r.caughtUp(c, "ticks")
	wantPayloads(t, "who stalled", sequence(c, "ticks"), counted(1, 400))
	wantPayloads(t, "who did not", sequence(healthy, "ticks"), counted(1, 400))
	if n := r.totals("ticks"); n.Spilled != 0 || n.Behind != 0 || n.SpilledBytes != 0 || n.Written != 800 || n.Dropped != [base.Reasons]uint64{} {
		t.Errorf("in the end the topic says %+v", n)
	}
}

// caughtUp waits until a client is behind no more, or waits for its client.
func (r *rig) caughtUp(c *client, topic string) {
	r.t.Helper()
	r.wait(func() bool { return c.laneView(topic).BehindSince.IsZero() && r.totals(topic).Behind == 0 })
}

// wait waits for something that goroutines besides the loops bring about.
func (r *rig) wait(until func() bool) {
	r.t.Helper()
	for !until() {
		r.settle()
		select {
		case <-r.t.Context().Done():
			r.t.Fatal("it did not come to it")
		default:
		}
	}
}

// Reliable: nothing is lost, nothing overtakes beyond the window, whatever order the acknowledgements have.
func TestSpillOfAReliableTopic(t *testing.T) {
	r := newRig(t, options(1, spilling("orders", strict(8), 10_000)))
	c := r.reader(0)
	c.subscribe(c.socket, "orders", delivery.SubscribeOptions{})
	r.numbered("orders", 1, 200)
	if n := r.totals("orders"); n.Spilled != 192 || n.InFlight != 4 || n.Dropped != [base.Reasons]uint64{} {
		t.Errorf("the topic says %+v", n)
	}
	r.wait(func() bool {
		c.acknowledge("orders", func(int) bool { return true })
		return r.totals("orders").Acked == 200
	})
	wantPayloads(t, "in the end", sequence(c.client, "orders"), counted(1, 200))
	settledRig(t, r, []*reader{c})
}

// Every recipient gets its own, read back too: sockets, principals, rooms; binary byte for byte.
func TestSpillReachesEveryRecipient(t *testing.T) {
	r := newRig(t, options(2, spilling("mail", narrow(2), 1000)))
	bytes := []byte{0, 1, 2, 0xff, 0xfe, '"', '{', 0}
	all := make([]*client, 4)
	sockets := make([]*delivery.Socket, len(all))
	want := make([][]string, len(all))
	for i := range all {
		all[i] = r.stalled(i % 2)
		c := all[i]
		c.do(func() { sockets[i] = c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), fmt.Sprint("p", i/2), c) })
		c.subscribe(sockets[i], "mail", delivery.SubscribeOptions{})
	}
	r.do(&op.Op{Kind: op.Join, Rooms: []string{"red"}, Target: delivery.Target{Socket: sockets[1].ID}})
	for n := range 60 {
		p := delivery.Publication{Payload: []byte(fmt.Sprint(n))}
		to := func(who ...int) {
			for _, i := range who {
				want[i] = append(want[i], fmt.Sprint(n))
			}
		}
		switch n % 5 {
		case 0:
			p.Target = delivery.Target{Socket: sockets[n%4].ID}
			to(n % 4)
		case 1:
			p.Target = delivery.Target{Principal: "p1"}
			to(2, 3)
		case 2:
			p.Target = delivery.Target{Rooms: []string{"red"}}
			to(1)
		default:
			to(0, 1, 2, 3)
		}
		r.publishWith("mail", p)
	}
	r.publishWith("mail", delivery.Publication{Payload: bytes, Binary: true})
	r.settle()
	for _, c := range all {
		c.open(wide)
	}
	r.wait(func() bool { return r.totals("mail").Behind == 0 })
	for i, c := range all {
		got := c.received()
		last := got[len(got)-1]
		if len(last.attachments) != 1 || !slices.Equal(last.attachments[0], bytes) {
			t.Errorf("client %d read %q in the end", i, last.attachments)
		}
		wantPayloads(t, fmt.Sprint("client ", i), sequence(c, "mail")[:len(got)-1], want[i])
	}
	if n := r.totals("mail"); n.Spilled != 0 || n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// What a room got before a client entered it is not for it, though the client was behind all the time; what it got
// while the client was in it is, though the client has left it before reading.
func TestSpillForARoomIsForThoseWhoWereInIt(t *testing.T) {
	r := newRig(t, options(1, spilling("mail", narrow(2), 1000)))
	c := r.stalled(0)
	s := c.join("mail")
	red := delivery.Target{Rooms: []string{"red"}}
	r.numbered("mail", 1, 5)
	r.publishWith("mail", delivery.Publication{Payload: []byte("6"), Target: red})
	r.do(&op.Op{Kind: op.Join, Rooms: []string{"red", "blue"}, Target: delivery.Target{Socket: s.ID}})
	r.publishWith("mail", delivery.Publication{Payload: []byte("7"), Target: red})
	r.publishWith("mail", delivery.Publication{Payload: []byte("8"), Target: delivery.Target{Rooms: []string{"blue"}}})
	r.do(&op.Op{Kind: op.Leave, Rooms: []string{"blue"}, Target: delivery.Target{Socket: s.ID}})
	r.numbered("mail", 9, 9)
	c.open(wide)
	r.caughtUp(c, "mail")
	wantPayloads(t, "the client", sequence(c, "mail"), []string{"1", "2", "3", "4", "5", "7", "8", "9"})
	if n := r.totals("mail"); n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// What the log had to give up before a client read it is booked as retention, and told before what follows.
func TestSpillTellsWhatRetentionTook(t *testing.T) {
	r := newRig(t, options(1, spilling("ticks", narrow(2), 20)))
	c := r.stalled(0)
	c.join()
	c.subscribe(c.conn.Sockets()[0], "ticks", delivery.SubscribeOptions{Tell: true})
	r.numbered("ticks", 1, 100)
	c.open(wide)
	r.caughtUp(c, "ticks")
	got := c.texts()
	wantPayloads(t, "the client", sequence(c, "ticks"), append(counted(1, 2), counted(81, 100)...))
	if !slices.ContainsFunc(got, func(s string) bool {
		return s == `2/feed,["weir:lost",{"topic":"ticks","count":78,"reason":"retention"}]`
	}) {
		t.Errorf("it was told %q", got[:min(len(got), 4)])
	}
	if n := r.totals("ticks"); n.Dropped[base.ReasonRetention] != 78 || n.Written != 22 || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// StreamFence J2: who leaves while it is behind takes nothing from the others, and all that waited for it is booked.
func TestSpillEndsWithItsClient(t *testing.T) {
	r := newRig(t, options(1, spilling("ticks", narrow(2), 1000)))
	goes, unsubscribes, stays := r.stalled(0), r.stalled(0), r.stalled(0)
	for _, c := range []*client{goes, unsubscribes, stays} {
		c.join("ticks")
	}
	r.numbered("ticks", 1, 50)
	goes.do(func() { goes.conn.Close(base.CauseTransportClose) })
	unsubscribes.do(func() { unsubscribes.conn.Sockets()[0].Unsubscribe("ticks") })
	if n := r.totals("ticks"); n.Behind != 1 || n.Spilled != 48 || n.Dropped[base.ReasonDisconnect] != 50 || n.Dropped[base.ReasonUnsubscribe] != 50 {
		t.Errorf("%+v", n)
	}
	r.numbered("ticks", 51, 60)
	stays.open(wide)
	r.caughtUp(stays, "ticks")
	wantPayloads(t, "who stays", sequence(stays, "ticks"), counted(1, 60))
}

// What no log keeps cannot wait in one: an emit under the topic's name is refused by who is behind, and overtakes nothing.
func TestEmitsDoNotOvertakeWhatHasSpilled(t *testing.T) {
	r := newRig(t, options(1, spilling("ticks", narrow(4), 1000)))
	c := r.stalled(0)
	c.join("ticks")
	r.numbered("ticks", 1, 10)
	if err := r.Emit(t.Context(), r.ns, "ticks", delivery.Emission{Frame: event("ticks", "99")}, delivery.Target{}); err != nil {
		t.Fatal(err)
	}
	c.open(wide)
	r.caughtUp(c, "ticks")
	if err := r.Emit(t.Context(), r.ns, "ticks", delivery.Emission{Frame: event("ticks", "100")}, delivery.Target{}); err != nil {
		t.Fatal(err)
	}
	wantPayloads(t, "the client", sequence(c, "ticks"), append(counted(1, 10), "100"))
	if n := r.totals("ticks"); n.Dropped[base.ReasonOverflow] != 1 {
		t.Errorf("%+v", n)
	}
}

// A subscription that begins at a cursor that is behind reads the log up to the stream, but not what the cursor says is done.
func TestCursorThatIsBehindIsReadFromTheLog(t *testing.T) {
	o := options(1, spilling("orders", strict(8), 1000))
	var left []delivery.Left
	o.OnLeft = func(l delivery.Left) { left = append(left, l) }
	r := newRig(t, o)
	first := r.reader(0)
	first.subscribe(first.socket, "orders", delivery.SubscribeOptions{})
	r.numbered("orders", 1, 6)
	r.settle()
	first.acknowledge("orders", func(n int) bool { return n%2 == 0 }) // 2 and 4 of the window of 4
	first.do(func() { first.conn.Close(base.CauseTransportClose) })
	r.numbered("orders", 7, 40)
	c := r.reader(0)
	var at delivery.Subscription
	c.do(func() {
		_ = c.socket.Subscribe("orders", delivery.SubscribeOptions{From: &left[0].Cursor}, func(s delivery.Subscription) { at = s })
	})
	if !at.Resumed || !at.Behind {
		t.Errorf("it begins at %+v", at)
	}
	r.numbered("orders", 41, 50)
	r.wait(func() bool {
		c.acknowledge("orders", func(int) bool { return true })
		return r.totals("orders").Behind == 0 && r.totals("orders").InFlight+r.totals("orders").Queued == 0
	})
	want := append([]string{"1", "3"}, counted(5, 50)...)
	wantPayloads(t, "who comes back", sequence(c.client, "orders"), want)
}

// acknowledge acknowledges the deliveries of a topic that were read and whose number is one of those.
func (c *reader) acknowledge(topic string, which func(n int) bool) {
	c.rig.t.Helper()
	packets := c.received()
	c.do(func() {
		for _, p := range packets {
			n, err := strconv.Atoi(string(p.args[1]))
			if p.name() != topic || err != nil || !which(n) {
				continue
			}
			if d := parseDelivery(&p); d.id != "" {
				c.socket.Ack(topic, d.id)
			}
		}
	})
}

// cursorAt is the cursor of who has done everything up to an offset.
func cursorAt(topic, epoch string, floor uint64) cursor.Cursor {
	return cursor.Cursor{Topic: topic, Epoch: epoch, Floor: floor}
}

// A record is in the log before the stream brings it: who catches up meanwhile leaves it to the stream, so it comes once.
func TestWhatTheStreamHasNotBroughtIsLeftToIt(t *testing.T) {
	o := options(1, spilling("ticks", narrow(4), 0))
	var mu sync.Mutex // held while the log's goroutine may not deliver
	o.Log = func(_, _ string, deliver topiclog.Deliver) topiclog.Log {
		return logtest.Late(topiclog.NewMemory("e", topiclog.Limits{Records: 100}), func(p topiclog.Placement) {
			mu.Lock()
			defer mu.Unlock()
			deliver(p)
		})
	}
	r := newRig(t, o)
	c := r.stalled(0)
	c.join("ticks")
	r.numbered("ticks", 1, 11)
	mu.Lock()
	published := make(chan struct{})
	go func() { defer close(published); r.publish("ticks", "12") }()
	r.wait(func() bool { return r.ns.LogOf("ticks").Span().Last == 12 })
	c.open(wide)
	r.caughtUp(c, "ticks")
	wantPayloads(t, "before the stream brings the last", sequence(c, "ticks"), counted(1, 11))
	mu.Unlock()
	<-published
	wantPayloads(t, "then", sequence(c, "ticks"), counted(1, 12))
}

// Where memory stays short for long, as what holds it is nobody's to evict, who is behind still gets on, and what it is
// given is not evicted: it takes it at once.
func TestWhoIsBehindGetsOnWhileMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(1, spilling("ticks", narrow(64), 10_000))
		o.BudgetBytes = budget
		r := newRig(t, o)
		c := r.stalled(0)
		c.join("ticks")
		r.numbered("ticks", 1, 300)
		held := budget*96/100 - int(r.Held()) // between where messages are evicted and the limit
		r.Hold(accounts.Mailboxes, held)
		time.Sleep(time.Second)
		c.open(wide)
		time.Sleep(time.Minute)
		lost := r.totals("ticks").Dropped[base.ReasonBudget] // of what the lane had before
		if got := sequence(c, "ticks"); len(got)+int(lost) != 300 || !slices.Equal(got[max(0, len(got)-200):], counted(101, 300)) {
			t.Errorf("%d of 300 messages are written after a minute, %d were evicted: %v", len(got), lost, got)
		}
		if n := r.totals("ticks"); n.Behind != 0 || n.Spilled != 0 || lost > 64 {
			t.Errorf("in the end the topic says %+v", n)
		}
		r.Hold(accounts.Mailboxes, -held)
	})
}
