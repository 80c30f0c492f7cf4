package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
)

// One test each for the defects of streamfence.md that this version can have,
// named after the defect's subject. Elsewhere: W1 in bounded_test.go; J4 and J14 in
// access_test.go; those of spilling in spill_test.go and in internal/delivery. J7's config files are internal/config's.

// orders is a reliable topic whose ack clock does not run out during a test.
func orders(o weir.TopicOptions) weir.TopicOptions {
	o.Name, o.Mode, o.Overflow = "orders", weir.AtLeastOnce, weir.RejectNew
	if o.AckTimeout == 0 {
		o.AckTimeout = time.Hour
	}
	return o
}

// delivery is a reliable delivery as a client reads it.
type delivery struct {
	n           int
	MessageID   string
	Redelivered bool
	Topic       string
}

// delivery reads packets until one is a reliable delivery of a number.
func (p *peer) delivery() delivery {
	p.t.Helper()
	for {
		if pk := p.packet(); pk.typ == sio.Event && len(pk.args) == 2 {
			return deliveryOf(p.t, pk)
		}
	}
}

func deliveryOf(t testing.TB, pk packet) (d delivery) {
	t.Helper()
	if len(pk.args) != 2 {
		t.Fatalf("%s %s is not a reliable delivery", pk.name, pk.args)
	}
	var n struct{ N int }
	if err := json.Unmarshal(pk.args[0], &d.n); err != nil {
		if err := json.Unmarshal(pk.args[0], &n); err != nil {
			t.Fatalf("delivery %s: %v", pk.args, err)
		}
		d.n = n.N
	}
	if err := json.Unmarshal(pk.args[1], &d); err != nil {
		t.Fatalf("delivery %s: %v", pk.args, err)
	}
	return d
}

func (p *peer) ack(d delivery) {
	p.t.Helper()
	p.emit("/feed", -1, "ack", map[string]any{"topic": d.Topic, "messageId": d.MessageID})
}

// W4: what is configured is enforced: tokens are asked for, polling is refused where
// a topic wants websockets, handlers run, listeners hear.
func TestConfiguredAuthTransportHandlersAndListenersAreConnected(t *testing.T) {
	var asked, handled, connected, subscribed, rejected, left atomic.Int32
	o := weir.Options{
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{{
			Path: "/feed", AuthRequired: true, Topics: []weir.TopicOptions{{Name: "prices", WebsocketOnly: true}},
		}}}},
		Authenticate: func(_ context.Context, r weir.AuthRequest) (weir.Identity, error) {
			asked.Add(1)
			if r.Token != "secret" {
				return weir.Identity{}, weir.ErrUnauthorized
			}
			return weir.Identity{Principal: "alice"}, nil
		},
		Events: weir.Events{
			Connected:    func(weir.ConnectedEvent) { connected.Add(1) },
			Subscribed:   func(weir.SubscribedEvent) { subscribed.Add(1) },
			AuthRejected: func(weir.AuthRejectedEvent) { rejected.Add(1) },
			Disconnected: func(weir.DisconnectedEvent) { left.Add(1) },
		},
	}
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/feed").On("hello", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			handled.Add(1)
			return e.Reply(ctx, s.Principal())
		})
	})
	stranger := dialRaw(t, addr(srv), dialOptions{})
	stranger.send(`40/feed,{"token":"guess"}`)
	if m := stranger.next(); !strings.HasPrefix(m, `44/feed,{"message":"unauthorized`) {
		t.Fatalf("a wrong token was answered %q", m)
	}
	p := dial(t, addr(srv), "/feed", map[string]string{"token": "secret"}, dialOptions{})
	p.emit("/feed", 1, "hello")
	if m := p.next(); m != `43/feed,1["alice"]` {
		t.Fatalf("handler: %q", m)
	}
	p.subscribe("/feed", "prices")
	poller := newPoller(t, addr(srv))
	poller.post(`40/feed,{"token":"secret"}`)
	poller.get()
	poller.post(`42/feed,1["subscribe",{"topic":"prices"}]`)
	if m := poller.get(); !strings.Contains(m, `"code":"needs_websocket"`) {
		t.Fatalf("subscribe over polling: %q", m)
	}
	poller.post("1")
	_ = p.conn.Close()
	eventually(t, "the listeners hear", func() bool {
		return asked.Load() == 3 && handled.Load() == 1 && connected.Load() == 2 && subscribed.Load() == 1 &&
			rejected.Load() == 1 && left.Load() == 2
	})
}

