package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"weak"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/op"
)

// Deliveries are sliced: a publication to many takes several steps of the loop, in
// which members come and go. These tests make the slices tiny.

// pace makes every shard deliver so little in a step and in a turn.
func (r *rig) pace(step, turn int) {
	for _, sh := range r.Shards() {
		r.on(sh, func() { sh.Pace(step, turn) })
	}
}

func (r *rig) emit(event string, n int, to delivery.Target) {
	r.t.Helper()
	f := delivery.Emission{Frame: numberedEvent(event, n)}
	if err := r.Emit(context.Background(), r.ns, event, f, to); err != nil {
		r.t.Errorf("emit %s: %v", event, err)
	}
}

func numberedEvent(name string, n int) *base.Frame { return event(name, strconv.Itoa(n)) }

// listener is a client of the slicing test. Its shard owns it.
type listener struct {
	*client
	socket *delivery.Socket
	early  bool // there before anything was sent
	left   int  // the stream's length when it left; 0: it has stayed
	subs   []stay
}

// stay is a subscription: the stream's length when it began and ended, -1 if it has
// not, and the offset it began after.
type stay struct {
	at, end int
	from    uint64
}

// throng is the listeners of one shard.
type throng struct {
	rig  *rig
	rand *rand.Rand
	all  []*listener
	ops  int
	done chan struct{}
}

// come adds a listener to /feed, the room red and the topics.
func (w *throng) come() {
	sh := w.rig.Shards()[0]
	l := &listener{client: &client{rig: w.rig, shard: sh, window: wide}}
	l.conn = sh.Open(l.client, l.client)
	l.socket = l.conn.OpenSocket(w.rig.ns, l.conn.NewSocketID(), "", l.client)
	_ = l.socket.Join("red")
	l.subscribe("ticks")
	l.subscribe("inner")
	w.all = append(w.all, l)
}

func (l *listener) subscribe(name string) {
	_ = l.socket.Subscribe(name, delivery.SubscribeOptions{}, func(s delivery.Subscription) {
		if name == "ticks" {
			l.subs = append(l.subs, stay{at: len(l.wire), end: -1, from: s.Offset})
		}
	})
}

// Run changes who is there, once a step as long as something is left to do.
func (w *throng) Run() {
	l := w.all[w.rand.IntN(len(w.all))]
	last := &l.subs[len(l.subs)-1]
	switch w.rand.IntN(6) {
	case 0, 1:
		w.come()
	case 2:
		l.leave(func() { l.conn.Close(base.CauseTransportClose) })
	case 3:
		l.leave(func() { l.socket.Close(base.CauseServerDisconnect, nil) })
	case 4:
		if l.socket.Unsubscribe("ticks") {
			last.end = len(l.wire)
		}
	case 5:
		if !l.socket.Closed() && !l.socket.Subscribed("ticks") {
			l.subscribe("ticks")
		}
	}
	if w.ops--; w.ops == 0 {
		close(w.done)
		return
	}
	w.rig.Shards()[0].Post(w)
}

func (l *listener) leave(how func()) {
	if !l.socket.Closed() {
		l.left = len(l.wire)
		how()
	}
}

func TestSlicesMissNobodyAndRepeatNothing(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		if !t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { playSlices(t, seed) }) {
			return
		}
	}
}

func playSlices(t *testing.T, seed uint64) {
	const each = 30
	o := options(1, topic("ticks", deep()), topic("inner", deep()))
	o.Namespaces[0].Events = deep()
	r := newRig(t, o)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r.pace(1+rnd.IntN(12), 1+rnd.IntN(6))
	w := &throng{rig: r, rand: rnd, ops: 150, done: make(chan struct{})}
	sh := r.Shards()[0]
	r.on(sh, func() {
		for range 10 {
			w.come()
			w.all[len(w.all)-1].early = true
		}
	})
	release := r.block(sh)
	sh.Post(w)
	for n := range each {
		if n == each/2 {
			release() // the other half comes while the first is delivered
		}
		r.publish("ticks", strconv.Itoa(n))
		r.publishWith("inner", delivery.Publication{Payload: []byte(strconv.Itoa(n)), Target: delivery.Target{Rooms: []string{"red"}}})
		r.emit("news", n, delivery.Target{})
		r.emit("tint", n, delivery.Target{Rooms: []string{"red", "blue"}})
	}
	<-w.done
	r.settle()
	for _, l := range w.all {
		if l.socket.Closed() && len(l.wire) != l.left {
			t.Errorf("%d bytes written to a client that had left", len(l.wire)-l.left)
		}
		l.checkTicks(t, each)
		for _, name := range []string{"news", "tint"} {
			l.checkRow(t, name, each)
		}
		if !l.socket.Closed() && l.early {
			l.checkRow(t, "inner", each)
		}
	}
	if held := r.account(); held != 0 || sh.Stats().Jobs != 0 {
		t.Errorf("%d bytes held for %d publications when all is delivered", held, sh.Stats().Jobs)
	}
	r.on(sh, func() {
		for _, l := range w.all {
			l.conn.Close(base.CauseTransportClose)
		}
		if left := sh.Residue(); left != nil {
			t.Errorf("left behind: %v", left)
		}
	})
}

