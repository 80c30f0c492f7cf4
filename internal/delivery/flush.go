package delivery

import (
	"bytes"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/packet"
)

// A batch is built by write in the buffer of the shard, and offered to the connection's Outlet in one call:
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
var pattern = [...]kind{kindEvents, kindEvents, kindReliable, kindEvents, kindEvents, kindReliable, kindBest}

// pick is an entry gathered into the batch being built.
type pick struct {
	lane   *outLane
	entry  lane.Entry
	frame  *base.Frame // what is written
	start  int         // where its bytes begin in the batch
	turn   uint8       // of the connection, and
	taken  uint16      // of the lane, before it was taken
	lost   uint64
	reason base.Reason
	notice bool // a weir:lost for the lane; entry is not set
}

// flush writes one batch and does what may follow from it. It reports whether more
// could be written now.
func (c *Conn) flush() (more bool) {
	if c.closed || c.drained() {
		return false
	}
	more = c.write()
	if c.paused {
		c.checkReading()
	}
	if !more {
		c.drained()
	}
	return more
}

// write builds one batch and writes it: see the picture above. It reports whether more could be written now: the
// connection took all of it, and a lane has more, or the connection is leaving and flush has to look whether that was the
// last. It never changes who is a member of what.
func (c *Conn) write() (more bool) {
	window := c.out.Window()
	if window == 0 {
		return false
	}
	sh := c.shard
	if len(c.unwritten()) >= window { // there is no room behind the rest
		return c.writeRest()
	}
	batch := c.out.Control(append(sh.batch[:0], c.unwritten()...))
	head := len(batch)
	batch, alone := c.gather(batch, window)
	how := c.packing(head)
	sh.batch = batch[:0] // it may have grown: keep the room
	if alone != nil {    // then nothing was gathered, and there is no head
		batch = alone
	}
	if len(batch) == 0 {
		return false
	}
	n, err := c.out.Write(batch, how)
	if err != nil {
		n = 0 // the peer hears of it and closes the connection; nothing more is written
	}
	c.bookHead(batch[:head], min(n, head))
	c.bookPicks(batch, n)
	return n == len(batch) && (c.leaving != nil || c.waiting())
}

// gather appends to batch the entries of the lanes whose turn it is while they fit, and notes them in the shard's picks.
// The first that does not fit goes back. If batch is empty and the first entry is larger than the whole window, its bytes
// are returned as alone, without being copied.
func (c *Conn) gather(batch []byte, window int) (_, alone []byte) {
	sh := c.shard
	sh.picks = sh.picks[:0]
	for {
		l := c.nextLane()
		if l == nil {
			return batch, nil
		}
		p, ok := c.take(l)
		if !ok {
			continue
		}
		frame := p.frame
		if len(batch)+frame.Len() > window && len(batch) > 0 {
			c.untake(p)
			return batch, nil
		}
		p.start = len(batch)
		sh.picks = append(sh.picks, p)
		if frame.Len() > window {
			return batch, frame.Wire()
		}
		batch = append(batch, frame.Wire()...)
	}
}

// packing says how the batch gathered behind head bytes may be written: if any
// of its packets may be compressed, all are (protocol.md 1.4). Control packets may.
func (c *Conn) packing(head int) base.Packing {
	if head > 0 {
		return base.Packable
	}
	for i := range c.shard.picks {
		if c.shard.picks[i].frame.Packing() == base.Packable {
			return base.Packable
		}
	}
	return base.Verbatim
}

// nextLane returns the lane whose turn it is, nil if none waits. It goes once round the pattern, from where the connection
// stands in it, and takes the first lane in the ring of that kind, after it has dealt with
//
//	one that has nothing to send       it leaves the ring, but for a snapshot's lane that is given more (refill)
//	one that has written its weight    it goes behind the others of its kind, if there are any
func (c *Conn) nextLane() *outLane {
	sh := c.shard
	for range pattern {
		q := &c.ready[pattern[c.turn]]
		for l := q.first; l != nil; l = q.first {
			switch {
			case !l.Sendable():
				if l.stage != stageCatching || !sh.refill(l) {
					q.remove(l)
				}
			case int(l.taken) >= weight(l) && l.next != l:
				q.remove(l)
				q.push(l)
			default:
				return l
			}
		}
		c.nextTurn()
	}
	return nil
}

// weight is how many entries a lane may write before another of its kind has its turn.
func weight(l *outLane) int { return max(l.Class().Policy.Weight, 1) }

// take takes one entry and moves the turn on; or, if the client is to be told of losses first, the notice of them, which is
// nobody's turn. It reports false if what the lane had has expired.
func (c *Conn) take(l *outLane) (pick, bool) {
	if n, why, ok := l.TakeLoss(); ok && l.topic != nil {
		f := packet.In(packet.Lost(l.socket.Namespace.Path, l.name(), n, why), c.dialect)
		return pick{lane: l, frame: f, lost: n, reason: why, notice: true}, true
	}
	e, ok := c.shard.takeLive(l)
	if !ok {
		return pick{}, false // nextLane finds that it is not sendable
	}
	p := pick{lane: l, entry: e, frame: e.Frame(), turn: c.turn, taken: l.taken}
	if c.out.Deflates() {
		p.frame = p.frame.Deflated()
	}
	if l.taken++; int(l.taken) > weight(l) {
		l.taken = 1 // alone of its kind, it began anew
	}
	c.nextTurn()
	return p, true
}

