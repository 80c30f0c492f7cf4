package delivery

import (
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/survey"
)

// A socket has an events lane only while something is in it, so that an idle one
// holds nothing of it but what its books come down to:
//
//	socket: past ──eventsLane──> lane, books resumed ──shelveEvents──> socket: past
//	                  ^                                    │
//	                  └──────── shelf (of the shard)   <───┘
//
// A pointer to it is good until something is written to the connection.

// eventsLaneBytes is what the budget counts for an events lane, in use or on the shelf.
const eventsLaneBytes = int64(unsafe.Sizeof(outLane{}))

// eventsLane returns the socket's events lane, for something to be put into it.
func (s *Socket) eventsLane() *outLane {
	if s.events == nil {
		sh := s.shard()
		if s.events = sh.shelf.Take(); s.events == nil {
			s.events = new(outLane)
			sh.structs += eventsLaneBytes
		}
		s.events.begin(s)
	}
	return s.events
}

// begin makes l, which is zero, the events lane of s.
func (l *outLane) begin(s *Socket) {
	l.socket, l.Kind = s, outbox.Events
	l.Init(s.Namespace.events[s.shard().index], s.plain(), false)
	l.Resume(s.past)
}

// shelveEvents follows a change of the socket's events lane: it takes that away, if there is one and nothing is in it.
func (sh *Shard) shelveEvents(s *Socket) {
	s.noteUnread()
	l := s.events
	if l == nil || l.Depth() > 0 {
		return
	}
	s.conn.box.Remove(&l.Lane)
	sh.audit(l)
	s.past, s.events = l.Past(), nil
	*l = outLane{}
	sh.shelf.Put(l)
}

// closeEvents drops what waits in the events lane; an entry that is partly written
// stays in it.
func (sh *Shard) closeEvents(s *Socket) {
	if l := s.events; l != nil {
		l.Close(base.ReasonDisconnect)
		s.conn.box.Remove(&l.Lane)
		sh.shelveEvents(s)
	}
}

// eventsView describes the events lane, there or not.
func (s *Socket) eventsView() survey.Lane {
	l := s.events
	if l == nil {
		l = new(outLane)
		l.begin(s)
	}
	return l.view(l.age(s.shard().now))
}
