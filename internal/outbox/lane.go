package outbox

import "github.com/streamweir/weir/internal/lane"

// Kind orders lanes that wait at the same time (architecture.md D1).
type Kind uint8

// The kinds of lanes.
const (
	Events Kind = iota
	Reliable
	BestEffort
	kinds
)

// Lane is a lane with its place in the Box of its connection. An idle connection has one for each subscription, so it is
// small. The zero Lane is to be given a Kind, and its lane.Lane an Init.
//
//weir:loop
type Lane struct {
	lane.Lane
	prev *Lane // in the ring of its kind
	next *Lane

	after uint32 // if it follows the events lane: until that has written this many, counted as uint32
	taken uint16 // entries taken in this turn, at most its weight
	Kind  Kind
	marks marks
}

// marks is a set of the marks below.
type marks uint8

const (
	queued marks = 1 << iota // in the ring of its kind
	paused                   // not to be written, see Box.Pause
	fed                      // its Owner has more for it when it has nothing to send, see Owner.Refill
	unsent                   // when its ack clock was last looked at, the client's kernel had not got everything
)

func (l *Lane) is(m marks) bool { return l.marks&m != 0 }

func (l *Lane) set(m marks, on bool) {
	l.marks &^= m
	if on {
		l.marks |= m
	}
}

// Queued reports whether the lane stands among those that are written when its connection is.
func (l *Lane) Queued() bool { return l.is(queued) }

// Paused reports whether the lane is kept from being written.
func (l *Lane) Paused() bool { return l.is(paused) }

// Feed says whether the lane's Owner has more for it when it has nothing to send: such a lane stands among those that are
// written, and its Owner is asked when its turn comes.
func (l *Lane) Feed(on bool) { l.set(fed, on) }

// Follows reports whether a lane that follows the events lane has to wait still, with that many written by the events
// lane. The two counts, of which only the lower 32 bits are kept, are never 2^31 apart, so the sign of their difference
// says which is behind.
func (l *Lane) Follows(written uint64) bool { return int32(uint32(written)-l.after) < 0 }

// weight is how many entries a lane may write before another of its kind has its turn.
func (l *Lane) weight() int { return max(l.Class().Policy.Weight, 1) }

// ring is a queue of lanes that have something to write: a ring through the first.
//
//weir:loop
type ring struct{ first *Lane }

func (q *ring) push(l *Lane) {
	l.taken = 0
	q.insert(l)
}

func (q *ring) pushFront(l *Lane) {
	q.insert(l)
	q.first = l
}

// insert puts l before the first, which is behind the last.
func (q *ring) insert(l *Lane) {
	l.marks |= queued
	if q.first == nil {
		l.prev, l.next, q.first = l, l, l
		return
	}
	l.prev, l.next = q.first.prev, q.first
	l.prev.next, l.next.prev = l, l
}

// remove takes l out, if it is in.
func (q *ring) remove(l *Lane) {
	if !l.is(queued) {
		return
	}
	switch {
	case l.next == l:
		q.first = nil
	case q.first == l:
		q.first = l.next
	}
	l.prev.next, l.next.prev = l.next, l.prev
	l.prev, l.next = nil, nil
	l.marks &^= queued
}
