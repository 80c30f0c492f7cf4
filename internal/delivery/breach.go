package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/topiclog"
)

// breach is a place in a topic's order that does not follow on what was delivered before (topiclog.Placement): it goes to the
// lanes of all subscribers, in that order.
//
//   - Records before it are gone. How many is not known: each lane books one, and its client is told.
//   - The numbering is another one, since the log has lost what it knew of itself. What lanes that are behind waited for is gone,
//     and what the cursors at which lanes began say means nothing any more. Other lanes go on: whether anything is missing is
//     not known, and the epoch of the next message says so.
type breach struct {
	load
	topic      *Topic
	at         topiclog.Position
	renumbered bool
}

var _ job = (*breach)(nil)

// breach tells the lanes of the topic's subscribers. It waits for room in the inboxes.
func (t *Topic) breach(at topiclog.Position) {
	h := t.Declared.Namespace.hub
	b := &breach{load: load{weight: inbox.Cost(0)}, topic: t, at: at}
	f := &fanOut{outgoing: outgoing{ns: t.Declared.Namespace, topic: t}, load: b.load, target: everybody, members: true, foreign: true}
	var held reservation
	defer held.release()
	if _, err := h.lockWithRoom(h.life, f, &held); err != nil {
		return // nobody is there any more
	}
	defer t.mu.Unlock()
	b.renumbered = at.Epoch != t.last.Epoch
	t.last = at
	t.epoch.Store(&at.Epoch)
	held.put(b)
}

// home implements job.
//
//weir:loop
func (b *breach) home(sh *Shard) **stream { return &b.topic.local[sh.index].orders }

// begin implements job.
//
//weir:loop
func (b *breach) begin(sh *Shard, u *underWay) {
	sh.use(b.topic.Declared.Namespace)
	u.left = len(b.topic.local[sh.index].members)
	b.topic.local[sh.index].begun = b.at.Offset
}

// goOn implements job. Members that come and go between two slices are dealt with as in fanOut.toMembers.
//
//weir:loop
func (b *breach) goOn(sh *Shard, u *underWay, most int) (done bool) {
	members := b.topic.local[sh.index].members
	u.left = min(u.left, len(members))
	for ; u.left > 0 && sh.spent < most; u.left-- {
		sh.spent++
		if l := members[u.left-1]; l.from < b.at.Offset {
			l.from = b.at.Offset
			b.meet(sh, l)
		}
	}
	return u.left == 0
}

// meet tells one lane.
//
//weir:loop
func (b *breach) meet(sh *Shard, l *outLane) {
	switch {
	case !b.renumbered:
		l.RefuseMany(1, base.ReasonRetention)
	case l.lagging():
		sh.giveUp(sh.lags[l])
	case l.stage == stageResumed:
		l.passCursor()
	}
	l.socket.conn.markReady(l)
}

// end implements job.
//
//weir:loop
func (b *breach) end(sh *Shard, _ *underWay) { b.lift(sh) }
