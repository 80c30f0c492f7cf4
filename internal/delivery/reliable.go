package delivery

import "github.com/streamweir/weir/internal/wheel"

// Ack clocks and times to live: one timer per lane that needs one, on the
// shard's wheel.

// arm schedules the lane's timer for what it has to do next, unless it is
// scheduled for something earlier.
func (sh *Shard) arm(l *outLane) {
	at := l.NextDeadline()
	if at == 0 || (l.timer.Armed() && l.timer.When() <= at) {
		return
	}
	sh.wheel.Schedule(&l.timer, at)
}

// Expire implements wheel.Expirer: an ack clock has run out, or a time to live.
func (l *outLane) Expire(_ *wheel.Timer, now int64) {
	sh := l.socket.shard()
	l.Lane.Expire(now)
	if l.kind == kindReliable && l.InFlight() > 0 {
		if l.socket.conn.busy() {
			// The clock stands still while the client's kernel has not got everything
			// (design D10): it starts again from now, and is looked at again well before
			// it could run out.
			l.Busy(now)
			sh.wheel.Schedule(&l.timer, now+max(int64(l.Class().Policy.AckTimeout)/4, 1))
			return
		}
		l.Due(now)
		l.socket.conn.markReady(l)
	}
	sh.arm(l)
}

// acked settles an acknowledged message and lets the next one go.
func (sh *Shard) acked(l *outLane, messageID string) bool {
	at, ok := l.Ack(messageID)
	if !ok {
		return false
	}
	l.topic.Declared.latency[sh.index].ack.Observe(sh.now - at)
	l.socket.conn.markReady(l)
	return true
}
