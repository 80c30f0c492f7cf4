package packet_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
)

// holds checks that a frame, which is websocket frames, holds those texts in order.
func holds(t *testing.T, name string, f *base.Frame, texts ...string) {
	t.Helper()
	rest := string(f.Wire())
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Errorf("%s: %q has no %q", name, f.Wire(), text)
		}
		rest = after
	}
	if rest != "" {
		t.Errorf("%s: %q ends in %q", name, f.Wire(), rest)
	}
}

func TestPackets(t *testing.T) {
	chat := sio.EventHeader{Namespace: "/chat"}
	asking := sio.EventHeader{Namespace: "/", ID: 12, HasID: true}
	type bag = map[string]any
	for _, row := range []struct {
		name   string
		header sio.EventHeader
		values []any
		want   []string
		first  string
	}{
		{"no arguments", chat, nil, []string{`42/chat,["x"]`}, ""},
		{"arguments", chat, []any{bag{"a": "<"}, 2}, []string{`42/chat,["x",{"a":"<"},2]`}, `{"a":"<"}`},
		{"a question", asking, []any{nil}, []string{`4212["x",null]`}, `null`},
		{"binary", asking, []any{[]byte("data")}, []string{`451-12["x",{"_placeholder":true,"num":0}]`, "data"}, `{"_placeholder":true,"num":0}`},
	} {
		f, first, err := packet.Event(row.header, "x", row.values)
		if err != nil || string(first) != row.first {
			t.Errorf("%s: first argument %s, %v", row.name, first, err)
			continue
		}
		holds(t, row.name, f, row.want...)
	}
	ack, err := packet.Ack(sio.EventHeader{Namespace: "/chat", ID: 3}, []any{[]byte("data"), "ok"})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, "ack", ack, `461-/chat,3[{"_placeholder":true,"num":0},"ok"]`, "data")
	holds(t, "connect", packet.Connect("/chat", "id"), `40/chat,{"sid":"id"}`)
	holds(t, "refusal", packet.ConnectError("/chat", "no", []byte(`{"a":1}`)), `44/chat,{"message":"no","data":{"a":1}}`)
	holds(t, "disconnect", packet.Disconnect("/"), "41")
}

func TestWhatCannotBeEncodedIsInvalid(t *testing.T) {
	invalid := &base.Error{Code: base.CodeInvalid}
	header := sio.EventHeader{Namespace: "/"}
	if _, _, err := packet.Event(header, "connect", nil); !errors.Is(err, invalid) {
		t.Errorf("reserved event: %v", err)
	}
	if _, _, err := packet.Event(header, "x", []any{make(chan int)}); !errors.Is(err, invalid) {
		t.Errorf("event with a channel: %v", err)
	}
	if _, err := packet.Ack(header, []any{make(chan int)}); !errors.Is(err, invalid) {
		t.Errorf("ack with a channel: %v", err)
	}
}

func BenchmarkAck(b *testing.B) {
	type answer struct {
		OK bool  `json:"ok"`
		N  int64 `json:"n"`
	}
	h := sio.EventHeader{Namespace: "/feed", ID: 1234, HasID: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := packet.Ack(h, []any{answer{true, 12345}}); err != nil {
			b.Fatal(err)
		}
	}
}
