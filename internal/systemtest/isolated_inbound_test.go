package systemtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// ages is a window that is not over while a test runs.
const ages = time.Hour

// jobs are the numbers of the events "job" that a server has handled, in their order.
type jobs struct {
	mu   sync.Mutex
	list []int
}

func (j *jobs) numbers() []int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.list)
}

// limited is a server with limits on what clients send to /feed and /other, whose event "job" is answered with its number.
func limited(t *testing.T, so weir.ServerOptions, limits ...weir.InboundLimit) (*weir.Server, *jobs) {
	t.Helper()
	j := new(jobs)
	so.Limits.Inbound = limits
	if so.Namespaces == nil {
		so.Namespaces = []weir.NamespaceOptions{
			{Path: "/feed", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "prices*"}, {Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew}}},
			{Path: "/other"},
		}
	}
	return start(t, weir.Options{Servers: []weir.ServerOptions{so}, Authenticate: byName}, func(s *weir.Server) {
		for _, path := range []string{"/feed", "/other"} {
			if s.Namespace(path) == nil {
				continue
			}
			weir.Handle(s.Namespace(path), "job", func(_ context.Context, _ *weir.Socket, n int) (int, error) {
				j.mu.Lock()
				defer j.mu.Unlock()
				j.list = append(j.list, n)
				return n, nil
			})
		}
	}), j
}

// byName takes each token for the name of its principal.
func byName(_ context.Context, r weir.AuthRequest) (weir.Identity, error) {
	return weir.Identity{Principal: r.Token}, nil
}

// count is the numbers from 0 to n.
func count(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// sendJobs sends the jobs from first to last, as many as there are in one write.
func (p *peer) sendJobs(namespace string, first, last int) {
	p.t.Helper()
	var all []byte
	for i := first; i <= last; i++ {
		all = ws.AppendMasked(all, ws.Text, [4]byte{}, fmt.Appendf(nil, `42%s,%d["job",%d]`, namespace, i, i))
	}
	if _, err := p.conn.Write(all); err != nil {
		p.t.Fatal(err)
	}
}

// answersTo reads the answers to jobs, and returns those that were handled and those that were refused.
func (p *peer) answersTo(n int) (handled, refused []int) {
	p.t.Helper()
	for range n {
		switch pk := p.packet(); {
		case pk.typ != sio.Ack:
			p.t.Fatalf("%+v: want an answer", pk)
		case strings.Contains(string(pk.args[0]), `"code":"limited"`):
			refused = append(refused, int(pk.id))
		default:
			handled = append(handled, int(pk.id))
		}
	}
	return handled, refused
}

// drivers are how connections are held: what a limit does is the same with each.
var drivers = map[string]weir.ServerOptions{"epoll": {Driver: weir.DriverEpoll}, "goroutine": {Driver: weir.DriverGoroutine}}

// A client that is throttled loses nothing, keeps its order, and is not taken for dead, though it is not read for longer than
// its heartbeat allows, and answers no ping at all.
func TestThrottledClientLosesNothingAndStays(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			so.SocketIO.PingInterval, so.SocketIO.PingTimeout = 2*time.Second, 2*time.Second
			srv, j := limited(t, so, weir.InboundLimit{Messages: 4, Window: 5 * time.Second}) // CONNECT is one, the fourth event has to wait for longer
			p := dialRaw(t, addr(srv), dialOptions{})
			all := ws.AppendMasked(nil, ws.Text, [4]byte{}, []byte("40/feed,"))
			for i := range 4 {
				all = ws.AppendMasked(all, ws.Text, [4]byte{}, fmt.Appendf(nil, `42/feed,%d["job",%d]`, i, i))
			}
			if _, err := p.conn.Write(all); err != nil { // with CONNECT: before it the server is not patient
				t.Fatal(err)
			}
			_ = p.next()
			var got []int
			for len(got) < 4 {
				m, err := p.receive()
				if err != nil {
					t.Fatalf("after the answers %v: %v", got, err)
				}
				if m != "2" {
					got = append(got, int(decode(t, m).id))
				}
			}
			if !slices.Equal(got, count(4)) || !slices.Equal(j.numbers(), count(4)) {
				t.Errorf("answered %v, handled %v", got, j.numbers())
			}
			if n := metric(t, srv, "weir_rate_limited_total", `action="throttle"`, `dry_run="false"`); n < 1 {
				t.Errorf("%v events had to wait, want the fourth", n)
			}
		})
	}
}

