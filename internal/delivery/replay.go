package delivery

import (
	"slices"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/delivery/reads"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/topiclog"
)

// replay is what was read of a topic's log for a lane that is behind, on its way to it.
//
//weir:loop
type replay struct {
	load
	lag   *lag
	topic *Topic
	shard *Shard
	form  base.Form
	upto  uint64 // what is behind it has to be read once more: its reader has entered a room meanwhile. The shard's

	ticket   reads.Ticket // withdrawn: nobody waits for it any more
	batch    topiclog.Batch
	messages []*base.Message // of the batch's placements
	given    int             // how many of them the lane has been offered
	stuck    int             // bytes of one that had no room; 0: there was room
	early    bool            // something is lost in front of all, and the lane has not written yet what is before it: to be read again
}

var _ job = (*replay)(nil)
var _ reads.Reader = (*replay)(nil)

// Found implements reads.Reader: on a goroutine of the pool, where it may wait.
//
//weir:any
func (r *replay) Found(b topiclog.Batch) {
	h := r.topic.Declared.Namespace.hub
	r.batch = b
	messages, bytes := r.read(r.topic, r.form, b.Placements)
	r.messages = messages
	r.weight = inbox.Cost(bytes)
	h.budget.Add(r.hold)
	if err := r.shard.reserve(h.life, r.weight); err != nil {
		return // nobody is there any more
	}
	r.shard.in.PutJob(r)
}

// read makes messages of what was read of a log, with their frames in a form, and returns how many bytes they are. It
// counts what the budget has to count for them. Any goroutine but a loop may call it.
//
//weir:any
func (l *load) read(t *Topic, f base.Form, records []topiclog.Placement) (messages []*base.Message, bytes int) {
	n := t.Declared.Namespace
	messages = make([]*base.Message, len(records))
	for i, e := range records {
		m, made := n.hub.readBack.message(t, e)
		n.prepare(m.Frame(f))
		messages[i] = m
		if l.hold += lane.EntryBytes; made {
			l.hold += messageBytes(m)
		}
		bytes += m.Bytes()
	}
	return messages, bytes
}

// home implements job.
func (r *replay) home(sh *Shard) **stream { return &r.topic.local[sh.index].orders }

// here reports whether the lane still waits for what was read.
func (r *replay) here(sh *Shard) bool { return sh.lags[r.lag.lane] == r.lag }

// begin implements job.
func (r *replay) begin(sh *Shard, _ *underWay) {
	if !r.here(sh) || r.batch.Err != nil {
		return
	}
	if r.early = r.batch.Lost && r.lag.unsent(); r.early {
		r.lag.faults, r.lag.hole = 0, true
		return
	}
	r.sift()
	sh.found(r.lag, &r.batch)
	if b := &r.batch; len(b.Placements) > 0 && !scattered(b.Placements) {
		r.topic.scattered.Store(false)
	}
}

// found books what is gone, by what was read for a lane, before any of that is given to it.
func (sh *Shard) found(g *lag, b *topiclog.Batch) {
	g.faults = 0
	sh.use(g.lane.topic.Declared.Namespace)
	waiting, _, _ := g.lane.Spilled()
	loss := g.place.Read(b, waiting, g.lane.from)
	why := base.ReasonSpillFailed
	if loss.Old {
		why = base.ReasonRetention
	}
	if loss.Older > 0 {
		g.lane.RefuseMany(loss.Older, why)
	}
	g.gap += loss.Messages + loss.Older
	if loss.Messages > 0 {
		if !loss.Explained && g.excused() {
			why = base.ReasonUnsubscribe
		}
		if g.lane.Forgo(loss.Messages, why); !loss.Explained && !g.excused() {
			sh.hub.Unbalanced.Add(1)
		}
	}
}

