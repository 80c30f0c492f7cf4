package delivery

import (
	"slices"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// deliver gives one publication or emit to the lanes of its recipients here.
func (sh *Shard) deliver(j *job) {
	switch {
	case j.run != nil:
		j.run(sh)
	case j.socket != nil:
		sh.deliverDirect(j)
	case j.target.Subscribers:
		sh.deliverSubscribers(j)
	default:
		sh.deliverSockets(j)
	}
	j.receipt.finished()
	if j.acks != nil {
		j.acks.Shard()
	}
}

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

func (sh *Shard) deliverSubscribers(j *job) {
	members := j.topic.local[sh.index].members
	if len(members) == 0 {
		return
	}
	c := sh.class(j)
	it := c.Hold(j.msg)
	if t := &j.target; t.Socket == "" && t.Principal == "" && t.Rooms == nil && t.Except == nil {
		for _, l := range members { // lanes close only between steps, see doom
			if j.msg.Offset > l.from {
				sh.offer(l, it, j.receipt)
			}
		}
	} else {
		sh.eachTarget(j.ns, t, func(s *Socket) {
			if l := s.lane(j.topic); l != nil && l.member >= 0 && j.msg.Offset > l.from {
				sh.offer(l, it, j.receipt)
			}
		})
	}
	c.Release(it)
}

// deliverSockets is a broadcast of a plain event, perhaps under a topic's name.
func (sh *Shard) deliverSockets(j *job) {
	c := sh.class(j)
	it := c.Hold(j.msg)
	sh.eachTarget(j.ns, &j.target, func(s *Socket) { sh.emit(s, j, it) })
	c.Release(it)
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
	l := &s.events
	if j.topic != nil {
		if l = s.lane(j.topic); l == nil {
			l = s.openLane(j.topic, base.Plain, false)
		}
	}
	refused := j.target.Volatile && (s.conn.out.Window() == 0 || len(s.conn.rest) > 0 || l.Half())
	if j.acks != nil && j.acks.Sent(s) {
		if refused {
			j.acks.Answered(s, Answer{Err: ErrBusy})
		} else {
			s.await(j.msg.AckID, j.acks)
		}
	}
	if refused {
		l.Refuse(base.ReasonOverflow)
		return
	}
	sh.offer(l, it, j.receipt)
}

// eachTarget finds the sockets of a namespace a target means.
func (sh *Shard) eachTarget(n *Namespace, t *Target, f func(*Socket)) {
	m := sh.namespaces[n]
	switch {
	case t.Socket != "":
		if s := m.sockets[t.Socket]; s != nil {
			f(s)
		}
	case t.Principal != "":
		m.round++
		m.mark(t.Except, m.round)
		for _, s := range slices.Clone(m.principals[t.Principal]) {
			if s.seen != m.round {
				f(s)
			}
		}
	default:
		m.each(t.Rooms, t.Except, f)
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
