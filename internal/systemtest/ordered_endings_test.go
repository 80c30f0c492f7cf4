package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

func plain() weir.Options { return weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}} }

// "Send, then close the tab": what had arrived is handled, then OnDisconnect is called. No handler runs before the client
// has closed its connection.
func TestEventsThatHadArrivedAreHandledAfterTheirClientLeft(t *testing.T) {
	for _, events := range []int{50, 170, 3000} { // a mailbox takes 128: the others of one batch wait in front of it, and in the kernel
		var handled, canceled atomic.Int64
		gone, gate := make(chan int64, 1), make(chan struct{})
		srv := start(t, plain(), func(s *weir.Server) {
			n := s.Namespace("/")
			n.On("order", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
				<-gate
				if ctx.Err() != nil {
					canceled.Add(1)
				}
				handled.Add(1)
				return e.Reply(ctx, "placed")
			})
			n.OnDisconnect(func(context.Context, *weir.Socket, string) { gone <- handled.Load() })
		})
		p := dial(t, addr(srv), "/", nil, dialOptions{})
		var batch []byte
		for i := range events {
			text := fmt.Sprintf(`42%d["order",%d]`, i, i)
			if events > 170 { // an answer to a closed connection makes the kernel forget what it has not handed over yet
				text = fmt.Sprintf(`42["order",%d]`, i)
			}
			batch = ws.AppendMasked(batch, ws.Text, [4]byte{1, 2, 3, 4}, []byte(text))
		}
		if _, err := p.conn.Write(batch); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all have arrived", func() bool {
			return metric(t, srv, "weir_received_total", `namespace="/"`) >= float64(min(events, 128))
		})
		_ = p.conn.Close()
		if events < 128 { // else it is read on, and seen to be gone, when there is room
			eventually(t, "the client has left", func() bool { return metric(t, srv, "weir_sockets", `namespace="/"`) == 0 })
		}
		close(gate)
		if n := <-gone; n != int64(events) {
			t.Errorf("%d of %d events that had arrived were handled before OnDisconnect", n, events)
		}
		if n := canceled.Load(); n != 0 {
			t.Errorf("%d handlers ran with a context that had ended", n)
		}
		if n := metric(t, srv, "weir_answers_unheard_total", `namespace="/"`); events < 128 && n != float64(events) {
			t.Errorf("%v of %d answers to nobody were counted", n, events)
		}
		eventually(t, "nothing is held", func() bool { held, _ := srv.HeldBytes(); return held == 0 })
	}
}

// Whoever the application has disconnected is not served any more.
func TestEventsOfADisconnectedClientAreNotHandled(t *testing.T) {
	for name, refuse := range map[string]func(*weir.Namespace){
		"OnConnect": func(n *weir.Namespace) {
			n.OnConnect(func(context.Context, *weir.Socket) error { return errors.New("not you") })
		},
		"Disconnect": func(n *weir.Namespace) {
			n.On("first", func(ctx context.Context, s *weir.Socket, _ *weir.Event) error { return s.Disconnect(ctx) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			var handled atomic.Int64
			gone := make(chan struct{})
			srv := start(t, plain(), func(s *weir.Server) {
				n := s.Namespace("/")
				refuse(n)
				n.On("order", func(context.Context, *weir.Socket, *weir.Event) error { handled.Add(1); return nil })
				n.OnDisconnect(func(context.Context, *weir.Socket, string) { close(gone) })
			})
			p := dialRaw(t, addr(srv), dialOptions{})
			p.send("40")
			p.next()
			for _, e := range []string{"first", "order", "order"} {
				if err := p.write(fmt.Sprintf("42[%q]", e)); err != nil {
					break // it has been sent away
				}
			}
			<-gone
			if n := handled.Load(); n != 0 {
				t.Errorf("%d events of a disconnected client were handled", n)
			}
		})
	}
}

// Wherever the application panics, or ends its goroutine, the client gets an answer.
func TestPanicsAreAnswered(t *testing.T) {
	log := new(logbook)
	o := weir.Options{
		Logger:       log.logger(),
		Authenticate: func(context.Context, weir.AuthRequest) (weir.Identity, error) { panic("boom") },
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{
			{Path: "/"}, {Path: "/use"}, {Path: "/useexit"}, {Path: "/connect"}, {Path: "/auth", AuthRequired: true},
			{Path: "/feed", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "secret", AuthRequired: true}}},
		}}},
	}
	left := make(chan string, 2)
	srv := start(t, o, func(s *weir.Server) {
		n := s.Namespace("/")
		n.On("boom", func(context.Context, *weir.Socket, *weir.Event) error { panic("boom") })
		n.On("exit", func(context.Context, *weir.Socket, *weir.Event) error { runtime.Goexit(); return nil })
		weir.Handle(n, "typed", func(context.Context, *weir.Socket, struct{}) (int, error) { panic("boom") })
		n.On("emits", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			if err := s.Emit(ctx, "seen"); err != nil {
				return err
			}
			return e.Reply(ctx, "ok")
		})
		n.OnAnyOutgoing(func(string, []any) { panic("boom") })
		n.OnDisconnect(func(context.Context, *weir.Socket, string) { panic("boom") })
		n.OnDisconnect(func(_ context.Context, _ *weir.Socket, reason string) { left <- reason })
		s.Namespace("/use").Use(func(context.Context, *weir.Socket) error { panic("boom") })
		s.Namespace("/useexit").Use(func(context.Context, *weir.Socket) error { runtime.Goexit(); return nil })
		s.Namespace("/connect").OnConnect(func(context.Context, *weir.Socket) error { panic("boom") })
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	for i, event := range []string{"boom", "exit", "typed"} {
		p.emit("/", i, event, struct{}{})
		if got, want := p.next(), fmt.Sprintf(`43%d[{"ok":false,"code":"internal","reason":"the handler failed","retryable":false}]`, i); got != want {
			t.Errorf("%s was answered %s", event, got)
		}
	}
	p.emit("/", 9, "emits")
	if got := p.next() + p.next(); got != `42["seen"]439["ok"]` {
		t.Errorf("an observer's panic was the emitter's: %s", got)
	}
	for _, c := range []struct{ say, hear string }{
		{"40/use,", `44/use,{"message":"internal: the handler failed"`},
		{"40/useexit,", `44/useexit,{"message":"internal: the handler failed"`},
		{"40/auth,", `44/auth,{"message":"internal: the handler failed"`},
		{"40/connect,", `40/connect,{"sid"`},
		{"", `41/connect,`},
		{"40/feed,", `40/feed,{"sid"`},
		{`42/feed,1["subscribe",{"topic":"secret"}]`, `43/feed,1[{"ok":false,"topic":"secret","code":"internal"`},
		{`42/feed,2["publish",{"topic":"secret","payload":1}]`, `43/feed,2[{"ok":false,"topic":"secret","code":"internal"`},
	} {
		if c.say != "" {
			p.send(c.say)
		}
		if got := p.next(); !strings.HasPrefix(got, c.hear) {
			t.Errorf("%s was answered %s, want %s", c.say, got, c.hear)
		}
	}
	_ = p.conn.Close()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("a panic of one OnDisconnect kept the next from being called")
	}
	const panics = 9 // boom, typed, OnAnyOutgoing, Use, Authenticate three times, OnConnect, OnDisconnect
	if n := metric(t, srv, "weir_handler_panics_total"); n != panics {
		t.Errorf("%v panics were counted, want %d", n, panics)
	}
	if n := len(log.told(t, srv, "stack=")); n != panics {
		t.Errorf("%d panics are logged with their stack, want each once", n)
	}
	if n := metric(t, srv, "weir_auth_rejected_total"); n != 0 {
		t.Errorf("%v tokens were counted as refused for a panic", n)
	}
}

