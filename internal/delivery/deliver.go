package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// deliverDirect is Socket.Emit, an ack, or a socket's last packet.
func (sh *Shard) deliverDirect(j *job) {
	s := j.socket
	switch {
	case s.closed:
		if j.acks != nil {
			j.acks.Sent(s)
			j.acks.Answered(s, Answer{Err: ErrClosed})
		}
	case j.last:
		var f *base.Frame
		if j.msg != nil {
			f = j.msg.Frame(base.Plain)
		}
		s.Close(j.finish, f)
	case j.forced:
		sh.force(s, j.msg)
	default:
		c := sh.class(j)
		it := c.Hold(j.msg)
		sh.emit(s, j, it)
		c.Release(it)
	}
}

// deliverMembers goes on giving a message to the subscribers of its topic, from the
// last of them to the first, until spent reaches most. Between two slices of a job
// members come and go: who comes stands behind those still to be seen, and who goes
// leaves its place to the last member. So nobody is passed over, and whoever has
// been moved to where it is seen again, or for the first time although it came too
// late, has passed that offset.
func (sh *Shard) deliverMembers(j *job, u *underWay, most int) {
	members := j.topic.local[sh.index].members // lanes close only between steps, see doom
	u.left = min(u.left, len(members))
	for ; u.left > 0 && sh.spent < most; u.left-- {
		sh.spent++
		switch l := members[u.left-1]; {
		case !l.pass(j.msg.Offset):
		case l.stage == stageBehind && j.stands:
			l.standFor(j)
		default:
			sh.offer(l, u.item, j.receipt)
		}
	}
}

// deliverChosen goes on with a job whose recipients have been found: those who have
// left since are not there any more.
func (sh *Shard) deliverChosen(j *job, u *underWay, most int) {
	for ; u.left > 0 && sh.spent < most; u.left-- {
		sh.spent++
		o := u.chosen[u.left-1]
		switch {
		case o.closed:
		case j.each != nil:
			j.each(o)
		case !j.target.Subscribers:
			sh.emit(o, j, u.item)
		default:
			if l := o.lane(j.topic); l != nil && l.pass(j.msg.Offset) {
				sh.offer(l, u.item, j.receipt)
			}
		}
	}
}

func (sh *Shard) class(j *job) *lane.Class {
	if j.topic != nil {
		return j.topic.Declared.classes[sh.index]
	}
	return j.ns.events[sh.index]
}

// emit gives a plain event to one socket: to the lane of the topic whose name it
// bears, subscribed or not, else to its events lane.
func (sh *Shard) emit(s *Socket, j *job, it *lane.Item) {
	var l *outLane
	if j.topic == nil {
		l = s.eventsLane()
		defer sh.restEvents(s)
	} else if l = s.laneForEmit(j.topic); l == nil {
		s.refuseEmit(j.topic)
		j.receipt.count(lane.Rejected)
		return
	}
	refused := j.target.Volatile && (s.conn.out.Window() == 0 || len(s.conn.unwritten()) > 0 || l.Half())
	if j.acks != nil && j.acks.Sent(s) {
		if refused {
			j.acks.Answered(s, Answer{Err: ErrBusy})
		} else {
			s.await(j.msg.AckID, j.acks)
		}
	}
	if refused {
		l.Refuse(base.ReasonOverflow)
		j.receipt.count(lane.Rejected)
		return
	}
	switch out := sh.offer(l, it, j.receipt); {
	case j.acks == nil:
	case out == lane.Rejected: // after Disconnect the socket's end is the answer
		s.Answer(j.msg.AckID, Answer{Err: ErrBusy})
	case out == lane.TooLarge:
		s.Answer(j.msg.AckID, Answer{Err: ErrTooLarge})
	}
}

// count books an outcome on a receipt, if somebody asked for one.
func (r *receipt) count(o lane.Outcome) {
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
	default:
		r.rejected.Add(1)
	}
}
