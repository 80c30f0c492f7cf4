package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/wheel"
)

// outLane is a lane with its place in the world: whose it is, and where it waits
// to be flushed. An idle connection has one for each subscription, so it is small:
// what only a busy lane needs is elsewhere. A socket's events lane is one too.
type outLane struct {
	lane.Lane
	socket *Socket
	topic  *Topic   // nil: the events lane, which uses none of what follows the ring
	prev   *outLane // in the ring of ready lanes
	next   *outLane

	timer   *wheel.Timer // nil until it is first needed, and when the lane is trimmed
	from    uint64       // the last offset given to the lane; at first the one before its subscription
	member  int32        // place among the topic's members; -1 = not subscribed
	after   uint32       // if it waits: until the events lane has written this many, counted as uint32
	waiting bool
	busy    bool // at the last look the client's kernel had not got everything
	delayed bool // among those that wait for the topic's flush delay

	queued bool // in the ring of ready lanes
	kind   kind
	stage  stage
	taken  uint16 // entries taken in this turn, at most the topic's weight
}

// kind orders lanes that wait at the same time (architecture.md D1).
type kind uint8

const (
	kindEvents kind = iota
	kindReliable
	kindBest
	kinds
)

func newTopicLane(s *Socket, t *Topic, f base.Form, tell bool) *outLane {
	l := &outLane{socket: s, topic: t, kind: kindBest, member: -1}
	if t.Declared.Reliable() {
		l.kind = kindReliable
	}
	l.Init(t.Declared.classes[s.shard().index], f, tell)
	return l
}

// name is the topic's, "" for the events lane.
func (l *outLane) name() string {
	if l.topic == nil {
		return ""
	}
	return l.topic.Name
}

func (l *outLane) subscribed() bool { return l.member >= 0 }

// pass reports whether the message at that offset is one the lane has not been
// given and is subscribed to, and that its cursor does not say is done; and makes it
// one that it has been given.
func (l *outLane) pass(offset uint64) bool {
	if !l.subscribed() || offset <= l.from {
		return false
	}
	l.from = offset
	return l.stage != stageResumed || !l.resumed(offset)
}

// No delivery may overtake the packet that announces it: the answer to CONNECT, or to the subscription. Those are in the
// socket's events lane, which drops nothing it has taken, so a new lane waits until that has written as many as it had
// written and held when the lane began:
//
//	events lane:   a b c | d e answer | f …       Written 3, Depth 3: after = 6
//	               written  held         later    the lane is admitted when Written is 6
//
//	wait ──> waiting, not in the ring ──wrote: Socket.admit, Written has reached after──> markReady
//
// A lane behind its snapshot is held too, without a number: goLive ends that.

// wait holds a lane back until the events lane has written what it holds now.
func (l *outLane) wait() {
	s := l.socket
	if s.events == nil {
		return // it holds nothing: all is written
	}
	after := s.events.Written + uint64(s.events.Depth())
	if after == 0 {
		return
	}
	s.waits, l.after = true, uint32(after)
	l.hold()
}

// hold keeps a lane from being written until waiting is false again.
func (l *outLane) hold() {
	l.waiting = true
	l.socket.conn.ready[l.kind].remove(l)
}

// waitsFor reports whether a lane that waits has to go on, with that many written by
// the events lane. The two counts, of which only the lower 32 bits are kept, are never
// 2^31 apart, so the sign of their difference says which is behind.
func (l *outLane) waitsFor(written uint64) bool { return int32(uint32(written)-l.after) < 0 }

// Trim gives back what the lane needs only while something is in it.
func (l *outLane) Trim() {
	l.Lane.Trim()
	if l.timer != nil && !l.timer.Armed() {
		l.socket.shard().disarm(l)
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
