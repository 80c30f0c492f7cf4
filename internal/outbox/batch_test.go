package outbox_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/outbox"
)

// An idle connection holds a box, and a lane for each subscription; delivery adds to each what makes it 128 bytes.
func TestIdleBoxIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(outbox.Box{}); n > 56 {
		t.Errorf("a Box takes %d bytes, want at most 56", n)
	}
	if n := unsafe.Sizeof(outbox.Lane{}); n > 88 {
		t.Errorf("a Lane takes %d bytes, want at most 88", n)
	}
}

// A batch is what the window takes, or one entry.
func TestBatchIsAWindowOrOneEntry(t *testing.T) {
	for window := 1; window < 60; window++ {
		r := newRig(t)
		r.three()
		r.out.window = window
		for i := range 20 {
			r.offer("b", i*7%40)
		}
		for r.write() {
		}
		for _, w := range r.out.writes {
			if len(w) > window && strings.Count(w, ";") > 1 {
				t.Errorf("window %d: a batch of %d bytes: %q", window, len(w), w)
			}
		}
		if n := len(r.read()); n != 20 {
			t.Errorf("window %d: %d of 20 packets", window, n)
		}
		r.wantBooks()
	}
}

// Wherever a batch is cut, the client reads whole packets, each once; what was begun is finished before anything else.
func TestBatchMayBeCutAnywhere(t *testing.T) {
	begin := func() *rig {
		r := newRig(t)
		r.three()
		r.fill(2, "e", "r", "b")
		r.offer("e", 5)
		r.out.take = 2
		r.write() // all but a byte of e1
		r.out.control, r.out.take = "!;!;", -1
		return r
	}
	whole := begin()
	whole.write()
	want := whole.read()
	if want[0] != "e1;" || want[1] != "!;" || len(want) != 9 {
		t.Fatalf("uncut: %v", want)
	}
	for n := range len(whole.out.writes[1]) + 1 {
		r := begin()
		r.out.take = n
		if more := r.write(); more {
			t.Errorf("cut at %d: more could be written", n)
		}
		if got := r.box.Unwritten(); n == 0 && got != 1+len("!;!;") {
			t.Errorf("cut at %d: a rest of %d bytes", n, got)
		}
		r.wantBooks()
		r.out.take = -1
		for r.write() {
		}
		r.wantRead(want...)
		r.wantBooks()
		for name, l := range r.lanes {
			if l.Depth() != l.InFlight() {
				t.Errorf("cut at %d: lane %s holds %d", n, name, l.Depth())
			}
		}
	}
}

// A rest that fills the window is written alone; what waits behind it, control frames too, comes next.
func TestRestThatFillsTheWindow(t *testing.T) {
	r := newRig(t)
	r.three()
	r.offer("b", 20)
	r.offer("e", 0)
	r.offer("e", 0)
	r.out.take = 10
	r.write()
	r.write()
	r.out.control, r.out.window = "!;", 5
	for r.out.take = 2; r.box.Unwritten() > 1; r.write() {
	}
	r.out.take, r.out.window = -1, 1
	if !r.write() {
		t.Error("nothing more could be written after the rest: a control frame waits")
	}
	r.out.window = 100
	r.write()
	if got := r.read(); !slices.Contains(got, "!;") || len(got) != 4 {
		t.Errorf("the client read %q", got)
	}
	r.wantBooks()
}

// A packet larger than the window is not copied.
func TestLargePacketIsWrittenAlone(t *testing.T) {
	r := newRig(t)
	r.three()
	r.offer("b", 100)
	r.offer("b", 0)
	r.out.window = 10
	if !r.write() {
		t.Error("nothing more could be written")
	}
	if len(r.out.writes) != 1 || !strings.HasPrefix(r.out.writes[0], "b1...") || len(r.out.writes[0]) != 103 {
		t.Errorf("written: %q", r.out.writes)
	}
}