// W5: the window's places of an unsubscribed lane come back, and what was queued is
// not sent any more.
func TestUnsubscribeWithUnackedMessagesDoesNotWedgeTheLane(t *testing.T) {
	srv := start(t, feed(orders(weir.TopicOptions{MaxInFlight: 2})))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	for i := range 4 {
		publish(t, srv, "orders", i)
	}
	p.delivery()
	p.delivery()
	p.emit("/feed", 3, "unsubscribe", map[string]any{"topic": "orders"})
	if m := p.next(); m != `43/feed,3[{"ok":true,"topic":"orders"}]` {
		t.Fatalf("after unsubscribe: %q", m)
	}
	p.subscribe("/feed", "orders")
	for i := range 5 {
		publish(t, srv, "orders", 10+i)
	}
	for i := range 5 {
		d := p.delivery()
		if d.n != 10+i || d.Redelivered {
			t.Fatalf("delivery %d: %+v", i, d)
		}
		p.ack(d)
	}
	eventually(t, "all is acknowledged", func() bool { return lane(client(t, srv, p.sid), "orders").Acked == 5 })
	balanced(t, srv, "orders")
	if n := metric(t, srv, "weir_dropped_total", `reason="unsubscribe"`); n != 4 {
		t.Errorf("%v dropped by unsubscribe, want 4", n)
	}
}

// counting counts how often it is encoded.
type counting struct {
	times *atomic.Int32
	body  json.RawMessage
}

func (c counting) MarshalJSON() ([]byte, error) {
	c.times.Add(1)
	return c.body, nil
}

// W6: 500 clients' queues cost 500 pointers, not 500 copies.
func TestFanOutEncodesOnce(t *testing.T) {
	const subscribers, size, rounds = 500, 64 << 10, 8
	srv := start(t, feed(weir.TopicOptions{Name: "prices", Max: roomy}))
	clients := crowd(t, addr(srv), "prices", subscribers, leanOptions{})
	var times atomic.Int32
	var p pace
	p.readInOrder(clients, "prices", 0, perRound)
	p.rounds(t, subscribers, 0, perRound, publishNumbers(srv, "prices", size)) // the clients' buffers grow
	before := allocated()
	p.readInOrder(clients, "prices", perRound, rounds)
	p.rounds(t, subscribers, perRound, rounds, func(n int) error {
		_, err := srv.Publish(context.Background(), "/feed", "prices", counting{&times, numbered(n, size)})
		return err
	})
	if n := times.Load(); n != rounds {
		t.Errorf("%d publishes were encoded %d times", rounds, n)
	}
	perPublish := (allocated() - before) / rounds
	t.Logf("%d KiB allocated per publish", perPublish>>10)
	if perPublish > subscribers*size/10 {
		t.Errorf("%d KiB allocated per publish of %d KiB to %d subscribers", perPublish>>10, size>>10, subscribers)
	}
}

// allocated is how many bytes the process has allocated since it began.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// W10: a question that is never answered is forgotten when its time is over, also if
// it was over before the question was on its way.
func TestQuestionsWithoutAnswersAreForgotten(t *testing.T) {
	total := 50_000 / heavy
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}})
	c := newLean(t, addr(srv), "/feed", leanOptions{})
	sockets, err := srv.Namespace("/feed").All().Sockets(t.Context())
	if err != nil || len(sockets) != 1 {
		t.Fatalf("%d sockets, %v", len(sockets), err)
	}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		for {
			if _, _, err := c.message(); err != nil {
				return
			}
		}
	}()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	written := func() bool { return lane(client(t, srv, c.sid), "").Depth == 0 }
	before := measure(t)
	for i := range total {
		if i%200 == 0 {
			eventually(t, "the questions are written", written)
		}
		if _, err := sockets[0].Ask(ended, "question"); !errors.Is(err, weir.ErrTimeout) && !errors.Is(err, weir.ErrBusy) {
			t.Fatalf("Ask: %v", err)
		}
		if _, err := srv.Namespace("/feed").All().Ask(ended, "question"); !errors.Is(err, weir.ErrTimeout) && !errors.Is(err, weir.ErrBusy) {
			t.Fatalf("Broadcast.Ask: %v", err)
		}
	}
	eventually(t, "all questions are written", written)
	if grown := measure(t).heap - before.heap; grown > int64(total)*100 {
		t.Errorf("%d questions left %d KiB behind", 2*total, grown>>10)
	}
	_ = c.conn.Close()
	<-reading
}

func TestQuestionFailsWhenTheClientLeaves(t *testing.T) {
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	sockets, err := srv.Namespace("/feed").All().Sockets(t.Context())
	if err != nil || len(sockets) != 1 {
		t.Fatalf("%d sockets, %v", len(sockets), err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := sockets[0].Ask(t.Context(), "question")
		answer <- err
	}()
	p.next()
	_ = p.conn.Close()
	if err := <-answer; !errors.Is(err, weir.ErrDisconnected) {
		t.Fatalf("Ask: %v", err)
	}
}
