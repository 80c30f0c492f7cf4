package systemtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/admin"
)

// running is what GET /api/handlers says.
func running(t *testing.T, srv *weir.Server, query string) (v admin.HandlersView) {
	t.Helper()
	w := httptest.NewRecorder()
	srv.Management().ServeHTTP(w, httptest.NewRequest("GET", "/api/handlers"+query, nil))
	if err := json.Unmarshal(w.Body.Bytes(), &v); w.Code != 200 || err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return v
}

// The context of a handler ends at its deadline, and its client is told that there was no time.
func TestHandlerEndsAtItsDeadline(t *testing.T) {
	srv := start(t, weir.Options{Workers: weir.WorkerOptions{Deadline: 20 * time.Millisecond}}, func(s *weir.Server) {
		s.Namespace("/").On("slow", func(ctx context.Context, _ *weir.Socket, _ *weir.Event) error {
			<-ctx.Done()
			return fmt.Errorf("asking the database: %w", ctx.Err())
		})
		s.Namespace("/").On("quick", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "done") })
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	if got := p.asks("/", "slow", 0); got != `439[{"ok":false,"code":"unavailable","reason":"the handler did not end in time","retryable":true}]` {
		t.Errorf("answered %s", got)
	}
	if n := metric(t, srv, "weir_handlers_late_total"); n != 1 {
		t.Errorf("%v counted as late", n)
	}
	if v := running(t, srv, ""); v.Overdue != 0 || v.DeadlineMs != 20 {
		t.Errorf("the API shows %+v", v)
	}
}

// A handler that ignores its deadline keeps its worker and its socket, and is shown by name; others go on.
func TestHandlerThatIgnoresItsDeadlineIsNamed(t *testing.T) {
	release := make(chan struct{})
	srv := start(t, weir.Options{Workers: weir.WorkerOptions{Deadline: 5 * time.Millisecond}}, func(s *weir.Server) {
		s.Namespace("/").On("stubborn", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			<-release
			return e.Reply(ctx, "at last")
		})
		weir.Handle(s.Namespace("/"), "echo", func(_ context.Context, _ *weir.Socket, n int) (int, error) { return n, nil })
	})
	p, beside := dial(t, addr(srv), "/", nil, dialOptions{}), dial(t, addr(srv), "/", nil, dialOptions{})
	p.emit("/", 1, "stubborn")
	p.emit("/", 2, "echo", 2) // waits behind it
	eventually(t, "it is overdue", func() bool { return metric(t, srv, "weir_handlers_overdue") == 1 })
	if got := beside.asks("/", "echo", 3); got != "439[3]" {
		t.Errorf("beside it: %s", got)
	}
	eventually(t, "it is shown", func() bool {
		v := running(t, srv, "?limit=1")
		return v.Overdue == 1 && v.Waiting == 1 && v.LeftOut == 0 && len(v.Handlers) == 1 &&
			v.Handlers[0].Event == "stubborn" && v.Handlers[0].Socket == p.sid && v.Handlers[0].Namespace == "/" && v.Handlers[0].Overdue
	})
	close(release)
	if pk := p.packet(); pk.id != 1 {
		t.Errorf("its own answer: %+v", pk)
	}
	if pk := p.packet(); pk.id != 2 {
		t.Errorf("then: %+v", pk)
	}
	eventually(t, "nothing runs", func() bool { v := running(t, srv, ""); return len(v.Handlers) == 0 && v.Running == 0 && v.Late == 1 })
}