// Nothing is written to a connection that takes nothing, fails or is closed, and the books stay right.
func TestNothingIsWritten(t *testing.T) {
	for name, prevent := range map[string]func(r *rig){
		"no window": func(r *rig) { r.out.window = 0 },
		"fails":     func(r *rig) { r.out.fault = errReset },
		"closed":    func(r *rig) { r.box.Close(base.ReasonDisconnect) },
	} {
		r := newRig(t)
		r.three()
		r.fill(2, "e", "r", "b")
		prevent(r)
		if r.write() {
			t.Errorf("%s: more could be written", name)
		}
		if r.wantRead(); len(r.batch.Written()) != 0 {
			t.Errorf("%s: %d entries written", name, len(r.batch.Written()))
		}
		r.wantBooks()
		for _, l := range r.lanes {
			if l.Depth() != 2 || l.InFlight() > 0 {
				t.Errorf("%s: a lane holds %d, %d in flight", name, l.Depth(), l.InFlight())
			}
		}
	}
}

// The entry that was begun when its box is closed is given up; so nothing is left of it.
func TestCloseGivesUpWhatWasBegun(t *testing.T) {
	r := newRig(t)
	r.three()
	r.offer("b", 0)
	r.out.take = 1
	r.write()
	b := r.lanes["b"]
	b.Close(base.ReasonDisconnect)
	if b.Depth() != 1 {
		t.Fatalf("a lane that is closed holds %d while one is written, want 1", b.Depth())
	}
	r.box.Close(base.ReasonDisconnect)
	if !r.box.Closed() || r.box.Unwritten() != 0 || b.Depth() != 0 || b.Dropped(base.ReasonDisconnect) != 1 {
		t.Errorf("%d bytes left, depth %d, %d dropped", r.box.Unwritten(), b.Depth(), b.Dropped(base.ReasonDisconnect))
	}
	r.wantBooks()
}

// A client is told of losses before the next delivery of the lane, once; a notice that was not written is told later, with
// what was lost meanwhile.
func TestNoticesPrecedeTheNextDelivery(t *testing.T) {
	for take := range len("?b2;") + 1 {
		r := newRig(t)
		small := best()
		small.MaxMessages = 2
		r.lane("b", outbox.BestEffort, small)
		r.fill(4, "b")
		r.out.take = take
		r.write()
		r.fill(1, "b")
		r.out.take = -1
		for r.write() {
		}
		want := []string{"?b2;", "?b1;", "b4;", "b5;"}
		if take == 0 {
			want = []string{"?b3;", "b4;", "b5;"}
		}
		r.wantRead(want...)
		r.wantBooks()
	}
}

// What would be too old when it is written is not, however long the step has taken.
func TestExpiredMeanwhile(t *testing.T) {
	r := newRig(t)
	r.three()
	r.offer("b", 0, func(m *base.Message) { m.Expires = r.now + 10 })
	r.offer("b", 0, func(m *base.Message) { m.Expires = r.now + 100 })
	r.clock = 10
	r.write()
	r.wantRead("b2;")
	if n := r.lanes["b"].Dropped(base.ReasonExpired); n != 1 {
		t.Errorf("%d expired, want 1", n)
	}
	r.wantBooks()
}

// Compression is for batches with something that may be compressed.
func TestPackingOfABatch(t *testing.T) {
	verbatim := func(m *base.Message) { m.Init(exactly("x;")) }
	for _, row := range []struct {
		control string
		offer   func(r *rig)
		want    base.Packing
	}{
		{"", func(r *rig) { r.offer("b", 0, verbatim) }, base.Verbatim},
		{"!;", func(r *rig) { r.offer("b", 0, verbatim) }, base.Packable},
		{"", func(r *rig) { r.offer("b", 0, verbatim); r.offer("b", 0) }, base.Packable},
	} {
		r := newRig(t)
		r.three()
		row.offer(r)
		r.out.control = row.control
		if r.write(); r.out.how[0] != row.want {
			t.Errorf("%q: packing %d, want %d", r.out.writes[0], r.out.how[0], row.want)
		}
	}
}

// exactly is the encoder of a packet that must not be compressed.
type exactly string

func (s exactly) Encode(*base.Message, base.Form) *base.Frame {
	return base.RawFrame([]byte(s)).Verbatim()
}