// takeLive takes the next entry that has not expired by now, which is not by the beginning of the step: a step may take a
// while. Only what can expire costs a look at the clock.
func (sh *Shard) takeLive(l *outLane) (e lane.Entry, ok bool) {
	e, ok = l.Take(sh.now)
	if !ok || e.Message().Expires == 0 {
		return e, ok
	}
	if now := sh.hub.Now(); e.Message().Expires <= now {
		l.Untake(e)
		return l.Take(now)
	}
	return e, true
}

func (c *Conn) nextTurn() { c.turn = (c.turn + 1) % uint8(len(pattern)) }

// untake puts back what was not written, and gives the lane its turn back: else
// what does not fit behind others would be passed over for ever.
func (c *Conn) untake(p pick) {
	l := p.lane
	if p.notice {
		l.ReturnLoss(p.lost, p.reason)
		return
	}
	l.Untake(p.entry)
	c.turn = p.turn
	c.ready[l.kind].remove(l)
	c.ready[l.kind].pushFront(l)
	l.taken = p.taken
}

// writeRest writes a rest that fills a batch by itself.
func (c *Conn) writeRest() bool {
	r := c.rest
	n, err := c.out.Write(r.bytes, base.Packable)
	if err != nil {
		return false
	}
	if n < len(r.bytes) {
		r.bytes = r.bytes[n:]
		return false
	}
	c.restWritten()
	return true
}

func (c *Conn) restWritten() {
	if c.rest == nil {
		return
	}
	r := *c.rest
	*c.rest = rest{}
	if r.lane != nil {
		c.wrote(r.lane, r.entry)
	}
}

// keep holds on to the rest of something begun.
func (c *Conn) keep(r rest) {
	if c.rest == nil {
		c.rest = new(rest)
	}
	*c.rest = r
}

// bookHead accounts for the bytes before the first pick, of which n were taken:
// the old rest, then control frames. What is left of them is the new rest:
//
//	old rest | control frames    all taken: the entry whose rest it was is written
//	---------|---n-----------    the same, and what is left of the control frames is a rest of no lane
//	----n----|---------------    what is left of both, which is still that entry's
func (c *Conn) bookHead(head []byte, n int) {
	hadRest := len(c.unwritten())
	switch {
	case n == len(head):
		c.restWritten()
	case hadRest == len(head):
		c.rest.bytes = c.rest.bytes[n:]
	default:
		if n >= hadRest {
			c.restWritten()
		}
		if c.rest == nil {
			c.rest = new(rest)
		}
		c.rest.bytes = bytes.Clone(head[n:]) // control frames live in the shard's buffer
	}
}

// bookPicks tells every lane what became of the entries taken: written whole,
// begun, or put back.
func (c *Conn) bookPicks(batch []byte, n int) {
	picks := c.shard.picks
	end := len(batch)
	for i := len(picks) - 1; i >= 0; i-- {
		if picks[i].start >= n { // nothing of it was taken
			c.untake(picks[i])
			end = picks[i].start
			picks = picks[:i]
			continue
		}
		break
	}
	for i, p := range picks {
		if i == len(picks)-1 && n < end {
			c.begun(p, n-p.start)
			return
		}
		if !p.notice {
			c.wrote(p.lane, p.entry)
		}
	}
}

// begun keeps the rest of a packet the kernel has taken a part of: the only
// entry that no policy can touch any more.
func (c *Conn) begun(p pick, n int) {
	if p.notice {
		c.keep(rest{bytes: p.frame.Wire()[n:]})
		return
	}
	c.keep(rest{bytes: p.frame.Wire()[n:], lane: p.lane, entry: p.entry})
}

// wrote books an entry the kernel has taken.
func (c *Conn) wrote(l *outLane, e lane.Entry) {
	sh := c.shard
	at := e.Message().At
	l.Wrote(e, sh.now)
	if l.topic != nil {
		if !e.Message().IsSnapshot() { // it was not published for this client
			l.topic.Declared.latency[sh.index].write.Observe(sh.now - at)
		}
		if l.stage == stageCatching {
			c.queue(l)
		}
		if l.kind == kindReliable {
			sh.arm(l)
		}
		return
	}
	s := l.socket
	s.admit()
	sh.shelveEvents(s)
	if s.closed {
		c.reap(s)
	}
}

// waiting reports whether any lane has something to write.
func (c *Conn) waiting() bool {
	for k := range c.ready {
		if c.ready[k].first != nil {
			return true
		}
	}
	return false
}

// drained ends a connection that was only waiting for its last packets.
func (c *Conn) drained() bool {
	if c.leaving == nil || len(c.unwritten()) > 0 || c.ready[kindEvents].first != nil {
		return false
	}
	c.peer.Cut(c.leaving.cause)
	return true
}
