package systemtest_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streamweir/weir"
)

// gatedLog is a log whose handler waits for a gate before each line.
type gatedLog struct {
	slog.Handler
	gate <-chan struct{}
}

func (g gatedLog) Handle(ctx context.Context, r slog.Record) error {
	<-g.gate
	return g.Handler.Handle(ctx, r)
}
func (g gatedLog) WithAttrs(as []slog.Attr) slog.Handler {
	return gatedLog{g.Handler.WithAttrs(as), g.gate}
}

// lockedBuffer is written by the server's goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// A12: clients cause log lines, and the log hangs. The loop does not: others are answered, and the server ends.
func TestLogThatHangsHoldsUpNobody(t *testing.T) {
	gate := make(chan struct{})
	var out lockedBuffer
	o := weir.Options{
		Shards: 1, Logger: slog.New(gatedLog{slog.NewTextHandler(&out, nil), gate}),
		Namespaces: []weir.NamespaceOptions{{Path: "/"}},
	}
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/").On("x", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, 1) })
	})
	good, bad := dial(t, addr(srv), "/", nil, dialOptions{}), dial(t, addr(srv), "/", nil, dialOptions{})
	for _, name := range []string{"a", "b", "c"} {
		bad.emit("/", -1, name)
	}
	bad.emit("/", 7, "x")
	for bad.next() != "437[1]" { // what came before has been handled, and logged
	}
	good.emit("/", 1, "x")
	if m := good.next(); m != "431[1]" {
		t.Errorf("another client's event was answered %q", m)
	}
	if strings.Contains(out.String(), "without a handler") {
		t.Error("the log was written through a closed gate")
	}
	close(gate)
	eventually(t, "the lines are written", func() bool {
		return strings.Count(out.String(), "event without a handler") == 3
	})
}

// What an application's log or callback never gives back does not keep Run from returning; start checks that it does.
func TestLogThatHangsForEverDoesNotHoldUpTheEnd(t *testing.T) {
	gate := make(chan struct{})
	t.Cleanup(func() { close(gate) }) // after Run has returned
	o := weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}
	o.Logger = slog.New(gatedLog{slog.NewTextHandler(new(lockedBuffer), nil), gate})
	srv := start(t, o)
	dial(t, addr(srv), "/", nil, dialOptions{}).emit("/", -1, "nobody")
}

// A callback of Events waits for the loop whose client it is told about, and for others'.
func TestEventsCallbackMayCallTheServer(t *testing.T) {
	var srv *weir.Server
	result := make(chan error, 10)
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Shards = 2
	o.Events.Subscribed = func(e weir.SubscribedEvent) {
		if !e.Subscribed {
			return
		}
		ctx := context.Background()
		_, err := srv.Publish(ctx, "/feed", "prices", 1, weir.WithReceipt())
		sockets, err2 := srv.Namespace("/feed").To(e.ID).Sockets(ctx)
		if err2 == nil && len(sockets) != 1 {
			err2 = errors.New("the socket was not found")
		}
		if err2 == nil {
			err2 = errors.Join(sockets[0].Join(t.Context(), "r"), sockets[0].Emit(t.Context(), "hello"), sockets[0].Disconnect(t.Context()))
		}
		result <- errors.Join(err, err2)
	}
	start(t, o, func(s *weir.Server) { srv = s })
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "prices")
	if err := <-result; err != nil {
		t.Fatalf("the server, called from a callback: %v", err)
	}
	for _, want := range []string{`42/feed,["prices",1]`, `42/feed,["hello"]`, "41/feed,"} {
		if m := p.next(); m != want {
			t.Errorf("the client hears %q, want %q", m, want)
		}
	}
}

// When one client is cut, the application sends another away: from the callback that told it.
func TestEventsCutCallbackMayDisconnectOthers(t *testing.T) {
	var srv *weir.Server
	var victim atomic.Pointer[string]
	result := make(chan error, 1)
	o := feed(plug, weir.TopicOptions{Name: "prices", Overflow: weir.DisconnectClient, Max: weir.Limits{Messages: 16}})
	o.Events.Cut = func(weir.CutEvent) {
		result <- srv.Namespace("/feed").To(*victim.Load()).Disconnect(context.Background())
	}
	start(t, o, func(s *weir.Server) { srv = s })
	other := dial(t, addr(srv), "/feed", nil, dialOptions{})
	victim.Store(&other.sid)
	stalledOn(t, srv, "prices")
	for n := range 17 {
		publish(t, srv, "prices", numbered(n, 40))
	}
	if err := <-result; err != nil {
		t.Fatalf("Disconnect from Events.Cut: %v", err)
	}
	if m := other.next(); m != "41/feed," {
		t.Errorf("the other client hears %q", m)
	}
}

// A callback that blocks costs calls, which are counted; one that panics costs its call. Neither costs the server.
func TestEventsCallbackThatBlocksOrPanicsHoldsUpNobody(t *testing.T) {
	var out lockedBuffer
	gate, entered := make(chan struct{}), make(chan struct{})
	var got []string
	var mu sync.Mutex
	first := true
	reg := prometheus.NewRegistry()
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Shards, o.Logger, o.Registerer = 1, slog.New(slog.NewTextHandler(&out, nil)), reg
	o.Events.Subscribed = func(e weir.SubscribedEvent) {
		if first {
			first = false
			close(entered)
			<-gate
			panic("boom")
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, map[bool]string{true: "+", false: "-"}[e.Subscribed])
	}
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "prices")
	<-entered
	p.emit("/feed", 2, "weir:unsubscribe", map[string]any{"topic": "prices"})
	if m := p.next(); !strings.Contains(m, `"ok":true`) {
		t.Errorf("while a callback hangs a request is answered %q", m)
	}
	p.subscribe("/feed", "prices")
	close(gate)
	eventually(t, "the calls after the panic are made, in order", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(got, "") == "-+"
	})
	eventually(t, "the panic is in the log", func() bool {
		log := out.String()
		return strings.Contains(log, "callback of Events panicked") && strings.Contains(log, "boom")
	})
	want := `# HELP weir_events_panics_total Calls of the application's Events callbacks that panicked.
# TYPE weir_events_panics_total counter
weir_events_panics_total{event="auth_rejected",node=""} 0
weir_events_panics_total{event="connected",node=""} 0
weir_events_panics_total{event="cut",node=""} 0
weir_events_panics_total{event="disconnected",node=""} 0
weir_events_panics_total{event="room",node=""} 0
weir_events_panics_total{event="subscribed",node=""} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "weir_events_panics_total"); err != nil {
		t.Error(err)
	}
}
