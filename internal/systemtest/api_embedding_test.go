package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streamweir/weir"
)

// What an application that embeds Weir does besides serving clients.

// silent returns options that log nothing and open a free port.
func silent() weir.Options {
	return weir.Options{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
}

func newServer(t *testing.T, o weir.Options) *weir.Server {
	t.Helper()
	srv, err := weir.New(withDriver(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() }) // its error is that of Run
	return srv
}

func TestReadyWaitsUntilClientsAreServed(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 { // a client right after Run was answered 503 now and then
		srv := newServer(t, silent())
		if err := srv.Ready(ended); !errors.Is(err, weir.ErrTimeout) || !errors.Is(err, context.Canceled) {
			t.Fatalf("before Run: %v", err)
		}
		result := make(chan error, 1)
		go func() { result <- srv.Run(t.Context()) }()
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if srv.Addr("default") == nil {
			t.Error("ready, and the port is not open")
		}
		if err := srv.Ready(ended); err != nil {
			t.Errorf("asked again, with a context that has ended: %v", err)
		}
		answer := httptest.NewRecorder()
		srv.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil))
		if answer.Code != http.StatusOK {
			t.Errorf("a client right after Ready is answered %d %s", answer.Code, answer.Body)
		}
		if err := errors.Join(srv.Close(), <-result); err != nil {
			t.Error(err)
		}
		if err := srv.Ready(t.Context()); !errors.Is(err, weir.ErrDraining) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestReadyEndsWhenRunFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // it was only held
	o := silent()
	o.Addr = taken.Addr().String()
	srv := newServer(t, o)
	if err := srv.Run(t.Context()); err == nil {
		t.Error("Run on a port that is taken returned nil")
	}
	if err := srv.Ready(t.Context()); !errors.Is(err, weir.ErrDraining) {
		t.Errorf("Ready: %v", err)
	}
}

func TestCloseEndsARunningServerWithoutADrain(t *testing.T) {
	o := silent()
	o.Namespaces = []weir.NamespaceOptions{{Path: "/feed"}}
	o.Drain = weir.DrainOptions{ClientsPerSecond: 1, Timeout: time.Hour} // would be waited for
	srv := newServer(t, o)
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- srv.Run(t.Context()) }()
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var peers []*peer
	for range 3 {
		peers = append(peers, dial(t, addr(srv), "/feed", nil, dialOptions{}))
	}
	drained := make(chan error, 1)
	go func() { drained <- srv.Drain(t.Context()) }() // is cut short
	if err := errors.Join(srv.Close(), <-result, srv.Close()); err != nil {
		t.Error(err)
	}
	if err := <-drained; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain, which Close has cut short: %v", err)
	}
	for _, p := range peers {
		if err := p.closed(); err != nil {
			t.Errorf("a client is still there: %v", err)
		}
	}
	if err := srv.Run(t.Context()); !errors.Is(err, weir.ErrDraining) {
		t.Errorf("Run after Close: %v", err)
	}
}

func TestCloseGivesBackWhatNewAndListenTook(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := silent()
	o.Registerer = reg
	srv := newServer(t, o)
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	at := addr(srv)
	if err := errors.Join(srv.Close(), srv.Close()); err != nil {
		t.Error(err)
	}
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	_ = ln.Close()
	if n, err := testutil.GatherAndCount(reg); n != 0 || err != nil {
		t.Errorf("%d metrics are still registered, %v", n, err)
	}
	if err := srv.Run(t.Context()); !errors.Is(err, weir.ErrDraining) {
		t.Errorf("Run after Close: %v", err)
	}
}

func TestRunCanBeCalledOnce(t *testing.T) {
	srv := start(t, feed())
	if err := srv.Run(t.Context()); !errors.Is(err, weir.ErrInvalid) || !strings.Contains(err.Error(), "Run was called before") {
		t.Errorf("Run again: %v", err)
	}
}

