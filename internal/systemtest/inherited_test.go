package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// The defects of streamfence.md that were found by reading: J2 to J15 and S4
// to S11, but those that other files have (see defects_test.go).

// J2: who leaves takes nothing of the others with him. (StreamFence: his directory of
// spilled messages, which was theirs too; with spilling: TestSpillEndsWithItsClient.)
func TestOneSubscribersDisconnectTakesNothingFromTheOthers(t *testing.T) {
	srv := start(t, feed(orders(weir.TopicOptions{MaxInFlight: 1})))
	stay, leave := dial(t, addr(srv), "/feed", nil, dialOptions{}), dial(t, addr(srv), "/feed", nil, dialOptions{})
	stay.subscribe("/feed", "orders")
	leave.subscribe("/feed", "orders")
	for i := range 10 {
		publish(t, srv, "orders", i)
	}
	leave.delivery()
	_ = leave.conn.Close()
	eventually(t, "one client has left", func() bool { return len(views(t, srv)) == 1 })
	for i := range 10 {
		publish(t, srv, "orders", 10+i)
	}
	for i := range 20 {
		d := stay.delivery()
		if d.n != i {
			t.Fatalf("delivery %d is %+v", i, d)
		}
		stay.ack(d)
	}
	if n := metric(t, srv, "weir_dropped_total", `topic="orders"`, `reason="disconnect"`); n != 10 {
		t.Errorf("%v booked as disconnect, want the 10 of the one who left", n)
	}
}

// J3: a reliable lane whose window is full, with more queued, waits for the ack
// without working. A redelivery of another topic is the clock.
func TestFullWindowDoesNotSpin(t *testing.T) {
	clock := weir.TopicOptions{Name: "clock", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, AckTimeout: 200 * time.Millisecond, RetryBackoff: 1}
	o := feed(orders(weir.TopicOptions{MaxInFlight: 2}), clock)
	o.Shards = 1
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	p.subscribe("/feed", "clock")
	for i := range 20 {
		publish(t, srv, "orders", i)
	}
	p.delivery()
	p.delivery()
	publish(t, srv, "clock", 100)
	if d := p.delivery(); d.n != 100 {
		t.Fatalf("delivery %+v beyond the window", d)
	}
	before := metric(t, srv, "weir_loop_seconds_count")
	if d := p.delivery(); d.n != 100 || !d.Redelivered {
		t.Fatalf("delivery %+v", d)
	}
	if turns := metric(t, srv, "weir_loop_seconds_count") - before; turns > 50 {
		t.Errorf("the loop turned %v times with nothing to do", turns)
	}
}

// J5: who is refused was never connected.
func TestRefusedClientsDoNotCountAsConnected(t *testing.T) {
	var left atomic.Int32
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}}, func(s *weir.Server) {
		n := s.Namespace("/feed")
		n.Use(func(context.Context, *weir.Socket) error { return weir.Errorf(weir.ErrForbidden, "not today") })
		n.OnDisconnect(func(context.Context, *weir.Socket, string) { left.Add(1) })
	})
	for range 5 {
		p := dialRaw(t, addr(srv), dialOptions{})
		p.send("40/feed,")
		if m := p.next(); !strings.HasPrefix(m, `44/feed,{"message":"forbidden: not today"`) {
			t.Fatal(m)
		}
		_ = p.conn.Close()
	}
	eventually(t, "all have gone", func() bool { return metric(t, srv, "weir_connections") == 0 })
	for _, name := range []string{"weir_sockets", "weir_sockets_opened_total", "weir_sockets_closed_total", "weir_sessions"} {
		if n := metric(t, srv, name); n != 0 {
			t.Errorf("%s is %v", name, n)
		}
	}
	if left.Load() != 0 {
		t.Error("OnDisconnect was called for a client that was refused")
	}
}

// J7: any namespaces and any limits do.
func TestNoNamespaceOrLimitIsDemanded(t *testing.T) {
	srv := start(t, weir.Options{Servers: []weir.ServerOptions{{
		SocketIO:   weir.SocketIOOptions{MaxHTTPBufferSize: 1000},
		Namespaces: []weir.NamespaceOptions{{Path: "/only", Topics: []weir.TopicOptions{{Name: "x", Max: weir.Limits{Messages: 1, Bytes: 100}}}}},
	}}})
	p := dial(t, addr(srv), "/only", nil, dialOptions{})
	if a := p.subscribe("/only", "x"); a["ok"] != true {
		t.Fatalf("subscribe: %v", a)
	}
}

