package delivery_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/op"
	"github.com/streamweir/weir/internal/topiclog"
)

// gated is a log in memory whose reads wait at a gate.
type gated struct {
	topiclog.Log
	mu    sync.Mutex
	gate  chan struct{} // nil: it is open
	waits int           // reads that were at the gate
	reads int           // all
}

func (g *gated) Read(q topiclog.Query, done func(topiclog.Batch)) {
	g.mu.Lock()
	g.reads++
	gate := g.gate
	if gate != nil {
		g.waits++
	}
	g.mu.Unlock()
	if gate != nil {
		<-gate
	}
	g.Log.Read(q, done)
}

// shut makes reads wait until the returned function is called.
func (g *gated) shut() (open func()) {
	gate := make(chan struct{})
	g.mu.Lock()
	g.gate = gate
	g.mu.Unlock()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.gate = nil
		g.mu.Unlock()
		close(gate)
	})
}

func (g *gated) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waits
}

func (g *gated) read() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reads
}

// gatedRig is a rig whose only topic has a log that keeps so many records, and whose reads can be held up.
func gatedRig(t *testing.T, o delivery.Options, keep int) (*rig, *gated) {
	g := new(gated)
	o.Log = func(_, _ string, _ topiclog.Deliver) topiclog.Log {
		g.Log = topiclog.NewMemory("e", topiclog.Limits{Records: keep})
		return g
	}
	return newRig(t, o), g
}

func (r *rig) join(s *delivery.Socket, rooms ...string) {
	r.t.Helper()
	r.do(&op.Op{Kind: op.Join, Rooms: rooms, Target: delivery.Target{Socket: s.ID}})
}

func (r *rig) toRoom(topic, room, payload string) {
	r.t.Helper()
	r.publishWith(topic, delivery.Publication{Payload: []byte(payload), Target: delivery.Target{Rooms: []string{room}}})
	r.settle()
}

// What a room gets is for who has entered it while a read for another place was under way.
func TestRoomEnteredWhileALogIsRead(t *testing.T) {
	r, g := gatedRig(t, options(1, spilling("mail", narrow(2), 0)), 1000)
	c := r.stalled(0)
	s := c.join("mail")
	r.numbered("mail", 1, 3)
	open := g.shut()
	defer open()
	c.open(wide)
	r.wait(func() bool { return g.waiting() == 1 })
	r.join(s, "red")
	r.toRoom("mail", "red", "4")
	r.numbered("mail", 5, 5)
	open()
	r.caughtUp(c, "mail")
	wantPayloads(t, "the client", sequence(c, "mail"), counted(1, 5))
	if n := r.totals("mail"); n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// What a room got before a client entered it does not stand in the books for what retention took of the client's.
func TestWhatARoomGotBeforeHidesNoLoss(t *testing.T) {
	r := newRig(t, options(1, spilling("mail", narrow(4), 20)))
	c := r.stalled(0)
	s := c.join("mail")
	r.numbered("mail", 1, 30)
	for n := range 15 {
		r.toRoom("mail", "red", fmt.Sprint("r", n))
	}
	r.join(s, "red")
	r.numbered("mail", 31, 31)
	c.open(wide)
	r.caughtUp(c, "mail")
	if n := r.totals("mail"); n.Dropped[base.ReasonRetention]+n.Written != 31 || n.Dropped[base.ReasonUnsubscribe] != 0 || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// A subscription that begins at a cursor gets nothing that a room got before its client entered that.
func TestCursorAndARoomEnteredBehindIt(t *testing.T) {
	r, g := gatedRig(t, options(1, spilling("mail", narrow(2), 0)), 1000)
	r.toRoom("mail", "red", "1")
	r.numbered("mail", 2, 3)
	c := r.connect(0)
	s := c.join()
	open := g.shut()
	defer open()
	from := cursorAt("mail", "e", 0)
	c.subscribe(s, "mail", delivery.SubscribeOptions{From: &from})
	r.wait(func() bool { return g.waiting() == 1 })
	r.join(s, "red")
	r.toRoom("mail", "red", "4")
	open()
	r.caughtUp(c, "mail")
	wantPayloads(t, "the client", sequence(c, "mail"), counted(2, 4))
	if n := r.totals("mail"); n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// Nor does who enters a room while its subscription is far behind get what that room got before there was a subscription.
func TestRoomEnteredFarBehind(t *testing.T) {
	r, _ := gatedRig(t, options(1, spilling("mail", narrow(2), 0)), 1000)
	r.numbered("mail", 1, 4)
	r.toRoom("mail", "red", "5")
	c := r.stalled(0)
	s := c.join()
	from := cursorAt("mail", "e", 0)
	c.subscribe(s, "mail", delivery.SubscribeOptions{From: &from})
	r.join(s, "red")
	r.toRoom("mail", "red", "6")
	c.open(wide)
	r.caughtUp(c, "mail")
	wantPayloads(t, "the client", sequence(c, "mail"), []string{"1", "2", "3", "4", "6"})
}

// Memory that is short is hardly spent on what waits in a log: what is read back would be evicted, message by message, until
// nothing of it is left. A lane that has nothing is given as much as it can write at once, and the rest when there is memory again.
func TestLittleIsReadBackWhileMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tight(1, spilling("ticks", narrow(32), 10_000))
		o.HighWatermark = 0.5
		r := newRig(t, o)
		c := r.stalled(0)
		c.join("ticks")
		r.numbered("ticks", 1, 200)
		short := int(budget*9/10 - r.Held())
		r.Hold(accounts.Mailboxes, short)
		c.do(func() {}) // it looks at what is held
		time.Sleep(5 * time.Second)
		if n := r.totals("ticks"); n.Dropped[base.ReasonBudget] != 32 || n.Spilled < 168-16 || n.Spilled == 168 {
			t.Errorf("a lane of 32 was evicted: %+v", n)
		}
		r.Hold(accounts.Mailboxes, -short)
		c.open(wide)
		time.Sleep(5 * time.Second)
		wantPayloads(t, "the client", sequence(c, "ticks"), counted(33, 200))
		if n := r.totals("ticks"); n.Behind != 0 || r.Unbalanced.Load() != 0 {
			t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
		}
	})
}

