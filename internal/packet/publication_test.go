package packet_test

import (
	"bytes"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
)

// Each form of a publication (protocol.md 4, "Shape of a delivery").
func TestPublicationForms(t *testing.T) {
	const about = `"namespace":"/feed","topic":"ticks","messageId":"m1","ackRequired":`
	for _, row := range []struct {
		name  string
		pub   packet.Publication
		form  base.Form
		texts []string
	}{
		{"plain", packet.Publication{Payload: []byte(`{"x":1}`)}, base.Plain, []string{`42/feed,["ticks",{"x":1}]`}},
		{"envelope", packet.Publication{Payload: []byte(`1`)}, base.Envelope,
			[]string{`42/feed,["ticks",{"metadata":{` + about + `false},"payload":1}]`}},
		{"reliable", packet.Publication{Payload: []byte(`1`), Reliable: true}, base.Plain, []string{`42/feed,["ticks",1,{` + about + `true}]`}},
		{"reliable with a callback, again", packet.Publication{Payload: []byte(`1`), Reliable: true}, base.Callback | base.Redelivered,
			[]string{`42/feed,7["ticks",1,{` + about + `true,"redelivered":true}]`}},
		{"binary", packet.Publication{Payload: []byte("\x00raw"), Binary: true}, base.Plain,
			[]string{`451-/feed,["ticks",{"_placeholder":true,"num":0}]`, "\x00raw"}},
	} {
		m := base.NewMessage(&row.pub)
		m.Namespace, m.Topic, m.ID, m.AckID = "/feed", "ticks", "m1", 7
		parts := 0
		for _, part := range base.Parts(m.Frame(row.form).Wire()) {
			if parts < len(row.texts) && string(part) != row.texts[parts] {
				t.Errorf("%s: part %d is\n%q, want\n%q", row.name, parts, part, row.texts[parts])
			}
			parts++
		}
		if parts != len(row.texts) {
			t.Errorf("%s: %d parts, want %d", row.name, parts, len(row.texts))
		}
	}
}

// A snapshot has metadata in every shape and mode, which says what it is.
func TestSnapshotFormsSayThatTheyAreOne(t *testing.T) {
	const about = `"namespace":"/feed","topic":"ticks","messageId":"m1","ackRequired":`
	for _, row := range []struct {
		name string
		pub  packet.Publication
		form base.Form
		text string
	}{
		{"plain", packet.Publication{Payload: []byte(`1`)}, base.Plain, `42/feed,["ticks",1,{` + about + `false,"snapshot":true}]`},
		{"envelope", packet.Publication{Payload: []byte(`1`)}, base.Envelope, `42/feed,["ticks",{"metadata":{` + about + `false,"snapshot":true},"payload":1}]`},
		{"reliable, again", packet.Publication{Payload: []byte(`1`), Reliable: true}, base.Redelivered,
			`42/feed,["ticks",1,{` + about + `true,"redelivered":true,"snapshot":true}]`},
		{"binary", packet.Publication{Payload: []byte("raw"), Binary: true}, base.Plain,
			`451-/feed,["ticks",{"_placeholder":true,"num":0},{` + about + `false,"snapshot":true}]`},
	} {
		m := base.NewMessage(&row.pub)
		m.Namespace, m.Topic, m.ID, m.Key, m.At, m.Expires, m.Offset = "/feed", "ticks", "m1", "k", 1, 9, 7
		s := m.Snapshot(5)
		for _, part := range base.Parts(s.Frame(row.form).Wire()) {
			if string(part) != row.text {
				t.Errorf("%s: %q, want %q", row.name, part, row.text)
			}
			break
		}
		if !s.IsMarked() || m.IsMarked() || s.At != 5 || s.Expires != 9 || s.Offset != 7 || s.Key != "k" || s.Frame(row.form).Packing() != base.Verbatim {
			t.Errorf("%s: the snapshot is %+v", row.name, s)
		}
	}
}

// The publisher's bytes are not kept once they are in a frame, and other forms are
// made from those in the frame.
func TestAdoptedPayloadLiesInTheFrame(t *testing.T) {
	for _, binary := range []bool{false, true} {
		mine := []byte(`{"x":1}`)
		pub := &packet.Publication{Payload: mine, Binary: binary}
		m := base.NewMessage(pub)
		m.Namespace, m.Topic = "/feed", "ticks"
		pub.Adopt(m.Frame(base.Plain))
		clear(mine)
		if string(pub.Payload) != `{"x":1}` || !bytes.Contains(m.Frame(base.Envelope).Wire(), pub.Payload) {
			t.Errorf("binary %v: payload %q, envelope %q", binary, pub.Payload, m.Frame(base.Envelope).Wire())
		}
	}
}

func TestLost(t *testing.T) {
	want := `42/feed,["weir:lost",{"topic":"ticks","count":3,"reason":"overflow"}]`
	for _, part := range base.Parts(packet.Lost("/feed", "ticks", 3, base.ReasonOverflow).Wire()) {
		if string(part) != want {
			t.Errorf("%q, want %q", part, want)
		}
	}
}
