package delivery

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// A message is compressed for the place that comes next. If that is taken by another when its turn comes, it tells the place
// that it has got, and is not compressed any more, as a loop would have to do it.
func TestWhoseForetoldPlaceIsTakenGoesOutUncompressed(t *testing.T) {
	sure := lane.Policy{Mode: base.AtLeastOnce, Overflow: base.RejectNew, MaxMessages: 9, MaxBytes: 1 << 20, MaxInFlight: 1}
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Deflate: true, Topics: []TopicSpec{{Name: "sure", Policy: sure}}}}})
	topic, err := h.Namespace("/").Topic("sure")
	if err != nil {
		t.Fatal(err)
	}
	for _, taken := range []bool{false, true} {
		x, _ := newPublication(topic, &Publication{Payload: []byte(`"` + strings.Repeat("x", 4000) + `"`), ID: "id"}, 1)
		f := &fanOut{outgoing: outgoing{msg: &x.msg, ns: h.Namespace("/"), topic: topic}, pub: x, target: everybody, members: true}
		if f.foretold(topic.last) {
			t.Fatal("a message is ready for its place before it knows of it")
		}
		f.foretell(topic.last)
		if !f.foretold(topic.last) {
			t.Fatal("a message is not ready for the place that comes next")
		}
		if taken {
			if _, err := topic.numberLocked(nil); err != nil {
				t.Fatal(err)
			}
		}
		told, _, err := h.commitLocked(topic, nil, f, &reservation{})
		if err != nil {
			t.Fatal(err)
		}
		frame := x.msg.Frame(f.form())
		if packed := frame.Deflated() != frame; packed == taken || !strings.Contains(string(frame.Wire()), `,"offset":`+string('0'+rune(told.Offset))+`,`) {
			t.Errorf("place taken %v: compressed %v, at %d: %q", taken, packed, told.Offset, frame.Wire()[4000:])
		}
	}
}