// A read that waits for its turn is not done for who has left.
func TestNothingIsReadForWhoHasLeft(t *testing.T) {
	const clients = 50
	r, g := gatedRig(t, options(1, spilling("ticks", narrow(2), 0)), 1000)
	r.numbered("ticks", 1, 5)
	for range 20 {
		r.publishWith("ticks", delivery.Publication{Payload: []byte("6"), Target: delivery.Target{Principal: "other"}})
	}
	r.from(1, "ticks")
	r.wait(func() bool { return r.totals("ticks").Behind == 0 }) // from now on each reads for itself
	before := g.read()
	open := g.shut()
	defer open()
	from := cursorAt("ticks", "e", 0)
	all := make([]*client, clients)
	for i := range all {
		all[i] = r.connect(0)
		all[i].subscribe(all[i].join(), "ticks", delivery.SubscribeOptions{From: &from})
	}
	r.wait(func() bool { return g.waiting() == delivery.MaxReads })
	for _, c := range all {
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
	}
	open()
	r.wait(func() bool { return r.Reads() == 0 })
	if n := g.read() - before; n != delivery.MaxReads {
		t.Errorf("%d reads for %d clients that have left while %d were under way", n, clients, delivery.MaxReads)
	}
}

// A message that is too large for one client in its form alone is booked once, though it waits in the log and is read back.
func TestTooLargeForOneWhoIsBehind(t *testing.T) {
	p := narrow(2)
	p.MaxBytes = 900
	r := newRig(t, options(1, spilling("ticks", p, 1000)))
	c := r.stalled(0)
	c.subscribe(c.join(), "ticks", delivery.SubscribeOptions{Shape: base.ShapeEnvelope})
	r.numbered("ticks", 1, 4)
	r.publish("ticks", `"`+strings.Repeat("x", 850)+`"`)
	r.numbered("ticks", 6, 9)
	c.open(wide)
	r.caughtUp(c, "ticks")
	if n := r.totals("ticks"); n.Offered != 9 || n.Written != 8 || n.Dropped[base.ReasonTooLarge] != 1 || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}

