package outbox

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// A batch is built by Box.Write in the memory of the loop, and offered to the connection's Outlet in one call:
//
//	rest of a packet begun before | control frames || entry | entry | entry …
//	<------------- head: no lane has it ---------->  <------- picks ------->
//
// The Outlet takes its first n bytes, and where they end says what becomes of each part (bookHead, bookPicks):
//
//	in the head    what is left of the head is the new rest; every pick goes back to its lane
//	in a pick      the picks before it are written, and what is left of it is the new rest; those behind it go back
//	at the end     all is written
//
// So at most one entry is beyond the reach of its lane's policy: the one whose packet is begun. A packet larger than the
// window is never copied: it is written alone, from its frame.

// pattern is the order in which kinds of lanes take one entry each when several
// wait: events before reliable before best effort, and none starves (architecture.md D1).
var pattern = [...]Kind{Events, Events, Reliable, Events, Events, Reliable, BestEffort}

// Owner is whoever has the lanes. It is called by Box.Write, and must not write itself.
//
//weir:loop
type Owner interface {
	// Now is the time at this moment: later than the one Write was given, which is that of the beginning of a step.
	Now() int64
	// Refill gives a lane that is fed and has nothing to send more. It reports false if there is nothing now, or nothing any
	// more: it may end the feeding, remove the lane and add others.
	Refill(l *Lane) bool
	// Lost makes the packet that tells the lane's client of that many messages lost.
	Lost(l *Lane, n uint64, why base.Reason) *base.Frame
}

// Batch is what one write carries. All boxes of an event loop share one, whose memory is used again and again.
//
//weir:loop
type Batch struct {
	owner    Owner
	bytes    []byte
	picks    []Pick // the first is whose rest was finished, or nobody's
	from, to int    // which of them are written
	now      int64  // a look at the clock while it is built; 0: nobody has looked yet
	all      bool   // the connection has taken all of it
	alone    bool   // it was a rest, and nothing else had room beside it
}

// NewBatch returns an empty batch with room for that many bytes. It grows if a window is larger.
func NewBatch(room int, o Owner) *Batch { return &Batch{owner: o, bytes: make([]byte, 0, room)} }

// Pick is an entry taken into the batch, or a notice.
type Pick struct {
	Lane   *Lane
	Entry  lane.Entry
	Notice bool // it tells the lane's client of losses; Entry is not set
	pick
}

type pick struct {
	frame  *base.Frame // what is written
	start  int         // where its bytes begin in the batch
	turn   uint8       // of the box, and
	taken  uint16      // of the lane, before it was taken
	lost   uint64
	reason base.Reason
}

// Written are the entries and notices of which the connection has now taken all, in their order. Who has called Box.Write
// books each entry with Lane.Wrote before anything else is done with its lane.
func (batch *Batch) Written() []Pick { return batch.picks[batch.from:batch.to] }

// begin empties the batch.
func (batch *Batch) begin() {
	batch.picks = append(batch.picks[:0], Pick{})
	batch.from, batch.to, batch.now, batch.all, batch.alone = 1, 1, 0, false, false
}

// time is the time at which the batch is built, which is not the beginning of the step: a step may take a while. Only what can
// expire costs a look at the clock, and all of a batch costs one.
func (batch *Batch) time() int64 {
	if batch.now == 0 {
		batch.now = batch.owner.Now()
	}
	return batch.now
}

// finished notes the entry whose rest was written, which is before all picks.
func (batch *Batch) finished(l *Lane, e lane.Entry) {
	batch.picks[0] = Pick{Lane: l, Entry: e}
	batch.from = 0
}

// Write builds one batch and writes it: see the picture above. What was written is then in Batch.Written, to be booked by
// the caller, who asks More after that.
func (b *Box) Write(batch *Batch, now int64) {
	batch.begin()
	window := b.out.Window()
	if window == 0 || b.closed {
		return
	}
	if b.Unwritten() >= window { // there is no room behind the rest
		b.writeRest(batch)
		return
	}
	all := b.out.Control(append(batch.bytes[:0], b.unwritten()...))
	head := len(all)
	all, alone := b.gather(batch, all, window, now)
	how := batch.packing(head)
	batch.bytes = all[:0] // it may have grown: keep the room
	if alone != nil {     // then nothing was gathered, and there is no head
		all = alone
	}
	if len(all) == 0 {
		return
	}
	n, err := b.out.Write(all, how)
	if err != nil {
		n = 0 // the connection is closed by whoever hears of it; nothing more is written
	}
	b.bookHead(batch, all[:head], min(n, head))
	b.bookPicks(batch, len(all), n)
	batch.all = n == len(all)
}

// More reports whether more could be written now: the connection has taken all of the batch it was offered last, and
// something waits, or may have waited behind a rest that left no room.
func (b *Box) More(batch *Batch) bool { return batch.all && (batch.alone || b.Waiting()) }

