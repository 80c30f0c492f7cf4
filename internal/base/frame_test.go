package base_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/ws"
)

// edges are the lengths around which a websocket header changes its size.
var edges = []int{0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 200_000}

type part struct {
	op      ws.Opcode
	payload string
}

func parts(wire []byte) (out []part) {
	for op, payload := range base.Parts(wire) {
		out = append(out, part{op, string(payload)})
	}
	return out
}

func appender(text string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, text...) }
}

// The type 4 of Engine.IO precedes the text, so the header changes one byte
// earlier than the text's length says: all lengths near it are tried.
func TestFramePartsAreTheTextAndItsAttachments(t *testing.T) {
	for _, n := range edges {
		for _, hint := range []int{0, n, n + 100} {
			text := strings.Repeat("t", n)
			attachments := [][]byte{{}, []byte("x"), bytes.Repeat([]byte{0xff}, n)}
			for count := range len(attachments) + 1 {
				f := packet.NewFrame(hint, appender(text), attachments[:count]...)
				want := []part{{ws.Text, "4" + text}}
				for _, a := range attachments[:count] {
					want = append(want, part{ws.Binary, string(a)})
				}
				if got := parts(f.Wire()); !slices.Equal(got, want) {
					t.Fatalf("text of %d, %d attachments, hint %d: %d parts differ", n, count, hint, len(got))
				}
				if f.Len() != len(f.Wire()) {
					t.Fatalf("len %d, wire %d bytes", f.Len(), len(f.Wire()))
				}
			}
		}
	}
}

func TestFrameHeaderIsTheShortestThatFits(t *testing.T) {
	for payload, want := range map[int][]byte{ // RFC 6455 5.2
		1:     {0x81, 1},
		125:   {0x81, 125},
		126:   {0x81, 126, 0, 126},
		65535: {0x81, 126, 0xff, 0xff},
		65536: {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0},
	} {
		f := packet.NewFrame(payload, appender(strings.Repeat("t", payload-1)))
		if !bytes.HasPrefix(f.Wire(), want) || f.Len() != len(want)+payload {
			t.Errorf("payload of %d: wire of %d starts with % x, want % x", payload, f.Len(), f.Wire()[:len(want)], want)
		}
	}
}

// A client's own decoder reads what NewFrame makes.
func TestFrameIsTheBytesOfAppendFrame(t *testing.T) {
	f := packet.NewFrame(3, appender(`51-["a",{"_placeholder":true,"num":0}]`), []byte{1, 2, 3})
	want := ws.AppendFrame(nil, ws.Text, []byte(`451-["a",{"_placeholder":true,"num":0}]`))
	want = ws.AppendFrame(want, ws.Binary, []byte{1, 2, 3})
	if !bytes.Equal(f.Wire(), want) {
		t.Fatalf("wire %q, want %q", f.Wire(), want)
	}
}

func TestFrameKeepsWhatTextWrites(t *testing.T) {
	f := packet.NewFrame(0, func(dst []byte) []byte {
		// An encoder may grow, and may write beyond its hint piece by piece.
		for i := range 1000 {
			dst = fmt.Appendf(dst, "%d,", i)
		}
		return dst
	}, []byte("after"))
	got := parts(f.Wire())
	if len(got) != 2 || !strings.HasPrefix(got[0].payload, "40,1,2,") || !strings.HasSuffix(got[0].payload, ",999,") {
		t.Fatalf("%d parts, the first %.20q…", len(got), got[0].payload)
	}
	if got[1].payload != "after" {
		t.Fatalf("attachment %q", got[1].payload)
	}
}

func TestFrameDoesNotKeepTheAttachment(t *testing.T) {
	attachment := []byte("before")
	f := packet.NewFrame(0, appender("x"), attachment)
	copy(attachment, "after!")
	if got := parts(f.Wire())[1].payload; got != "before" {
		t.Fatalf("frame follows its attachment's changes: %q", got)
	}
}

func TestRawFrameIsItsBytes(t *testing.T) {
	wire := ws.AppendFrame(nil, ws.Text, []byte("2"))
	f := base.RawFrame(wire)
	if !bytes.Equal(f.Wire(), wire) || f.Len() != len(wire) {
		t.Fatalf("wire %q, len %d, want %q", f.Wire(), f.Len(), wire)
	}
}

func TestPartsStopsAtTheFirstIncompleteFrame(t *testing.T) {
	whole := packet.NewFrame(0, appender(strings.Repeat("t", 300)), []byte("attachment")).Wire()
	first := ws.HeaderLen(301) + 301
	for cut := range whole {
		want := 0
		if cut >= first {
			want = 1
		}
		if got := parts(whole[:cut]); len(got) != want {
			t.Fatalf("%d of %d bytes: %d parts, want %d", cut, len(whole), len(got), want)
		}
	}
}

func TestPartsEndsWhenAsked(t *testing.T) {
	wire := packet.NewFrame(0, appender("x"), []byte("1"), []byte("2")).Wire()
	n := 0
	for range base.Parts(wire) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Fatalf("%d parts after a break at 2", n)
	}
}

// A length near the largest an int holds is an incomplete frame like any other.
func TestBugPartsSurvivesAHugeLength(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("parts panics: %v", p)
		}
	}()
	wire := ws.AppendHeader(nil, ws.Binary, math.MaxInt64)
	if got := parts(append(wire, "some"...)); len(got) != 0 {
		t.Fatalf("%d parts of an incomplete frame", len(got))
	}
}

// FuzzFrame: what goes in comes out, whatever the texts and attachments.
func FuzzFrame(f *testing.F) {
	f.Add(0, []byte("text"), []byte(nil), []byte("b"))
	f.Add(1000, bytes.Repeat([]byte("t"), 125), []byte("a"), bytes.Repeat([]byte("b"), 126))
	f.Fuzz(func(t *testing.T, hint int, text, a, b []byte) {
		frame := packet.NewFrame(hint&0xffff, appender(string(text)), a, b)
		want := []part{{ws.Text, "4" + string(text)}, {ws.Binary, string(a)}, {ws.Binary, string(b)}}
		if got := parts(frame.Wire()); !slices.Equal(got, want) {
			t.Fatalf("parts %q, want %q", got, want)
		}
	})
}

func BenchmarkNewFrame(b *testing.B) {
	text := bytes.Repeat([]byte("t"), 200)
	b.ReportAllocs()
	for range b.N {
		packet.NewFrame(len(text), func(dst []byte) []byte { return append(dst, text...) })
	}
}
