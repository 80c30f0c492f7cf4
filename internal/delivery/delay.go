package delivery

import (
	"github.com/streamweir/weir/internal/delivery/linger"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/wheel"
)

// A lane of a topic with a flush delay that gets a message does not make its
// connection dirty but lingers, with all others of its declared topic on its shard. It
// stands among the ready lanes of its connection meanwhile, so that whatever else makes
// that dirty takes its messages along. So it may have nothing to write any more when it
// is woken, or be closed: then waking it does nothing.

// flushDelays is the wheel of flush delays, in finer ticks than heartbeats need.
func (sh *Shard) flushDelays() *wheel.Wheel {
	if sh.delays == nil {
		sh.delays = wheel.New(linger.Tick, 0)
	}
	return sh.delays
}

// delay is the line of those lanes of the topic on a shard that wait for its flush delay, of which there is one. It is
// made by the loop that needs it: a topic may be declared while the loops run.
//
//weir:loop
func (d *Declared) delay(sh *Shard) *linger.Line[*outLane] {
	l := d.delays[sh.index]
	if l == nil {
		l = linger.New(sh.flushDelays(), d.Spec.FlushDelay, (*outLane).wake)
		d.delays[sh.index] = l
	}
	return l
}

// announce sees to it that a lane that was just offered it is written: at once, or
// after its topic's flush delay. What fills half of the lane does not wait, nor what
// would not live to see the end of it.
func (sh *Shard) announce(l *outLane, it *lane.Item) {
	c := l.socket.conn
	if l.topic == nil || l.topic.Declared.delays == nil {
		c.markReady(l)
		return
	}
	d, expires := l.topic.Declared.delay(sh), it.Msg.Expires
	if l.Half() || (expires != 0 && expires <= sh.now+d.Length()) {
		c.markReady(l)
		return
	}
	c.box.Add(&l.Lane)
	if l.Queued() && !l.delayed && !c.dirty {
		l.delayed = true
		d.Add(l, sh.now)
	}
}

// wake ends a lane's wait.
func (l *outLane) wake() {
	l.delayed = false
	if l.Queued() {
		l.socket.conn.markDirty()
	}
}
