package lane_test

import (
	"pgregory.net/rapid"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// check runs after every operation of the machine.
func (m *machine) check(t *rapid.T) {
	for _, c := range m.clients {
		m.compare(t, c)
		m.checkLimits(t, c)
	}
	m.checkTotals(t)
	m.checkHeld(t)
}

// finish closes every lane: nothing may be left in the class.
func (m *machine) finish(t *rapid.T) {
	for range m.clients {
		c := m.clients[0]
		for _, x := range c.out {
			m.wrote(t, c, x)
		}
		c.out = nil
		c.lane.Close(base.ReasonDisconnect)
		c.model.close(base.ReasonDisconnect)
		m.compare(t, c)
		m.retired.add(&c.model.books)
		m.clients = m.clients[1:]
	}
	m.checkTotals(t)
	m.checkHeld(t)
	totals := &m.class.Totals
	if n := totals.Queued.Load() | totals.InFlight.Load() | totals.Bytes.Load() | m.class.Held(); n != 0 {
		t.Fatalf("an empty class holds %d queued, %d in flight, %d bytes, %d held",
			totals.Queued.Load(), totals.InFlight.Load(), totals.Bytes.Load(), m.class.Held())
	}
}

// compare compares what a lane shows of itself with its model.
func (m *machine) compare(t *rapid.T, c *client) {
	l, want := c.lane, c.model
	if !l.Balanced() {
		t.Fatalf("books do not balance: %+v, depth %d", l.Books, l.Depth())
	}
	got := books{offered: l.Offered, written: l.Written, acked: l.Acked(), retries: l.Retries(), coalesced: l.Coalesced()}
	var dropped uint64
	for r := range base.Reasons {
		got.dropped[r] = l.Dropped(base.Reason(r))
		dropped += got.dropped[r]
	}
	if got != want.books || dropped != l.AllDropped() {
		t.Fatalf("books %+v, all dropped %d, want %+v", got, l.AllDropped(), want.books)
	}
	depth, bytes := len(want.entries()), want.bytes()+sizes(want.out)
	if l.Depth() != depth || l.Bytes() != bytes || l.InFlight() != want.inFlight() {
		t.Fatalf("depth %d, bytes %d, in flight %d, want %d, %d, %d",
			l.Depth(), l.Bytes(), l.InFlight(), depth, bytes, want.inFlight())
	}
	if l.Sendable() != want.sendable() {
		t.Fatalf("sendable %v, want %v", l.Sendable(), want.sendable())
	}
	if l.NextDeadline() != want.nextDeadline() {
		t.Fatalf("next deadline %d, want %d", l.NextDeadline(), want.nextDeadline())
	}
	p := &m.class.Policy
	if half := 2*depth >= p.MaxMessages || 2*bytes >= p.MaxBytes; l.Half() != half {
		t.Fatalf("half %v, want %v", l.Half(), half)
	}
	m.compareSpilled(t, c)
	m.compareOldest(t, c)
}

func (m *machine) compareSpilled(t *rapid.T, c *client) {
	n, bytes, at := c.lane.Spilled()
	want := c.model.spilled
	if int(n) != len(want) || (n == 0 && bytes != 0) || (!c.forgone && int(bytes) != sizes(want)) { //nolint:gosec // few
		t.Fatalf("spilled %d messages, %d bytes, want %d, %d", n, bytes, len(want), sizes(want))
	}
	if n > 0 && at > want[0].msg.At {
		t.Fatalf("the oldest spilled message is of %d, it says %d", want[0].msg.At, at)
	}
}

// compareOldest leaves out COALESCE, which puts new messages at old places, and
// entries being written, which OldestAt does not see.
func (m *machine) compareOldest(t *rapid.T, c *client) {
	if m.class.Policy.Overflow == base.Coalesce || len(c.model.out) > 0 || (len(c.model.entries()) == 0 && len(c.model.spilled) > 0) {
		return
	}
	var want int64
	for _, h := range c.model.entries() {
		if want == 0 || h.msg.At < want {
			want = h.msg.At
		}
	}
	if got := c.lane.OldestAt(); got != want {
		t.Fatalf("oldest at %d, want %d", got, want)
	}
}

// checkLimits is promise P1: what is held beyond the limits is what is being
// written at the moment.
func (m *machine) checkLimits(t *rapid.T, c *client) {
	if c.forced {
		return
	}
	p := &m.class.Policy
	depth, bytes := c.lane.Depth()-len(c.model.out), c.lane.Bytes()-sizes(c.model.out)
	if depth > p.MaxMessages || bytes > p.MaxBytes {
		t.Fatalf("lane holds %d messages, %d bytes; limits %d, %d", depth, bytes, p.MaxMessages, p.MaxBytes)
	}
	if p.Overflow == base.SnapshotOnly && depth > 1 {
		t.Fatalf("snapshot lane holds %d unsent messages", depth)
	}
}

// checkTotals: a class's totals are the sums over its lanes, past and present.
func (m *machine) checkTotals(t *rapid.T) {
	want, c := m.retired, &m.class.Totals
	var queued, inFlight, bytes, spilled, spilledBytes int64
	for _, x := range m.clients {
		n, size, _ := x.lane.Spilled()
		spilled += int64(n) //nolint:gosec // few
		spilledBytes += size
		want.add(&x.model.books)
		queued += int64(len(x.model.queue) + len(x.model.out))
		inFlight += int64(x.model.inFlight())
		bytes += int64(x.model.bytes() + sizes(x.model.out))
	}
	got := books{
		offered: c.Offered.Load(), written: c.Written.Load(), acked: c.Acked.Load(),
		retries: c.Retries.Load(), coalesced: c.Coalesced.Load(),
	}
	for r := range base.Reasons {
		got.dropped[r] = c.Dropped[r].Load()
	}
	if got != want {
		t.Fatalf("totals %+v, want %+v", got, want)
	}
	if c.Spilled.Load() != spilled || c.SpilledBytes.Load() != spilledBytes {
		t.Fatalf("totals: %d spilled, %d bytes, want %d, %d", c.Spilled.Load(), c.SpilledBytes.Load(), spilled, spilledBytes)
	}
	if c.Queued.Load() != queued || c.InFlight.Load() != inFlight || c.Bytes.Load() != bytes {
		t.Fatalf("totals: queued %d, in flight %d, bytes %d, want %d, %d, %d",
			c.Queued.Load(), c.InFlight.Load(), c.Bytes.Load(), queued, inFlight, bytes)
	}
}

// checkHeld is architecture.md D9: each message once, in all its forms, and EntryBytes
// for each place in a queue.
func (m *machine) checkHeld(t *rapid.T) {
	var want int64
	var oldest *base.Message
	seen := make(map[*base.Message]bool)
	for _, c := range m.clients {
		for _, h := range c.model.entries() {
			want += lane.EntryBytes
			if seen[h.msg] {
				continue
			}
			seen[h.msg] = true
			want += int64(h.msg.Bytes())
			if oldest == nil || h.msg.Offset < oldest.Offset {
				oldest = h.msg
			}
		}
	}
	if got := m.class.Held(); got != want {
		t.Fatalf("class holds %d bytes, want %d", got, want)
	}
	var got *base.Message
	if it := m.class.Oldest(); it != nil {
		got = it.Msg
	}
	if got != oldest && !m.readBack { // what is read back is older than what is held
		t.Fatalf("oldest item %+v, want %+v", got, oldest)
	}
}

func (b *books) add(o *books) {
	b.offered += o.offered
	b.written += o.written
	b.acked += o.acked
	b.retries += o.retries
	b.coalesced += o.coalesced
	for r := range o.dropped {
		b.dropped[r] += o.dropped[r]
	}
}