// faulty is a log in memory whose reads fail while it is told to.
type faulty struct {
	topiclog.Log
	fails atomic.Bool
}

var errDisk = errors.New("the disk fails")

func (f *faulty) Read(q topiclog.Query, done func(topiclog.Batch)) {
	if f.fails.Load() {
		done(topiclog.Batch{Next: q.After, Err: errDisk})
		return
	}
	f.Log.Read(q, done)
}

// A log that cannot be read for a while, as when there are no descriptors, makes a lane wait. A best-effort one gives
// up in the end, and says so, of what was there before its subscription too; a reliable one does not, for what it waits
// for may still be there.
func TestLogThatCannotBeReadForLong(t *testing.T) {
	for mode, p := range map[string]lane.Policy{"best effort": narrow(4), "reliable": strict(8)} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := new(faulty)
				o := options(1, spilling("ticks", p, 0))
				o.Log = func(string, string, topiclog.Deliver) topiclog.Log {
					log.Log = topiclog.NewMemory("e", topiclog.Limits{Records: 1000})
					return log
				}
				r := newRig(t, o)
				r.numbered("ticks", 1, 10)
				c := r.reader(0)
				log.fails.Store(true)
				from := cursorAt("ticks", "e", 0)
				c.subscribe(c.socket, "ticks", delivery.SubscribeOptions{From: &from, Tell: true})
				r.numbered("ticks", 11, 20)
				time.Sleep(time.Minute)
				log.fails.Store(false)
				r.numbered("ticks", 21, 22)
				want := counted(21, 22)
				if p.Mode == base.AtLeastOnce {
					want = counted(1, 22)
				}
				for range 30 {
					time.Sleep(time.Second)
					c.acknowledge("ticks", func(int) bool { return true })
				}
				wantPayloads(t, "the client", sequence(c.client, "ticks"), want)
				lost := 22 - len(want)
				if n := r.totals("ticks"); (n.Dropped[base.ReasonSpillFailed] > 10) != (lost > 0) || n.Behind != 0 || r.Unbalanced.Load() != 0 {
					t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
				}
				settledRig(t, r, []*reader{c})
			})
		})
	}
}

// The rooms that a client enters while it is behind are counted in the budget as long as they are remembered.
func TestRoomsEnteredBehindAreCounted(t *testing.T) {
	const rooms = 100
	r := newRig(t, options(1, spilling("mail", narrow(2), 1000)))
	c := r.stalled(0)
	s := c.join("mail")
	r.numbered("mail", 1, 5)
	r.account()
	before := r.Accounts()[accounts.Lanes]
	for n := range rooms {
		r.join(s, fmt.Sprint("room", n))
	}
	r.do(&op.Op{Kind: op.Leave, Rooms: []string{"room0", "none"}, Target: delivery.Target{Socket: s.ID}})
	if n := r.Accounts()[accounts.Lanes] - before; n < 32*(rooms-1) || n > 128*(rooms-1) {
		t.Errorf("%d bytes for %d rooms", n, rooms-1)
	}
	c.open(wide)
	r.caughtUp(c, "mail")
	if n := r.Accounts()[accounts.Lanes] - before; n > 0 {
		t.Errorf("%d bytes when it is behind no more", n)
	}
}

// A client that was further with another node, and is given here what it had missed, leaves a cursor that says so.
func TestCursorAheadThatWasReadUpTo(t *testing.T) {
	o := options(1, spilling("orders", strict(8), 0))
	var left []delivery.Left
	o.OnLeft = func(l delivery.Left) { left = append(left, l) }
	r, _ := gatedRig(t, o, 1000)
	r.numbered("orders", 1, 5)
	from := cursorAt("orders", "e", 2)
	from.Done(10)
	c := r.reader(0)
	c.subscribe(c.socket, "orders", delivery.SubscribeOptions{From: &from})
	r.caughtUp(c.client, "orders")
	c.acknowledge("orders", func(int) bool { return true })
	c.do(func() { c.conn.Close(base.CauseTransportClose) })
	if len(left) != 1 || left[0].Cursor.Floor != 5 || !left[0].Cursor.Has(10) || left[0].Cursor.Has(9) {
		t.Errorf("it leaves %+v", left)
	}
}

