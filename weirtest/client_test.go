package weirtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/weirtest"
)

// echo answers "echo" with its arguments, and emits them as "echoed".
func echo(s *weir.Server) {
	s.Namespace("/").On("echo", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
		args, err := e.Values()
		return errors.Join(err, s.Emit(ctx, "echoed", args...), e.Reply(ctx, args...))
	})
}

func text(args []json.RawMessage) string { return fmt.Sprintf("%s", args) }

func TestClientSendsAsksAndKeepsEventsInOrder(t *testing.T) {
	srv := weirtest.NewServer(t, weir.Options{}, echo)
	c := weirtest.Dial(t, srv.URL(), "/")
	for i := range 3 {
		c.Emit("echo", i)
	}
	if got := text(c.Ask("echo", "a", map[string]int{"n": 1}, json.RawMessage(`[null]`))); got != `["a" {"n":1} [null]]` {
		t.Errorf("answered %s", got)
	}
	if n := c.Received("echoed"); n != 4 {
		t.Errorf("%d events have come before the answer, want 4", n)
	}
	for i, want := range []string{"[0]", "[1]", "[2]", `["a" {"n":1} [null]]`} {
		if got := text(c.Next("echoed")); got != want {
			t.Errorf("event %d is %s, want %s", i, got, want)
		}
	}
	if n := c.Received("echoed"); n != 4 {
		t.Errorf("%d events have come, as it says after they were taken, want 4", n)
	}
	if err := srv.Weir().Namespace("/").To(c.ID()).Emit(t.Context(), "for", "you"); err != nil {
		t.Fatal(err)
	}
	if got := text(c.Next("for")); got != `["you"]` {
		t.Errorf("to its id went %s", got)
	}
}

func TestClientAnswersTheServer(t *testing.T) {
	srv := weirtest.NewServer(t, weir.Options{}, echo)
	yes, leaves := weirtest.Dial(t, srv.URL(), "/"), weirtest.Dial(t, srv.URL(), "/")
	yes.Answer("sure?", func(args []json.RawMessage) any { return map[string]string{"of": text(args)} })
	leaves.Answer("sure?", func([]json.RawMessage) any {
		leaves.Close()
		return true
	})
	ask := func(c *weirtest.Client) (string, error) {
		for _, s := range sockets(t, srv) {
			if s.ID() != c.ID() {
				continue
			}
			args, err := s.Ask(t.Context(), "sure?", 1)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s", args.JSON()), nil
		}
		t.Fatalf("there is no client %s", c.ID())
		return "", nil
	}
	if got, err := ask(yes); err != nil || got != `[{"of":"[1]"}]` {
		t.Errorf("answered %s, %v", got, err)
	}
	if got, err := ask(leaves); !errors.Is(err, weir.ErrDisconnected) {
		t.Errorf("who left answered %s, %v", got, err)
	}
	if got := text(yes.Next("sure?")); got != "[1]" {
		t.Errorf("asked %s", got)
	}
}

func sockets(t *testing.T, srv *weirtest.Server) []*weir.Socket {
	t.Helper()
	list, err := srv.Weir().Namespace("/").All().Sockets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestClientBringsItsAuthAndHeaders(t *testing.T) {
	var mu sync.Mutex
	var auths []string
	var headers []http.Header
	srv := weirtest.NewServer(t, weir.Options{}, func(s *weir.Server) {
		s.Namespace("/").Use(func(_ context.Context, s *weir.Socket) error {
			mu.Lock()
			defer mu.Unlock()
			auths, headers = append(auths, string(s.Handshake().Auth)), append(headers, s.Handshake().Header)
			if s.Handshake().Header.Get("X-Blocked") != "" {
				return &weir.ConnectError{Message: "not today"}
			}
			return nil
		})
	})
	weirtest.Dial(t, srv.URL(), "/", weirtest.Auth(map[string]string{"name": "ann"}), weirtest.Header("X-Tenant", "a"))
	weirtest.Dial(t, srv.URL(), "/")
	if _, err := weirtest.TryDial(t, srv.URL(), "/", weirtest.Header("X-Blocked", "1")); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("let in, or refused without the reason: %v", err)
	}
	said := try(t, func(tb testing.TB) { weirtest.Dial(tb, srv.URL(), "/", weirtest.Header("X-Blocked", "1")) })
	if !strings.Contains(said, "not today") {
		t.Errorf("Dial failed with %q", said)
	}
	mu.Lock()
	defer mu.Unlock()
	if auths[0] != `{"name":"ann"}` || auths[1] != "" || headers[0].Get("X-Tenant") != "a" {
		t.Errorf("auth %q and %q, headers %v", auths[0], auths[1], headers[0])
	}
	if a, b := headers[0].Get("User-Agent"), headers[1].Get("User-Agent"); a == b {
		t.Errorf("two clients call themselves %q: one pays for the other", a)
	}
}

func TestNextFailsWithWhatCameInstead(t *testing.T) {
	srv := weirtest.NewServer(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, echo)
	short := weirtest.Timeout(2 * time.Second) // of what never comes, and of coming in
	for name, c := range map[string]struct {
		steps func(testing.TB)
		want  []string
	}{
		"another event": {
			func(tb testing.TB) {
				c := weirtest.Dial(tb, srv.URL(), "/")
				c.Ask("echo", "first")
				c.Ask("echo", "second")
				c.Next("echoed")
				c.Close()
				c.Next("prices")
			},
			[]string{`no event "prices"`, "the client is closed", `"echoed" 2 times, 1 of them not taken, the last ["second"]`},
		},
		"nothing": {
			func(tb testing.TB) { weirtest.Dial(tb, srv.URL(), "/", short).Next("prices") },
			[]string{`no event "prices" in 2s`, "nothing came"},
		},
		"a stalled client": {
			func(tb testing.TB) {
				weirtest.Dial(tb, srv.URL(), "/", short, weirtest.Slow(weirtest.Stalled)).Next("prices")
			},
			[]string{"the client is stalled"},
		},
		"the server's end": {
			func(tb testing.TB) {
				c := weirtest.Dial(tb, srv.URL(), "/")
				for _, s := range sockets(t, srv) {
					if s.ID() == c.ID() {
						if err := s.CloseConnection(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
				c.Next("prices")
			},
			[]string{`no event "prices"`, "by the server"},
		},
		"an event that is sent after the end": {
			func(tb testing.TB) {
				c := weirtest.Dial(tb, srv.URL(), "/")
				c.Close()
				c.Emit("echo")
			},
			[]string{`emit "echo"`},
		},
		"a topic nobody declared": {
			func(tb testing.TB) { weirtest.Dial(tb, srv.URL(), "/").Subscribe("prices") },
			[]string{`subscribe to "prices"`, "unknown"},
		},
	} {
		said := try(t, c.steps)
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: the test failed with %q, want %q in it", name, said, want)
			}
		}
	}
}

func TestWhatCameBeforeTheEndCanBeTaken(t *testing.T) {
	srv := weirtest.NewServer(t, weir.Options{}, echo)
	c := weirtest.Dial(t, srv.URL(), "/")
	c.Ask("echo", 7)
	c.Close()
	if got := text(c.Next("echoed")); got != "[7]" {
		t.Errorf("took %s", got)
	}
}