// J10: nothing a client is sent holds its token.
func TestNoAnswerEchoesTheToken(t *testing.T) {
	const token = "a-secret-nobody-sends"
	auth, err := weir.StaticTokens(map[string]string{"alice": token})
	if err != nil {
		t.Fatal(err)
	}
	topics := []weir.TopicOptions{{Name: "prices", AuthRequired: true}, {Name: "other", AuthRequired: true, WebsocketOnly: true}}
	srv := start(t, weir.Options{Authenticate: auth, Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{
		{Path: "/feed", Topics: topics, ClientPublish: true},
	}}}})
	p := dial(t, addr(srv), "/feed", map[string]string{"token": token}, dialOptions{query: "&token=" + token})
	req := map[string]any{"topic": "prices", "token": token}
	for i, ask := range []struct {
		event string
		arg   map[string]any
	}{
		{"subscribe", req}, {"unsubscribe", req}, {"subscribe", map[string]any{"topic": "none", "token": token}},
		{"subscribe", map[string]any{"topic": "prices", "token": token + "!"}}, {"publish", map[string]any{"topic": "prices", "token": token}},
		{"publish", map[string]any{"topic": "prices", "token": token, "payload": 1}}, {"ack", req}, {"weir:nothing", req},
	} {
		p.emit("/feed", i, ask.event, ask.arg)
		if m := p.next(); !strings.HasPrefix(m, fmt.Sprintf("43/feed,%d[", i)) || strings.Contains(m, token) {
			t.Errorf("%s %v: answered %q", ask.event, ask.arg, m)
		}
	}
}

// J11: an ack time-out is what was asked for, not what a scan rounds it up to. Fifty
// short ones fit into one long one, with most of it to spare; with a scan of 500 ms they would not.
func TestAckTimeoutIsNotRoundedUpToAScan(t *testing.T) {
	const repeats = 50
	reliable := func(name string, timeout time.Duration) weir.TopicOptions {
		return weir.TopicOptions{Name: name, Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, AckTimeout: timeout, RetryBackoff: 1, MaxRetries: repeats}
	}
	srv := start(t, feed(reliable("short", 20*time.Millisecond), reliable("long", 20*time.Second)))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "short")
	p.subscribe("/feed", "long")
	publish(t, srv, "long", 0)
	p.delivery()
	publish(t, srv, "short", 0)
	for i := range 1 + repeats {
		if d := p.delivery(); d.Topic != "short" || d.Redelivered != (i > 0) {
			t.Fatalf("delivery %d: %+v", i, d)
		}
	}
	eventually(t, "the message is given up", func() bool {
		return lane(client(t, srv, p.sid), "short").Drops["exhausted"] == 1
	})
	balanced(t, srv, "short", "long")
}

