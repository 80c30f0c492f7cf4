package swarm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// patience bounds every wait of these tests; no test depends on how long one takes.
const patience = 30 * time.Second

// serve runs a server on a free loopback port until the test ends.
func serve(t testing.TB, topics ...weir.TopicOptions) *weir.Server {
	t.Helper()
	srv, err := weir.New(weir.Options{
		Addr:       "127.0.0.1:0",
		Logger:     slog.New(slog.DiscardHandler),
		Drain:      weir.DrainOptions{ClientsPerSecond: 1 << 20, Timeout: time.Second},
		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: topics}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Namespace("/feed").On("echo", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
		return e.Reply(ctx, map[string]bool{"ok": true})
	})
	srv.Namespace("/feed").On("refused", func(context.Context, *weir.Socket, *weir.Event) error {
		return weir.Errorf(weir.ErrForbidden, "always")
	})
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
	return srv
}

func url(srv *weir.Server) string { return "http://" + srv.Addr("default").String() }

// message is a payload as the load tool publishes it.
func message(n int) json.RawMessage {
	return fmt.Appendf(nil, `{"n":%d,"t":%d,"pad":"xxxxxxxx"}`, n, swarm.Clock())
}

func publish(t testing.TB, srv *weir.Server, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for n := from; n < to; n++ {
		if _, err := srv.Publish(ctx, "/feed", "load", message(n)); err != nil {
			t.Fatalf("publish %d: %v", n, err)
		}
	}
}

// herd is a swarm and what its groups have counted so far.
type herd struct {
	*swarm.Swarm
	t     testing.TB
	total map[string]*swarm.Snapshot
}

func gather(t testing.TB, spec swarm.Spec, groups ...swarm.Group) *herd {
	t.Helper()
	s, err := swarm.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	h := &herd{Swarm: s, t: t, total: map[string]*swarm.Snapshot{}}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	for _, g := range groups {
		if err := s.Add(g); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// look adds the next snapshot to the totals.
func (h *herd) look() {
	for _, s := range h.Snapshot() {
		into := h.total[s.Group]
		if into == nil {
			into = &swarm.Snapshot{}
			h.total[s.Group] = into
		}
		into.Asked, into.Ready, into.Connecting, into.Waiting = 0, 0, 0, 0
		into.Leaving, into.Left, into.Gone = 0, 0, 0
		swarm.Merge(into, s)
	}
}

// of is what a group has counted.
func (h *herd) of(group string) *swarm.Snapshot {
	h.t.Helper()
	s := h.total[group]
	if s == nil {
		h.t.Fatalf("no group %q", group)
	}
	return s
}

// until looks until a group is as wanted.
func (h *herd) until(group, what string, ok func(*swarm.Snapshot) bool) *swarm.Snapshot {
	h.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		h.look()
		s := h.of(group)
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("never happened: %s: %+v", what, *s)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// allReady waits until all of a group are ready.
func (h *herd) allReady(group string) *swarm.Snapshot {
	h.t.Helper()
	return h.until(group, "all are ready", func(s *swarm.Snapshot) bool { return s.Ready == s.Asked })
}

// descriptors is how many this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}