// A throttled client sends at the rate it may: what is beyond waits in the kernel, and the server holds no more of it than it
// has read at once.
func TestThrottledClientIsNotReadAhead(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, j := limited(t, so, weir.InboundLimit{Messages: 11, Window: ages}) // CONNECT is one
			p := dial(t, addr(srv), "/feed", nil, dialOptions{})
			p.sendJobs("/feed", 0, 9)
			if handled, _ := p.answersTo(10); !slices.Equal(handled, count(10)) {
				t.Fatalf("handled %v", handled)
			}
			pad := strings.Repeat("x", 1000)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() { // until the kernel takes no more
				defer close(stopped)
				for i := 10; p.write(fmt.Sprintf(`42/feed,["job",%d,%q]`, i, pad)) == nil; i++ {
					select {
					case <-stop:
						return
					default:
					}
				}
			}()
			eventually(t, "the client is not read", func() bool { return metric(t, srv, "weir_clients_throttled") == 1 })
			inbound := func() float64 { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) }
			eventually(t, "what was read waits", func() bool { return inbound() > 0 })
			v := views(t, srv)
			if len(v) != 1 || v[0].Limited == nil || v[0].Limited.Throttled != 1 || v[0].Limited.ForMs == 0 || v[0].Limited.Rule != "more than 11 events or 1048576 bytes in 1h0m0s for one socket" {
				t.Errorf("the API shows %+v", v)
			}
			if n := inbound(); n > 512<<10 {
				t.Errorf("%v bytes held of a client that is not read", n)
			}
			if n := len(j.numbers()); n != 10 {
				t.Errorf("%d events handled, want 10 in an hour", n)
			}
			close(stop)
			_ = p.conn.SetWriteDeadline(time.Unix(1, 0)) // it writes no more, and does not leave by itself
			<-stopped
			if err := srv.Namespace("/feed").All().CloseConnections(t.Context()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all is given back", func() bool {
				return inbound() == 0 && metric(t, srv, "weir_memory_held_bytes", `what="limits"`) == 0 && metric(t, srv, "weir_clients_throttled") == 0
			})
		})
	}
}

// The event of a client that waits for its turn is handled when the client is sent away: it has been sent.
func TestThrottledClientThatIsSentAwayHasSentWhatWaits(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			srv, j := limited(t, so, weir.InboundLimit{Messages: 4, Window: ages})
			p := dial(t, addr(srv), "/feed", nil, dialOptions{})
			p.sendJobs("/feed", 0, 9)
			eventually(t, "it is throttled", func() bool { return metric(t, srv, "weir_clients_throttled") == 1 })
			r := httptest.NewRequest("POST", "/api/sockets/disconnect", strings.NewReader(`{"namespace":"/feed","filter":{"address":"127.0.0.1"}}`))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if srv.Management().ServeHTTP(w, r); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if err := p.closed(); err != nil {
				t.Error(err)
			}
			eventually(t, "what waits is handled", func() bool { return len(j.numbers()) >= 4 })
			if got := j.numbers(); !slices.Equal(got, count(len(got))) {
				t.Errorf("handled %v: want them in order", got)
			}
			eventually(t, "nobody is left", func() bool {
				return metric(t, srv, "weir_clients_throttled") == 0 && metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) == 0
			})
		})
	}
}

// A POST whose events have to wait is answered when they have had their turn.
func TestThrottledPostIsAnsweredLate(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			srv, j := limited(t, so, weir.InboundLimit{Messages: 2, Window: 200 * time.Millisecond})
			p := newPoller(t, addr(srv))
			p.post("40/feed,")
			if m := p.get(); !strings.HasPrefix(m, "40/feed,") {
				t.Fatalf("CONNECT answered %q", m)
			}
			var events []string
			for i := range 7 {
				events = append(events, fmt.Sprintf(`42/feed,["job",%d]`, i))
			}
			p.post(strings.Join(events, "\x1e"))
			if n := metric(t, srv, "weir_rate_limited_total", `action="throttle"`, `dry_run="false"`); n < 1 {
				t.Errorf("%v events had to wait", n)
			}
			eventually(t, "all are handled", func() bool { return len(j.numbers()) == 7 })
			if got := j.numbers(); !slices.Equal(got, count(7)) {
				t.Errorf("handled %v", got)
			}
		})
	}
}

