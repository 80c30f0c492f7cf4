package systemtest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// chat is a server whose clients may join rooms in /chat, and none in /closed.
func chat(t *testing.T, rooms int) *weir.Server {
	t.Helper()
	return start(t, weir.Options{Servers: []weir.ServerOptions{{
		Limits:     weir.ServerLimits{RoomsPerSocket: rooms},
		Namespaces: []weir.NamespaceOptions{{Path: "/chat", ClientRooms: []string{"chat:*", "lobby"}}, {Path: "/closed"}},
	}}})
}

// asks returns what an event with a callback is answered.
func (p *peer) asks(namespace, event string, arg any) string {
	p.emit(namespace, 9, event, arg)
	return p.next()
}

func TestClientsJoinTheRoomsTheyMay(t *testing.T) {
	srv := chat(t, 0)
	p := dial(t, addr(srv), "/chat", nil, dialOptions{})
	other := dial(t, addr(srv), "/chat", nil, dialOptions{})
	sockets, err := srv.Namespace("/chat").All().Sockets(t.Context())
	if err != nil || len(sockets) != 2 {
		t.Fatalf("%d sockets, %v", len(sockets), err)
	}
	for _, c := range []struct {
		event string
		arg   any
		want  string
	}{
		{"weir:join", map[string]any{"room": "chat:1"}, `43/chat,9[{"ok":true,"room":"chat:1"}]`},
		{"weir:join", map[string]any{"room": "chat:1"}, `{"ok":true`},
		{"weir:join", map[string]any{"room": "lobby"}, `{"ok":true`},
		{"weir:join", map[string]any{"room": "lobby2"}, `"code":"forbidden"`},
		{"weir:join", map[string]any{"room": "staff"}, `"code":"forbidden"`},
		{"weir:join", map[string]any{"room": "__proto__"}, `"code":"forbidden"`},
		{"weir:join", map[string]any{"room": sockets[0].ID()}, `"code":"forbidden"`},
		{"weir:join", map[string]any{"room": sockets[1].ID()}, `"code":"forbidden"`},
		{"weir:leave", map[string]any{"room": sockets[0].ID()}, `"code":"forbidden"`},
		{"weir:join", map[string]any{"room": "chat:" + strings.Repeat("x", 252)}, `"code":"invalid","reason":"a room's name of 257 bytes`},
		{"weir:join", map[string]any{"room": ""}, `"code":"invalid","reason":"room is missing or empty: want join {room}"`},
		{"weir:join", map[string]any{"room": 7}, `"code":"invalid","reason":"room is not a string`},
		{"weir:join", "chat:1", `"code":"invalid","reason":"the argument is not an object`},
		{"weir:join", map[string]any{"room": "chat:1", "token": "x"}, `there is no field \"token\"`},
		{"weir:leave", map[string]any{"room": "lobby"}, `{"ok":true,"room":"lobby"}`},
		{"weir:leave", map[string]any{"room": "chat:never"}, `{"ok":true`},
	} {
		if got := p.asks("/chat", c.event, c.arg); !strings.Contains(got, c.want) {
			t.Errorf("%s %v: %s, want %s", c.event, c.arg, got, c.want)
		}
	}
	var in []string
	for _, s := range sockets {
		rooms, err := s.Rooms(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, rooms[1:]...) // without the socket's own
	}
	if !slices.Equal(in, []string{"chat:1"}) {
		t.Errorf("they are in %v", in)
	}
	if err := srv.Namespace("/chat").To("chat:1", "lobby").Emit(t.Context(), "said", 1); err != nil {
		t.Fatal(err)
	}
	if err := srv.Namespace("/chat").Emit(t.Context(), "all"); err != nil {
		t.Fatal(err)
	}
	if got := p.next(); got != `42/chat,["said",1]` {
		t.Errorf("who has joined hears %s", got)
	}
	if got := other.next(); got != `42/chat,["all"]` {
		t.Errorf("who has not hears %s", got)
	}
	q := dial(t, addr(srv), "/closed", nil, dialOptions{})
	if got := q.asks("/closed", "weir:join", map[string]any{"room": "chat:1"}); !strings.Contains(got, `"code":"forbidden","reason":"clients may not join the room chat:1 (clientRooms)"`) {
		t.Errorf("where none may be joined: %s", got)
	}
	q.emit("/closed", -1, "weir:join", map[string]any{"room": "chat:1"})
	if got := q.next(); !strings.HasPrefix(got, `42/closed,["weir:error",{"ok":false,"code":"forbidden"`) {
		t.Errorf("without a callback: %s", got)
	}
	if n := metric(t, srv, "weir_requests_refused_total", `reason="forbidden"`); n != 8 {
		t.Errorf("%v are counted", n)
	}
}

// TestClientsJoinSoManyRooms: one socket that asks for more rooms than it may be in is told, and the application's count too.
func TestClientsJoinSoManyRooms(t *testing.T) {
	srv := chat(t, 4)
	p := dial(t, addr(srv), "/chat", nil, dialOptions{})
	if _, _, err := srv.Namespace("/chat").All().Join(t.Context(), "staff"); err != nil {
		t.Fatal(err)
	}
	joined := 0
	for i := range 10 {
		got := p.asks("/chat", "weir:join", map[string]any{"room": "chat:" + string(rune('a'+i))})
		switch {
		case strings.Contains(got, `"ok":true`):
			joined++
		case !strings.Contains(got, `"code":"limited"`):
			t.Errorf("answered %s", got)
		}
	}
	if joined == 0 || joined > 4 {
		t.Errorf("%d rooms were joined, of 4 that it may be in with those of the application", joined)
	}
	if got := p.asks("/chat", "weir:leave", map[string]any{"room": "chat:a"}); !strings.Contains(got, `"ok":true`) {
		t.Errorf("leaving: %s", got)
	}
	if got := p.asks("/chat", "weir:join", map[string]any{"room": "chat:z"}); !strings.Contains(got, `"ok":true`) {
		t.Errorf("when it has left one: %s", got)
	}
}

func TestPatternsOfClientRoomsAreRefusedWithASentence(t *testing.T) {
	for pattern, want := range map[string]string{
		"*": "the rooms of other sockets", "chat*": "the rooms of other sockets", "a-b_9*": "the rooms of other sockets",
		"": "want 1 to 256 bytes", "chat:*:*": "a * is at the end", strings.Repeat("x", 257): "want 1 to 256 bytes",
	} {
		_, err := weir.New(weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/", ClientRooms: []string{"ok", pattern}}}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ClientRooms[1]") {
			t.Errorf("%q: %v, want %s", pattern, err, want)
		}
	}
}
