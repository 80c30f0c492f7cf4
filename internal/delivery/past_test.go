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

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/topiclog"
)

// remembering is a topic that keeps its newest records in memory.
func remembering(name string, p lane.Policy, keep int) delivery.TopicSpec {
	s := topic(name, p)
	s.Memory = topiclog.Limits{Records: keep, Bytes: 1 << 20}
	return s
}

// since subscribes with the newest messages first.
func (c *reader) since(topic string, last int) delivery.Subscription {
	c.rig.t.Helper()
	var o delivery.SubscribeOptions
	if err := c.socket.Recall(context.Background(), topic, &o, last); err != nil {
		c.rig.t.Fatalf("recall %s: %v", topic, err)
	}
	var err error
	c.do(func() {
		err = c.socket.Subscribe(topic, o, func(s delivery.Subscription) { c.subs[topic] = s })
	})
	if err != nil {
		c.rig.t.Fatalf("subscribe to %s: %v", topic, err)
	}
	return c.subs[topic]
}

// past is how many of the deliveries of a topic are marked as history; they have to come first, and to tell where they stand.
func (c *reader) past(topic string) (n int) {
	c.rig.t.Helper()
	live := false
	for _, p := range c.received() {
		if p.name() != topic {
			continue
		}
		var m struct {
			History bool
			Offset  uint64
			Epoch   string
		}
		if len(p.args) > 2 {
			if err := json.Unmarshal(p.args[2], &m); err != nil {
				c.rig.t.Fatal(err)
			}
		}
		switch {
		case m.History && (live || m.Offset == 0 || m.Epoch == ""):
			c.rig.t.Errorf("%s: %s (live before it: %v)", topic, p.text, live)
		case m.History:
			n++
		default:
			live = true
		}
	}
	return n
}

// The newest messages come first, marked, in order, and what is published later follows them.
func TestHistoryComesFirst(t *testing.T) {
	sure := certain()
	sure.MaxInFlight = 64
	r := newRig(t, options(2, remembering("ticks", latest(), 50), remembering("orders", sure, 50)))
	for _, name := range []string{"ticks", "orders"} {
		r.numbered(name, 1, 60)
		for last, want := range map[int]int{1: 1, 20: 20, 32: 32, 1000: 50} {
			if name == "orders" {
				want = min(want, 32) // half of its lane: REJECT_NEW would refuse what comes next
			}
			c := r.reader(last % 2)
			if s := c.since(name, last); s.History != want || s.Offset < 60 {
				t.Errorf("%s, the last %d: %+v, want %d", name, last, s, want)
			}
			if n := c.past(name); n != want {
				t.Errorf("%s, the last %d: %d are marked as history, want %d", name, last, n, want)
			}
			if name == "ticks" {
				wantPayloads(t, fmt.Sprintf("the last %d", last), sequence(c.client, name), counted(61-want, 60))
			}
			c.do(func() { c.conn.Close(base.CauseTransportClose) })
		}
		c := r.reader(0)
		c.since(name, 3)
		r.numbered(name, 61, 65)
		wantPayloads(t, name, sequence(c.client, name), counted(58, 65))
		settledRig2(t, r, name, c)
	}
}

// settledRig2 is settledRig for a reliable topic too, whose window holds what was not acknowledged.
func settledRig2(t *testing.T, r *rig, name string, c *reader) {
	t.Helper()
	c.do(func() { c.conn.Close(base.CauseTransportClose) })
	r.settle()
	if b := r.totals(name); r.Unbalanced.Load() != 0 || b.Queued != 0 || b.Bytes != 0 || b.InFlight != 0 || b.Spilled != 0 {
		t.Errorf("%s: %d lanes unbalanced, %+v", name, r.Unbalanced.Load(), b)
	}
}

// jointed publishes to a topic while readers of every speed subscribe to it with history: each gets a run without a gap and
// without a repeat, whatever keeps the topic.
func jointed(t *testing.T, r *rig, name string, last int) {
	t.Helper()
	var wg sync.WaitGroup
	const most = 3000
	begun := make(chan struct{})
	wg.Go(func() {
		for n := range most {
			r.publish(name, fmt.Sprint(n+1))
			if n == 100 {
				close(begun)
			}
		}
	})
	readers := make([]*reader, 6)
	for i := range readers {
		rnd := rand.New(rand.NewPCG(uint64(i), 7))
		c := r.reader(i % 2)
		readers[i] = c
		wg.Go(func() {
			<-begun
			for range rnd.IntN(200) {
				c.do(func() {})
			}
			c.since(name, last)
		})
	}
	wg.Wait()
	for i, c := range readers {
		r.caughtUp(c.client, name)
		got := sequence(c.client, name)
		s := c.subs[name]
		first := most - len(got) + 1
		if s.History == 0 || first > int(s.Offset)+1-s.History {
			t.Errorf("reader %d subscribed at %d with %d of history, and its run begins at %d", i, s.Offset, s.History, first)
		}
		wantPayloads(t, fmt.Sprintf("reader %d, %+v", i, s), got, counted(max(first, 1), most))
		c.past(name)
	}
	for _, c := range readers {
		settledRig2(t, r, name, c)
	}
}