// Whatever its policy, a lane that begins at a cursor far behind keeps to it: SNAPSHOT_ONLY never has more than one
// message unsent, and COALESCE one of each key; what they replace is booked, and the newest comes.
func TestLanesBehindKeepToTheirPolicy(t *testing.T) {
	for _, x := range []struct {
		overflow base.Overflow
		most     int
	}{{base.SnapshotOnly, 1}, {base.Coalesce, 3}} {
		t.Run(x.overflow.String(), func(t *testing.T) {
			p := narrow(16)
			p.Overflow = x.overflow
			s := topic("prices", p)
			s.Memory = topiclog.Limits{Records: 1000}
			r := newRig(t, options(1, s))
			var last *delivery.Pending
			for n := range 100 {
				last = r.publishWith("prices", delivery.Publication{Payload: []byte(fmt.Sprint(n)), Key: fmt.Sprint("k", n%3)})
			}
			c := r.stalled(0)
			from := cursorAt("prices", last.Epoch, 0)
			c.subscribe(c.join(), "prices", delivery.SubscribeOptions{From: &from})
			most := 0
			c.do(func() { c.take = func(offered int) int { most = max(most, c.conn.Depth()); return offered } })
			for n := 100; n < 130; n++ {
				r.publishWith("prices", delivery.Publication{Payload: []byte(fmt.Sprint(n)), Key: fmt.Sprint("k", n%3)})
				r.settle()
				c.do(func() { most = max(most, c.conn.Depth()) })
			}
			r.caughtUp(c, "prices")
			c.open(wide)
			r.settle()
			if most > x.most {
				t.Errorf("%d messages were unsent", most)
			}
			got := sequence(c, "prices")
			slices.Sort(got) // each is where the first of its key was
			wantPayloads(t, "the client", got, counted(130-x.most, 129))
			if n := r.totals("prices"); n.Coalesced != uint64(130-x.most) || n.Offered != 130 || n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
				t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
			}
		})
	}
}

// Rooms and lanes that are behind do not multiply: a socket with many of both remembers each once, in account "lanes", and nothing
// when it is behind no more. What each lane is due is the same as if it were alone.
func TestManyRoomsAndManyLanesBehind(t *testing.T) {
	const lanes, rooms = 200, 200
	r := newRig(t, options(1, spilling("mail:*", narrow(2), 100)))
	c := r.stalled(0)
	s := c.join()
	name := func(i int) string { return fmt.Sprint("mail:", i) }
	for i := range lanes {
		c.subscribe(s, name(i), delivery.SubscribeOptions{})
	}
	r.settle()
	idle := r.Accounts()[accounts.Lanes]
	for i := range lanes {
		r.numbered(name(i), 1, 3)
		r.toRoom(name(i), "room0", "4") // before it enters
	}
	before := r.Accounts()[accounts.Lanes]
	for n := range rooms {
		r.join(s, fmt.Sprint("room", n))
	}
	if most := int64(100*rooms + 32*lanes); r.Accounts()[accounts.Lanes]-before > most {
		t.Errorf("%d rooms with %d lanes behind are %d bytes, want at most %d", rooms, lanes, r.Accounts()[accounts.Lanes]-before, most)
	}
	for i := range lanes {
		r.toRoom(name(i), "room0", "5")
		r.toRoom(name(i), "room199", "6")
	}
	c.open(wide)
	r.wait(func() bool { return r.totals("mail:*").Behind == 0 })
	for i := range lanes {
		wantPayloads(t, name(i), sequence(c, name(i)), []string{"1", "2", "3", "5", "6"})
	}
	if now := r.Accounts()[accounts.Lanes]; now > idle || r.Unbalanced.Load() != 0 {
		t.Errorf("%d bytes of lanes are counted in the end, %d before; %d unbalanced", now, idle, r.Unbalanced.Load())
	}
}
