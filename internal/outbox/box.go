package outbox

import (
	"bytes"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// Outlet is the way out of one connection. Nothing in it may
// block.
//
//weir:loop
type Outlet interface {
	// Window is how many bytes it takes now: 0 while the kernel takes none, no
	// poll waits, or the one batch before is not through (architecture.md D1).
	Window() int
	// Write offers complete frames, or the rest of one, and returns how many bytes
	// were taken. After a short write Window is 0 until the connection is writable again.
	// how says whether any of it may be compressed, where the whole is: polling.
	Write(p []byte, how base.Packing) (int, error)
	// Deflates reports whether compressed frames are understood: a websocket that
	// has agreed to it. Once it does it always does.
	Deflates() bool
	// Control appends the Engine.IO and websocket control frames that wait; they
	// then count as written.
	Control(dst []byte) []byte
	// Unsent is how many bytes were taken that the client's kernel does not have
	// yet; negative if that cannot be known.
	Unsent() int
}

// Box is what waits to be written to one connection: the lanes that have something to send, and the one packet of which the
// connection has taken a part. An idle connection has one, so it is small.
//
//weir:loop
type Box struct {
	out    Outlet
	ready  [kinds]ring
	rest   *rest // nil until a write was short, and when trimmed
	turn   uint8 // place in the pattern of turns
	closed bool
}

// rest is what the connection has left of a packet, or of control frames, of which it has taken a part.
type rest struct {
	bytes []byte
	lane  *Lane // whose packet it is; nil for control frames and notices
	entry lane.Entry
}

// To returns the empty Box of a connection with that way out.
func To(out Outlet) Box { return Box{out: out} }

// Window is how many bytes the connection takes now.
func (b *Box) Window() int { return b.out.Window() }

// Unsent is how many bytes the connection has taken that the client's kernel does not have yet; negative if that cannot be
// known.
func (b *Box) Unsent() int { return b.out.Unsent() }

// Unwritten is how many bytes are left of what was begun to be written.
func (b *Box) Unwritten() int { return len(b.unwritten()) }

func (b *Box) unwritten() []byte {
	if b.rest == nil {
		return nil
	}
	return b.rest.bytes
}

// Busy reports whether the client's kernel has not got everything yet, so that no
// ack clock runs (architecture.md D10).
func (b *Box) Busy() bool { return b.Unwritten() > 0 || b.out.Unsent() > 0 }

// Add puts a lane that has something to send among those that are written when the connection is, unless it is paused. Any
// other is left where it is.
func (b *Box) Add(l *Lane) {
	if !l.is(queued|paused) && (l.Sendable() || l.is(fed)) {
		b.ready[l.Kind].push(l)
	}
}

// Remove takes a lane out, if it is in: it is not written until it is added again.
func (b *Box) Remove(l *Lane) { b.ready[l.Kind].remove(l) }

// Waiting reports whether any lane has something to write.
func (b *Box) Waiting() bool {
	for k := range b.ready {
		if b.ready[k].first != nil {
			return true
		}
	}
	return false
}

// WaitingOf reports whether a lane of that kind has something to write.
func (b *Box) WaitingOf(k Kind) bool { return b.ready[k].first != nil }

// No delivery may overtake the packet that announces it: the answer to CONNECT, or to the subscription. Those are in the
// socket's events lane, which drops nothing it has taken, so a new lane waits until that has written as many as it had
// written and held when the lane began:
//
//	events lane:   a b c | d e answer | f …       Written 3, Depth 3: after = 6
//	               written  held         later    the lane is released when Written is 6
//
//	Follow ──> paused, not in the ring ──Written has reached after: not Follows any more──> Release
//
// A lane behind its snapshot is paused too, without a number: whoever feeds the snapshot ends that.

// Follow holds a lane back until the events lane of its socket has written what it holds now. It reports false if there is
// nothing to wait for.
func (b *Box) Follow(l, events *Lane) bool {
	after := events.Written + uint64(events.Depth())
	if after == 0 {
		return false
	}
	l.after = uint32(after)
	b.Pause(l)
	return true
}

// Pause keeps a lane from being written until Release.
func (b *Box) Pause(l *Lane) {
	l.marks |= paused
	b.Remove(l)
}

// Release ends what Pause began.
func (b *Box) Release(l *Lane) {
	l.marks &^= paused
	b.Add(l)
}

// Tick looks at the ack clock of a reliable lane, which runs only while the client's kernel has got everything
// (architecture.md D10), and while the client can be heard, which it cannot where it is deaf: as long as that is not so, and
// when it is first seen to be, the clock starts anew. It reports whether the clock runs: what is due is then sent again, if
// the lane is added.
func (b *Box) Tick(l *Lane, now int64, deaf bool) (runs bool) {
	busy := deaf || b.Busy()
	if busy || l.is(unsent) {
		l.Busy(now)
	}
	l.set(unsent, busy)
	if !busy {
		l.Due(now)
	}
	return !busy
}

// Trim gives back memory that is not needed while nothing is begun.
func (b *Box) Trim() {
	if b.Unwritten() == 0 {
		b.rest = nil
	}
}

// Close ends the Box: nothing is written any more, and the entry of which a part was written is given up for that reason.
func (b *Box) Close(r base.Reason) {
	if x := b.rest; x != nil && x.lane != nil {
		x.lane.Abandon(x.entry, r)
	}
	b.closed, b.rest, b.ready = true, nil, [kinds]ring{}
}

// Closed reports whether Close was called.
func (b *Box) Closed() bool { return b.closed }

// keep holds on to the rest of something begun.
func (b *Box) keep(r rest) {
	if b.rest == nil {
		b.rest = new(rest)
	}
	*b.rest = r
}

// restWritten forgets the rest, which the connection has taken, and notes in the batch whose entry it was.
func (b *Box) restWritten(batch *Batch) {
	if b.rest == nil {
		return
	}
	r := *b.rest
	*b.rest = rest{}
	if r.lane != nil {
		batch.finished(r.lane, r.entry)
	}
}

// bookHead accounts for the bytes before the first pick, of which n were taken:
// the old rest, then control frames. What is left of them is the new rest:
//
//	old rest | control frames    all taken: the entry whose rest it was is written
//	---------|---n-----------    the same, and what is left of the control frames is a rest of no lane
//	----n----|---------------    what is left of both, which is still that entry's
func (b *Box) bookHead(batch *Batch, head []byte, n int) {
	hadRest := b.Unwritten()
	switch {
	case n == len(head):
		b.restWritten(batch)
	case hadRest == len(head):
		b.rest.bytes = b.rest.bytes[n:]
	default:
		if n >= hadRest {
			b.restWritten(batch)
		}
		if b.rest == nil {
			b.rest = new(rest)
		}
		b.rest.bytes = bytes.Clone(head[n:]) // control frames live in the memory of the batch
	}
}

// begun keeps the rest of a packet the connection has taken a part of: the only
// entry that no policy can touch any more.
func (b *Box) begun(p *Pick, n int) {
	if p.Notice {
		b.keep(rest{bytes: p.frame.Wire()[n:]})
		return
	}
	b.keep(rest{bytes: p.frame.Wire()[n:], lane: p.Lane, entry: p.Entry})
}

// untake puts back what was not written, and gives the lane its turn back: else
// what does not fit behind others would be passed over for ever.
func (b *Box) untake(p *Pick) {
	l := p.Lane
	if p.Notice {
		l.ReturnLoss(p.lost, p.reason)
		return
	}
	l.Untake(p.Entry)
	b.turn = p.turn
	b.ready[l.Kind].remove(l)
	b.ready[l.Kind].pushFront(l)
	l.taken = p.taken
}
