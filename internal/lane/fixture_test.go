package lane_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// sized is an encoder whose frames have a known size: the number is that of the
// Plain form, the other forms are longer, as real ones are.
type sized int

const (
	envelopeExtra = 9
	repeatExtra   = 5
)

func (s sized) Encode(_ *base.Message, f base.Form) *base.Frame {
	return base.RawFrame(make([]byte, s.len(f)))
}

func (s sized) len(f base.Form) int {
	n := int(s)
	if f&base.Envelope != 0 {
		n += envelopeExtra
	}
	if f&base.Redelivered != 0 {
		n += repeatExtra
	}
	return n
}

// msg says what a test cares about in a message; offset and time are given to it
// by the rig.
type msg struct {
	id   string
	key  string
	size int   // of the Plain form; 0 means 1
	ttl  int64 // 0: never expires
}

// rig is one lane in its own class, with a clock that stands still unless moved.
type rig struct {
	*lane.Lane
	t      testing.TB
	class  *lane.Class
	now    int64
	offset uint64
}

func newRig(t testing.TB, p lane.Policy) *rig {
	t.Helper()
	r := &rig{Lane: new(lane.Lane), t: t, class: &lane.Class{Policy: p}, now: 1000}
	r.Init(r.class, base.Plain, true)
	return r
}

// bestEffort and reliable are roomy policies; a test narrows what it is about.
func bestEffort(o base.Overflow) lane.Policy {
	return lane.Policy{Mode: base.BestEffort, Overflow: o, MaxMessages: 3, MaxBytes: 1000, Weight: 1}
}

func reliable(window int) lane.Policy {
	return lane.Policy{
		Mode: base.AtLeastOnce, Overflow: base.RejectNew, MaxMessages: 100, MaxBytes: 1000,
		MaxInFlight: window, AckTimeout: 100, MaxRetries: 2, Backoff: 1, Weight: 1,
	}
}

func (r *rig) message(m msg) *base.Message {
	r.offset++
	b := base.NewMessage(sized(max(m.size, 1)))
	b.ID, b.Key, b.Offset, b.At = m.id, m.key, r.offset, r.now
	if m.ttl != 0 {
		b.Expires = r.now + m.ttl
	}
	return b
}

func (r *rig) offer(m msg) lane.Fate {
	it := r.class.Hold(r.message(m))
	defer r.class.Release(it)
	return r.Offer(it, r.now)
}

// fill offers small messages with these ids and fails unless all are taken.
func (r *rig) fill(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		if o := r.offer(msg{id: id}); o != lane.Accepted && o != lane.Coalesced && o != lane.DroppedOldest {
			r.t.Fatalf("offer %s: outcome %d, want it taken", id, o)
		}
	}
}

func (r *rig) advance(d time.Duration) { r.now += int64(d) }

// take takes up to n entries.
func (r *rig) take(n int) (entries []lane.Entry) {
	for range n {
		e, ok := r.Take(r.now)
		if !ok {
			break
		}
		entries = append(entries, e)
	}
	return entries
}

func (r *rig) wrote(entries ...lane.Entry) {
	for _, e := range entries {
		r.Wrote(e, r.now)
	}
}

// send takes and writes up to n entries and returns their ids.
func (r *rig) send(n int) []string {
	entries := r.take(n)
	sent := ids(entries) // an entry means nothing once it is reported
	r.wrote(entries...)
	return sent
}

func ids(entries []lane.Entry) (out []string) {
	for i := range entries {
		out = append(out, entries[i].Message().ID)
	}
	return out
}

// all is more than any lane here holds.
const all = 1 << 20

func (r *rig) wantSent(n int, want ...string) {
	r.t.Helper()
	if got := r.send(n); !slices.Equal(got, want) {
		r.t.Fatalf("sent %v, want %v", got, want)
	}
}

func (r *rig) wantOffer(m msg, want lane.Fate) {
	r.t.Helper()
	if got := r.offer(m); got != want {
		r.t.Fatalf("offer %s: outcome %d, want %d", m.id, got, want)
	}
}

func (r *rig) wantDropped(reason base.Reason, n uint64) {
	r.t.Helper()
	if got := r.Dropped(reason); got != n {
		r.t.Fatalf("dropped for %s: %d, want %d", reason, got, n)
	}
	if !r.Balanced() {
		r.t.Fatalf("books do not balance: %+v, depth %d", r.Books, r.Depth())
	}
}

func (r *rig) wantHolds(depth, bytes, inFlight int) {
	r.t.Helper()
	got := fmt.Sprint(r.Depth(), r.Bytes(), r.InFlight())
	if want := fmt.Sprint(depth, bytes, inFlight); got != want {
		r.t.Fatalf("depth, bytes, in flight: %s, want %s", got, want)
	}
}
