package packet_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// again is a dialect in which packets look as in the first one, and shout one in which a packet is a single binary message,
// attachments inline, as a binary parser has it.
var again, shout = base.NewDialect(6, 0), base.NewDialect(7, 0)

func init() {
	packet.Register(again, repeater{})
	packet.Register(shout, shouter{})
}

type repeater struct{}

func (repeater) Encode(p sio.Packet, attachments [][]byte) *base.Frame {
	h := sio.EventHeader{Namespace: string(p.Namespace), ID: p.ID, HasID: p.HasID, Attachments: p.Attachments}
	return packet.NewFrame(0, func(dst []byte) []byte { return append(sio.AppendHeader(dst, p.Type, h), p.Data...) }, attachments...)
}

type shouter struct{}

func (shouter) Encode(p sio.Packet, attachments [][]byte) *base.Frame {
	b := fmt.Appendf(nil, "%v %s %t %d %s", p.Type, p.Namespace, p.HasID, p.ID, bytes.ToUpper(p.Data))
	for _, a := range attachments {
		b = fmt.Appendf(b, "+%s", a)
	}
	return base.RawFrame(ws.AppendFrame(nil, ws.Binary, b))
}

// samples are frames of every kind of packet, by name.
func samples(t *testing.T) map[string]*base.Frame {
	t.Helper()
	must := func(f *base.Frame, err error) *base.Frame {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	event := func(h sio.EventHeader, values ...any) *base.Frame {
		f, _, err := packet.Event(h, `x "quoted" é`, values)
		return must(f, err)
	}
	return map[string]*base.Frame{
		"event":          event(sio.EventHeader{Namespace: "/"}),
		"event in /chat": event(sio.EventHeader{Namespace: "/chat"}, map[string]any{"a": 1}, nil, "4"),
		"question":       event(sio.EventHeader{Namespace: "/chat", ID: 12, HasID: true}, 1),
		"binary":         event(sio.EventHeader{Namespace: "/chat"}, []byte("one"), []any{[]byte{}, []byte("42[")}),
		"ack":            must(packet.Ack(sio.EventHeader{Namespace: "/", ID: 0}, nil)),
		"binary ack":     must(packet.Ack(sio.EventHeader{Namespace: "/chat", ID: 3}, []any{[]byte("data"), "ok"})),
		"connect":        packet.Connect("/chat", "id"),
		"refusal":        packet.ConnectError("/", "no", []byte(`{"a":1}`)),
		"disconnect":     packet.Disconnect("/chat"),
		"disconnect /":   packet.Disconnect("/"),
		"lost":           packet.Lost("/feed", "ticks", 7, base.ReasonOverflow),
		"long":           event(sio.EventHeader{Namespace: "/"}, string(bytes.Repeat([]byte("x"), 70_000)), bytes.Repeat([]byte("y"), 200)),
	}
}

// What an encoder is given is all that a packet is: the first dialect can be written from it, byte for byte.
func TestATranslationLosesNothing(t *testing.T) {
	for name, f := range samples(t) {
		if got := packet.In(f, again); !bytes.Equal(got.Wire(), f.Wire()) {
			t.Errorf("%s: %.200q, want\n%.200q", name, got.Wire(), f.Wire())
		}
		if packet.In(f, 0) != f {
			t.Errorf("%s: the first dialect has another frame", name)
		}
	}
}

func TestADialectSaysEveryPacketItsWay(t *testing.T) {
	frames := samples(t)
	for name, want := range map[string]string{
		"event":          `EVENT / false 0 ["X \"QUOTED\" É"]`,
		"event in /chat": `EVENT /chat false 0 ["X \"QUOTED\" É",{"A":1},NULL,"4"]`,
		"question":       `EVENT /chat true 12 ["X \"QUOTED\" É",1]`,
		"binary": `BINARY_EVENT /chat false 0 ["X \"QUOTED\" É",{"_PLACEHOLDER":TRUE,"NUM":0},` +
			`[{"_PLACEHOLDER":TRUE,"NUM":1},{"_PLACEHOLDER":TRUE,"NUM":2}]]+one++42[`,
		"ack":          `ACK / true 0 []`,
		"connect":      `CONNECT /chat false 0 {"SID":"ID"}`,
		"refusal":      `CONNECT_ERROR / false 0 {"MESSAGE":"NO","DATA":{"A":1}}`,
		"disconnect /": `DISCONNECT / false 0 `,
	} {
		for op, part := range base.Parts(packet.In(frames[name], shout).Wire()) {
			if op != ws.Binary || string(part) != want {
				t.Errorf("%s: %q, want\n%q", name, part, want)
			}
		}
	}
}

// A publication is not written in the first dialect to be written in another one, and both have every shape.
func TestPublicationInEveryDialect(t *testing.T) {
	shapes := []base.Form{base.Plain, base.Envelope, base.Callback, base.Callback | base.Envelope}
	for _, pub := range []packet.Publication{
		{Payload: []byte(`{"x":1}`)}, {Payload: []byte(`[1]`), Reliable: true}, {Payload: []byte("raw"), Binary: true, Reliable: true},
	} {
		m := base.NewMessage(&pub)
		m.Namespace, m.Topic, m.ID, m.AckID = "/feed", "ticks", "m1", 7
		for _, msg := range []*base.Message{m, m.Snapshot(5)} {
			for _, f := range slices.Concat(shapes, []base.Form{base.Redelivered, base.Redelivered | base.Callback}) {
				plain, copied := msg.Frame(f), msg.Frame(f.In(again))
				if plain == copied || !bytes.Equal(plain.Wire(), copied.Wire()) || plain.Packing() != copied.Packing() {
					t.Errorf("%s form %d: %q, want %q", pub.Payload, f, copied.Wire(), plain.Wire())
				}
				if got, want := msg.Frame(f.In(shout)).Wire(), packet.In(plain, shout).Wire(); !bytes.Equal(got, want) {
					t.Errorf("%s form %d: %q, want %q", pub.Payload, f, got, want)
				}
			}
		}
	}
}

// compress(false) holds in every dialect.
func TestVerbatimIsTranslated(t *testing.T) {
	f := packet.Connect("/", "id")
	if packet.In(f, shout).Packing() != base.Packable {
		t.Error("a frame that may be compressed is verbatim in another dialect")
	}
	if m := packet.NewMessage(f.Verbatim()); m.Frame(base.Plain.In(shout)).Packing() != base.Verbatim {
		t.Error("a verbatim frame may be compressed in another dialect")
	}
}

func TestADialectIsRegisteredOnce(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	packet.Register(0, shouter{})
}