// An event with attachments waits for its turn as a whole.
func TestThrottledEventKeepsItsAttachments(t *testing.T) {
	srv, _ := limited(t, weir.ServerOptions{}, weir.InboundLimit{Events: "blob", Messages: 1, Bytes: weir.Off, Window: 300 * time.Millisecond})
	blobs := make(chan string, 3)
	weir.Handle(srv.Namespace("/feed"), "blob", func(_ context.Context, _ *weir.Socket, b []byte) (any, error) {
		blobs <- string(b)
		return nil, nil
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for _, text := range []string{"first", "second", "third"} {
		p.send(`451-/feed,["blob",{"_placeholder":true,"num":0}]`)
		if _, err := p.conn.Write(ws.AppendMasked(nil, ws.Binary, [4]byte{}, []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"first", "second", "third"} {
		if got := <-blobs; got != want {
			t.Errorf("handled %q, want %q", got, want)
		}
	}
}

func TestDroppedEventIsAnsweredWithAnError(t *testing.T) {
	srv, j := limited(t, weir.ServerOptions{}, weir.InboundLimit{Messages: 6, Window: ages, Action: weir.InboundDrop})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.sendJobs("/feed", 0, 19)
	handled, refused := p.answersTo(20)
	slices.Sort(handled)
	if !slices.Equal(handled, count(5)) || !slices.Equal(refused, count(20)[5:]) || len(j.numbers()) != 5 {
		t.Errorf("handled %v, refused %v", handled, refused)
	}
	const says = `more than 6 events or 1048576 bytes in 1h0m0s for one socket (limits.inbound)`
	if got := p.asks("/feed", "job", 1); got != `43/feed,9[{"ok":false,"code":"limited","reason":"`+says+`","retryable":true}]` {
		t.Errorf("a callback is told %s", got)
	}
	p.emit("/feed", -1, "job", 1)
	if got := p.next(); got != `42/feed,["weir:error",{"ok":false,"event":"job","code":"limited","reason":"`+says+`","retryable":true}]` {
		t.Errorf("without a callback: %s", got)
	}
	if got := p.asks("/feed", "weir:publish", map[string]any{"topic": "prices", "payload": 1}); !strings.Contains(got, `"code":"limited"`) {
		t.Errorf("a publish is answered %s", got)
	}
	if n := metric(t, srv, "weir_rate_limited_total", `action="drop"`, `dry_run="false"`); n != 18 {
		t.Errorf("%v counted, want 18", n)
	}
	if v := views(t, srv); len(v) != 1 || v[0].Limited == nil || v[0].Limited.Dropped != 18 {
		t.Errorf("the API shows %+v", v)
	}
}

// The limit of one event leaves others alone, and the limit of a topic other topics.
func TestInboundLimitIsAboutItsEventsAndTopics(t *testing.T) {
	srv, _ := limited(t, weir.ServerOptions{},
		weir.InboundLimit{Events: "jo*", Messages: 1, Window: ages, Action: weir.InboundDrop},
		weir.InboundLimit{Events: "publish", Topics: "prices*", Messages: 2, Window: ages, Action: weir.InboundDrop},
	)
	srv.Namespace("/feed").On("other", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "fine") })
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	price := map[string]any{"topic": "prices.A", "payload": 1}
	order := map[string]any{"topic": "orders", "payload": 1}
	for i, c := range []struct {
		event string
		arg   any
		ok    bool
	}{
		{"job", 0, true}, {"job", 1, false}, {"other", 0, true}, {"other", 1, true},
		{"weir:publish", price, true}, {"publish", price, true}, {"publish", price, false}, {"weir:publish", price, false},
		{"publish", order, true}, {"publish", order, true}, {"publish", order, true},
		{"subscribe", map[string]any{"topic": "prices.B"}, true},
	} {
		if got := p.asks("/feed", c.event, c.arg); strings.Contains(got, `"code":"limited"`) == c.ok {
			t.Errorf("%d: %s %v is answered %s", i, c.event, c.arg, got)
		}
	}
}

func TestInboundLimitCountsTogetherWhatItSays(t *testing.T) {
	for per, together := range map[weir.InboundScope][3]bool{ // another socket of the connection, of the principal, of the address
		weir.InboundPerSocket:    {false, false, false},
		weir.InboundPerPrincipal: {true, true, false},
		weir.InboundPerAddress:   {true, true, true},
	} {
		t.Run(string(per), func(t *testing.T) {
			srv, _ := limited(t, weir.ServerOptions{Auth: true}, weir.InboundLimit{Events: "job", Messages: 3, Window: ages, Action: weir.InboundDrop, Per: per})
			ann, bob := map[string]string{"token": "ann"}, map[string]string{"token": "bob"}
			p := dial(t, addr(srv), "/feed", ann, dialOptions{})
			p.sendJobs("/feed", 0, 3)
			if handled, _ := p.answersTo(4); len(handled) != 3 {
				t.Fatalf("handled %v", handled)
			}
			p.join("/other", ann)
			others := []string{p.asks("/other", "job", 1)}
			for _, auth := range []map[string]string{ann, bob} {
				others = append(others, dial(t, addr(srv), "/feed", auth, dialOptions{}).asks("/feed", "job", 1))
			}
			for i, got := range others {
				if strings.Contains(got, `"code":"limited"`) != together[i] {
					t.Errorf("%d is answered %s", i, got)
				}
			}
			wanted := 0.0
			if per != weir.InboundPerSocket {
				wanted = 1
			}
			if n := metric(t, srv, "weir_rate_senders"); n < wanted {
				t.Errorf("%v senders remembered", n)
			}
			if held := metric(t, srv, "weir_memory_held_bytes", `what="limits"`); held <= 0 {
				t.Errorf("%v bytes held for the limits", held)
			}
		})
	}
}

// Who is disconnected is told why, may come back twice, and is told to stay away the third time.
func TestDisconnectedClientIsToldWhy(t *testing.T) {
	srv, _ := limited(t, weir.ServerOptions{Auth: true}, weir.InboundLimit{Messages: 3, Window: ages, Action: weir.InboundDisconnect})
	for try := 1; try <= 3; try++ {
		p := dial(t, addr(srv), "/feed", map[string]string{"token": "ann"}, dialOptions{})
		p.sendJobs("/feed", 0, 1)
		if handled, _ := p.answersTo(2); len(handled) != 2 {
			t.Fatalf("handled %v", handled)
		}
		p.emit("/feed", 2, "job", 2)
		pk := p.packet()
		if pk.name != "weir:error" || !strings.Contains(string(pk.args[0]), `"code":"limited","reason":"more than 3 events`) {
			t.Fatalf("try %d: told %+v", try, pk)
		}
		if try < 3 {
			if m, err := p.receive(); err == nil {
				t.Errorf("try %d: then it gets %q, want the end of the connection", try, m)
			}
			continue
		}
		if m := p.next(); m != "41/feed," {
			t.Errorf("the third time it is told %q, want DISCONNECT", m)
		}
	}
	if n := metric(t, srv, "weir_cut_total", `cause="rate_limited"`); n != 3 {
		t.Errorf("%v counted", n)
	}
	cut := srv.CutClients(10)
	if len(cut) != 3 || cut[0].Cause != "rate_limited" || cut[0].Limited == nil || cut[0].Limited.Dropped != 1 {
		t.Errorf("the API shows %+v", cut)
	}
}

// A limit that is only tried counts and says what it would have done, and does nothing.
func TestDryRunLetsEverythingThrough(t *testing.T) {
	for _, action := range []weir.InboundAction{weir.InboundThrottle, weir.InboundDrop, weir.InboundDisconnect} {
		t.Run(string(action), func(t *testing.T) {
			srv, j := limited(t, weir.ServerOptions{}, weir.InboundLimit{Messages: 5, Window: ages, Action: action, DryRun: true})
			p := dial(t, addr(srv), "/feed", nil, dialOptions{})
			p.sendJobs("/feed", 0, 9)
			if handled, _ := p.answersTo(10); len(handled) != 10 || !slices.Equal(j.numbers(), count(10)) {
				t.Errorf("handled %v", handled)
			}
			if n := metric(t, srv, "weir_rate_limited_total", `action="`+string(action)+`"`, `dry_run="true"`); n != 6 {
				t.Errorf("%v counted, want 6", n)
			}
			if n := metric(t, srv, "weir_rate_limited_total", `dry_run="false"`); n != 0 {
				t.Errorf("%v counted as if it were in force", n)
			}
			if v := views(t, srv); len(v) != 1 || v[0].Limited == nil || v[0].Limited.WouldBe != 6 || v[0].Limited.Dropped != 0 {
				t.Errorf("the API shows %+v", v)
			}
		})
	}
}

// Acks that a delivery waits for are the server's own doing: a limit does not count them. Acks of nothing are events.
func TestAwaitedAcksAreNotCounted(t *testing.T) {
	srv, _ := limited(t, weir.ServerOptions{}, weir.InboundLimit{Messages: 3, Window: ages, Action: weir.InboundDrop})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	const n = 30
	for i := range n {
		if _, err := srv.Publish(t.Context(), "/feed", "orders", i); err != nil {
			t.Fatal(err)
		}
		pk := p.packet()
		var meta struct{ MessageID string }
		if err := json.Unmarshal(pk.args[1], &meta); err != nil {
			t.Fatal(err)
		}
		p.emit("/feed", -1, [2]string{"ack", "weir:ack"}[i%2], map[string]any{"topic": "orders", "messageId": meta.MessageID})
	}
	eventually(t, "all are acknowledged", func() bool { return metric(t, srv, "weir_acked_total", `topic="orders"`) == n })
	if got := p.asks("/feed", "weir:ack", map[string]any{"topic": "orders", "messageId": "none"}); !strings.Contains(got, `"settled":false`) {
		t.Errorf("the second event: %s", got)
	}
	if got := p.asks("/feed", "weir:ack", map[string]any{"topic": "orders", "messageId": "none"}); !strings.Contains(got, `"code":"limited"`) {
		t.Errorf("the third event: %s", got)
	}
	p.send("43/feed,77[]") // an answer that nobody waits for
	eventually(t, "it is counted", func() bool { return metric(t, srv, "weir_rate_limited_total", `action="drop"`, `dry_run="false"`) == 2 })
}

// While the server does not read a client it cannot hear its acks, and so sends nothing again.
func TestAckClocksStandStillWhileTheClientIsNotRead(t *testing.T) {
	so := weir.ServerOptions{Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{
		{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, AckTimeout: 700 * time.Millisecond},
	}}}}
	srv, j := limited(t, so, weir.InboundLimit{Events: "job", Messages: 1, Window: 3 * time.Second})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	p.sendJobs("/feed", 0, 1)
	_ = p.packet() // the first job's
	eventually(t, "it is throttled", func() bool { return metric(t, srv, "weir_clients_throttled") == 1 })
	if _, err := srv.Publish(t.Context(), "/feed", "orders", 1); err != nil {
		t.Fatal(err)
	}
	pk := p.packet()
	var meta struct{ MessageID string }
	if err := json.Unmarshal(pk.args[1], &meta); err != nil {
		t.Fatal(err)
	}
	p.emit("/feed", -1, "ack", map[string]any{"topic": "orders", "messageId": meta.MessageID})
	if pk := p.packet(); pk.typ != sio.Ack || pk.id != 1 {
		t.Errorf("before the second job is answered: %+v", pk)
	}
	eventually(t, "the ack is heard", func() bool { return metric(t, srv, "weir_acked_total", `topic="orders"`) == 1 })
	if n := metric(t, srv, "weir_retries_total", `topic="orders"`); n != 0 || len(j.numbers()) != 2 {
		t.Errorf("sent again %v times", n)
	}
}

