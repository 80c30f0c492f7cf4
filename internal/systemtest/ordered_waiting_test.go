package systemtest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster"
)

// waiting runs a server whose broker is away. Its end is the test's.
func waiting(t *testing.T, b cluster.Broker) (srv *weir.Server, ended <-chan error) {
	t.Helper()
	o := clustered(b)
	o.Cluster.JoinTimeout = weir.Off
	o.Management.Addr, o.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	o.Addr = "127.0.0.1:0"
	srv, err := weir.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	over := make(chan error, 1)
	go func() { over <- srv.Run(context.Background()) }()
	eventually(t, "it says what it waits for", func() bool {
		status, body := asked(t, srv, http.MethodGet, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "it waits for its cluster: it was stopped")
	})
	return srv, over
}

// asked is an answer of the management API's port.
func asked(t *testing.T, srv *weir.Server, method, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+srv.Addr("management").String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

// welcome is the status of a handshake that comes by the application's own server.
func welcome(srv *weir.Server) int {
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil))
	return w.Code
}

// A node whose broker is away at its start says so, takes nothing, and serves as soon as the broker is there.
func TestNodeThatWaitsSaysForWhat(t *testing.T) {
	b := cluster.NewMemory()
	b.Stop()
	srv, ended := waiting(t, b)
	if status, body := asked(t, srv, http.MethodGet, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d %s", status, body)
	}
	if status, body := asked(t, srv, http.MethodPost, "/api/publish"); status != http.StatusServiceUnavailable || !strings.Contains(body, "unavailable") {
		t.Errorf("a publish: %d %s", status, body)
	}
	if w := welcome(srv); w != http.StatusServiceUnavailable {
		t.Errorf("a handshake: %d", w)
	}
	b.Start()
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, body := asked(t, srv, http.MethodGet, "/readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if w := welcome(srv); w != http.StatusOK {
		t.Errorf("a handshake: %d", w)
	}
	_ = srv.Close()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A node that waits for its broker can be told to end, in either way, and that is no failure.
func TestNodeThatWaitsCanBeEnded(t *testing.T) {
	b := cluster.NewMemory()
	b.Stop()
	for name, end := range map[string]func(*weir.Server){
		"close": func(srv *weir.Server) { _ = srv.Close() },
		"drain": func(srv *weir.Server) { _ = srv.Drain(t.Context()) },
	} {
		srv, ended := waiting(t, b)
		end(srv)
		if err := <-ended; err != nil {
			t.Errorf("%s: Run: %v", name, err)
		}
	}
}

// What an application sends to the other nodes while its node joins is either sent or refused, at any moment of it.
func TestEventsWhileANodeJoins(t *testing.T) {
	b := cluster.NewMemory()
	b.Stop()
	srv, _ := waiting(t, b)
	if err := srv.Lookup("/feed").ServerSideEmit(t.Context(), "x"); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("while it waits: %v", err)
	}
	joined := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case <-joined:
				return
			default:
				_ = srv.Lookup("/feed").ServerSideEmit(t.Context(), "x")
			}
		}
	})
	b.Start()
	err := srv.Ready(t.Context())
	close(joined)
	if sender.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Lookup("/feed").ServerSideEmit(t.Context(), "x"); err != nil {
		t.Errorf("when it has joined: %v", err)
	}
}

// lateBroker is a broker that a node cannot reach until it is open.
type lateBroker struct {
	cluster.Broker
	open chan struct{}
}

func (g *lateBroker) Join(ctx context.Context, node string, l cluster.Listener) (cluster.Member, error) {
	if w, ok := l.(cluster.Waiter); ok {
		w.Waiting(errors.New("it was stopped"))
	}
	select {
	case <-g.open:
		return g.Broker.Join(ctx, node, l)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A node that waits for its cluster does not answer for the others, and what was revoked there meanwhile they hear once it has
// joined.
func TestNodeThatWaitsDoesNotAnswerForAll(t *testing.T) {
	m := cluster.NewMemory()
	a := start(t, clustered(m))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	until := time.Now().Add(time.Hour)
	eventually(t, "the node that is there knows that it is alone", func() bool {
		_, err := a.Revoke(ctx, weir.Revocation{TokenID: "of a", Until: until})
		return err == nil
	})
	g := &lateBroker{m, make(chan struct{})}
	b, _ := waiting(t, g)
	feed := b.Lookup("/feed")
	if replies, err := feed.ServerSideAsk(ctx, "sum"); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("ServerSideAsk: %+v, %v", replies, err)
	}
	if replies, err := feed.All().Ask(ctx, "sum"); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("Ask: %+v, %v", replies, err)
	}
	if replies, err := feed.All().Local().Ask(ctx, "sum"); err != nil {
		t.Errorf("Ask of its own clients: %+v, %v", replies, err)
	}
	if found, err := feed.All().Fetch(ctx); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("Fetch: %+v, %v", found, err)
	}
	if _, err := b.Revoke(ctx, weir.Revocation{TokenID: "stolen", Until: until}); !errors.Is(err, weir.ErrTimeout) {
		t.Errorf("Revoke: %v", err)
	}
	close(g.open)
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*weir.Server{a, b} {
		eventually(t, "each node knows what is revoked", func() bool { return len(srv.Revocations()) == 2 })
	}
}

// What was revoked before a node ran the others hear once it has joined.
func TestRevokedBeforeItRuns(t *testing.T) {
	m := cluster.NewMemory()
	a := start(t, clustered(m))
	until := time.Now().Add(time.Hour)
	eventually(t, "the node that is there knows that it is alone", func() bool {
		_, err := a.Revoke(t.Context(), weir.Revocation{TokenID: "of a", Until: until})
		return err == nil
	})
	start(t, clustered(m), func(b *weir.Server) {
		if _, err := b.Revoke(t.Context(), weir.Revocation{TokenID: "stolen", Until: until}); !errors.Is(err, weir.ErrDraining) {
			t.Errorf("before it runs: %v", err)
		}
	})
	eventually(t, "the others know what it has revoked", func() bool { return len(a.Revocations()) == 2 })
}
