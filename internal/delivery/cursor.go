package delivery

import (
	"slices"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/cursor"
	"github.com/streamweir/weir/internal/topiclog"
)

// A subscription may begin at a cursor, and leaves one when it ends (ADR 0013). What is between the cursor and the
// moment of subscribing is the log's to give, if the topic has one that keeps anything: see spill.go; what is published
// from then on is given by the sequencer, but not what the cursor says is done. With one numbering for many nodes that
// may be the newest: this node may be behind the one before.
//
// A lane does not hold a cursor: what it was given last, and what it holds, say as much, until it ends. Only what the
// cursor at its beginning says is kept beside it, among the ties of its socket, as long as it says anything more.

// Left is what a subscription leaves when it ends.
type Left struct {
	Socket *Socket
	Cursor cursor.Cursor // what it was given and is done with: acknowledged or given up; best effort, written or dropped
	Reason base.Reason   // of what it still held
}

// resumption is the cursor at which a lane began.
type resumption struct {
	lane  *outLane
	start cursor.Cursor
	after uint64 // what was given to the lane has higher offsets
	open  bool   // something up to after is not done, and was not given to it
}

// resume makes a lane that was just enlisted one that goes on at a cursor. from is where its deliveries begin, and epoch what the
// log could read then.
func (l *outLane) resume(c *cursor.Cursor, from topiclog.Position, epoch string) (resumed, behind bool) {
	if c.Topic != l.topic.Name || (c.Epoch != epoch && c.Epoch != from.Epoch) {
		return false, false
	}
	l.from = max(l.from, c.Floor)
	behind = c.Floor < from.Offset
	if behind && l.topic.remembers() {
		g := l.socket.shard().trail(l, epoch, c.Floor, from.Offset)
		if c.Top() > c.Floor {
			start := c.Clone()
			g.start, l.stage = &start, stageLaggingResumed
		}
		return true, true
	}
	if !behind && c.Top() <= l.from {
		return true, false // it says no more than from
	}
	t := l.socket.tied()
	t.began = append(t.began, &resumption{lane: l, start: c.Clone(), after: l.from, open: behind})
	l.stage = stageResumed
	return true, behind
}

// resumption is the cursor at which the lane began; there is one while its stage is stageResumed.
func (l *outLane) resumption() *resumption {
	began := l.socket.ties.began
	return began[slices.IndexFunc(began, func(r *resumption) bool { return r.lane == l })]
}

// resumed reports whether the cursor at which the lane began says that an offset is done. Once it is past, the cursor is
// forgotten.
func (l *outLane) resumed(offset uint64) bool {
	if l.stage == stageLaggingResumed {
		return l.socket.shard().lags[l].start.Has(offset)
	}
	r := l.resumption()
	if !r.open && offset > r.start.Top() {
		l.passCursor()
		return false
	}
	return r.start.Has(offset)
}

// passCursor forgets the cursor at which the lane began.
func (l *outLane) passCursor() {
	l.stage = stageLive
	t := l.socket.ties
	t.began = slices.DeleteFunc(t.began, func(r *resumption) bool { return r.lane == l })
	l.socket.untie()
}

// leaveCursor hands the cursor of a subscription that ends to whoever keeps it.
func (sh *Shard) leaveCursor(l *outLane, r base.Reason) {
	if left := sh.hub.opts.OnLeft; left != nil && l.subscribed() {
		left(Left{Socket: l.socket, Cursor: l.cursor(), Reason: r})
	}
	if l.stage == stageResumed {
		l.passCursor()
	}
}

// cursor is how far a subscription has got that is still reading its snapshot: of what is behind the last value it was
// offered, up to the last publication that values stand for, nothing is done. open is what its lane holds.
func (c *catchUp) cursor(open []uint64) cursor.Cursor {
	open = c.Open(open)
	done := cursor.At(c.topic.Name, c.topic.naming(), c.at, open)
	done.Given(c.upto, c.main.from, open)
	return done
}

// cursor is how far a subscription has got.
func (l *outLane) cursor() cursor.Cursor {
	open := l.Open(nil)
	switch l.stage {
	case stageResumed:
	case stageBehind:
		return l.catchUp().cursor(open)
	case stageLagging, stageLaggingResumed:
		return l.socket.shard().lags[l].cursor(open)
	default:
		return cursor.At(l.topic.Name, l.topic.naming(), l.from, open)
	}
	r := l.resumption()
	c := r.start.Clone()
	c.Given(r.after, l.from, open)
	return c
}
