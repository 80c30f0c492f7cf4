package systemtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

func feed(topics ...weir.TopicOptions) weir.Options {
	return weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: topics}}}
}

func publish(t *testing.T, srv *weir.Server, topic string, payload any, opts ...weir.PublishOption) weir.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := srv.Publish(ctx, "/feed", topic, payload, opts...)
	if err != nil {
		t.Fatalf("publish %s: %v", topic, err)
	}
	return r
}

func TestPublishReachesSubscribersInOrder(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices", Max: weir.Limits{Messages: 1000}}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	if a := p.subscribe("/feed", "prices"); a["ok"] != true {
		t.Fatalf("subscribe: %v", a)
	}
	for i := range 500 {
		publish(t, srv, "prices", i)
	}
	for i := range 500 {
		pk := p.packet()
		if pk.name != "prices" || string(pk.args[0]) != fmt.Sprint(i) || len(pk.args) != 1 {
			t.Fatalf("message %d: %s %s", i, pk.name, pk.args)
		}
	}
}

func TestEmitAckEmitDisconnectArriveInOrder(t *testing.T) {
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, func(s *weir.Server) {
		s.Namespace("/").On("order", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			for _, err := range []error{s.Emit(ctx, "a"), e.Reply(ctx, "ack"), s.Emit(ctx, "b"), s.Disconnect(ctx)} {
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	p.emit("/", 12, "order")
	for _, want := range []string{`42["a"]`, `4312["ack"]`, `42["b"]`, `41`} {
		if got := p.next(); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestTypedHandlerAnswersAndRefuses(t *testing.T) {
	type order struct {
		Symbol string
		Blob   []byte
	}
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, func(s *weir.Server) {
		weir.Handle(s.Namespace("/"), "order", func(_ context.Context, _ *weir.Socket, o order) (map[string]any, error) {
			if o.Symbol == "" {
				return nil, weir.Errorf(weir.ErrInvalid, "symbol is missing")
			}
			return map[string]any{"placed": o.Symbol, "size": len(o.Blob)}, nil
		})
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	p.emit("/", 1, "order", map[string]any{"symbol": "AAPL"})
	if got := p.next(); got != `431[{"placed":"AAPL","size":0}]` {
		t.Fatal(got)
	}
	p.emit("/", 2, "order", map[string]any{})
	if got := p.next(); got != `432[{"ok":false,"code":"invalid","reason":"symbol is missing","retryable":false}]` {
		t.Fatal(got)
	}
	p.emit("/", 3, "nobody")
	if got := p.next(); got != `42["weir:error",{"ok":false,"event":"nobody","code":"no_handler","reason":"nothing handles the event nobody","retryable":false}]` {
		t.Fatal(got)
	}
}

func TestReliableMessageIsRepeatedUntilAcknowledged(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{
		Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, AckTimeout: 50 * time.Millisecond, RetryBackoff: 1, MaxRetries: 1<<16 - 2,
	}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	r := publish(t, srv, "orders", map[string]int{"n": 1})
	type metadata struct {
		MessageID   string
		AckRequired bool
		Redelivered bool
		Topic       string
	}
	read := func() (m metadata) {
		pk := p.packet()
		if len(pk.args) != 2 {
			t.Fatalf("args %s", pk.args)
		}
		if err := json.Unmarshal(pk.args[1], &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := read(); m.MessageID != r.MessageID || !m.AckRequired || m.Redelivered || m.Topic != "orders" {
		t.Fatalf("first send: %+v", m)
	}
	if m := read(); m.MessageID != r.MessageID || !m.Redelivered {
		t.Fatalf("repeat: %+v", m)
	}
	p.emit("/feed", 9, "ack", map[string]any{"topic": "orders", "messageId": r.MessageID})
	for {
		if pk := p.packet(); pk.typ == sio.Ack {
			break
		}
	}
	v := client(t, srv, p.sid)
	if l := lane(v, "orders"); l.Acked != 1 || l.InFlight != 0 || !l.Balanced {
		t.Fatalf("lane after the ack: %+v", l)
	}
}

// client returns the server's view of one socket.
func client(t *testing.T, srv *weir.Server, id string) weir.ClientView {
	t.Helper()
	views, err := srv.Clients(context.Background(), weir.ClientQuery{ID: id, Limit: 1})
	if err != nil || len(views) != 1 {
		t.Fatalf("client %s: %d views, %v", id, len(views), err)
	}
	return views[0]
}

type laneView = struct {
	Offered, Written, Acked, Coalesced, Dropped uint64
	Depth, Bytes, InFlight                      int
	Drops                                       map[string]uint64
	Balanced                                    bool
}

func lane(v weir.ClientView, topic string) laneView {
	for _, l := range v.Lanes {
		if l.Topic == topic {
			out := laneView{
				Offered: l.Offered, Written: l.Written, Acked: l.Acked, Coalesced: l.Coalesced, Depth: l.Depth, Bytes: l.Bytes,
				InFlight: l.InFlight, Drops: l.Drops, Balanced: l.Balanced,
			}
			for _, n := range l.Drops {
				out.Dropped += n
			}
			return out
		}
	}
	return laneView{}
}

// What is kept of a message that has not arrived whole counts against the budget
// (architecture.md D9), and no longer when its sender is gone.
func TestIncompleteMessagesAreHeld(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	frame := ws.AppendMasked(nil, ws.Text, [4]byte{1, 2, 3, 4}, make([]byte, 400_000))
	if _, err := p.conn.Write(frame[:300_000]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the part that came is held", func() bool { held, _ := srv.HeldBytes(); return held > 250_000 })
	_ = p.conn.Close()
	eventually(t, "nothing is held", func() bool { held, _ := srv.HeldBytes(); return held == 0 })
}

// What a handler is given is its own, also while the next packets of the same read are being parsed.
func TestHandlersArgumentsAreTheirOwn(t *testing.T) {
	var kept []json.RawMessage
	over := make(chan struct{})
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, func(s *weir.Server) {
		s.Namespace("/").On("item", func(_ context.Context, _ *weir.Socket, e *weir.Event) error {
			if kept = append(kept, e.JSON()[0]); len(kept) == 100 {
				close(over)
			}
			return nil
		})
	})
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	for i := range 100 {
		p.emit("/", -1, "item", fmt.Sprintf("item number %d", i))
	}
	<-over
	for i, raw := range kept {
		if want := fmt.Sprintf("%q", fmt.Sprintf("item number %d", i)); string(raw) != want {
			t.Fatalf("argument %d became %s", i, raw)
		}
	}
}