// checkTicks holds every subscription to the offsets after its first, without a gap,
// and to all of them if it has not ended.
func (l *listener) checkTicks(t *testing.T, total int) {
	t.Helper()
	packets := l.received()
	for i, s := range l.subs {
		end := s.end
		if i == len(l.subs)-1 && end < 0 {
			end = len(l.wire)
		}
		next := int(s.from) // payload n has offset n+1
		for _, p := range packets {
			if p.name() != "ticks" || p.at < s.at || p.at >= end {
				continue
			}
			if string(p.args[1]) != strconv.Itoa(next) {
				t.Errorf("a subscription from %d on read %s, want %d", s.from, p.args[1], next)
				return
			}
			next++
		}
		if s.end < 0 && !l.socket.Closed() && next != total {
			t.Errorf("a subscription from %d on read until %d of %d", s.from, next, total)
		}
	}
}

// checkRow holds the listener to a row of events without gap or repetition, that
// begins with the first for who was early and ends with the last for who has stayed.
func (l *listener) checkRow(t *testing.T, name string, total int) {
	t.Helper()
	row := sequence(l.client, name)
	first := 0
	if len(row) > 0 {
		first, _ = strconv.Atoi(row[0])
	}
	for i, got := range row {
		if got != strconv.Itoa(first+i) {
			t.Errorf("%s: read %v", name, row)
			return
		}
	}
	if l.early && first != 0 {
		t.Errorf("%s: who was there from the beginning began with %d", name, first)
	}
	if !l.socket.Closed() && l.early && len(row) != total {
		t.Errorf("%s: who has stayed read %d of %d", name, len(row), total)
	}
}

// A flood in one topic holds up neither the loop's other work nor other topics, plain
// events or answers, and does not change the order of any.
func TestFloodOfOneTopicHoldsUpNothingElse(t *testing.T) {
	r := newRig(t, options(1, topic("flood", deep()), topic("other", deep())))
	r.pace(8, 4)
	for range 20 {
		r.connect(0).join("flood")
	}
	c := r.connect(0)
	s := c.join("other")
	left := make(map[string]int) // publications still to be delivered when something happened
	note := func(what string) { left[what] = c.shard.Stats().Jobs }
	var leaver delivery.Target
	c.do(func() {
		c.take = func(n int) int { note("written"); return n }
		leaver.Socket = c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), "", leaving(func() {
			note("called")
			c.shard.Post(taskFunc(func() { note("served") }))
		})).ID
	})
	release := r.block(c.shard)
	for n := range 200 {
		r.publish("flood", strconv.Itoa(n))
	}
	r.publish("other", "1")
	r.emit("news", 1, delivery.Target{})
	if err := s.Reply(t.Context(), event("answer")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Begin(t.Context(), &op.Op{Kind: op.Disconnect, Namespace: "/feed", Target: leaver, Cause: base.CauseServerDisconnect}); err != nil {
		t.Fatal(err)
	}
	release()
	r.settle()
	for _, what := range []string{"written", "called", "served"} {
		if left[what] < 150 {
			t.Errorf("%s when %d of 200 publications were left", what, left[what])
		}
	}
	for _, name := range []string{"other", "news", "answer"} {
		if !slices.ContainsFunc(c.received(), func(p packet) bool { return p.name() == name }) {
			t.Errorf("%s was not delivered", name)
		}
	}
}

// countSteps counts the steps of a shard until no publication is left, and calls each
// in them. What it returns may be read when the shard is idle.
func countSteps(sh *delivery.Shard, each func()) *int {
	steps := new(int)
	var look taskFunc
	look = func() {
		if sh.Stats().Jobs > 0 {
			*steps++
			each()
			sh.Post(look)
		}
	}
	sh.Post(look)
	return steps
}

