package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/wheel"
)

// outLane is a lane with its place in the world: whose it is, and where it waits
// to be flushed. An idle connection has one for each socket and one for each
// subscription, so it is small: what only a busy lane needs is elsewhere.
type outLane struct {
	lane.Lane
	socket *Socket
	own    *topicLane // what this is part of; nil: the events lane
	prev   *outLane   // in the ring of ready lanes
	next   *outLane
	taken  int32 // entries taken in this turn
	kind   kind
	queued bool // in the ring of ready lanes
}

// topicLane is the lane of one topic.
type topicLane struct {
	outLane
	topic  *Topic
	timer  *wheel.Timer // nil until it is first needed, and when the lane is trimmed
	from   uint64       // the last offset given to the lane; at first the one before its subscription
	after  uint64       // waits until the events lane has written this many
	member int32        // place among the topic's members; -1 = not subscribed
	busy   bool         // at the last look the client's kernel had not got everything
}

// kind orders lanes that wait at the same time (design D1).
type kind uint8

const (
	kindEvents kind = iota
	kindReliable
	kindBest
	kinds
)

func newTopicLane(s *Socket, t *Topic, f base.Form, tell bool) *topicLane {
	l := &topicLane{topic: t, member: -1}
	l.socket, l.own, l.kind = s, l, kindBest
	if t.Declared.Reliable() {
		l.kind = kindReliable
	}
	l.Init(t.Declared.classes[s.shard().index], f, tell)
	return l
}

// name is the topic's, "" for the events lane.
func (l *outLane) name() string {
	if l.own == nil {
		return ""
	}
	return l.own.topic.Name
}

func (l *topicLane) subscribed() bool { return l.member >= 0 }

// pass reports whether the message at that offset is one the lane has not been
// given and is subscribed to, and makes it one that it has been given.
func (l *topicLane) pass(offset uint64) bool {
	if !l.subscribed() || offset <= l.from {
		return false
	}
	l.from = offset
	return true
}

// wait holds a lane back until the events lane has written what it holds now: the
// CONNECT answer, or that of the subscription.
func (l *topicLane) wait() {
	s := l.socket
	after := s.events.Written + uint64(s.events.Depth()) // the events lane drops nothing it has taken
	if s.events.Depth() == 0 || after == l.after {
		return
	}
	if l.after == 0 {
		s.held++
	}
	l.after = after
	s.conn.ready[l.kind].remove(&l.outLane)
}

func (l *outLane) waits() bool { return l.own != nil && l.own.after != 0 }

// Trim gives back what the lane needs only while something is in it.
func (l *topicLane) Trim() {
	l.Lane.Trim()
	if l.timer != nil && !l.timer.Armed() {
		l.timer = nil
	}
}

// laneRing is a queue of lanes that have something to write: a ring through the
// first.
type laneRing struct{ first *outLane }

func (q *laneRing) push(l *outLane) {
	l.taken = 0
	q.insert(l)
}

func (q *laneRing) pushFront(l *outLane) {
	q.insert(l)
	q.first = l
}

// insert puts l before the first, which is behind the last.
func (q *laneRing) insert(l *outLane) {
	l.queued = true
	if q.first == nil {
		l.prev, l.next, q.first = l, l, l
		return
	}
	l.prev, l.next = q.first.prev, q.first
	l.prev.next, l.next.prev = l, l
}

// remove takes l out, if it is in.
func (q *laneRing) remove(l *outLane) {
	if !l.queued {
		return
	}
	switch {
	case l.next == l:
		q.first = nil
	case q.first == l:
		q.first = l.next
	}
	l.prev.next, l.next.prev = l.next, l.prev
	l.prev, l.next, l.queued = nil, nil, false
}