// The ack clock runs only while the client's kernel has got everything, and begins anew when it has (architecture.md D10).
func TestClockOfAcksIsFair(t *testing.T) {
	r := newRig(t)
	r.three()
	r.fill(1, "r")
	r.write()
	l := r.lanes["r"]
	tick := func(after time.Duration, unsent int, want bool) {
		t.Helper()
		r.now += int64(after)
		r.out.unsent = unsent
		if got := r.box.Tick(l, r.now, false); got != want {
			t.Fatalf("the clock runs: %t, want %t", got, want)
		}
		r.box.Add(l)
		r.write()
	}
	tick(900*time.Millisecond, 0, true)
	tick(900*time.Millisecond, 10, false) // it was due 800 ms ago
	tick(5*time.Second, 10, false)
	tick(900*time.Millisecond, 0, true) // it begins anew
	tick(900*time.Millisecond, 0, true)
	r.wantRead("r1;")
	tick(200*time.Millisecond, 0, true)
	r.wantRead("r1;", "r1+;")
	r.out.take = 1
	r.fill(1, "r")
	r.write()
	tick(time.Minute, 0, false) // the rest of r2 is unsent, whatever the kernel says
	r.wantBooks()
}

// Random operations: what the client reads are whole packets, each lane's in its order, none twice but repeats; the books
// add up, and at the end nothing waits.
func TestBoxUnderRandomOperations(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t)
		small := best()
		small.MaxMessages, small.Weight = 4, 2
		names := []string{"e", "r", "b", "s"}
		r.three()
		r.lane("s", outbox.BestEffort, small)
		for range 1000 {
			l := r.lanes[names[rnd.IntN(len(names))]]
			switch rnd.IntN(9) {
			case 0, 1, 2, 3:
				r.offer(r.names[l], rnd.IntN(12))
			case 4:
				r.box.Pause(l)
			case 5:
				r.box.Release(l)
			case 6:
				r.out.control += "!;"
			default:
				r.out.window, r.out.take = rnd.IntN(40), rnd.IntN(40)-1
				r.write()
				r.ack()
			}
			r.wantBooks()
		}
		r.out.window, r.out.take = 100, -1
		for _, l := range r.lanes {
			r.box.Release(l)
		}
		for r.box.Waiting() || r.box.Unwritten() > 0 {
			r.write()
			r.ack()
		}
		r.wantStream(seed)
	}
}

// ack acknowledges what of the reliable lane was written last.
func (r *rig) ack() {
	for _, p := range r.batch.Written() {
		if !p.Notice && r.names[p.Lane] == "r" {
			p.Lane.Ack(p.Entry.Message().ID)
		}
	}
}

// wantStream looks at what the client has read.
func (r *rig) wantStream(seed uint64) {
	r.t.Helper()
	last, told, dropped := make(map[string]int), uint64(0), uint64(0)
	for _, p := range r.read() {
		var of byte
		var n int
		switch {
		case p == "!;":
			continue
		case p[0] == '?':
			if _, err := fmt.Sscanf(p, "?%c%d;", &of, &n); err != nil {
				r.t.Fatalf("seed %d: %q: %v", seed, p, err)
			}
			told += uint64(n)
			continue
		}
		if _, err := fmt.Sscanf(p, "%c%d", &of, &n); err != nil || n <= last[string(of)] {
			r.t.Fatalf("seed %d: %q after %d: %v", seed, p, last[string(of)], err)
		}
		last[string(of)] = n
	}
	for name, l := range r.lanes {
		if name != "e" {
			dropped += l.Dropped(base.ReasonOverflow) + l.Dropped(base.ReasonRejected)
		}
		if want := l.Written + l.Dropped(base.ReasonOverflow) + l.Dropped(base.ReasonRejected); l.Offered != want {
			r.t.Errorf("seed %d: %s was offered %d, %d are accounted for", seed, name, l.Offered, want)
		}
	}
	if told > dropped {
		r.t.Errorf("seed %d: %d losses told of %d", seed, told, dropped)
	}
}

// A box that has written everything keeps no memory for it after Trim.
func TestTrim(t *testing.T) {
	r := newRig(t)
	r.three()
	r.offer("b", 10)
	r.out.take = 3
	r.write()
	if r.box.Trim(); r.box.Unwritten() == 0 || !r.box.Busy() {
		t.Fatal("Trim took the rest of a packet")
	}
	r.out.take = -1
	r.write()
	r.box.Trim()
	if r.box.Unwritten() != 0 || r.box.Busy() {
		t.Errorf("%d bytes left", r.box.Unwritten())
	}
	r.wantRead("b1..........;")
}

var _ outbox.Owner = (*rig)(nil)