// A receipt is complete, and what the publication holds given back, when the last
// slice is delivered and not before.
func TestReceiptWaitsForTheLastSlice(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", deep())))
	const members = 50
	for range members {
		r.connect(0).join("ticks")
	}
	r.pace(10, 10)
	sh := r.Shards()[0]
	release := r.block(sh)
	sent := r.publish("ticks", fill(1000))
	steps := countSteps(sh, func() {
		sent, held := sent.Receipt(canceled()), r.Held()
		if sent.Complete || held < 1000 {
			t.Errorf("a publication under way: receipt %+v, %d bytes held", sent, held)
		}
	})
	release()
	if got := sent.Receipt(t.Context()); !got.Complete || got.Subscribers != members || got.Queued != members {
		t.Errorf("receipt %+v", got)
	}
	if r.settle(); *steps < members/10 {
		t.Errorf("%d members in %d steps of 10", members, *steps)
	}
	if held := r.account(); held != 0 {
		t.Errorf("%d bytes held", held)
	}
}

// canceled is a context that does not wait.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// leaving is a SocketPeer that is called when its socket leaves.
type leaving func()

func (f leaving) Gone(base.Cause)        { f() }
func (leaving) Unread() *delivery.Unread { return nil }
func (leaving) Taken()                   {}

// An operation is done to everyone who is there when its turn comes, once, although they
// leave and others come meanwhile; and a step sends away no more than it may write to.
func TestOperationsAreSliced(t *testing.T) {
	const pairs = 20
	r := newRig(t, options(1))
	before := make(map[string]bool)
	others := 0
	var left []*delivery.Socket
	for i := range 2 * pairs {
		c := r.connect(0)
		c.do(func() {
			s := c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), "", leaving(func() { // its partner goes too, and another comes
				others++
				left[i^1].Close(base.CauseServerDisconnect, nil)
				c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), "", nil)
			}))
			before[s.ID], left = true, append(left, s)
		})
	}
	begin := func(o op.Op) *delivery.Doing {
		o.Namespace = "/feed"
		d, err := r.Begin(context.Background(), &o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	finish := func(d *delivery.Doing, want int) op.Outcome {
		out, err := d.Wait(context.Background())
		if err != nil || out.Done != want {
			t.Errorf("done to %d, want %d, %v", out.Done, want, err)
		}
		return out
	}
	sh := r.Shards()[0]
	r.pace(16, 16)
	release := r.block(sh)
	everybody, gone := begin(op.Op{Kind: op.Fetch}), begin(op.Op{Kind: op.Disconnect, Cause: base.CauseServerDisconnect})
	steps := countSteps(sh, func() {})
	release()
	out := finish(everybody, 2*pairs)
	for i, d := range out.Sockets {
		if !before[d.ID] || everybody.Sockets[i].ID != d.ID {
			t.Errorf("%s is found twice, or was not there", d.ID)
		}
		delete(before, d.ID)
	}
	if len(before) > 0 {
		t.Errorf("not found: %v", before)
	}
	if finish(gone, pairs); others != 2*pairs {
		t.Errorf("%d came", others)
	}
	if r.settle(); *steps < pairs {
		t.Errorf("%d disconnects in %d steps that may write to one", pairs, *steps)
	}
}

// Jobs of one socket keep their order although they wait for each other over steps.
func TestSlicesKeepTheOrderOfASocket(t *testing.T) {
	r := newRig(t, options(1))
	for range 30 {
		r.connect(0).join()
	}
	c := r.connect(0)
	s := c.join()
	r.pace(4, 2)
	release := r.block(c.shard)
	for n := range 10 {
		r.emit("all", 2*n, delivery.Target{})
		if err := s.Emit(t.Context(), "one", delivery.Emission{Frame: numberedEvent("one", 2*n+1)}, false); err != nil {
			t.Fatal(err)
		}
	}
	over := &op.Op{Kind: op.Disconnect, Namespace: "/feed", Target: delivery.Target{Socket: s.ID}, Cause: base.CauseServerDisconnect}
	if _, err := r.Begin(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	release()
	var want []string
	for n := range 10 {
		want = append(want, fmt.Sprintf(`2/feed,["all",%d]`, 2*n), fmt.Sprintf(`2/feed,["one",%d]`, 2*n+1))
	}
	wantTexts(t, c.texts(), append(want, "1/feed,")...)
}

// What has been delivered pins nobody who has left (promise P10).
func TestDeliveredEmitsPinNoSockets(t *testing.T) {
	r := newRig(t, options(1))
	c := r.stalled(0) // what was written is another's to forget
	socket := weak.Make(c.join())
	r.emit("news", 1, delivery.Target{})
	r.settle()
	c.do(func() { c.conn.Close(base.CauseTransportClose) })
	runtime.GC()
	if socket.Value() != nil {
		t.Error("a socket that has left is still in memory")
	}
}
