package packet_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
)

// An event taken apart and put together again is the same bytes, whether it asks for an answer,
// and whatever was binary in it.
func TestEventsTakenApartAreTheSame(t *testing.T) {
	for _, h := range []sio.EventHeader{{Namespace: "/"}, {Namespace: "/chat"}, {Namespace: "/chat", ID: 7, HasID: true}} {
		for _, values := range [][]any{nil, {1, "two"}, {map[string]any{"a": []byte{}, "b": []byte("data")}, []byte{1}}} {
			f, wantFirst, err := packet.Event(h, "say", values)
			if err != nil {
				t.Fatal(err)
			}
			data, attachments, err := packet.Split(f)
			if err != nil {
				t.Fatal(err)
			}
			again, event, first, err := packet.Raw(h, data, attachments)
			if err != nil || event != "say" || !bytes.Equal(first, wantFirst) || !bytes.Equal(again.Wire(), f.Wire()) {
				t.Errorf("%q comes back as %q (%q, first %q), %v", f.Wire(), again.Wire(), event, first, err)
			}
		}
	}
}

func TestWhatIsNoEventIsInvalid(t *testing.T) {
	h := sio.EventHeader{Namespace: "/"}
	for _, row := range []struct {
		data        string
		attachments [][]byte
	}{
		{"", nil}, {"[]", nil}, {"{}", nil}, {`["x"`, nil}, {`["connect"]`, nil}, {`[null]`, nil},
		{`["x",{"_placeholder":true,"num":1}]`, [][]byte{{1}}}, {`["x"]`, make([][]byte, sio.MaxAttachments+1)},
	} {
		if f, _, _, err := packet.Raw(h, []byte(row.data), row.attachments); !errors.Is(err, &base.Error{Code: base.CodeInvalid}) {
			t.Errorf("%q with %d attachments: %v, %v", row.data, len(row.attachments), f, err)
		}
	}
	for _, f := range []*base.Frame{packet.Connect("/", "id"), base.RawFrame(nil)} {
		if _, _, err := packet.Split(f); !errors.Is(err, &base.Error{Code: base.CodeInvalid}) {
			t.Errorf("%q is an event: %v", f.Wire(), err)
		}
	}
}

func TestRefused(t *testing.T) {
	f, err := packet.Refused("/chat", &packet.Refusal{Topic: "t", Code: "forbidden", Reason: "why"})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, "refusal", f, `42/chat,["weir:error",{"ok":false,"topic":"t","code":"forbidden","reason":"why","retryable":false}]`)
}
