package delivery_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/survey"
)

// small is a hub whose events lanes hold that many messages.
func small(messages int, topics ...delivery.TopicSpec) delivery.Options {
	o := options(1, topics...)
	o.Namespaces[0].Events.MaxMessages = messages
	return o
}

// paused reports whether the client is not read now.
func (c *client) paused() (off bool) {
	c.do(func() { off = len(c.reading) > 0 && !c.reading[len(c.reading)-1] })
	return off
}

// Answers are never dropped: the client is not read while the lane is full of them, and is again when half of it is taken, which
// is the last resort that keeps them few (architecture.md D1).
func TestForcedAnswersStopReadingAndAreAllWritten(t *testing.T) {
	r := newRig(t, small(16))
	c := r.stalled(0)
	s := c.join()
	for i := range 100 {
		if i == 15 && c.paused() {
			t.Error("not read although the events lane has room")
		}
		if i == 16 && !c.paused() {
			t.Error("the events lane is full of answers, and the client still read")
		}
		c.do(func() { s.Send(event("answer", fmt.Sprint(i))) })
	}
	if c.conn.Closed() {
		t.Fatal("answers overflowed the lane and cut the client")
	}
	c.open(wide)
	if got := len(c.received()); got != 100 {
		t.Errorf("%d answers, want 100", got)
	}
	if c.paused() {
		t.Error("still not read although all answers are written")
	}
	if fmt.Sprint(c.reading) != "[false true]" {
		t.Errorf("reading: %v", c.reading)
	}
}

func TestReadingResumesWhenAPausedSocketLeaves(t *testing.T) {
	o := small(16)
	o.Namespaces = append(o.Namespaces, delivery.NamespaceSpec{Path: "/other", Events: eventsPolicy()})
	r := newRig(t, o)
	c := r.stalled(0)
	s := c.join()
	c.do(func() { c.conn.OpenSocket(r.Namespace("/other"), c.conn.NewSocketID(), "", c) })
	for range 16 {
		c.do(func() { s.Send(event("answer")) })
	}
	if !c.paused() {
		t.Fatal("not paused")
	}
	c.do(func() { s.Close(base.CauseClientDisconnect, nil) })
	c.open(wide)
	if c.paused() {
		t.Error("the socket whose answers piled up has left, nothing is left to write, and the client is never read again")
	}
}

func TestRefusalDoesNotResumeReading(t *testing.T) {
	r := newRig(t, small(16))
	c := r.stalled(0)
	s := c.join()
	for range 16 {
		c.do(func() { s.Send(event("answer")) })
	}
	c.do(func() { c.conn.Refuse(r.ns, event("refused")) })
	if !c.paused() {
		t.Error("reading was resumed while answers pile up")
	}
}

func TestRefusalsStopReadingAndAreAllWritten(t *testing.T) {
	r := newRig(t, options(1))
	c := r.stalled(0)
	for range 200 {
		c.do(func() { c.conn.Refuse(r.ns, event("refused")) })
	}
	if !c.paused() {
		t.Error("200 refusals wait, and the client is still read")
	}
	c.open(wide)
	if got := len(c.received()); got != 200 {
		t.Errorf("%d refusals, want 200", got)
	}
	if c.paused() {
		t.Error("still not read although all refusals are written")
	}
	c.do(func() {
		if n := len(c.conn.Sockets()); n != 0 {
			t.Errorf("%d refused sockets are kept", n)
		}
	})
}

// A client may join as many namespaces as are declared.
func TestManyNamespacesDoNotStopReading(t *testing.T) {
	o := small(16)
	for i := range 100 {
		o.Namespaces = append(o.Namespaces, delivery.NamespaceSpec{Path: fmt.Sprint("/", i), Events: eventsPolicy()})
	}
	r := newRig(t, o)
	c := r.connect(0)
	s := c.join()
	c.do(func() {
		for i := range 100 {
			c.conn.OpenSocket(r.Namespace(fmt.Sprint("/", i)), c.conn.NewSocketID(), "", c)
		}
		c.window = 0
	})
	for range 16 {
		c.do(func() { s.Send(event("answer")) })
	}
	c.open(wide)
	c.do(func() { c.conn.Refuse(r.ns, event("refused")) })
	r.settle()
	if c.paused() {
		t.Errorf("a client in 101 namespaces is not read any more: %v", c.reading)
	}
}

func TestFullEventsLaneCutsTheClientWhenTheStepIsOver(t *testing.T) {
	var cut []survey.CutNotice
	o := small(4)
	o.OnCut = func(e survey.CutNotice) { cut = append(cut, e) }
	r := newRig(t, o)
	slow, good := r.stalled(0), r.connect(0)
	slow.join()
	good.join()
	release := r.block(slow.shard) // so that all emits are one step's
	for i := range 10 {
		if err := r.Emit(context.Background(), r.ns, "news", delivery.Emission{Frame: event("news", fmt.Sprint(i))}, delivery.Target{}); err != nil {
			t.Fatal(err)
		}
	}
	release()
	r.settle()
	got := good.texts()
	slow.do(func() {
		if len(slow.cuts) != 1 || slow.cuts[0] != base.CauseSlowConsumer || !slow.conn.Closed() {
			t.Errorf("slow client was cut for %v", slow.cuts)
		}
		if len(good.cuts) != 0 || len(got) != 10 { // a burst is no reason to cut who keeps up
			t.Errorf("the client that keeps up was cut for %v and read %d of 10 events", good.cuts, len(got))
		}
		if len(cut) != 1 || len(cut[0].Clients) != 1 || cut[0].Clients[0].Depth != 4 {
			t.Errorf("cuts told: %+v", cut)
		}
	})
	if r.Cuts(base.CauseSlowConsumer) != 1 || len(r.Cut(10)) != 1 {
		t.Errorf("%d cuts counted, %d remembered", r.Cuts(base.CauseSlowConsumer), len(r.Cut(10)))
	}
}

