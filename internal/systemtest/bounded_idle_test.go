package systemtest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
)

// theSocket is the only one of a namespace.
func theSocket(t *testing.T, n *weir.Namespace) *weir.Socket {
	t.Helper()
	sockets, err := n.All().Sockets(t.Context())
	if err != nil || len(sockets) != 1 {
		t.Fatalf("%d sockets, %v; want one", len(sockets), err)
	}
	return sockets[0]
}

func residue(t *testing.T, s *weir.Socket) []string {
	t.Helper()
	left, err := attach.Tests.Residue(s)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestIdleSubscriberHoldsNothingBesideItsSocket(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	p := dial(t, addr(srv), "/feed", map[string]any{"token": "nobody asks for it"}, dialOptions{})
	p.subscribe("/feed", "prices")
	if left := residue(t, theSocket(t, srv.Namespace("/feed"))); left != nil {
		t.Errorf("an idle subscriber has %q", left)
	}
}

// beating is a server with one namespace, a mailbox of so many events and a heartbeat
// every 20 ms.
func beating(mailbox int) weir.Options {
	return weir.Options{
		Workers: weir.WorkerOptions{MailboxEvents: mailbox},
		Servers: []weir.ServerOptions{{
			SocketIO:   weir.SocketIOOptions{PingInterval: 20 * time.Millisecond},
			Namespaces: []weir.NamespaceOptions{{Path: "/"}},
		}},
	}
}

// listen reads what comes until the connection ends, answering pings on the way.
func (c *lean) listen() <-chan string {
	texts := make(chan string, 64)
	go func() {
		defer close(texts)
		for m, err := c.text(); err == nil; m, err = c.text() {
			texts <- m
		}
	}()
	return texts
}

func TestIdleSocketLetsGoOfItsMailbox(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := start(t, beating(1), func(s *weir.Server) {
		s.Namespace("/").On("wait", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			entered <- struct{}{}
			<-leave
			return e.Reply(ctx)
		})
	})
	c := newLean(t, addr(srv), "/", leanOptions{})
	answers := c.listen()
	s := theSocket(t, srv.Namespace("/"))
	for id := range 3 {
		if err := c.send(fmt.Sprintf(`42%d["wait"]`, id)); err != nil {
			t.Fatal(err)
		}
		<-entered
		for _, want := range []string{"a mailbox", "a list of what waits"} { // a mailbox of one event is full
			if left := residue(t, s); !slices.Contains(left, want) {
				t.Errorf("a socket whose handler runs has %q, want %s", left, want)
			}
		}
		leave <- struct{}{}
		if got, want := <-answers, fmt.Sprintf("43%d[]", id); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		eventually(t, "the mailbox is let go of", func() bool {
			return residue(t, s) == nil
		})
	}
}

// Events of one client are handled one after another, in order, and none is lost,
// while mailboxes are filled, emptied, let go of and made anew. The handler shares
// its counters without a lock: the race detector would see two at once.
func TestEventsKeepTheirOrderWhileMailboxesComeAndGo(t *testing.T) {
	const rounds, burst = 300, 5
	const clients = 4
	srv := start(t, beating(2), func(s *weir.Server) {
		n := s.Namespace("/")
		n.OnConnect(func(_ context.Context, s *weir.Socket) error {
			s.Set("next", new(int))
			return nil
		})
		n.On("n", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			next := s.Value("next").(*int)
			*next++
			return e.Reply(ctx, *next-1)
		})
	})
	err := inParallel(clients, func(int) error {
		c, err := dialLean(addr(srv), "/", leanOptions{})
		if err != nil {
			return err
		}
		defer func() { _ = c.conn.Close() }()
		for r := range rounds {
			for i := range burst {
				if err := c.send(fmt.Sprintf(`42%d["n"]`, r*burst+i)); err != nil {
					return err
				}
			}
			for i := range burst {
				want := fmt.Sprintf("43%d[%d]", r*burst+i, r*burst+i)
				if m, err := c.text(); err != nil || m != want {
					return fmt.Errorf("got %s, %w; want %s", m, err, want)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A socket's id and principal may be asked for while it is being let in.
func TestIdentityStaysTheSameWhileAClientIsLetIn(t *testing.T) {
	tokens, err := weir.StaticTokens(map[string]string{"alice": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	o := weir.Options{Authenticate: tokens, Servers: []weir.ServerOptions{{
		Auth: true, Namespaces: []weir.NamespaceOptions{{Path: "/", AuthRequired: true}},
	}}}
	var watchers sync.WaitGroup
	in := make(chan string)
	srv := start(t, o, func(s *weir.Server) {
		n := s.Namespace("/")
		n.Use(func(ctx context.Context, s *weir.Socket) error {
			id := s.ID()
			if id == "" || s.Principal() != "alice" {
				t.Errorf("before it is let in: %q, %q", id, s.Principal())
			}
			var over atomic.Bool
			watchers.Go(func() {
				for !over.Load() {
					if s.ID() != id || s.Principal() != "alice" {
						t.Errorf("while it is let in: %q, %q; was %q", s.ID(), s.Principal(), id)
						return
					}
				}
			})
			s.Set("over", &over)
			return s.Join(ctx, "early")
		})
		n.OnConnect(func(_ context.Context, s *weir.Socket) error {
			s.Value("over").(*atomic.Bool).Store(true)
			in <- s.ID()
			return nil
		})
	})
	for range 20 {
		p := dial(t, addr(srv), "/", map[string]any{"token": "secret"}, dialOptions{})
		if id := <-in; id != p.sid {
			t.Errorf("the socket is %q, its client was told %q", id, p.sid)
		}
	}
	watchers.Wait()
	if found, err := srv.Namespace("/").To("early").Principal("alice").Sockets(t.Context()); err != nil || len(found) != 20 {
		t.Errorf("%d sockets of alice, %v; want 20", len(found), err)
	}
}

// A polling session that is closed waits for a GET to tell its client, 30 s; that its time to join runs out meanwhile does
// not make it wait for ever.
func TestClosingPollingSessionKeepsItsTimeToEnd(t *testing.T) {
	srv := start(t, weir.Options{Servers: []weir.ServerOptions{{
		Name: "default", SocketIO: weir.SocketIOOptions{ConnectTimeout: time.Second}, Namespaces: []weir.NamespaceOptions{{Path: "/"}},
	}}})
	url := "http://" + addr(srv) + "/socket.io/?EIO=4&transport=polling"
	ask := func(url, body string) string {
		t.Helper()
		method := http.MethodPost
		if body == "" {
			method = http.MethodGet
		}
		q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read only
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	url += "&sid=" + strings.Split(ask(url, ""), `"`)[3]
	ask(url, "40")
	ask(url, "") // the answer to CONNECT, so that no GET waits
	s := theSocket(t, srv.Namespace("/"))
	if armed, err := attach.Tests.ExpireWhileClosing(s); err != nil || !armed {
		t.Errorf("its end has a time: %v, %v", armed, err)
	}
	ask(url, "") // it may go
}
