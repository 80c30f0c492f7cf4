package systemtest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// What a connect costs (a websocket, its session, CONNECT and its answer), where nobody is asked, a token is looked up,
// and a backend on this machine is asked, which answers at once: eight clients at a time, in turns of 64, in one process
// with client and backend.
func BenchmarkConnect(b *testing.B) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"allow":true,"principal":"alice","topics":{"sub":["prices*"]}}`)
	}))
	defer backend.Close()
	tokens, err := weir.StaticTokens(map[string]string{"alice": "token"})
	if err != nil {
		b.Fatal(err)
	}
	hooks := weir.HookOptions{Connect: backend.URL, Secrets: [][]byte{bytes.Repeat([]byte("s"), 32)}}
	remembers := hooks
	remembers.CacheFor = time.Hour
	kinds := []struct {
		name string
		o    weir.Options
		at   string
		took time.Duration
	}{
		{name: "nobody", o: weir.Options{Authenticate: tokens}, at: "/open"},
		{name: "token", o: weir.Options{Authenticate: tokens}, at: "/feed"},
		{name: "hook", o: weir.Options{Hooks: hooks}, at: "/feed"},
		{name: "cached", o: weir.Options{Hooks: remembers}, at: "/feed"},
	}
	for i := range kinds {
		k := &kinds[i]
		k.o.Logger = slog.New(slog.DiscardHandler)
		k.o.Servers = []weir.ServerOptions{{Addr: "127.0.0.1:0", Auth: true, Namespaces: []weir.NamespaceOptions{{Path: "/open"}, {Path: "/feed", AuthRequired: true}}}}
		srv, err := weir.New(k.o)
		if err != nil {
			b.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- srv.Run(context.Background()) }()
		b.Cleanup(func() {
			_ = srv.Close()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
		if err := srv.Ready(b.Context()); err != nil {
			b.Fatal(err)
		}
		at, auth := addr(srv), ""
		if k.at == "/feed" {
			auth = `{"token":"token"}`
		}
		k.at = at + " " + k.at + "," + auth
	}
	const turn = 64
	enter := func(what string) error {
		address, packet, _ := strings.Cut(what, " ")
		p, err := tryDial(address, dialOptions{})
		if err != nil {
			return err
		}
		defer func() { _ = p.conn.Close() }()
		if err := p.write("40" + packet); err != nil {
			return err
		}
		if got, err := p.receive(); err != nil || !strings.HasPrefix(got, "40/") {
			return fmt.Errorf("answered %s, %w", got, err)
		}
		return nil
	}
	for b.Loop() {
		for i := range kinds {
			begun := time.Now()
			if err := inParallel(8, func(int) error {
				for range turn / 8 {
					if err := enter(kinds[i].at); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Fatal(kinds[i].name, err)
			}
			kinds[i].took += time.Since(begun)
		}
	}
	for _, k := range kinds {
		b.ReportMetric(float64(b.N*turn)/k.took.Seconds(), k.name+"/s")
	}
	b.ReportMetric(float64(kinds[2].took)/float64(kinds[1].took), "hook/token")
}
