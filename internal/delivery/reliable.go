package delivery

import (
	"unsafe"

	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/wheel"
)

// Ack clocks and times to live: one timer per lane that needs one, on the
// shard's wheel.

// arm schedules the lane's timer for what it has to do next, unless it is scheduled for something earlier. With a message in
// flight that is a step of the ack clock at the latest; so no ack that was waited for when the timer was armed is due before it,
// nor one of a message sent since, and the window, which may be wide, is not looked through for each message written.
func (sh *Shard) arm(l *outLane) {
	soon := l.NextExpiry()
	if l.InFlight() > 0 {
		soon = min(soon, sh.now+max(int64(l.Class().Policy.AckTimeout)/clockSteps, 1))
	}
	if l.timer != nil && l.timer.Armed() && l.timer.When() <= soon {
		return
	}
	at := l.NextDeadline()
	if at == 0 {
		return
	}
	at = min(at, soon)
	if l.timer == nil {
		l.timer = new(wheel.Timer)
		l.timer.Init(l)
		sh.structs += timerBytes
	}
	sh.wheel.Schedule(l.timer, at)
}

// timerBytes is what the budget counts for a lane's timer.
const timerBytes = int64(unsafe.Sizeof(wheel.Timer{}))

// disarm takes the lane's timer away.
func (sh *Shard) disarm(l *outLane) {
	if l.timer != nil {
		sh.wheel.Stop(l.timer)
		l.timer = nil
		sh.structs -= timerBytes
	}
}

// Expire implements wheel.Expirer: an ack clock has run out, or a time to live.
func (l *outLane) Expire(_ *wheel.Timer, now int64) {
	sh := l.socket.shard()
	l.Lane.Expire(now)
	if l.Kind == outbox.Reliable && l.InFlight() > 0 {
		l.runClock(now)
	}
	if l.lagging() {
		sh.fill(l)
	}
	sh.arm(l)
}

// runClock lets the ack clock run while it may. It is looked at several times before it can run
// out, so it may run out late by a quarter, but never early because of a backlog.
func (l *outLane) runClock(now int64) {
	if c := l.socket.conn; c.box.Tick(&l.Lane, now, c.deaf()) {
		c.markReady(l)
	}
}

// clockSteps is how often an ack clock is looked at before it runs out.
const clockSteps = 4

// acked settles an acknowledged message and lets the next one go.
func (sh *Shard) acked(l *outLane, messageID string) bool {
	at, ok := l.Ack(messageID)
	if !ok {
		return false
	}
	l.topic.Declared.latency[sh.index].ack.Observe(sh.now - at)
	if l.lagging() {
		sh.fill(l)
	}
	l.socket.conn.markReady(l)
	return true
}
