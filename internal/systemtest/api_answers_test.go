package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
)

// TestBroadcastThatTimesOutSharesNothingWithItsShards: what it returns is the caller's,
// though the operation goes on. The race detector is half of this test.
func TestBroadcastThatTimesOutSharesNothingWithItsShards(t *testing.T) {
	o := weir.Options{Shards: 2, Namespaces: []weir.NamespaceOptions{{Path: "/"}}}
	o.Addr, o.Management.Addr = "127.0.0.1:0", "127.0.0.1:0"
	srv := start(t, o)
	var sids []string
	for range 20 {
		sids = append(sids, dial(t, addr(srv), "/", nil, dialOptions{}).sid)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 300 {
				all := srv.Namespace("/").All()
				found, err := all.Sockets(over)
				for _, s := range found {
					if s == nil {
						t.Error("a socket that is none")
					}
				}
				if errors.Is(err, weir.ErrBusy) {
					continue // nothing was begun
				}
				if err != nil && (!errors.Is(err, weir.ErrTimeout) || !strings.Contains(err.Error(), "goes on")) {
					t.Errorf("Sockets: %v", err)
				}
				joined, skipped, err := all.Join(over, fmt.Sprint("room", i))
				if err == nil && joined+skipped != len(sids) {
					t.Errorf("joined %d, skipped %d, no error", joined, skipped)
				}
			}
		}()
	}
	wg.Wait()
	for i := range 4 {
		eventually(t, "what was begun is done", func() bool {
			found, err := srv.Namespace("/").To(fmt.Sprint("room", i)).Sockets(t.Context())
			return err == nil && len(found) == len(sids)
		})
	}
}

// TestRecipientsChosenTwiceAreThoseWhoMeetBoth: and a choice that would mean nobody or
// everybody is refused.
func TestRecipientsChosenTwiceAreThoseWhoMeetBoth(t *testing.T) {
	table, err := weir.StaticTokens(map[string]string{"alice": "a", "bob": "b"})
	if err != nil {
		t.Fatal(err)
	}
	srv := start(t, weir.Options{Authenticate: table, Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{{
		Path: "/feed", AuthRequired: true, Topics: []weir.TopicOptions{{Name: "prices"}},
	}}}}})
	sids := make(map[string]string)
	for name, token := range map[string]string{"alice in": "a", "alice out": "a", "bob in": "b"} {
		p := dial(t, addr(srv), "/feed", map[string]string{"token": token}, dialOptions{})
		p.subscribe("/feed", "prices")
		sids[name] = p.sid
		if strings.HasSuffix(name, " in") {
			if joined, _, err := srv.Namespace("/feed").To(p.sid).Join(t.Context(), "room"); err != nil || joined != 1 {
				t.Fatal(joined, err)
			}
		}
	}
	for name, c := range map[string]struct {
		want int
		opts []weir.PublishOption
	}{
		"principal and room":                {1, []weir.PublishOption{weir.ToPrincipal("alice"), weir.InRoom("room")}},
		"room and principal":                {1, []weir.PublishOption{weir.InRoom("room"), weir.ToPrincipal("alice")}},
		"principal and empty room":          {0, []weir.PublishOption{weir.ToPrincipal("alice"), weir.InRoom("empty")}},
		"socket and its principal":          {1, []weir.PublishOption{weir.ToSocket(sids["bob in"]), weir.ToPrincipal("bob")}},
		"socket and somebody's principal":   {0, []weir.PublishOption{weir.ToSocket(sids["bob in"]), weir.ToPrincipal("alice")}},
		"socket and its room":               {1, []weir.PublishOption{weir.ToSocket(sids["bob in"]), weir.InRoom("room")}},
		"socket and a room it is not in":    {0, []weir.PublishOption{weir.ToSocket(sids["alice out"]), weir.InRoom("room")}},
		"socket, principal and room":        {1, []weir.PublishOption{weir.ToSocket(sids["alice in"]), weir.InRoom("room"), weir.ToPrincipal("alice")}},
		"a principal":                       {2, []weir.PublishOption{weir.ToPrincipal("alice")}},
		"refused: nobody":                   {-1, []weir.PublishOption{weir.ToPrincipal("")}},
		"refused: no socket":                {-1, []weir.PublishOption{weir.ToSocket("")}},
		"refused: no room":                  {-1, []weir.PublishOption{weir.InRoom("")}},
		"refused: two rooms":                {-1, []weir.PublishOption{weir.InRoom("room"), weir.InRoom("empty")}},
		"refused: two principals":           {-1, []weir.PublishOption{weir.ToPrincipal("alice"), weir.ToPrincipal("bob")}},
		"refused whatever else is in order": {-1, []weir.PublishOption{weir.ToSocket(""), weir.InRoom("room")}},
	} {
		r, err := srv.Publish(t.Context(), "/feed", "prices", 1, append(c.opts, weir.WithReceipt())...)
		switch {
		case c.want < 0:
			if !errors.Is(err, weir.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		case err != nil || !r.Complete || r.Subscribers != c.want:
			t.Errorf("%s: %+v, %v, want %d subscribers", name, r, err, c.want)
		}
	}
	ns := srv.Namespace("/feed")
	for name, c := range map[string]struct {
		want int
		of   weir.Broadcast
	}{
		"principal":                  {2, ns.All().Principal("alice")},
		"principal in a room":        {1, ns.To("room").Principal("alice")},
		"principal but one":          {1, ns.Except(sids["alice in"]).Principal("alice")},
		"principal not in a room":    {1, ns.Except("room").Principal("alice")},
		"principal in an empty room": {0, ns.To("empty").Principal("alice")},
		"refused: nobody":            {-1, ns.All().Principal("")},
		"refused: two":               {-1, ns.All().Principal("alice").Principal("bob")},
	} {
		found, err := c.of.Sockets(t.Context())
		if c.want < 0 {
			_, asked := c.of.Ask(t.Context(), "x")
			if !errors.Is(err, weir.ErrInvalid) || !errors.Is(c.of.Emit(t.Context(), "x"), weir.ErrInvalid) || !errors.Is(asked, weir.ErrInvalid) {
				t.Errorf("broadcast to %s: %v", name, err)
			}
			continue
		}
		if err != nil || len(found) != c.want {
			t.Errorf("broadcast to %s: %d sockets, %v, want %d", name, len(found), err, c.want)
		}
	}
}

