package systemtest_test

import (
	"context"
	"testing"

	"github.com/streamweir/weir"
)

// A reply does not wake the event loop by itself while its handler runs. It must go
// out all the same, however the handler goes on.
func TestReplyArrivesWhateverItsHandlerDoesNext(t *testing.T) {
	reply := func(e *weir.Event) { _ = e.Reply(t.Context(), "ok") } // that it arrives says it
	srv := start(t, feed(), func(s *weir.Server) {
		n := s.Namespace("/feed")
		n.On("at once", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "ok") })
		n.On("and goes on", func(_ context.Context, s *weir.Socket, e *weir.Event) error {
			reply(e)
			<-s.Context().Done()
			return nil
		})
		var late *weir.Event
		n.On("later", func(_ context.Context, _ *weir.Socket, e *weir.Event) error {
			late = e
			return nil
		})
		n.On("now", func(context.Context, *weir.Socket, *weir.Event) error {
			go reply(late)
			return nil
		})
		n.On("and emits", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			reply(e)
			return s.Emit(ctx, "after")
		})
	})
	answered := func(p *peer) {
		t.Helper()
		if got := p.packet(); got.id != 7 || len(got.args) != 1 {
			t.Errorf("%+v, want an answer to 7", got)
		}
	}
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.emit("/feed", 7, "at once")
	answered(p)
	p.emit("/feed", 7, "later")
	p.emit("/feed", -1, "now")
	answered(p)
	p.emit("/feed", 7, "and emits")
	answered(p)
	if got := p.packet(); got.name != "after" {
		t.Errorf("%+v behind the answer", got)
	}
	p.emit("/feed", 7, "and goes on")
	answered(p)
}

// What waits for a worker counts for the budget until it has run, however it came.
func TestWhatHasRunIsNotHeld(t *testing.T) {
	o := weir.Options{
		Authenticate: func(context.Context, weir.AuthRequest) (weir.Identity, error) { return weir.Identity{}, nil },
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{{
			Path: "/feed", AuthRequired: true, ClientPublish: true,
			Topics: []weir.TopicOptions{{Name: "prices", AuthRequired: true}},
		}}}},
	}
	srv := start(t, o, func(s *weir.Server) {
		n := s.Namespace("/feed")
		n.Use(func(context.Context, *weir.Socket) error { return nil })
		n.On("ask", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "ok") })
		n.UseEvents(func(_ context.Context, _ *weir.Socket, e *weir.Event) error { return nil })
	})
	p := dial(t, addr(srv), "/feed", map[string]any{"token": "let me in"}, dialOptions{})
	p.subscribe("/feed", "prices", map[string]any{"token": "me too"})
	p.emit("/feed", 7, "ask", "something")
	p.emit("/feed", 8, "publish", map[string]any{"topic": "prices", "payload": 1, "token": "and me"})
	for range 3 {
		p.packet() // two answers and a delivery
	}
	const lasts = 136 + int64(len(`{"token":"let me in"}`)) // its lane, and what it has joined with
	eventually(t, "nothing else is held", func() bool { held, _ := srv.HeldBytes(); return held <= lasts })
}
