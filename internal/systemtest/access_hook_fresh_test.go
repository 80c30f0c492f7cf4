package systemtest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir"
)

// Clients with fresh tokens, about which a backend says nothing, do not hold the pool on which everybody is let in.
func TestFreshTokensDoNotHoldThePool(t *testing.T) {
	hang := make(chan struct{})
	var hanging atomic.Int64
	url := backend(t, func(q hookQuestion, w http.ResponseWriter, r *http.Request) {
		if q.Token == "fresh" {
			hanging.Add(1)
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, `{"allow":true,"principal":"alice"}`)
	})
	srv := hooked(t, weir.Options{
		Outside: weir.OutsideOptions{Max: 4}, Hooks: weir.HookOptions{Connect: url, Timeout: ages},
		Servers: []weir.ServerOptions{{
			Auth: true, SocketIO: weir.SocketIOOptions{ConnectTimeout: 2 * ages},
			Namespaces: []weir.NamespaceOptions{{Path: "/feed", AuthRequired: true}, {Path: "/open"}, {Path: "/checked"}},
		}},
	}, func(s *weir.Server) {
		s.Namespace("/checked").Use(func(context.Context, *weir.Socket) error { return nil })
	})
	fresh := map[string]any{"token": "fresh"}
	for range 8 { // strangers
		p := dial(t, addr(srv), "/open", nil, dialOptions{})
		p.emit("/open", 1, "weir:token", fresh)
		if got := p.next(); !strings.Contains(got, `"code":"forbidden"`) {
			t.Errorf("who has proved nothing: %s", got)
		}
	}
	first := dial(t, addr(srv), "/feed", map[string]string{"token": "alice"}, dialOptions{})
	first.emit("/feed", 1, "weir:token", fresh)
	eventually(t, "the first asks", func() bool { return hanging.Load() == 1 })
	for range 4 {
		p := dial(t, addr(srv), "/feed", map[string]string{"token": "alice"}, dialOptions{})
		p.emit("/feed", 1, "weir:token", fresh)
		if got := p.next(); !strings.Contains(got, `"code":"busy"`) {
			t.Errorf("beyond what may wait: %s", got)
		}
	}
	dial(t, addr(srv), "/checked", nil, dialOptions{})
	close(hang)
	if got := first.next(); !strings.Contains(got, `"ok":true`) {
		t.Error(got)
	}
	if n := hanging.Load(); n != 1 {
		t.Errorf("the backend was asked about %d fresh tokens, want 1", n)
	}
}