// holdShard keeps the only shard of a server busy until it is let go.
func holdShard(t *testing.T, s *weir.Socket) (release func()) {
	t.Helper()
	held, done := make(chan struct{}), make(chan struct{})
	go func() { _ = attach.Tests.OnLoop(s, func() { close(held); <-done }) }()
	<-held
	return func() { close(done) }
}

// TestReliablePublishThatTimesOutIsIncomplete: it does not say that nobody rejected it.
func TestReliablePublishThatTimesOutIsIncomplete(t *testing.T) {
	o := feed(orders(weir.TopicOptions{}), weir.TopicOptions{Name: "prices"})
	o.Shards = 1
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	found, err := srv.Namespace("/feed").All().Sockets(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	release := holdShard(t, found[0])
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r, err := srv.Publish(ctx, "/feed", "orders", 1); err != nil || r.Complete || r.MessageID == "" {
		t.Errorf("before the shard has answered: %+v, %v", r, err)
	}
	if r, err := srv.Publish(ctx, "/feed", "prices", 1); err != nil || !r.Complete {
		t.Errorf("where nothing is waited for: %+v, %v", r, err)
	}
	release()
	if r := publish(t, srv, "orders", 2); !r.Complete {
		t.Errorf("after it has: %+v", r)
	}
}

// TestAskThatALaneRefusesEndsAtOnce: not with the time it was given.
func TestAskThatALaneRefusesEndsAtOnce(t *testing.T) {
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{
		Path: "/", EventsOverflow: weir.EventsRejectNew, EventsLane: weir.Limits{Messages: 4, Bytes: 64 << 10},
	}}})
	p := dial(t, addr(srv), "/", nil, dialOptions{receiveBuffer: 4096})
	big := make([]byte, 15<<10)
	eventually(t, "the client's lane is full", func() bool {
		if err := srv.Namespace("/").Emit(t.Context(), "x", big); err != nil {
			t.Fatal(err)
		}
		return client(t, srv, p.sid).Dropped > 0
	})
	forever, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	replies, err := srv.Namespace("/").All().Ask(forever, "x", big)
	if err != nil || len(replies) != 1 || !errors.Is(replies[0].Err, weir.ErrBusy) {
		t.Errorf("a broadcast that asks: %+v, %v", replies, err)
	}
	found, err := srv.Namespace("/").All().Sockets(forever)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := found[0].Ask(forever, "x", big); !errors.Is(err, weir.ErrBusy) {
		t.Errorf("Socket.Ask: %v", err)
	}
	if forever.Err() != nil {
		t.Error("they waited for their time")
	}
}

