package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/roster"
)

func deflating(topics ...delivery.TopicSpec) delivery.Options {
	o := options(1, topics...)
	o.Namespaces[0].Deflate = true
	return o
}

// Who agreed to permessage-deflate is written the compressed form, the same bytes for all; others the plain one.
func TestFlushWritesTheFormTheClientAgreedTo(t *testing.T) {
	r := newRig(t, deflating(topic("ticks", latest())))
	agreed, also, plain := r.connect(0), r.connect(0), r.connect(0)
	for _, c := range []*client{agreed, also, plain} {
		c.deflates = c != plain
		c.join("ticks")
	}
	r.publish("ticks", fill(4000))
	r.settle()
	if n := len(plain.wire); n < 4000 {
		t.Errorf("plain client was written %d bytes", n)
	}
	if n := len(agreed.wire); n == 0 || n > 400 || agreed.wire[0] != 0xC1 {
		t.Errorf("client that agreed was written %d bytes, the first 0x%x", n, agreed.wire[0])
	}
	if !bytes.Equal(agreed.wire, also.wire) {
		t.Error("two clients that agreed were written different bytes")
	}
}

// A compressed frame of which the kernel takes a part goes on in that form.
func TestFlushGoesOnWithACompressedFrame(t *testing.T) {
	r := newRig(t, deflating(topic("ticks", latest())))
	whole, cut := r.connect(0), r.connect(0)
	for _, c := range []*client{whole, cut} {
		c.deflates = true
		c.join("ticks")
	}
	cut.take = func(offered int) int { return min(offered, 7) }
	noisy := new(strings.Builder)
	for i := range 800 {
		fmt.Fprintf(noisy, "%d ", i*7919%1000)
	}
	r.publish("ticks", `"`+noisy.String()+`"`)
	r.settle()
	for len(cut.wire) < len(whole.wire) {
		before := len(cut.wire)
		cut.open(wide)
		if len(cut.wire) == before {
			t.Fatalf("stuck at %d of %d bytes", before, len(whole.wire))
		}
	}
	if !bytes.Equal(cut.wire, whole.wire) {
		t.Error("pieces do not make the whole")
	}
}

// Limits of lanes count the plain form: what fits does not depend on what a client agreed to.
func TestLaneLimitsDoNotDependOnCompression(t *testing.T) {
	p := latest()
	p.MaxBytes = 10_000
	r := newRig(t, deflating(topic("ticks", p)))
	agreed, plain := r.stalled(0), r.stalled(0)
	agreed.deflates = true
	for _, c := range []*client{agreed, plain} {
		c.join("ticks")
	}
	for range 8 {
		r.publish("ticks", fill(4000))
	}
	r.settle()
	agreed.open(wide)
	plain.open(wide)
	if a, b := len(plain.received()), bytes.Count(agreed.wire, []byte{0xC1}); a != 2 || b != 2 {
		t.Errorf("plain %d, compressed %d messages; want 2 each", a, b)
	}
	if got := r.totals("ticks").Dropped[base.ReasonOverflow]; got != 12 {
		t.Errorf("%d dropped, want 6 for each of 2", got)
	}
}

// The budget counts both forms and gets both back.
func TestBudgetCountsBothForms(t *testing.T) {
	held := make(map[bool]int64)
	for _, deflate := range []bool{false, true} {
		o := options(1, topic("ticks", latest()))
		o.Namespaces[0].Deflate = deflate
		r := newRig(t, o)
		c := r.stalled(0)
		c.deflates = true
		c.join("ticks")
		before := r.account()
		noisy := new(strings.Builder)
		for i := range 2000 {
			fmt.Fprintf(noisy, "%d ", i*7919%1000)
		}
		r.publish("ticks", `"`+noisy.String()+`"`)
		held[deflate] = r.account() - before
		c.open(wide)
		if left := r.account(); left != before {
			t.Errorf("deflate %v: %d bytes held after the write, %d before", deflate, left, before)
		}
	}
	if held[true] <= held[false]+1000 {
		t.Errorf("held %d with the compressed form, %d without", held[true], held[false])
	}
}

// A response may be compressed unless none of its packets allows it (protocol.md 1.4).
func TestFlushSaysWhetherABatchMayBeCompressed(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.stalled(0)
	s := c.join("ticks")
	emit := func(f *base.Frame) {
		t.Helper()
		if err := s.Emit(context.Background(), "news", delivery.Emission{Frame: f}, false); err != nil {
			t.Fatal(err)
		}
		r.settle()
	}
	for _, step := range []struct {
		frames []*base.Frame
		ping   bool
		want   base.Packing
	}{
		{frames: []*base.Frame{event("a").Verbatim()}, want: base.Verbatim},
		{frames: []*base.Frame{event("a").Verbatim(), event("b")}, want: base.Packable},
		{frames: []*base.Frame{event("a").Verbatim()}, ping: true, want: base.Packable},
		{frames: []*base.Frame{event("a")}, want: base.Packable},
	} {
		c.window = 0
		for _, f := range step.frames {
			emit(f)
		}
		if step.ping {
			c.control = ping()
		}
		c.open(wide)
		if c.how != step.want {
			t.Errorf("%d events, ping %v: packing %v, want %v", len(step.frames), step.ping, c.how, step.want)
		}
	}
}

func TestRoomsAreWatchedOverAllShards(t *testing.T) {
	o := options(2, topic("ticks", latest()))
	var seen []string
	o.Namespaces[0].Watch = func(ch roster.Change) {
		seen = append(seen, fmt.Sprintf("%s %s %s", ch.Kind, ch.Room, ch.Socket))
	}
	r := newRig(t, o)
	a, b := r.connect(0), r.connect(1)
	x, y := a.join("ticks"), b.join("ticks")
	seen = nil
	step := func(c *client, f func()) { t.Helper(); c.do(f); r.settle() }
	join := func(s *delivery.Socket) func() {
		return func() {
			if err := s.Join("lobby"); err != nil {
				t.Error(err)
			}
		}
	}
	step(a, join(x))
	step(b, join(y))
	step(b, join(y)) // again: nothing happens
	step(a, func() { x.Leave("lobby") })
	step(b, func() { y.Close(base.CauseServerDisconnect, nil) })
	want := []string{
		"create-room lobby ", "join-room lobby " + x.ID, "join-room lobby " + y.ID,
		"leave-room lobby " + x.ID,
		"leave-room lobby " + y.ID, "delete-room lobby ",
		"leave-room " + y.ID + " " + y.ID, "delete-room " + y.ID + " ",
	}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}
