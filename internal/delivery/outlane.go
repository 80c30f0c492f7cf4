package delivery

import (
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/wheel"
)

// outLane is a lane with its place in the world: whose it is, and where it waits
// to be flushed. An idle connection has one for each subscription, so it is small:
// what only a busy lane needs is elsewhere. A socket's events lane is one too.
//
//weir:loop
type outLane struct {
	outbox.Lane // the first, see whole
	socket      *Socket
	topic       *Topic // nil: the events lane, which uses none of what follows

	timer   *wheel.Timer // nil until it is first needed, and when the lane is trimmed
	from    uint64       // the last offset given to the lane; at first the one before its subscription
	member  int32        // place among the topic's members; -1 = not subscribed
	stage   stage
	delayed bool // among those that wait for the topic's flush delay
}

// whole returns the outLane whose first part l is: all that have a place in the outbox of a connection are such. So neither
// has a pointer to the other, which each would pay for, nor is there a call through an interface for each entry written
// (docs/adr/0022-rooms.md).
func whole(l *outbox.Lane) *outLane { return (*outLane)(unsafe.Pointer(l)) }

// It does not compile if Lane is not the first.
const _ = -unsafe.Offsetof(outLane{}.Lane)

//weir:loop
func newTopicLane(s *Socket, t *Topic, f base.Form, tell bool) *outLane {
	l := &outLane{socket: s, topic: t, member: -1}
	l.Kind = outbox.BestEffort
	if t.Declared.Reliable() {
		l.Kind = outbox.Reliable
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
	return l.stage < stageResumed || !l.resumed(offset)
}

// wait holds a lane back until the events lane has written what it holds now.
func (l *outLane) wait() {
	s := l.socket
	if s.events != nil && s.conn.box.Follow(&l.Lane, &s.events.Lane) { // else all is written
		s.waits = true
	}
}

// Trim gives back what the lane needs only while something is in it.
func (l *outLane) Trim() {
	l.Lane.Trim()
	if l.timer != nil && !l.timer.Armed() {
		l.socket.shard().disarm(l)
	}
}