// TestAnswersOfTheAPISayHowManyWereMeant.
func TestAnswersOfTheAPISayHowManyWereMeant(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Servers = []weir.ServerOptions{{Namespaces: o.Namespaces, Limits: weir.ServerLimits{RoomsPerSocket: 1}}}
	o.Namespaces = nil
	o.Management.Addr = "127.0.0.1:0"
	srv := start(t, o)
	a := dial(t, addr(srv), "/feed", nil, dialOptions{})
	dial(t, addr(srv), "/feed", nil, dialOptions{})
	a.subscribe("/feed", "prices")
	if _, _, err := srv.Namespace("/feed").To(a.sid).Join(t.Context(), "full"); err != nil {
		t.Fatal(err)
	}
	const none = `"coalesced":0,"dropped":0,"rejected":0,"complete":true}`
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/api/emit", `{"namespace":"/feed","event":"x"}`, 200, `{"recipients":2,"queued":2,` + none},
		{"/api/emit", `{"namespace":"/feed","event":"x","rooms":["empty"]}`, 200, `{"recipients":0,"queued":0,` + none},
		{"/api/emit", `{"namespace":"/feed","event":"prices","to":{"socket":"` + a.sid + `"}}`, 200, `{"recipients":1,"queued":1,` + none},
		{"/api/emit", `{"namespace":"/feed","event":"x","to":{"socket":"nobody"}}`, 200, `{"recipients":0,"queued":0,` + none},
		{"/api/emit", `{"namespace":"/feed","event":"x","to":{"socket":"` + a.sid + `"},"except":["full"]}`, 200, `{"recipients":0,"queued":0,` + none},
		{"/api/sockets/join", `{"namespace":"/feed","filter":{"topic":"prices"},"rooms":["more"]}`, 200, `{"sockets":1,"skipped":1}`},
		{"/api/sockets/leave", `{"namespace":"/feed","filter":{"room":"full"},"rooms":["full"]}`, 200, `{"sockets":1}`},
		{"/api/sockets/leave", `{"namespace":"/feed","filter":{"topic":"nope"},"rooms":["full"]}`, 404, `topic: \"nope\" is not declared`},
		{"/api/sockets/disconnect", `{"namespace":"/feed","filter":{"topic":"nope"}}`, 404, `topic: \"nope\" is not declared`},
		{"/api/sockets/disconnect", `{"namespace":"/feed","filter":{"principal":"nobody"}}`, 200, `{"sockets":0}`},
	} {
		resp, err := http.Post("http://"+srv.Addr("management").String()+c.path, "application/json", strings.NewReader(c.body))
		if got := body(t, resp, err); resp.StatusCode != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %d %s, want %s", c.path, c.body, resp.StatusCode, got, c.want)
		}
	}
}