// writeRest writes a rest that fills a batch by itself.
func (b *Box) writeRest(batch *Batch) {
	r := b.rest
	n, err := b.out.Write(r.bytes, base.Packable)
	switch {
	case err != nil:
	case n < len(r.bytes):
		r.bytes = r.bytes[n:]
	default:
		b.restWritten(batch)
		batch.all, batch.alone = true, true
	}
}

// gather appends to the bytes of a batch the entries of the lanes whose turn it is while they fit, and notes them in its
// picks. The first that does not fit goes back. If there are no bytes and the first entry is larger than the whole window,
// its bytes are returned as alone, without being copied.
func (b *Box) gather(batch *Batch, all []byte, window int, now int64) (_, alone []byte) {
	for {
		l := b.nextLane(batch.owner)
		if l == nil {
			return all, nil
		}
		p, ok := b.take(l, batch, now)
		if !ok {
			continue
		}
		frame := p.frame
		if len(all)+frame.Len() > window && len(all) > 0 {
			b.untake(&p)
			return all, nil
		}
		p.start = len(all)
		batch.picks = append(batch.picks, p)
		if frame.Len() > window {
			return all, frame.Wire()
		}
		all = append(all, frame.Wire()...)
	}
}

// packing says how the batch gathered behind head bytes may be written: if any
// of its packets may be compressed, all are (protocol.md 1.4). Control packets may.
func (batch *Batch) packing(head int) base.Packing {
	if head > 0 {
		return base.Packable
	}
	for i := range batch.picks[1:] {
		if batch.picks[i+1].frame.Packing() == base.Packable {
			return base.Packable
		}
	}
	return base.Verbatim
}

// nextLane returns the lane whose turn it is, nil if none waits. It goes once round the pattern, from where the connection
// stands in it, and takes the first lane in the ring of that kind, after it has dealt with
//
//	one that has nothing to send       it leaves the ring, but for one that is fed and is given more
//	one that has written its weight    it goes behind the others of its kind, if there are any
func (b *Box) nextLane(o Owner) *Lane {
	for range pattern {
		q := &b.ready[pattern[b.turn]]
		for l := q.first; l != nil; l = q.first {
			switch {
			case !l.Sendable():
				if !l.is(fed) || !o.Refill(l) {
					q.remove(l)
				}
			case int(l.taken) >= l.weight() && l.next != l:
				q.remove(l)
				q.push(l)
			default:
				return l
			}
		}
		b.nextTurn()
	}
	return nil
}

func (b *Box) nextTurn() { b.turn = (b.turn + 1) % uint8(len(pattern)) }

// take takes one entry and moves the turn on; or, if the client is to be told of losses first, the notice of them, which is
// nobody's turn. It reports false if what the lane had has expired.
func (b *Box) take(l *Lane, batch *Batch, now int64) (Pick, bool) {
	if n, why, ok := l.TakeLoss(); ok && l.Kind != Events {
		return Pick{Lane: l, Notice: true, pick: pick{frame: batch.owner.Lost(l, n, why), lost: n, reason: why}}, true
	}
	e, ok := takeLive(l, batch, now)
	if !ok {
		return Pick{}, false // nextLane finds that it is not sendable
	}
	p := Pick{Lane: l, Entry: e, pick: pick{frame: e.Frame(), turn: b.turn, taken: l.taken}}
	if b.out.Deflates() {
		p.frame = p.frame.Deflated()
	}
	if l.taken++; int(l.taken) > l.weight() {
		l.taken = 1 // alone of its kind, it began anew
	}
	b.nextTurn()
	return p, true
}

// takeLive takes the next entry that has not expired while the batch is built.
//
//weir:loop
func takeLive(l *Lane, batch *Batch, begun int64) (e lane.Entry, ok bool) {
	e, ok = l.Take(begun)
	if !ok || e.Message().Expires == 0 {
		return e, ok
	}
	if now := batch.time(); e.Message().Expires <= now {
		l.Untake(e)
		return l.Take(now)
	}
	return e, true
}

// bookPicks finds what became of the entries taken, when the connection took n of that many bytes: written whole, begun, or
// put back.
func (b *Box) bookPicks(batch *Batch, length, n int) {
	picks := batch.picks[1:]
	end := length
	for len(picks) > 0 && picks[len(picks)-1].start >= n { // nothing of it was taken
		last := &picks[len(picks)-1]
		b.untake(last)
		end = last.start
		picks = picks[:len(picks)-1]
	}
	if last := len(picks) - 1; last >= 0 && n < end {
		b.begun(&picks[last], n-picks[last].start)
		picks = picks[:last]
	}
	batch.to = 1 + len(picks)
}
