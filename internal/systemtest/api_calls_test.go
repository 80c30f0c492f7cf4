package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// broken is text that marshals itself into what is not UTF-8.
type broken struct{}

func (broken) MarshalJSON() ([]byte, error) { return []byte("\"\xff\""), nil }

// TestWhatClientsCouldNotReadIsRefused: text that is not UTF-8 would end the connection of every client that got it, and a
// message whose id no client can write could not be acknowledged.
func TestWhatClientsCouldNotReadIsRefused(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}), func(srv *weir.Server) {
		srv.Namespace("/feed").On("ask", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			if err := e.Reply(ctx, json.RawMessage("\"\xff\"")); !errors.Is(err, weir.ErrInvalid) {
				t.Errorf("Reply: %v", err)
			}
			return nil
		})
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "prices")
	p.emit("/feed", 5, "ask")
	for name, v := range map[string]any{
		"verbatim": json.RawMessage("\"\xff\""), "half a character": json.RawMessage("\"\xc3\""), "inside": map[string]any{"a": json.RawMessage("\"\xff\"")},
		"marshalled by itself": broken{}, "beside bytes": map[string]any{"b": []byte{1}, "a": broken{}},
	} {
		if _, err := srv.Publish(t.Context(), "/feed", "prices", v); !errors.Is(err, weir.ErrInvalid) || !strings.Contains(err.Error(), "UTF-8") {
			if name != "beside bytes" || err == nil { // no payload of a message
				t.Errorf("Publish %s: %v", name, err)
			}
		}
		if err := srv.Namespace("/feed").Emit(t.Context(), "x", v); !errors.Is(err, weir.ErrInvalid) || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("Emit %s: %v", name, err)
		}
	}
	for _, id := range []string{"", "\xff", strings.Repeat("x", 257)} {
		if _, err := srv.Publish(t.Context(), "/feed", "prices", 1, weir.MessageID(id)); !errors.Is(err, weir.ErrInvalid) {
			t.Errorf("MessageID %.10q: %v", id, err)
		}
	}
	publish(t, srv, "prices", "é", weir.MessageID(strings.Repeat("é", 128)))
	for {
		if pk := p.packet(); pk.name == "prices" { // the client is still there
			if string(pk.args[0]) != `"é"` {
				t.Errorf("got %s", pk.args)
			}
			return
		}
	}
}

// TestReceiptSaysWhomTheMessageIsFor, or that nobody has counted them; it does not say nobody for that.
func TestReceiptSaysWhomTheMessageIsFor(t *testing.T) {
	srv := start(t, feed(orders(weir.TopicOptions{}), weir.TopicOptions{Name: "prices"}))
	for subscribers := range 2 {
		for topic, uncounted := range map[string]int{"orders": subscribers, "prices": weir.NotCounted} {
			id := fmt.Sprint("m", subscribers)
			if r := publish(t, srv, topic, 1, weir.MessageID(id)); r.Subscribers != uncounted || !r.Complete || r.Duplicate {
				t.Errorf("%s, %d subscribers: %+v, want %d", topic, subscribers, r, uncounted)
			}
			if r := publish(t, srv, topic, 1, weir.WithReceipt()); r.Subscribers != subscribers || !r.Complete {
				t.Errorf("%s, %d subscribers, with a receipt: %+v", topic, subscribers, r)
			}
			again := publish(t, srv, topic, 1, weir.MessageID(id), weir.WithReceipt())
			switch {
			case topic == "prices" && subscribers > 0: // nobody has asked when it was published
				if !again.Duplicate || again.Complete || again.Subscribers != weir.NotCounted {
					t.Errorf("%s again, with a receipt: %+v: it is not known", topic, again)
				}
			case !again.Duplicate || !again.Complete || again.Subscribers != subscribers:
				t.Errorf("%s again, with a receipt: %+v", topic, again)
			}
		}
		p := dial(t, addr(srv), "/feed", nil, dialOptions{})
		p.subscribe("/feed", "orders")
		p.subscribe("/feed", "prices")
	}
}

