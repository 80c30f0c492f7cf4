package weirtest_test

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/weirtest"
)

func TestServersOfProductionOptionsAreOnFreePortsOfLoopback(t *testing.T) {
	o := weir.Options{
		Servers: []weir.ServerOptions{
			{Name: "feed", Addr: "0.0.0.0:3000", Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}},
			{Name: "chat", Addr: "0.0.0.0:3001", Namespaces: []weir.NamespaceOptions{{Path: "/chat"}}},
		},
		Management: weir.ManagementOptions{
			Addr: "0.0.0.0:9393", Probes: "0.0.0.0:9394",
			Keys: []weir.ManagementKey{{Name: "ops", Key: "0123456789abcdef0123456789abcdef", Allow: []string{"admin"}}},
		},
	}
	first, second := weirtest.NewServer(t, o), weirtest.NewServer(t, o)
	seen := map[string]string{}
	for _, srv := range []*weirtest.Server{first, second} {
		for _, name := range []string{"feed", "chat", "management", "probes"} {
			addr := srv.Weir().Addr(name).String()
			if !strings.HasPrefix(addr, "127.0.0.1:") || seen[addr] != "" {
				t.Errorf("%s listens on %s, where %q does", name, addr, seen[addr])
			}
			seen[addr] = name
		}
		weirtest.Dial(t, srv.URL(), "/feed")
		weirtest.Dial(t, "http://"+srv.Weir().Addr("chat").String(), "/chat")
	}
	if o.Servers[0].Addr != "0.0.0.0:3000" || o.Management.Addr != "0.0.0.0:9393" {
		t.Errorf("the options of the caller were changed: %+v", o)
	}
}

func TestServerIsSetUpBeforeAnyClientComes(t *testing.T) {
	srv := weirtest.NewServer(t, weir.Options{}, func(s *weir.Server) {
		s.Namespace("/late").On("ping", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "pong") })
	})
	if got := weirtest.Dial(t, srv.URL(), "/late").Ask("ping"); len(got) != 1 || string(got[0]) != `"pong"` {
		t.Errorf("answered %s", got)
	}
}

func TestURLEndsInAPathOfItsOwn(t *testing.T) {
	srv := weirtest.NewServer(t, weir.Options{Servers: []weir.ServerOptions{{
		SocketIO: weir.SocketIOOptions{Path: "/live/"}, Namespaces: []weir.NamespaceOptions{{Path: "/"}},
	}}})
	if u, err := url.Parse(srv.URL()); err != nil || u.Path != "/live/" {
		t.Errorf("%s, %v", srv.URL(), err)
	}
	weirtest.Dial(t, srv.URL(), "/")
}

func TestServerThatCannotRunFailsItsTest(t *testing.T) {
	for name, c := range map[string]struct {
		options weir.Options
		setup   func(*weir.Server)
		want    []string
	}{
		"bad options": {
			weir.Options{Shards: -1, Namespaces: []weir.NamespaceOptions{{Path: "feed"}}}, func(*weir.Server) {}, []string{"Shards", `"feed"`},
		},
		"Run fails": {
			weir.Options{},
			func(s *weir.Server) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := s.Run(ctx); err != nil {
					t.Error(err)
				}
			},
			[]string{"the server has stopped"},
		},
	} {
		said := try(t, func(tb testing.TB) { weirtest.NewServer(tb, c.options, c.setup) })
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: the test failed with %q, want %q in it", name, said, want)
			}
		}
	}
}

// application is a server as an application makes it, on a path of its own.
func application(t *testing.T) *weir.Server {
	t.Helper()
	srv, err := weir.New(weir.Options{
		Servers: []weir.ServerOptions{{SocketIO: weir.SocketIOOptions{Path: "/live/"}}}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	echo(srv)
	return srv
}

func TestServeRunsTheServerOfAnApplication(t *testing.T) {
	srv := application(t)
	said := try(t, func(tb testing.TB) {
		s := weirtest.Serve(tb, srv)
		if got := text(weirtest.Dial(tb, s.URL(), "/").Ask("echo", 1)); got != "[1]" || s.Weir() != srv {
			t.Errorf("answered %s", got)
		}
	})
	if said != "" {
		t.Errorf("the test failed with %q", said)
	}
	if err := srv.Ready(t.Context()); err == nil {
		t.Error("the server still runs when its test has ended")
	}
}

func TestServeLeavesAServerThatTheApplicationRuns(t *testing.T) {
	srv := application(t)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(t.Context()) }()
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		said := try(t, func(tb testing.TB) {
			if got := text(weirtest.Dial(tb, weirtest.Serve(tb, srv).URL(), "/").Ask("echo", 1)); got != "[1]" {
				t.Errorf("answered %s", got)
			}
		})
		if said != "" {
			t.Errorf("the test failed with %q", said)
		}
		if err := srv.Ready(t.Context()); err != nil {
			t.Errorf("the server does not run any more: %v", err)
		}
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
