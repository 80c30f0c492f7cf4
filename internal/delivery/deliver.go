package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// begin implements job.
//
//weir:loop
func (d *direct) begin(sh *Shard, _ *underWay) {
	s := d.socket
	switch {
	case s.closed:
		if d.acks != nil {
			d.acks.Sent(s)
			d.acks.Answered(s, Answer{Err: ErrClosed})
		}
	case d.forced:
		sh.force(s, d.msg)
	default:
		c := d.class(sh)
		it := c.Hold(d.msg)
		sh.emit(s, &d.outgoing, it)
		c.Release(it)
	}
}

// goOn implements job.
//
//weir:loop
func (*direct) goOn(*Shard, *underWay, int) bool { return true }

// end implements job.
//
//weir:loop
func (d *direct) end(sh *Shard, _ *underWay) {
	if d.acks != nil {
		d.acks.Shard()
	}
	d.landed()
	d.lift(sh)
}

// A fan-out on one shard. Each goOn ends when the slice of its stream is spent, and the next step goes on there; u.left is
// how many recipients are still to be seen, from the last to the first:
//
//	begin ─┬─ all subscribers of its topic: left = members ──────────────> toMembers ─┬─> left is 0: end
//	       └─ a target: choosing ── choose, until all are found: left ───> toChosen ──┘

// begin implements job.
//
//weir:loop
func (f *fanOut) begin(sh *Shard, u *underWay) {
	if f.toAllMembers() {
		u.left = len(f.topic.local[sh.index].members)
	} else {
		u.choose(sh, f.ns, f.target)
	}
	sh.use(f.ns)
	if f.members {
		f.topic.local[sh.index].begun = f.msg.Offset
	}
	u.item = f.class(sh).Hold(f.msg)
}

// goOn implements job.
//
//weir:loop
func (f *fanOut) goOn(sh *Shard, u *underWay, most int) (done bool) {
	if u.choosing && !sh.choose(f.ns, f.target, u, most) {
		return false // not all are found yet
	}
	switch {
	case u.left == 0: // nobody is meant here
	case f.toAllMembers():
		f.toMembers(sh, u, most)
	default:
		f.toChosen(sh, u, most)
	}
	return u.left == 0
}

// end implements job.
//
//weir:loop
func (f *fanOut) end(sh *Shard, u *underWay) {
	f.class(sh).Release(u.item)
	f.tally.finished()
	if f.acks != nil {
		f.acks.Shard()
	}
	sh.hub.budget.Promise(-f.promised)
	f.lift(sh)
}

// toMembers goes on giving a message to the subscribers of its topic, from the
// last of them to the first, until spent reaches most. Between two slices of a job
// members come and go: who comes stands behind those still to be seen, and who goes
// leaves its place to the last member. So nobody is passed over, and whoever has
// been moved to where it is seen again, or for the first time although it came too
// late, has passed that offset.
//
//weir:loop
func (f *fanOut) toMembers(sh *Shard, u *underWay, most int) {
	members := f.topic.local[sh.index].members // lanes close only between steps, see doom
	u.left = min(u.left, len(members))
	for ; u.left > 0 && sh.spent < most; u.left-- {
		sh.spent++
		switch l := members[u.left-1]; {
		case !l.pass(f.msg.Offset):
		case l.stage != stageLive || f.unkept:
			sh.offerAside(l, f, u.item)
		default:
			sh.offer(l, u.item, f.tally)
		}
	}
}

// toChosen goes on giving a message to the recipients that have been found: those who
// have left since are not there any more.
//
//weir:loop
func (f *fanOut) toChosen(sh *Shard, u *underWay, most int) {
	for ; u.left > 0 && sh.spent < most; u.left-- {
		sh.spent++
		s := u.chosen[u.left-1]
		switch {
		case s.closed:
		case !f.members:
			sh.emit(s, &f.outgoing, u.item)
		default:
			if l := s.lane(f.topic); l != nil && l.pass(f.msg.Offset) {
				sh.offerAside(l, f, u.item)
			}
		}
	}
}

// emit gives a plain event to one socket: to the lane of the topic whose name it
// bears, subscribed or not, else to its events lane.
func (sh *Shard) emit(s *Socket, e *outgoing, it *lane.Item) {
	var l *outLane
	if e.topic == nil {
		l = s.eventsLane()
		defer sh.shelveEvents(s)
	} else if l = s.laneForEmit(e.topic); l == nil {
		s.refuseEmit(e.topic)
		e.tally.count(lane.Rejected)
		return
	}
	refused := e.volatile && (s.conn.box.Window() == 0 || s.conn.box.Unwritten() > 0 || l.Half())
	if e.acks != nil && e.acks.Sent(s) {
		if refused {
			e.acks.Answered(s, Answer{Err: ErrBusy})
		} else {
			s.await(e.msg.AckID, e.acks)
		}
	}
	if refused {
		l.Refuse(base.ReasonOverflow)
		e.tally.count(lane.Rejected)
		return
	}
	switch out := sh.offerEmit(l, it, e.tally); {
	case e.acks == nil:
	case out == lane.Rejected: // after Disconnect the socket's end is the answer
		s.Answer(e.msg.AckID, Answer{Err: ErrBusy})
	case out == lane.TooLarge:
		s.Answer(e.msg.AckID, Answer{Err: ErrTooLarge})
	}
}

// offerEmit is offer for what no log keeps.
func (sh *Shard) offerEmit(l *outLane, it *lane.Item, r *tally) lane.Fate {
	if l.topic != nil && (l.spills() || l.lagging()) {
		return sh.offerUnkept(l, it, r, false)
	}
	return sh.offer(l, it, r)
}

// count adds the fate of an offered message to a tally, if somebody has asked for a receipt.
func (r *tally) count(o lane.Fate) {
	if r == nil {
		return
	}
	r.subscribers.Add(1)
	switch o {
	case lane.Accepted, lane.DroppedOldest:
		r.queued.Add(1)
		if o == lane.DroppedOldest {
			r.dropped.Add(1)
		}
	case lane.Coalesced:
		r.coalesced.Add(1)
	case lane.Spilled:
		r.spilled.Add(1)
	case lane.Rejected, lane.TooLarge, lane.Disconnect:
		r.rejected.Add(1)
	}
}
