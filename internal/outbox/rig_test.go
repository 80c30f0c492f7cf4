package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/outbox"
)

// rig is a box with its lanes and its way out, on no loop. A packet of lane a is "a1;", "a2;" and so on, what is due again is
// "a1+;", a notice of two losses "?a2;", and a control frame "!;".
type rig struct {
	t     testing.TB
	box   outbox.Box
	batch *outbox.Batch
	lanes map[string]*outbox.Lane
	names map[*outbox.Lane]string
	given map[string]int
	now   int64
	out   out
	feed  func(l *outbox.Lane) bool
	clock int64 // how much later than now it is when Owner.Now is asked
}

// out is the Outlet.
type out struct {
	window   int
	take     int // how much of a Write is taken, -1: all
	unsent   int
	control  string
	deflates bool
	fault    error
	wire     []byte
	writes   []string // what each Write was offered
	how      []base.Packing
}

func (o *out) Window() int    { return o.window }
func (o *out) Deflates() bool { return o.deflates }
func (o *out) Unsent() int    { return o.unsent }

func (o *out) Control(dst []byte) []byte {
	dst = append(dst, o.control...)
	o.control = ""
	return dst
}

func (o *out) Write(p []byte, how base.Packing) (int, error) {
	o.writes, o.how = append(o.writes, string(p)), append(o.how, how)
	if o.fault != nil {
		return 0, o.fault
	}
	n := len(p)
	if o.take >= 0 {
		n = min(n, o.take)
	}
	o.wire = append(o.wire, p[:n]...)
	return n, nil
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, lanes: make(map[string]*outbox.Lane), names: make(map[*outbox.Lane]string), given: make(map[string]int), now: 1000}
	r.out = out{window: 1 << 10, take: -1}
	r.box = outbox.To(&r.out)
	r.batch = outbox.NewBatch(16, r)
	return r
}

// Now implements outbox.Owner.
func (r *rig) Now() int64 { return r.now + r.clock }

// Refill implements outbox.Owner.
func (r *rig) Refill(l *outbox.Lane) bool { return r.feed != nil && r.feed(l) }

// Lost implements outbox.Owner.
func (r *rig) Lost(l *outbox.Lane, n uint64, _ base.Reason) *base.Frame {
	return base.RawFrame(fmt.Appendf(nil, "?%s%d;", r.names[l], n))
}

func best() lane.Policy {
	return lane.Policy{Overflow: base.DropOldest, MaxMessages: 100, MaxBytes: 1 << 16, Weight: 1}
}

func certain() lane.Policy {
	return lane.Policy{
		Mode: base.AtLeastOnce, Overflow: base.RejectNew, MaxMessages: 100, MaxBytes: 1 << 16,
		MaxInFlight: 50, AckTimeout: time.Second, MaxRetries: 2, Backoff: 1, Weight: 1,
	}
}

// lane makes a lane of that name, whose class is its own. Losses are told, but in events lanes.
func (r *rig) lane(name string, k outbox.Kind, p lane.Policy) *outbox.Lane {
	l := &outbox.Lane{Kind: k}
	l.Init(&lane.Class{Policy: p}, base.Plain, k != outbox.Events)
	r.lanes[name], r.names[l] = l, name
	return l
}

// three makes a lane of each kind: e, r and b.
func (r *rig) three() {
	r.lane("e", outbox.Events, best())
	r.lane("r", outbox.Reliable, certain())
	r.lane("b", outbox.BestEffort, best())
}

// text is the encoder of a packet.
type text string

func (s text) Encode(_ *base.Message, f base.Form) *base.Frame {
	if f&base.Redelivered != 0 {
		return base.RawFrame([]byte(s + "+;"))
	}
	return base.RawFrame([]byte(s + ";"))
}

// offer offers a lane its next packet, with that many bytes more than it needs, and adds it to the box.
func (r *rig) offer(name string, more int, change ...func(*base.Message)) lane.Fate {
	r.given[name]++
	l := r.lanes[name]
	m := base.NewMessage(text(fmt.Sprint(name, r.given[name], strings.Repeat(".", more))))
	m.ID, m.At = fmt.Sprint(r.given[name]), r.now
	for _, f := range change {
		f(m)
	}
	it := l.Class().Hold(m)
	defer l.Class().Release(it)
	o := l.Offer(it, r.now)
	r.box.Add(l)
	return o
}

// fill offers n packets to each of the lanes, by turns.
func (r *rig) fill(n int, names ...string) {
	for range n {
		for _, name := range names {
			r.offer(name, 0)
		}
	}
}

// write writes one batch, books it, and adds lanes again that are fed, as their Owner does.
func (r *rig) write() (more bool) {
	r.box.Write(r.batch, r.now)
	for _, p := range r.batch.Written() {
		if !p.Notice {
			p.Lane.Wrote(p.Entry, r.now)
			r.box.Add(p.Lane)
		}
	}
	return r.box.More(r.batch)
}

// read is what the connection has taken, as packets; the last may be a part of one.
func (r *rig) read() []string {
	all := strings.SplitAfter(string(r.out.wire), ";")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

func (r *rig) wantRead(want ...string) {
	r.t.Helper()
	if got := r.read(); !slices.Equal(got, want) {
		r.t.Fatalf("the client read\n%v, want\n%v", got, want)
	}
}

// wantBooks looks at the books of all lanes.
func (r *rig) wantBooks() {
	r.t.Helper()
	for name, l := range r.lanes {
		if !l.Balanced() {
			r.t.Fatalf("books of %s: %+v, depth %d, in flight %d", name, l.Books, l.Depth(), l.InFlight())
		}
	}
}

var errReset = errors.New("connection reset")