func wide10k() lane.Policy {
	p := latest()
	p.MaxMessages, p.MaxBytes = 10_000, 8<<20
	return p
}

func TestHistoryMeetsTheStreamFromMemory(t *testing.T) {
	jointed(t, newRig(t, options(2, remembering("ticks", wide10k(), 40))), "ticks", 30)
	jointed(t, newRig(t, options(2, remembering("ticks", wide10k(), 1))), "ticks", 1)
}

func TestHistoryMeetsTheStreamFromALateLog(t *testing.T) {
	r, _ := brokered(t, options(2, topic("ticks", wide10k())))
	jointed(t, r, "ticks", 30)
	spills := narrow(64)
	spills.Overflow = base.SpillToDisk
	r, _ = brokered(t, options(2, topic("ticks", spills)))
	jointed(t, r, "ticks", 30)
}

// Each policy does with history what it does with messages, and nobody is cut for what it has asked for.
func TestHistoryUnderEveryPolicy(t *testing.T) {
	keyed := remembering("keys", latest(), 100)
	keyed.Policy.Overflow = base.Coalesce
	keyed.Key = func(p []byte) string { return string(p[:1]) }
	policy := func(o base.Overflow, n int) lane.Policy {
		p := narrow(n)
		p.Overflow = o
		return p
	}
	r := newRig(t, options(1, keyed, remembering("oldest", policy(base.DropOldest, 8), 100), remembering("newest", policy(base.RejectNew, 8), 100),
		remembering("one", policy(base.SnapshotOnly, 8), 100), remembering("cut", policy(base.Disconnect, 8), 100), remembering("only", policy(base.Disconnect, 1), 100)))
	for topic, want := range map[string][]string{
		"keys": nil, "oldest": counted(14, 21), "newest": counted(17, 21), "one": {"21"}, "cut": counted(17, 21), "only": {"20"},
	} {
		r.numbered(topic, 1, 20)
		c := r.reader(0)
		c.do(func() { c.window = 0 })
		s := c.since(topic, 50)
		if topic != "only" {
			r.numbered(topic, 21, 21)
		}
		if c.conn.Closed() {
			t.Errorf("%s: cut for its history", topic)
		}
		c.drain(wide)
		got := sequence(c.client, topic)
		if topic == "keys" { // the newest of each first digit
			if s.History != 20 || len(got) != 9 || got[0] != "19" || got[1] != "21" {
				t.Errorf("keys: %+v, read %q", s, got)
			}
			continue
		}
		wantPayloads(t, fmt.Sprintf("%s %+v", topic, s), got, want)
		if v := c.laneView(topic); !v.Balanced {
			t.Errorf("%s: %+v", topic, v)
		}
	}
	if n := r.Unbalanced.Load(); n > 0 {
		t.Errorf("%d lanes unbalanced", n)
	}
}

// What was sent to others, or to a room, is nobody else's history.
func TestHistoryIsOnlyWhatIsForItsReader(t *testing.T) {
	r := newRig(t, options(1, remembering("ticks", latest(), 100)))
	alice := &reader{client: r.connect(0), subs: make(map[string]delivery.Subscription)}
	alice.do(func() { alice.socket = alice.conn.OpenSocket(r.ns, alice.conn.NewSocketID(), "alice", alice.client) })
	alice.do(func() {
		if err := alice.socket.Join("lobby"); err != nil {
			t.Error(err)
		}
	})
	bob := r.reader(0)
	send := func(payload string, to delivery.Target) {
		r.publishWith("ticks", delivery.Publication{Payload: []byte(payload), Target: to})
	}
	send("1", delivery.Target{})
	send("2", delivery.Target{Principal: "alice"})
	send("3", delivery.Target{Socket: bob.socket.ID})
	send("4", delivery.Target{Rooms: []string{"lobby"}})
	send("5", delivery.Target{Principal: "carol"})
	send("6", delivery.Target{})
	alice.since("ticks", 100)
	bob.since("ticks", 100)
	wantPayloads(t, "alice", sequence(alice.client, "ticks"), []string{"1", "2", "6"})
	wantPayloads(t, "bob", sequence(bob.client, "ticks"), []string{"1", "3", "6"})
	b, err := r.ns.History(t.Context(), "ticks", delivery.HistoryQuery{From: 2, Limit: topiclog.Limit{Records: 2, Bytes: 1 << 20}, For: bob.socket.Reader()})
	if err != nil || len(b.Placements) != 2 || b.Placements[0].Offset != 3 || b.Placements[1].Offset != 6 {
		t.Errorf("bob asks for the log: %+v, %v", b, err)
	}
}