// The deadline is that of handlers of other nodes' events, too: whoever asks is told, and one that ignores it is shown.
func TestHandlerOfAnotherNodesEventEndsAtItsDeadline(t *testing.T) {
	e := startEngine(t, "memory")
	a, b := e.node("a"), e.node("b", func(o *weir.Options) { o.Workers.Deadline = 20 * time.Millisecond })
	release := make(chan struct{})
	b.Lookup("/feed").OnServerSide("slow", func(ctx context.Context, _ *weir.ServerSideEvent) (any, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("asking the database: %w", ctx.Err())
	})
	b.Lookup("/feed").OnServerSide("stubborn", func(context.Context, *weir.ServerSideEvent) (any, error) {
		<-release
		return nil, nil
	})
	eventually(t, "the nodes know each other", func() bool { return metric(t, a, "weir_cluster_nodes") == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	replies, err := a.Lookup("/feed").ServerSideAsk(ctx, "slow")
	if err != nil || len(replies) != 1 || !errors.Is(replies[0].Err, weir.ErrUnavailable) {
		t.Errorf("answered %+v, %v", replies, err)
	}
	if n := metric(t, b, "weir_handlers_late_total"); n != 1 {
		t.Errorf("%v counted as late", n)
	}
	if err := a.Lookup("/feed").ServerSideEmit(ctx, "stubborn"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is shown", func() bool {
		v := running(t, b, "")
		return v.Overdue == 1 && len(v.Handlers) == 1 && v.Handlers[0].Event == "stubborn" && v.Handlers[0].Socket == "" && v.Handlers[0].Namespace == "/feed"
	})
	close(release)
	eventually(t, "nothing runs", func() bool { v := running(t, b, ""); return len(v.Handlers) == 0 && v.Late == 2 })
}

// With Nice and one of Go's processors besides the loops, handlers compute one at a time: the log says so at start.
func TestOnePlaceToComputeIsSaidAtStart(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.NumCPU() < 2 {
		t.Skip("it needs niceness, and CPUs that would be idle")
	}
	for spare, want := range map[int]bool{1: true, 2: false} {
		before := runtime.GOMAXPROCS(1 + spare)
		var said bytes.Buffer
		srv, err := weir.New(weir.Options{Shards: 1, Workers: weir.WorkerOptions{Nice: 1}, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Close(); err != nil { // has the lines written
			t.Fatal(err)
		}
		if got := strings.Contains(said.String(), "one handler computes at a time"); got != want {
			t.Errorf("GOMAXPROCS %d above the shards: said is %v: %s", spare, got, said.String())
		}
	}
}

// The answer is bounded: what is beyond the limit is a number, and what a client has named is cut short.
func TestHandlersAreListedWithinALimit(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	srv := start(t, weir.Options{}, func(s *weir.Server) {
		s.Namespace("/").OnAny(func(context.Context, *weir.Socket, *weir.Event) error { <-release; return nil })
	})
	for range 5 {
		p := dial(t, addr(srv), "/", nil, dialOptions{})
		p.emit("/", -1, strings.Repeat("x", 10_000))
	}
	eventually(t, "all are there, three are listed", func() bool {
		v := running(t, srv, "?limit=3")
		return len(v.Handlers) == 3 && v.LeftOut == 2 && len(v.Handlers[0].Event) < 200
	})
	w := httptest.NewRecorder()
	if srv.Management().ServeHTTP(w, httptest.NewRequest("GET", "/api/handlers?limit=1001", nil)); w.Code != 400 {
		t.Errorf("a limit of 1001: %d", w.Code)
	}
}

// How long handlers take is told by the events that the application handles, and by no name that a stranger has made up.
func TestHandlerTimeIsToldByRegisteredNames(t *testing.T) {
	srv := start(t, weir.Options{}, func(s *weir.Server) {
		n := s.Namespace("/")
		weir.Handle(n, "order", func(_ context.Context, _ *weir.Socket, i int) (int, error) { return i, nil })
		n.OnConnect(func(_ context.Context, s *weir.Socket) error {
			s.On("own", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx) })
			return nil
		})
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	for range 3 {
		p.asks("/", "order", 1)
	}
	p.asks("/", "own", 0)
	p.emit("/", -1, "made up")
	_ = p.next() // weir:error
	eventually(t, "all are counted", func() bool { return metric(t, srv, "weir_handler_seconds_count") == 5 })
	for event, want := range map[string]float64{"order": 3, "other": 2} {
		if n := metric(t, srv, "weir_handler_seconds_count", fmt.Sprintf("event=%q", event), `namespace="/"`); n != want {
			t.Errorf("%s: %v, want %v", event, n, want)
		}
	}
}