// Doom does not disturb the walk that causes it: every other member gets the
// message, however many are cut by it.
func TestCuttingDuringABroadcastSkipsNobody(t *testing.T) {
	strict := latest()
	strict.Overflow, strict.MaxMessages = base.Disconnect, 1
	r := newRig(t, options(1, topic("strict", strict)))
	var good, slow []*client
	for i := range 60 {
		if i%3 == 0 {
			slow = append(slow, r.stalled(0))
			slow[len(slow)-1].join("strict")
			continue
		}
		good = append(good, r.connect(0))
		good[len(good)-1].join("strict")
	}
	for i := range 5 {
		r.publish("strict", fmt.Sprint(i))
		r.settle()
	}
	for _, c := range good {
		if got := len(c.received()); got != 5 {
			t.Errorf("a client that keeps up got %d messages of 5", got)
		}
	}
	for _, c := range slow {
		if len(c.cuts) != 1 {
			t.Errorf("a client that does not was cut %d times", len(c.cuts))
		}
	}
}

func TestVolatileIsForThoseWhoTakeItAtOnce(t *testing.T) {
	r := newRig(t, options(1))
	ready, stalled, inside := r.connect(0), r.stalled(0), r.connect(0)
	for _, c := range []*client{ready, stalled, inside} {
		c.join()
	}
	inside.do(func() { inside.take = func(int) int { return 3 }; inside.conn.Sockets()[0].Send(event("whole")) })
	r.settle()
	inside.do(func() { inside.window, inside.take = wide, nil }) // could write, but not this
	err := r.Emit(context.Background(), r.ns, "now", delivery.Emission{Frame: event("now"), Volatile: true}, delivery.Target{})
	if err != nil {
		t.Fatal(err)
	}
	r.settle()
	stalled.open(wide)
	inside.open(wide)
	wantTexts(t, ready.texts(), `2/feed,["now"]`)
	wantTexts(t, stalled.texts())
	wantTexts(t, inside.texts(), `2/feed,["whole"]`)
	if got := r.ns.EventTotals(); got.Dropped[base.ReasonOverflow] != 2 || got.Offered != 4 {
		t.Errorf("books: %+v", got)
	}
}

// What may be dropped at will is no reason to cut a client that keeps up.
func TestVolatileBurstCutsNobody(t *testing.T) {
	r := newRig(t, small(16))
	c := r.connect(0)
	s := c.join()
	release := r.block(c.shard)
	for range 100 {
		if err := s.Emit(context.Background(), "now", delivery.Emission{Frame: event("now")}, true); err != nil {
			t.Fatal(err)
		}
	}
	release()
	r.settle()
	if c.do(func() {}); len(c.cuts) > 0 {
		t.Errorf("cut for %v by events that may be dropped", c.cuts)
	}
}

// asked records what an AckSink hears. Loop only.
type asked struct {
	sent, shards int
	answers      []delivery.Answer
}

func (a *asked) Sent(*delivery.Socket) bool                     { a.sent++; return true }
func (a *asked) Answered(_ *delivery.Socket, n delivery.Answer) { a.answers = append(a.answers, n) }
func (a *asked) Shard()                                         { a.shards++ }

func TestQuestionsAreAnsweredOrSaidToBeUnanswerable(t *testing.T) {
	ask := func(r *rig, s *delivery.Socket, volatile bool) (*asked, uint64) {
		a, id := new(asked), r.ns.NextAckID()
		if err := s.Emit(context.Background(), "q", delivery.Emission{Frame: event("q"), AckID: id, Acks: a}, volatile); err != nil {
			t.Fatal(err)
		}
		r.settle()
		return a, id
	}
	check := func(t *testing.T, c *client, a *asked, failed bool) {
		c.do(func() {
			if a.sent != 1 || a.shards != 1 || len(a.answers) != 1 || (a.answers[0].Err != nil) != failed {
				t.Errorf("asked %d, by %d shards, answers %v", a.sent, a.shards, a.answers)
			}
		})
	}
	r := newRig(t, options(1))
	c := r.connect(0)
	s := c.join()
	a, id := ask(r, s, false)
	c.do(func() {
		s.Answer(id+1, delivery.Answer{})
		s.Answer(id, delivery.Answer{Args: []byte("[1]")})
		s.Answer(id, delivery.Answer{Args: []byte("[2]")})
	})
	t.Run("answered once", func(t *testing.T) { check(t, c, a, false) })

	c.do(func() { c.window = 0 })
	a, _ = ask(r, s, true)
	t.Run("dropped as volatile", func(t *testing.T) { check(t, c, a, true) })

	a, _ = ask(r, s, false)
	c.do(func() { s.Close(base.CauseClientDisconnect, nil) })
	t.Run("client leaves", func(t *testing.T) { check(t, c, a, true) })

	a, _ = ask(r, s, false)
	t.Run("client has left", func(t *testing.T) { check(t, c, a, true) })
}