func TestServersShareARegisterer(t *testing.T) {
	reg := prometheus.NewRegistry()
	create := func(name string) (*weir.Server, error) {
		o := silent()
		o.Registerer, o.Name = reg, name
		return weir.New(o)
	}
	var servers []*weir.Server
	for _, name := range []string{"", "", "feed", ""} {
		srv, err := create(name)
		if err != nil {
			t.Fatalf("server %q: %v", name, err)
		}
		servers = append(servers, srv)
	}
	if srv, err := create("feed"); err == nil || !strings.Contains(err.Error(), `"feed"`) {
		t.Errorf("a second server of the same name: %v, %v", srv, err)
	}
	if got, want := nodes(t, reg), `"" "2" "3" "feed"`; got != want {
		t.Errorf("metrics of the nodes %s, want %s", got, want)
	}
	for _, srv := range servers {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := nodes(t, reg); got != "" {
		t.Errorf("after Close there are metrics of the nodes %s", got)
	}
}

// nodes lists whose metrics a registry has.
func nodes(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		if f.GetName() != "weir_build_info" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "node" {
					names = append(names, fmt.Sprintf("%q", l.GetValue()))
				}
			}
		}
	}
	return strings.Join(names, " ")
}

func TestHandlersOfEventsNobodyCanSendAreRefused(t *testing.T) {
	n := newServer(t, weir.Options{}).Namespace("/")
	h := func(context.Context, *weir.Socket, *weir.Event) error { return nil }
	for event, hint := range map[string]string{
		"connect": "OnConnect", "disconnect": "OnDisconnect", "disconnecting": "OnDisconnect", "connect_error": "protocol",
		"newListener": "protocol", "weir:subscribe": "weir:",
	} {
		func() {
			defer func() {
				if said, ok := recover().(string); !ok || !strings.Contains(said, hint) {
					t.Errorf("On(%q) says %q, want %q in it", event, said, hint)
				}
			}()
			n.On(event, h)
		}()
	}
	for _, event := range []string{"connection", "subscribe", "ack", "error", "message"} { // these can arrive
		n.On(event, h)
	}
}

// TestEveryErrorOfTheAPIHasACode: whoever gets one can ask which it is, and none has a type that only Weir can name.
func TestEveryErrorOfTheAPIHasACode(t *testing.T) {
	ctx := t.Context()
	over, cancel := context.WithCancel(ctx)
	cancel()
	sockets := make(chan *weir.Socket, 1)
	o := feed(weir.TopicOptions{Name: "prices"})
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/feed").OnConnect(func(_ context.Context, s *weir.Socket) error { sockets <- s; return nil })
		s.Namespace("/feed").On("two", func(_ context.Context, _ *weir.Socket, e *weir.Event) error {
			var n int
			return e.Decode(&n)
		})
	})
	ns := srv.Namespace("/feed")
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	s := <-sockets
	p.emit("/feed", 1, "two", "text")
	if m := p.next(); !strings.Contains(m, `"code":"invalid"`) {
		t.Errorf("what does not fit is answered %s", m)
	}
	closed := newServer(t, feed(weir.TopicOptions{Name: "prices"}))
	gone := closed.Namespace("/feed")
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	publish := func(n *weir.Namespace, topic string, payload any, opts ...weir.PublishOption) error {
		_, err := n.Publish(ctx, topic, payload, opts...)
		return err
	}
	second := func(_ any, err error) error { return err }
	has := func(what string, want weir.Code, err error) {
		t.Helper()
		var e *weir.Error
		if !errors.As(err, &e) || e.Code != want || !errors.Is(err, want) {
			t.Errorf("%s: %T %v, want %s", what, err, err, want)
		}
	}
	has("an event of the protocol", weir.ErrInvalid, s.Emit(ctx, "disconnect"))
	has("an argument that is not JSON", weir.ErrInvalid, ns.Emit(ctx, "x", make(chan int)))
	has("a question that is not JSON", weir.ErrInvalid, second(s.Ask(ctx, "x", make(chan int))))
	has("a question to all that is not JSON", weir.ErrInvalid, second(ns.All().Ask(ctx, "x", make(chan int))))
	has("a question nobody answers", weir.ErrTimeout, second(s.Ask(over, "x")))
	has("a question to all that nobody answers", weir.ErrTimeout, second(ns.All().Ask(over, "x")))
	has("a topic nobody declared", weir.ErrUnknown, publish(ns, "nope", 1))
	has("a namespace nobody declared", weir.ErrUnknown, second(srv.Publish(ctx, "/nope", "prices", 1)))
	has("a payload that is not JSON", weir.ErrInvalid, publish(ns, "prices", make(chan int)))
	has("a payload that is too large", weir.ErrTooLarge, publish(ns, "prices", strings.Repeat("x", 1<<20)))
	has("a choice that cannot be", weir.ErrInvalid, ns.All().Principal("").Disconnect(ctx))
	has("Clients", weir.ErrInvalid, second(srv.Clients(ctx, weir.ClientQuery{Limit: -1})))

	if err := s.CloseConnection(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.closed(); err != nil {
		t.Fatal(err)
	}
	<-s.Context().Done()
	has("emit to one that has left", weir.ErrDisconnected, s.Emit(ctx, "x"))
	has("question to one that has left", weir.ErrDisconnected, second(s.Ask(ctx, "x")))
	has("room for one that has left", weir.ErrDisconnected, s.Join(ctx, "r"))
	has("no room for one that has left", weir.ErrDisconnected, s.Leave(ctx, "r"))
	has("disconnecting one that has left", weir.ErrDisconnected, s.Disconnect(ctx))

	has("publish", weir.ErrDraining, publish(gone, "prices", 1))
	has("broadcast", weir.ErrDraining, gone.Emit(ctx, "x"))
	has("question to all", weir.ErrDraining, second(gone.All().Ask(ctx, "x")))
	has("sockets", weir.ErrDraining, second(gone.All().Sockets(ctx)))
	has("leave", weir.ErrDraining, gone.All().Leave(ctx, "r"))
	has("close connections", weir.ErrDraining, gone.All().CloseConnections(ctx))
	has("clients", weir.ErrDraining, second(closed.Clients(ctx, weir.ClientQuery{})))
}