// J12, S5: who leaves settles his own window and nobody else's.
func TestMassDisconnectSettlesTheLeaversWindowsOnly(t *testing.T) {
	const unacked = 32
	clients := 1000 / heavy
	srv := start(t, feed(orders(weir.TopicOptions{MaxInFlight: unacked})))
	all := crowd(t, addr(srv), "orders", clients, leanOptions{})
	for i := range unacked {
		publish(t, srv, "orders", numbered(i, 30))
	}
	if err := inParallel(clients, func(i int) error {
		for range unacked {
			if _, err := all[i].number("orders"); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stay := clients / 10
	hangUp(all[stay:])
	eventually(t, "the others have left", func() bool { return metric(t, srv, "weir_connections") == float64(stay) })
	if n := metric(t, srv, "weir_dropped_total", `topic="orders"`, `reason="disconnect"`); n != float64((clients-stay)*unacked) {
		t.Errorf("%v booked as disconnect, want %d", n, (clients-stay)*unacked)
	}
	for _, v := range views(t, srv) {
		if l := lane(v, "orders"); l.InFlight != unacked || l.Dropped != 0 {
			t.Errorf("client %s who stays: %+v", v.ID, l)
		}
	}
	balanced(t, srv, "orders")
}

// J13: replacing a value costs the same however many wait.
func TestCoalescingCostsTheSameHoweverDeepTheLane(t *testing.T) {
	const publishes = 2000
	cost := func(keys int) uint64 {
		srv := start(t, feed(plug, weir.TopicOptions{Name: "prices", Overflow: weir.Coalesce, Max: roomy}))
		c := newLean(t, addr(srv), "/feed", leanOptions{})
		for _, topic := range []string{"plug", "prices"} {
			if err := c.subscribe("/feed", topic); err != nil {
				t.Fatal(err)
			}
		}
		heldBack(t, srv, c)
		set := func(n int) {
			publish(t, srv, "prices", numbered(n, 30), weir.Key(fmt.Sprint(n%keys)), weir.WithReceipt())
		}
		for n := range keys {
			set(n)
		}
		before := allocated()
		for n := range publishes {
			set(n)
		}
		spent := (allocated() - before) / publishes
		if l := lane(client(t, srv, c.sid), "prices"); l.Depth < keys-1 || l.Coalesced != publishes {
			t.Fatalf("lane %+v, want %d keys and %d replaced", l, keys, publishes)
		}
		return spent
	}
	few, many := cost(10), cost(5000)
	t.Logf("bytes allocated per publish: %d with 10 waiting, %d with 5,000", few, many)
	if many > few+1000 { // a copy of the queue is 80,000
		t.Errorf("a publish allocates %d bytes with 5,000 values waiting, %d with 10", many, few)
	}
}

// J15: a message whose sending failed is not acknowledged: it is repeated, or booked
// as what became of it.
func TestFailedReliableSendIsNotCountedAsAcked(t *testing.T) {
	srv := start(t, feed(plug, orders(weir.TopicOptions{})))
	c := newLean(t, addr(srv), "/feed", leanOptions{})
	for _, topic := range []string{"plug", "orders"} {
		if err := c.subscribe("/feed", topic); err != nil {
			t.Fatal(err)
		}
	}
	heldBack(t, srv, c)
	for i := range 40 {
		publish(t, srv, "orders", numbered(i, 1000))
	}
	_ = c.conn.Close() // with unread data: the next write of the server fails
	eventually(t, "the client has gone", func() bool { return metric(t, srv, "weir_connections") == 0 })
	at := func(name string, labels ...string) float64 {
		return metric(t, srv, name, append(labels, `topic="orders"`)...)
	}
	if a, d := at("weir_acked_total"), at("weir_dropped_total", `reason="disconnect"`); a != 0 || d != 40 {
		t.Errorf("%v acknowledged, %v booked as disconnect; want 0 and 40", a, d)
	}
	settledTotals(t, srv, "orders", "acked_total")
}

// S4: the work for one message does not grow with the queue: 30,000 deep, with acks in
// the opposite order of the sends, a scan per message is a thousand million steps.
func TestDeepReliableQueueDrainsWhateverTheOrderOfAcks(t *testing.T) {
	const window = 1000
	total := 30_000 / min(heavy, 3)
	srv := start(t, feed(orders(weir.TopicOptions{MaxInFlight: window, Max: roomy})))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	for i := range total {
		publish(t, srv, "orders", i)
	}
	for from := 0; from < total; from += window {
		batch := make([]delivery, window)
		for i := range batch {
			if batch[i] = p.delivery(); batch[i].n != from+i {
				t.Fatalf("delivery %d: %+v", from+i, batch[i])
			}
		}
		for i := range batch {
			p.ack(batch[window-1-i])
		}
	}
	eventually(t, "all is acknowledged", func() bool { return lane(client(t, srv, p.sid), "orders").Acked == uint64(total) })
	balanced(t, srv, "orders")
}

// S6: names that mean something else on the wire are refused at start, and a payload
// that cannot be sent is refused to its publisher.
func TestReservedTopicNamesAreRefusedAtStart(t *testing.T) {
	for _, name := range []string{
		"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
		"subscribe", "unsubscribe", "publish", "ack", "weir:lost", "weir:x", "", "*", " ",
	} {
		if _, err := weir.New(feed(weir.TopicOptions{Name: name})); err == nil {
			t.Errorf("a topic named %q was accepted", name)
		}
	}
	// A pattern would reach them by another door.
	for _, pattern := range []string{"conn*", "weir:*", "a*", "dis*"} {
		srv, err := weir.New(feed(weir.TopicOptions{Name: pattern}))
		if err != nil {
			continue // refused: as good
		}
		for _, name := range []string{"connect", "weir:lost", "ack", "disconnect"} {
			if _, err := srv.Publish(t.Context(), "/feed", name, 1); err == nil {
				t.Errorf("topic %q was published through the pattern %q", name, pattern)
			}
		}
	}
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	for _, payload := range []any{func() {}, json.RawMessage(`{"a":`), make(chan int)} {
		if _, err := srv.Publish(t.Context(), "/feed", "prices", payload); !errors.Is(err, weir.ErrInvalid) {
			t.Errorf("payload of type %T: %v", payload, err)
		}
	}
}

// S8: ids do not begin again when the process does.
func TestMessageIDsDifferAcrossRestarts(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
		for range 10 {
			if r := publish(t, srv, "prices", 1); seen[r.MessageID] || r.MessageID == "" {
				t.Fatalf("id %q came before", r.MessageID)
			} else {
				seen[r.MessageID] = true
			}
		}
	}
}

// S9: a client always learns that it is not subscribed.
func TestSubscribeToUnknownOrBlankTopicIsAnswered(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}, weir.TopicOptions{Name: "user:*"}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for topic, code := range map[string]string{"nothing": "unknown", "": "invalid", " ": "unknown", "user:*": "unknown"} {
		for _, event := range []string{"subscribe", "weir:subscribe"} {
			p.emit("/feed", 1, event, map[string]any{"topic": topic})
			if m := p.next(); !strings.Contains(m, `43/feed,1[{"ok":false`) || !strings.Contains(m, `"code":"`+code+`"`) {
				t.Errorf("%s %q: answered %q, want %s", event, topic, m, code)
			}
			p.emit("/feed", -1, event, map[string]any{"topic": topic})
			if m := p.next(); !strings.Contains(m, `42/feed,["weir:error",{"ok":false`) || !strings.Contains(m, `"code":"`+code+`"`) {
				t.Errorf("%s %q without a callback: answered %q, want %s", event, topic, m, code)
			}
		}
	}
}

// S11: every problem of the options is told, in one error and without a panic.
func TestNewReportsEveryProblemAtOnce(t *testing.T) {
	_, err := weir.New(weir.Options{
		Shards: -1, Memory: weir.MemoryOptions{HighWatermark: 2}, Drain: weir.DrainOptions{ClientsPerSecond: -1},
		Management: weir.ManagementOptions{Addr: "0.0.0.0:0"},
		Servers: []weir.ServerOptions{
			{Name: "a", Auth: true, Origins: []string{"nonsense origin"}, SocketIO: weir.SocketIOOptions{Transports: []string{"smoke"}}},
			{Name: "a", Namespaces: []weir.NamespaceOptions{{Path: "feed", AuthRequired: true, AutoSubscribe: []string{"none"}, Topics: []weir.TopicOptions{
				{Name: "x", Mode: weir.AtLeastOnce, Overflow: weir.DropOldest}, {Name: "x", Key: "symbol"}, {Name: "y", TTL: -1, FlushDelay: time.Hour, Max: weir.Limits{Messages: -1}},
			}}}},
		},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"Shards -1", "HighWatermark 2", "ClientsPerSecond -1", "Management.Addr", "Servers[1].Name", "Servers[0].Auth", "Origins",
		`"smoke"`, `Path "feed"`, "AuthRequired", `AutoSubscribe "none"`, "DROP_OLDEST", "declared twice", `Key "symbol"`, "TTL", "FlushDelay 1h", "Messages -1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell about %s:\n%v", want, err)
		}
	}
}

