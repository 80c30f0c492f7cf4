package packet_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
)

// A frame that is made around the payload is the one that is made by copying it, in every form and length, also when it is
// made again for another place; it is never longer than was said, and lies in the memory where the payload is.
func TestFrameAroundThePayloadIsTheFrame(t *testing.T) {
	place := func(p *packet.Publication, offset uint64) func(*base.Message) {
		return func(m *base.Message) { p.Place(m, "epoch1", offset) }
	}
	for _, n := range []int{2, 9, 60, 61, 62, 63, 64, 65, 66, 120, 124, 125, 126, 127, 130, 1000, 65_380, 65_400, 65_420, 65_500, 65_535, 65_536, 70_000} {
		for _, binary := range []bool{false, true} {
			for _, form := range []base.Form{base.Plain, base.Envelope, base.Callback, base.Envelope | base.Callback} {
				payload := append([]byte{'"'}, bytes.Repeat([]byte{'x'}, n-2)...)
				payload = append(payload, '"')
				settled := &packet.Publication{Payload: bytes.Clone(payload), Binary: binary, Reliable: true}
				copied := &packet.Publication{Payload: payload, Binary: binary, Reliable: true}
				one := message(settled)
				most := settled.Prepare(one, form, "epoch1")
				for _, offset := range []uint64{7, 1 << 62, 12} {
					place(settled, offset)(one)
					two := message(copied)
					place(copied, offset)(two)
					got, want := one.Frame(form).Wire(), two.Frame(form).Wire()
					if !bytes.Equal(got, want) || len(got) > most || (offset == 1<<62) != (len(got) == most) {
						t.Fatalf("%d bytes, binary %v, form %d, offset %d: %d bytes of at most %d\n%.300q, want\n%.300q", n, binary, form, offset, len(got), most, got, want)
					}
					if again := one.Frame(form | base.Redelivered).Wire(); len(again) <= len(got) || !bytes.Equal(one.Frame(form).Wire(), want) {
						t.Fatalf("a repeat of %d bytes has changed the frame", n)
					}
				}
				if !bytes.Equal(settled.Payload, payload) || &settled.Payload[0] == &payload[0] || cap(settled.Payload) != n {
					t.Fatal("the payload is not the publication's own")
				}
				if wire := one.Frame(form).Wire(); !within(wire, settled.Payload) {
					t.Error("the payload was copied again")
				}
			}
		}
	}
}

// An epoch that is longer than was expected leaves no room: then the payload is copied.
func TestFrameThatHasNoRoomIsMadeElsewhere(t *testing.T) {
	p := &packet.Publication{Payload: []byte("1"), Reliable: true}
	m := message(p)
	p.Prepare(m, base.Plain, "e")
	p.Place(m, "an epoch that is much longer than that, and longer still", 1<<62)
	if wire := m.Frame(base.Plain).Wire(); within(wire, p.Payload) || !bytes.Contains(wire, []byte("longer still")) {
		t.Errorf("%q", wire)
	}
	p.Place(m, "an epoch that is much longer than that, and longer still", 1<<62+1)
	if wire := m.Frame(base.Plain).Wire(); !bytes.Contains(wire, fmt.Append(nil, uint64(1<<62+1))) {
		t.Errorf("placed again it tells %q", wire)
	}
}

func message(p *packet.Publication) *base.Message {
	m := base.NewMessage(p)
	m.Namespace, m.Topic, m.ID, m.AckID = "/feed", "ticks", "m1", 7
	return m
}

// within reports whether part lies in the memory of whole.
func within(whole, part []byte) bool {
	for i := range whole {
		if &whole[i] == &part[0] {
			return true
		}
	}
	return false
}