func offsetsOf(b topiclog.Batch) (out []uint64) {
	for _, e := range b.Placements {
		out = append(out, e.Offset)
	}
	return out
}

// A log is read in pages: from an offset on, or its end.
func TestHistoryIsReadInPages(t *testing.T) {
	r := newRig(t, options(1, remembering("ticks", latest(), 8), topic("plain", latest())))
	r.numbered("ticks", 1, 20)
	ask := func(q delivery.HistoryQuery) topiclog.Batch {
		t.Helper()
		if q.Limit.Records == 0 {
			q.Limit.Records = 3
		}
		q.Limit.Bytes = 1 << 20
		b, err := r.ns.History(t.Context(), "ticks", q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		return b
	}
	if b := ask(delivery.HistoryQuery{}); fmt.Sprint(offsetsOf(b)) != "[18 19 20]" || b.Next != 20 || b.First != 13 || b.Lost {
		t.Errorf("the newest: %+v", b)
	}
	if b := ask(delivery.HistoryQuery{From: 1}); fmt.Sprint(offsetsOf(b)) != "[13 14 15]" || b.Next != 15 || !b.Lost {
		t.Errorf("from the beginning: %+v", b)
	}
	if b := ask(delivery.HistoryQuery{From: 16, Limit: topiclog.Limit{Records: 100}}); fmt.Sprint(offsetsOf(b)) != "[16 17 18 19 20]" || b.Lost || !b.End() {
		t.Errorf("the rest: %+v", b)
	}
	if b := ask(delivery.HistoryQuery{From: 21}); len(b.Placements) != 0 || b.Next != 20 {
		t.Errorf("what is to come: %+v", b)
	}
	_, err := r.ns.History(t.Context(), "ticks", delivery.HistoryQuery{From: 3, Epoch: "another"})
	if !errors.Is(err, topiclog.ErrEpoch) {
		t.Errorf("another epoch: %v", err)
	}
	if _, err := r.ns.History(t.Context(), "plain", delivery.HistoryQuery{}); !errors.Is(err, delivery.ErrNoHistory) {
		t.Errorf("a topic without: %v", err)
	}
	if _, err := r.ns.History(t.Context(), "none", delivery.HistoryQuery{}); !errors.Is(err, delivery.ErrUnknownTopic) {
		t.Errorf("an unknown topic: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for range 100 { // both may be: what was read, or that nobody waits
		if _, err := r.ns.History(ended, "ticks", delivery.HistoryQuery{}); err != nil && !errors.Is(err, delivery.ErrBusy) {
			t.Fatalf("nobody waits: %v", err)
		}
	}
}

// What topics keep is in an account, at most an eighth of the budget, and goes with the topic.
func TestHistoryIsInTheBudget(t *testing.T) {
	o := options(1, remembering("user:*", latest(), 100))
	o.BudgetBytes = 8 << 20
	o.Namespaces[0].Names = 4
	r := newRig(t, o)
	payload := fmt.Sprintf("%q", make([]byte, 10_000))
	for n := range 4 {
		for range 100 {
			r.publish(fmt.Sprint("user:", n), payload)
		}
		r.settle()
	}
	if n := r.Accounts()[accounts.History]; n > 1<<20 || n < 1<<19 {
		t.Errorf("four topics keep %d bytes, want up to an eighth of 8 MiB", n)
	}
	for n := range 4 { // each takes the place of an older one
		r.publish(fmt.Sprint("user:new", n), "1")
		r.settle()
	}
	if n := r.Accounts()[accounts.History]; n > 4*400 {
		t.Errorf("the topics are forgotten, and %d bytes are kept", n)
	}
	c := r.reader(0)
	if s := c.since("user:new3", 5); s.History != 1 {
		t.Errorf("its own history: %+v", s)
	}
	if s := c.since("user:0", 5); s.History != 0 || s.Offset != 0 {
		t.Errorf("that of a topic that was forgotten: %+v", s)
	}
}

// Those who ask at about the same time share what they are sent.
func TestHistoryIsMadeOnceForManyReaders(t *testing.T) {
	r := newRig(t, options(1, remembering("ticks", latest(), 50)))
	r.numbered("ticks", 1, 50)
	before := r.Accounts()[accounts.History]
	var held []int64
	for range 20 {
		c := r.reader(0)
		c.do(func() { c.window = 0 })
		c.since("ticks", 50)
		held = append(held, r.Accounts()[accounts.History]-before)
	}
	if most := slices.Max(held); held[0] == 0 || most > held[0] { // less where they were made anew in between
		t.Errorf("messages of 50 records hold %v", held)
	}
}