// TestCallsOfAServerThatDoesNotRunEnd: before Run and after its end, whatever asks the clients says that there is no server
// to ask, and says it at once.
func TestCallsOfAServerThatDoesNotRunEnd(t *testing.T) {
	forever := context.Background()
	calls := func(t *testing.T, when string, srv *weir.Server) {
		t.Helper()
		all := srv.Namespace("/feed").All()
		_, sockets := all.Sockets(forever)
		_, _, join := all.Join(forever, "r")
		_, ask := all.Ask(forever, "x")
		_, clients := srv.Clients(forever, weir.ClientQuery{Limit: 1})
		for name, err := range map[string]error{
			"Sockets": sockets, "Join": join, "Ask": ask, "Clients": clients,
			"Leave": all.Leave(forever, "r"), "Disconnect": all.Disconnect(forever),
		} {
			if !errors.Is(err, weir.ErrDraining) {
				t.Errorf("%s, %s: %v", name, when, err)
			}
		}
	}
	srv, err := weir.New(feed(orders(weir.TopicOptions{})))
	if err != nil {
		t.Fatal(err)
	}
	calls(t, "before Run", srv)
	if r, err := srv.Publish(forever, "/feed", "orders", 1, weir.WithReceipt()); err != nil || !r.Complete || r.Subscribers != 0 {
		t.Errorf("Publish before Run: %+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(forever)
	cancel()
	if err := srv.Run(ctx); err != nil {
		t.Fatal(err)
	}
	calls(t, "after Run", srv)
	if _, err := srv.Publish(forever, "/feed", "orders", 1); !errors.Is(err, weir.ErrDraining) {
		t.Errorf("Publish after Run: %v", err)
	}
	if err := srv.Namespace("/feed").Emit(t.Context(), "x"); !errors.Is(err, weir.ErrDraining) {
		t.Errorf("Emit after Run: %v", err)
	}
}

// TestClientsOfWhatDoesNotExistAreAnError, not nobody, and no limit is a panic.
func TestClientsOfWhatDoesNotExistAreAnError(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}, weir.TopicOptions{Name: "user:*"}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "prices")
	p.subscribe("/feed", "user:1")
	for _, c := range []struct {
		q    weir.ClientQuery
		want error
		n    int
	}{
		{weir.ClientQuery{Limit: 5}, nil, 1}, {weir.ClientQuery{}, nil, 1}, {weir.ClientQuery{Limit: 5, Sort: weir.ClientsByLoss}, nil, 1},
		{weir.ClientQuery{Limit: 5, Namespace: "/feed", Topic: "user:*"}, nil, 1}, {weir.ClientQuery{Limit: 5, Topic: "user:2"}, nil, 0},
		{weir.ClientQuery{Limit: 5, Address: "::ffff:127.0.0.1"}, nil, 1}, {weir.ClientQuery{Limit: 5, Address: "10.0.0.1"}, nil, 0},
		{weir.ClientQuery{Limit: -1}, weir.ErrInvalid, 0}, {weir.ClientQuery{Limit: 5, Sort: 9}, weir.ErrInvalid, 0},
		{weir.ClientQuery{Limit: 5, Namespace: "/nope"}, weir.ErrUnknown, 0}, {weir.ClientQuery{Limit: 5, Topic: "nope"}, weir.ErrUnknown, 0},
		{weir.ClientQuery{Limit: 5, Namespace: "/feed", Topic: "nope*"}, weir.ErrUnknown, 0},
		{weir.ClientQuery{Limit: 5, Address: "127.0.0.1:80"}, weir.ErrInvalid, 0},
	} {
		found, err := srv.Clients(t.Context(), c.q)
		if len(found) != c.n || !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%+v: %d clients, %v, want %d, %v", c.q, len(found), err, c.n, c.want)
		}
	}
	if cut := srv.CutClients(-1); len(cut) != 0 {
		t.Errorf("CutClients(-1): %v", cut)
	}
}

// TestRoomsBeforeTheClientIsInAreLimitedToo: Join does not say that a room is joined that will not be, nor that a client
// that has been refused joins one.
func TestRoomsBeforeTheClientIsInAreLimitedToo(t *testing.T) {
	refused := make(chan *weir.Socket, 1)
	o := weir.Options{Servers: []weir.ServerOptions{{
		Namespaces: []weir.NamespaceOptions{{Path: "/in"}, {Path: "/out"}}, Limits: weir.ServerLimits{RoomsPerSocket: 2},
	}}}
	srv := start(t, o, func(srv *weir.Server) {
		srv.Namespace("/in").Use(func(ctx context.Context, s *weir.Socket) error {
			if err := errors.Join(s.Join(ctx, "a", "a", s.ID()), s.Join(ctx, "b")); err != nil {
				t.Errorf("rooms that fit: %v", err)
			}
			if err := s.Join(ctx, "c"); !errors.Is(err, weir.ErrLimited) {
				t.Errorf("a room too many: %v", err)
			}
			return nil
		})
		srv.Namespace("/out").Use(func(_ context.Context, s *weir.Socket) error {
			refused <- s
			return weir.Errorf(weir.ErrForbidden, "no")
		})
	})
	dial(t, addr(srv), "/in", nil, dialOptions{})
	found, err := srv.Namespace("/in").To("b").Sockets(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if rooms, err := found[0].Rooms(t.Context()); err != nil || len(rooms) != 3 {
		t.Errorf("in %q, %v", rooms, err)
	}
	out := dialRaw(t, addr(srv), dialOptions{})
	out.send("40/out,")
	if text := out.next(); !strings.HasPrefix(text, "44/out,") {
		t.Fatal(text)
	}
	if err := (<-refused).Join(t.Context(), "a"); !errors.Is(err, weir.ErrDisconnected) {
		t.Errorf("Join of a client that was refused: %v", err)
	}
}
