package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/packet"
)

// flush writes one batch and does what may follow from it. It reports whether more
// could be written now.
func (c *Conn) flush() (more bool) {
	if c.closed() || c.drained() {
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

// write writes one batch of what waits, whose turn it is, and books it. It reports whether more could be written now. It
// never changes who is a member of what.
func (c *Conn) write() (more bool) {
	sh := c.shard
	c.box.Write(sh.batch, sh.now)
	written := sh.batch.Written()
	behind := false
	for i := range written {
		if p := &written[i]; !p.Notice {
			l := whole(p.Lane)
			c.wrote(l, p)
			behind = behind || l.lagging()
		}
	}
	if behind {
		sh.fillAll(written)
	}
	return c.box.More(sh.batch)
}

// fillAll gives more to the lanes that are behind, once for all that was written of each.
func (sh *Shard) fillAll(written []outbox.Pick) {
	for i := range written {
		if l := whole(written[i].Lane); l.lagging() && (i == 0 || written[i-1].Lane != written[i].Lane) {
			sh.fill(l)
		}
	}
}

// wrote books an entry the kernel has taken.
func (c *Conn) wrote(l *outLane, p *outbox.Pick) {
	sh := c.shard
	at := p.Entry.Message().At
	l.Wrote(p.Entry, sh.now)
	if l.topic != nil {
		if !p.Entry.Message().IsMarked() { // it was not published for this client
			l.topic.Declared.latency[sh.index].write.Observe(sh.now - at)
		}
		if l.stage == stageCatching {
			c.box.Add(&l.Lane)
		}
		if l.Kind == outbox.Reliable {
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

// drained ends a connection that was only waiting for its last packets.
func (c *Conn) drained() bool {
	if c.leaving == nil || c.box.Unwritten() > 0 || c.box.WaitingOf(outbox.Events) {
		return false
	}
	c.peer.Cut(c.leaving.cause)
	return true
}

// owner is a shard as its batch sees it.
//
//weir:loop
type owner struct{ *Shard }

var _ outbox.Owner = owner{}

// Now implements outbox.Owner.
func (o owner) Now() int64 { return o.hub.Now() }

// Refill implements outbox.Owner: a snapshot's lane is fed, and one that is behind its log, which is given more later.
func (o owner) Refill(lane *outbox.Lane) bool {
	l := whole(lane)
	if l.lagging() { // what it had has expired
		o.fill(l)
		return l.Sendable()
	}
	return o.refill(l)
}

// Lost implements outbox.Owner.
func (o owner) Lost(lane *outbox.Lane, n uint64, why base.Reason) *base.Frame {
	l := whole(lane)
	return packet.In(packet.Lost(l.socket.Namespace.Path, l.name(), n, why), l.socket.conn.dialect)
}