// What an event means is decided when its turn comes, after OnConnect, as every Socket.IO application expects it.
func TestHandlersSetInOnConnectMissNoEvent(t *testing.T) {
	gate := make(chan struct{})
	srv := start(t, plain(), func(s *weir.Server) {
		s.Namespace("/").OnConnect(func(_ context.Context, s *weir.Socket) error {
			<-gate
			s.On("early", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "ok") })
			return nil
		})
	})
	var peers []*peer
	for range 50 {
		p := dial(t, addr(srv), "/", nil, dialOptions{})
		p.emit("/", 1, "early")
		peers = append(peers, p)
	}
	eventually(t, "all have arrived", func() bool { return metric(t, srv, "weir_received_total", `namespace="/"`) == 50 })
	close(gate)
	for _, p := range peers {
		if got := p.next(); got != `431["ok"]` {
			t.Fatalf("answered %s", got)
		}
	}
}

// An event that nothing handles is not acknowledged, as in Socket.IO: a callback that runs means success.
func TestEventsWithoutHandlerAreNotAcknowledged(t *testing.T) {
	log := new(logbook)
	o := plain()
	o.Logger = log.logger()
	var filtered atomic.Int64
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/").UseEvents(func(context.Context, *weir.Socket, *weir.Event) error { filtered.Add(1); return nil })
		s.Namespace("/").On("ping", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx) })
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	for range 3 {
		p.emit("/", 7, "save", "x")
		if got, want := p.next(), `42["weir:error",{"ok":false,"event":"save","code":"no_handler","reason":"nothing handles the event save","retryable":false}]`; got != want {
			t.Errorf("told %s", got)
		}
	}
	p.emit("/", 8, "ping")
	if got := p.next(); got != "438[]" {
		t.Errorf("answered %s", got)
	}
	if n := filtered.Load(); n != 4 {
		t.Errorf("UseEvents saw %d events of 4", n)
	}
	if n := metric(t, srv, "weir_no_handler_total", `namespace="/"`); n != 3 {
		t.Errorf("%v counted", n)
	}
	if n := len(log.told(t, srv, "event without a handler")); n != 1 {
		t.Errorf("logged %d times, want once for its name", n)
	}
}

// An OnConnect that ends its goroutine has not let the client in, as one that fails.
func TestOnConnectThatEndsItsGoroutineEndsTheSocket(t *testing.T) {
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, func(s *weir.Server) {
		s.Namespace("/").OnConnect(func(context.Context, *weir.Socket) error {
			runtime.Goexit()
			return nil
		})
	})
	if m := dial(t, addr(srv), "/", nil, dialOptions{}).next(); m != "41" {
		t.Errorf("the client hears %q", m)
	}
}