// TestHandlersErrorsReachClientsWithoutACallback: as weir:error, in words of JSON.
func TestHandlersErrorsReachClientsWithoutACallback(t *testing.T) {
	type order struct {
		Price float64
		Items []int8
	}
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, func(s *weir.Server) {
		weir.Handle(s.Namespace("/"), "order", func(context.Context, *weir.Socket, order) (string, error) {
			return "", weir.Errorf(weir.ErrForbidden, "closed today")
		})
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	for _, c := range []struct{ arg, code, reason string }{
		{`{"Price":1}`, "forbidden", "closed today"},
		{`{"Price":"1"}`, "invalid", "argument 0, field Price: want a number, not string"},
		{`[1]`, "invalid", "argument 0: want an object, not array"},
		{`{"Items":[300]}`, "invalid", "argument 0, field Items: want a whole number of 8 bits, not number 300"},
	} {
		want := fmt.Sprintf(`"code":%q,"reason":%q`, c.code, c.reason)
		p.send(`42["order",` + c.arg + `]`)
		if m := p.next(); !strings.HasPrefix(m, `42["weir:error",{"ok":false,"event":"order",`) || !strings.Contains(m, want) {
			t.Errorf("%s: %s, want %s", c.arg, m, want)
		}
		p.send(`425["order",` + c.arg + `]`)
		if m := p.next(); !strings.HasPrefix(m, `435[{"ok":false,`) || !strings.Contains(m, want) {
			t.Errorf("%s with a callback: %s, want %s", c.arg, m, want)
		}
	}
}

// TestQuestionsAboutWhatIsNotDeclaredAreUnknown: not answered with nobody.
func TestQuestionsAboutWhatIsNotDeclaredAreUnknown(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"}, weir.TopicOptions{Name: "trades.*"})
	o.Addr, o.Management.Addr = "127.0.0.1:0", "127.0.0.1:0"
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "trades.AAPL")
	for path, want := range map[string]string{
		"/api/clients?topic=nope": "404", "/api/clients?namespace=/feed&topic=nope": "404", "/api/clients?namespace=/nope": "404",
		"/api/clients?cut=1&topic=nope": "404", "/api/topics?namespace=/nope": "404", "/api/tail?namespace=/feed&topic=nope": "404",
		"/api/clients?topic=prices": `200 {"total":0,`, "/api/clients?topic=trades.AAPL": `200 {"total":1,`, "/api/clients?topic=trades.*": `200 {"total":1,`,
	} {
		status, body := management(t, srv, http.MethodGet, path, nil)
		if got := fmt.Sprint(status, " ", body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestAddressesThatAreNoneAreRefused, each by its name.
func TestAddressesThatAreNoneAreRefused(t *testing.T) {
	for _, addr := range []string{"x:y:z", "localhost", "127.0.0.1:70000", "127.0.0.1:no such port"} {
		for name, o := range map[string]weir.Options{
			"Servers[0].Addr":   {Addr: addr},
			"Management.Addr":   {Management: weir.ManagementOptions{Addr: addr, Keys: []weir.ManagementKey{{Name: "a", Key: "k", Allow: []string{"read"}}}}},
			"Management.Probes": {Management: weir.ManagementOptions{Probes: addr}},
		} {
			if _, err := weir.New(o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s %q", name, addr)) {
				t.Errorf("%s %q: %v", name, addr, err)
			}
		}
	}
}

// TestLeavingTakesNoLockUnderTheSockets: docs/locks.md has Namespace.mu before Socket.mu, so who leaves asks for the
// namespace's handlers before its own lock.
func TestLeavingTakesNoLockUnderTheSockets(t *testing.T) {
	sockets := make(chan *weir.Socket, 1)
	var n *weir.Namespace
	srv := start(t, feed(), func(srv *weir.Server) {
		n = srv.Namespace("/feed")
		n.OnConnect(func(_ context.Context, s *weir.Socket) error { sockets <- s; return nil })
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	s := <-sockets
	eventually(t, "the client is in", s.Connected)

	release := attach.Tests.LockHandlers(n)
	defer release()
	p.send("41/feed,")
	eventually(t, "the loop asks for the namespace's handlers", func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "weir.(*Namespace).hears")
	})
	if !attach.Tests.Unlocked(s) {
		t.Error("the socket's lock is held over a wait for the namespace's")
	}
}

// TestHandshakeThatWasNotKeptIsReadAsAnother: a handler reads headers and the URL of every client, also of one that
// connected before there was a handler.
func TestHandshakeThatWasNotKeptIsReadAsAnother(t *testing.T) {
	srv := start(t, feed())
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	shakes := make(chan *weir.Handshake, 2)
	srv.Namespace("/feed").On("who", func(_ context.Context, s *weir.Socket, _ *weir.Event) error {
		shakes <- s.Handshake()
		return nil
	})
	q := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for name, c := range map[string]*peer{"not kept": p, "kept": q} {
		c.emit("/feed", 1, "who")
		h := <-shakes
		if h.Header == nil || h.URL == nil {
			t.Errorf("%s: header %v, URL %v", name, h.Header, h.URL)
		}
		if kept := h.Header.Get("Sec-WebSocket-Key") != "" || h.URL.Query().Get("EIO") != ""; kept != (name == "kept") {
			t.Errorf("%s: header %v, URL %v", name, h.Header, h.URL)
		}
		if !h.Address.IsValid() {
			t.Errorf("%s: no address", name)
		}
	}
}

// TestPublishAnsweredOnReceiptWaitsForNoLane: with inboundAckPolicy ACK_ON_RECEIPT a publish to a reliable topic is
// answered though the loop of a subscriber has not come to it; with ACK_AFTER_HANDLER_SUCCESS it is when it has.
func TestPublishAnsweredOnReceiptWaitsForNoLane(t *testing.T) {
	for _, c := range []struct {
		name string
		ack  weir.InboundAck
	}{{"on receipt", weir.AckOnReceipt}, {"after all lanes", weir.AckAfterHandlerSuccess}} {
		t.Run(c.name, func(t *testing.T) {
			o := feed(weir.TopicOptions{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew})
			o.Shards = 2
			o.Namespaces[0].ClientPublish, o.Namespaces[0].InboundAck = true, c.ack
			sockets := make(chan *weir.Socket, 1)
			srv := start(t, o, func(srv *weir.Server) {
				srv.Namespace("/feed").OnConnect(func(_ context.Context, s *weir.Socket) error { sockets <- s; return nil })
			})
			publisher := dial(t, addr(srv), "/feed", nil, dialOptions{})
			home := attach.Tests.LoopOf(<-sockets)
			var other *weir.Socket
			for other == nil || attach.Tests.LoopOf(other) == home {
				p := dial(t, addr(srv), "/feed", nil, dialOptions{})
				other = <-sockets
				p.subscribe("/feed", "orders")
			}

			held, release := make(chan struct{}), make(chan struct{})
			go func() { _ = attach.Tests.OnLoop(other, func() { close(held); <-release }) }()
			<-held
			let := func() { close(release) }
			if c.ack == weir.AckOnReceipt {
				defer let()
			}
			publisher.emit("/feed", 3, "weir:publish", map[string]any{"topic": "orders", "payload": 1})
			if c.ack != weir.AckOnReceipt {
				let()
			}
			if got := string(publisher.packet().args[0]); !strings.Contains(got, `"ok":true`) || !strings.Contains(got, "messageId") {
				t.Errorf("answered %s", got)
			}
		})
	}
}