// Rooms are told about as Socket.IO's adapter does (protocol.md 2.7), a socket's own included.
func TestRoomEventsReachTheEmbedder(t *testing.T) {
	changes := make(chan weir.RoomEvent, 16)
	o := weir.Options{
		Namespaces: []weir.NamespaceOptions{{Path: "/"}},
		Events:     weir.Events{Room: func(e weir.RoomEvent) { changes <- e }},
	}
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/").OnConnect(func(ctx context.Context, s *weir.Socket) error { return s.Join(ctx, "lobby") })
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	id := ""
	for i, want := range []weir.RoomEvent{
		{Kind: weir.RoomCreated}, {Kind: weir.RoomJoined},
		{Kind: weir.RoomCreated, Room: "lobby"}, {Kind: weir.RoomJoined, Room: "lobby"},
		{Kind: weir.RoomLeft, Room: "lobby"}, {Kind: weir.RoomDeleted, Room: "lobby"},
		{Kind: weir.RoomLeft}, {Kind: weir.RoomDeleted},
	} {
		if i == 4 {
			if err := p.conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		got := <-changes
		if i == 0 {
			id = got.Room
		}
		want.Namespace = "/"
		if want.Room == "" {
			want.Room = id
		}
		if want.Kind == weir.RoomJoined || want.Kind == weir.RoomLeft {
			want.Socket = id
		}
		if got != want {
			t.Errorf("change %d: %+v, want %+v", i, got, want)
		}
	}
}
