package lane

import (
	"math"

	"github.com/streamweir/weir/internal/base"
)

// This file is the clock of acks: a message in flight is acknowledged, or it is late and sent again, or given up.

// Ack settles the message with that id. It reports false for an id that is not in
// flight, which is no fault: acks may come twice, or late. at is when the message
// was published.
func (l *Lane) Ack(id string) (at int64, ok bool) {
	if l.window == nil {
		return 0, false
	}
	i, ok := l.window.find(id)
	if !ok || (l.window.slots[i].state == flightWriting && l.window.slots[i].tries == 0) {
		return 0, false // an id that has not been sent cannot be acknowledged
	}
	at = l.window.slots[i].item.Msg.At
	l.landed(i)
	l.settled++
	l.class.Totals.Acked.Add(1)
	return at, true
}

// Callback returns the id of the message in flight that carries that Socket.IO
// ack id; only lanes whose form asks for callbacks have any.
func (l *Lane) Callback(ackID uint64) (messageID string, ok bool) {
	if l.window == nil || l.form&base.Callback == 0 {
		return "", false
	}
	for k := range l.window.n {
		f := &l.window.slots[l.window.index(k)]
		if f.state != flightHole && f.item.Msg.AckID == ackID {
			return f.item.Msg.ID, true
		}
	}
	return "", false
}

// Busy says that the connection still has bytes the client's kernel does not: no
// ack clock runs (architecture.md D10).
func (l *Lane) Busy(now int64) {
	if l.window == nil {
		return
	}
	for k := range l.window.n {
		f := &l.window.slots[l.window.index(k)]
		f.since = max(f.since, now)
	}
}

// Due looks at the ack clocks: a message whose ack is late is to be sent again, or
// after 1 + MaxRetries sends is given up. Messages past their time to live are
// given up as expired. It reports how many of each.
func (l *Lane) Due(now int64) (again, exhausted int) {
	if l.window == nil {
		return 0, 0
	}
	p := &l.class.Policy
	for k := 0; k < l.window.n; k++ {
		i := l.window.index(k)
		f := &l.window.slots[i]
		if f.state != flightSent || now < p.due(f) {
			continue
		}
		switch x := f.item.Msg.Expires; {
		case int(f.tries) > min(p.MaxRetries, MaxRetries):
			exhausted++
			k = l.giveUp(k, base.ReasonExhausted)
		case x != 0 && x <= now:
			k = l.giveUp(k, base.ReasonExpired)
		default:
			again++
			l.window.set(i, flightDue)
		}
	}
	return again, exhausted
}

// giveUp drops the k-th message of the window, counted from the oldest, and
// returns the k before the one to look at next: the message behind a head that was
// given up has become the head.
func (l *Lane) giveUp(k int, r base.Reason) int {
	l.landed(l.window.index(k))
	l.dropped(r)
	if k == 0 {
		return -1
	}
	return k
}

// due is when the ack clock of a message sent runs out: MaxInt64 where that is too far
// away to be said.
func (p *Policy) due(f *flight) int64 {
	wait := p.ackTimeout(int(f.tries))
	if wait > math.MaxInt64-f.since {
		return math.MaxInt64
	}
	return f.since + wait
}

// deadline is when the earliest ack clock runs out.
func (w *window) deadline(p *Policy) int64 {
	at := int64(math.MaxInt64)
	for k := range w.n {
		if f := &w.slots[w.index(k)]; f.state == flightSent {
			at = min(at, p.due(f))
		}
	}
	return at
}