// TestCodesOfTheProgramsOwnAreToldNobody: the table of codes is the contract with clients.
func TestCodesOfTheProgramsOwnAreToldNobody(t *testing.T) {
	srv := start(t, weir.Options{}, func(s *weir.Server) {
		n := s.Namespace("/")
		n.On("own", func(context.Context, *weir.Socket, *weir.Event) error { return weir.Errorf("sold_out", "at 10.0.0.7") })
		n.On("bare", func(context.Context, *weir.Socket, *weir.Event) error { return weir.ErrForbidden })
		n.On("wrapped", func(context.Context, *weir.Socket, *weir.Event) error {
			return fmt.Errorf("not told: %w", weir.Errorf(weir.ErrLimited, "100%% of %d", 3))
		})
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	for event, want := range map[string]string{
		"own":     `[{"ok":false,"code":"internal","reason":"the handler failed","retryable":false}]`,
		"bare":    `[{"ok":false,"code":"forbidden","reason":"","retryable":false}]`,
		"wrapped": `[{"ok":false,"code":"limited","reason":"100% of 3","retryable":true}]`,
	} {
		p.emit("/", 7, event)
		if m := p.next(); m != "437"+want {
			t.Errorf("%s is answered %s, want %s", event, m, want)
		}
	}
	for c, want := range map[weir.Code]int{
		weir.ErrBusy: http.StatusTooManyRequests, weir.ErrForbidden: http.StatusForbidden, "sold_out": http.StatusInternalServerError,
	} {
		if c.Status() != want || c.Retryable() != (c == weir.ErrBusy) {
			t.Errorf("%s: status %d, retryable %v", c, c.Status(), c.Retryable())
		}
	}
}

func TestBroadcastsReachThisNodeAtLeast(t *testing.T) {
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	n := srv.Namespace("/")
	for i, b := range []weir.Broadcast{n.All(), n.Local(), n.All().Local(), n.To(p.sid).Local(), n.Local().To(p.sid)} {
		if err := b.Emit(t.Context(), "x", i); err != nil {
			t.Fatal(err)
		}
		if pk := p.packet(); pk.name != "x" || string(pk.args[0]) != fmt.Sprint(i) {
			t.Errorf("choice %d: %+v", i, pk)
		}
	}
	if n := srv.Lookup("/"); n == nil || n.Path() != "/" {
		t.Errorf("Lookup: %v", n)
	}
	if n := srv.Lookup("/nope"); n != nil {
		t.Errorf("Lookup of what is not declared: %v", n)
	}
}
