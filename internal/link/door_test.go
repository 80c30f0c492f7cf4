package link_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/link"
)

// house is a server and what is behind its door.
type house struct {
	running, leaving, crowded bool
	noted                     []string
}

func (h *house) Running() bool { return h.running }
func (h *house) Leaving() bool { return h.leaving }
func (h *house) Crowded() bool { return h.crowded }
func (h *house) NoRoom()       {}

func (h *house) Admits(*link.Client, string, []byte) bool                 { return true }
func (h *house) Apply(*link.Client, string, []byte) (link.Socket, func()) { return nil, nil }
func (h *house) Penalty(string) time.Duration                             { return 0 }
func (h *house) Refuses(k guard.RefusalKey, _ time.Time, _ *http.Request) {
	h.noted = append(h.noted, k.Kind)
}

// A handshake is refused for the first reason there is, which is counted, and noted where it is a limit's.
func TestDoorRefusesForTheFirstReason(t *testing.T) {
	hub := delivery.New(delivery.Options{Shards: 1})
	hub.Start()
	t.Cleanup(hub.Close)
	var limited atomic.Uint64
	h := &house{running: true, leaving: true, crowded: true}
	failures, penalties := guard.NewFailures(guard.FailureLimit{Max: 1, Window: time.Hour}, nil), guard.NewPenalties(nil)
	d, err := link.NewDoor(link.Shared{
		Hub: hub, Failures: failures, Penalties: penalties, Agents: guard.NewAgents(nil), Comers: guard.NewComers(nil), AuthLimited: &limited,
		Descriptors: func() int { return 0 },
	}, link.Options{Name: "default", Auth: true, Log: slog.New(slog.DiscardHandler)}, h, h)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/", nil)
	addr, now := guard.AddressOf(r), time.Now()
	failures.Fail(addr, now)
	failures.Fail(addr, now)
	penalties.Offend(guard.PenaltyKey(addr, guard.Agent(r.Header)), time.Hour, now)
	counted := func(reason string) (n uint64) {
		d.Refused(func(of string, count uint64) {
			if of == reason {
				n += count
			}
		})
		return n
	}
	for _, step := range []struct {
		reason string
		status int
		pass   func()
	}{
		{"draining", http.StatusServiceUnavailable, func() { h.leaving = false }},
		{"auth_failures", http.StatusTooManyRequests, func() { failures.Clear(addr, now) }},
		{"slow_consumer", http.StatusServiceUnavailable, func() { penalties.Clear(addr, now) }},
		{"no_room", http.StatusServiceUnavailable, func() { h.crowded = false }},
	} {
		refusal := d.Admit(r)
		if refusal == nil || refusal.Status != step.status || refusal.RetryAfter <= 0 || counted(step.reason) != 1 {
			t.Fatalf("%s: %+v, counted %d", step.reason, refusal, counted(step.reason))
		}
		step.pass()
	}
	if refusal := d.Admit(r); refusal != nil || limited.Load() != 1 || !slices.Equal(h.noted, []string{"no_room"}) {
		t.Errorf("at last: %+v; %d limited, noted %v", refusal, limited.Load(), h.noted)
	}
	h.running = false
	w := httptest.NewRecorder()
	if d.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("before the house runs: %d", w.Code)
	}
}