// One client that sends as fast as it can, into each action, at the limits' defaults: the others of its loop are served, and
// of it every event is handled, refused, or waits.
func TestFloodIntoALimitLeavesOthersServed(t *testing.T) {
	for _, action := range []weir.InboundAction{weir.InboundThrottle, weir.InboundDrop, weir.InboundDisconnect} {
		t.Run(string(action), func(t *testing.T) {
			srv, _ := limited(t, weir.ServerOptions{}, weir.InboundLimit{Action: action})
			flood := dial(t, addr(srv), "/feed", nil, dialOptions{})
			var others []*peer
			for range 5 {
				others = append(others, dial(t, addr(srv), "/other", nil, dialOptions{}))
			}
			stop := make(chan struct{})
			var all sync.WaitGroup
			all.Go(func() { // it sends, and reads what it is told
				for i := 0; flood.write(fmt.Sprintf(`42/feed,["job",%d]`, i)) == nil; i++ {
					select {
					case <-stop:
						return
					default:
					}
				}
			})
			all.Go(func() { _ = flood.closed() })
			beyondAny := func() bool {
				return metric(t, srv, "weir_rate_limited_total", `action="`+string(action)+`"`, `dry_run="false"`) > 0
			}
			eventually(t, "it is beyond the limit", beyondAny)
			for i := range 20 {
				for _, p := range others {
					if got := p.asks("/other", "job", i); got != fmt.Sprintf("43/other,9[%d]", i) {
						t.Fatalf("another client is answered %s", got)
					}
				}
			}
			close(stop)
			_ = flood.conn.Close()
			all.Wait()
		})
	}
}