// sift leaves out what is not for its reader, and what it may not have looked at with the reader's eyes.
func (r *replay) sift() {
	b, n := &r.batch, 0
	for i := range b.Placements {
		if e := &b.Placements[i]; e.Offset <= r.upto && r.lag.gets(&e.To, e.Offset) {
			b.Placements[n], r.messages[n] = *e, r.messages[i]
			n++
		}
	}
	clear(r.messages[n:])
	b.Placements, r.messages = b.Placements[:n], r.messages[:n]
	b.Next = min(b.Next, r.upto)
}

// goOn implements job.
func (r *replay) goOn(sh *Shard, _ *underWay, most int) (done bool) {
	if !r.here(sh) || r.batch.Err != nil || r.early {
		return true
	}
	g := r.lag
	l := g.lane
	for ; r.given < len(r.messages) && sh.spent < most; r.given++ {
		sh.spent++
		e := &r.batch.Placements[r.given]
		if e.Offset > l.from {
			return true // the stream brings it
		}
		m := r.messages[r.given]
		if r.stuck = sh.restore(g, e, m, sh.shared.hold(l.Class(), m), e.Offset > r.batch.LostAfter); r.stuck > 0 {
			return true
		}
	}
	return r.given == len(r.messages)
}

// restore gives a lane a message that was read back, if it has room; else it returns how many bytes it needs. The first
// behind a loss says how many are gone, unless that would make it too long.
func (sh *Shard) restore(g *lag, e *topiclog.Placement, m *base.Message, it *lane.Item, behindLoss bool) (needs int) {
	l := g.lane
	if g.gap > 0 && behindLoss {
		form, _ := l.Form()
		if own := messageBehind(l.topic, *e, g.gap); own.Frame(form).Len() <= l.Class().Policy.MaxBytes {
			m, it = own, l.Class().Hold(own)
			defer l.Class().Release(it)
		}
	}
	if needs = l.Unspill(it, g.place.Counted(e.Offset), sh.now); needs > 0 {
		return needs
	}
	if g.place.Given(e.Offset); behindLoss && (m.Expires == 0 || m.Expires > sh.now) {
		g.gap = 0
	}
	if e.Expires != 0 {
		sh.arm(l)
	}
	return 0
}

// end implements job.
func (r *replay) end(sh *Shard, _ *underWay) {
	r.lift(sh)
	if !r.here(sh) {
		return
	}
	g := r.lag
	l := g.lane
	g.read = nil
	switch {
	case r.batch.Err != nil:
		sh.faulty(g, r.batch.Err)
		return
	case r.early:
		g.place.Missed()
	case r.stuck > 0:
		g.place.Stuck(r.stuck)
	case g.place.Done(r.batch.Next, l.from):
		sh.rejoin(g)
	}
	l.socket.conn.markReady(l)
	if l.lagging() {
		sh.fill(l)
	}
}

// sharedItems are items of messages that were read back lately: lanes near one another hold, and the budget counts, each of
// them once.
type sharedItems struct {
	items map[*base.Message]*lane.Item
	order []heldItem
	bytes int
}

type heldItem struct {
	class *lane.Class
	item  *lane.Item
	bytes int
}

// How many items are kept for others to come, and how many bytes they may have before half of them go.
const (
	maxShared      = 256
	maxSharedBytes = 1 << 20
)

// hold returns the item of a message, to be given to a lane at once.
func (s *sharedItems) hold(c *lane.Class, m *base.Message) *lane.Item {
	if it := s.items[m]; it != nil {
		return it
	}
	if s.items == nil {
		s.items = make(map[*base.Message]*lane.Item)
	}
	if len(s.order) == maxShared || s.bytes > maxSharedBytes {
		s.drop(max(len(s.order)/2, 1))
	}
	x := heldItem{c, c.Hold(m), m.Bytes()}
	s.items[m] = x.item
	s.order = append(s.order, x)
	s.bytes += x.bytes
	return x.item
}

// drop lets the oldest n go.
func (s *sharedItems) drop(n int) {
	for _, x := range s.order[:n] {
		delete(s.items, x.item.Msg)
		x.class.Release(x.item)
		s.bytes -= x.bytes
	}
	s.order = slices.Delete(s.order, 0, n)
}
