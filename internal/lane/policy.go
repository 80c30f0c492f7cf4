package lane

import (
	"math"

	"github.com/streamweir/weir/internal/base"
)

// This file is how a lane changes what it holds: every path by which an entry
// comes or goes keeps the books, the class totals and the byte counts together.

func (l *Lane) fits(size int) bool {
	p := &l.class.Policy
	flights, flying := l.window.load()
	return l.queue.len()+flights+1 <= p.MaxMessages && l.queue.weight()+flying+size <= p.MaxBytes
}

// overweight reports whether the lane is beyond its byte limit.
func (l *Lane) overweight() bool { return l.queue.bytes > l.class.Policy.MaxBytes }

// occupy gives the lane a queue, if it has none, and room in it for one more entry.
func (l *Lane) occupy() {
	if l.queue == nil {
		l.queue = l.class.newQueue()
	}
	if q := l.queue; q.full() {
		l.class.resize(q, 2*len(q.slots))
	}
}

// vacate gives the queue back once there is nothing in it, and slots once it is short.
func (l *Lane) vacate() {
	switch q := l.queue; {
	case q == nil:
	case q.empty():
		l.queue = nil
		l.class.putQueue(q)
	case q.roomy():
		l.class.resize(q, len(q.slots)/2)
	}
}

func (l *Lane) append(it *Item, size int) {
	it.ref()
	l.occupy()
	l.class.Totals.Queued.Add(1)
	l.class.Totals.Bytes.Add(int64(size))
	l.index(it, l.queue.push(slot{item: it, size: size}))
}

// index remembers where the newest queued entry of a key is.
func (l *Lane) index(it *Item, position uint32) {
	if it.Msg.Key != "" && l.class.Policy.Overflow == base.Coalesce {
		before := l.queue.peak
		if l.queue.index(it.Msg.Key, position); l.queue.peak > before {
			l.class.memory += keyBytes
		}
	}
}

// replace puts it in the place of the queued entry with the same key, full or
// not; if that makes the lane too heavy, its oldest entries go.
func (l *Lane) replace(it *Item, size int) bool {
	position, ok := l.queue.find(it.Msg.Key)
	if !ok {
		return false
	}
	old := *l.queue.at(position)
	it.ref()
	l.queue.set(position, slot{item: it, size: size})
	l.class.Totals.Bytes.Add(int64(size - old.size))
	l.coalesced(old.item)
	for l.overweight() && l.queue.head != position {
		l.dropHead(base.ReasonOverflow)
	}
	if l.overweight() {
		l.shedBehindHead()
	}
	return true
}

// shedBehindHead drops the oldest entries but the first, which was just replaced
// by a heavier one, until the lane is within its byte limit.
func (l *Lane) shedBehindHead() {
	first := l.queue.pop()
	for l.queue.weight()+first.size > l.class.Policy.MaxBytes {
		l.dropHead(base.ReasonOverflow)
	}
	l.occupy()
	l.index(first.item, l.queue.pushFront(first))
}

func (l *Lane) coalesceAll() {
	for l.queue.len() > 0 {
		s := l.queue.pop()
		l.unqueue(s.size)
		l.coalesced(s.item)
	}
}

func (l *Lane) dropHead(r base.Reason) {
	s := l.queue.pop()
	l.vacate()
	l.unqueue(s.size)
	l.dropped(r)
	s.item.drop()
}

func (l *Lane) unqueue(size int) {
	l.class.Totals.Queued.Add(-1)
	l.class.Totals.Bytes.Add(-int64(size))
}

func (l *Lane) offered() {
	l.Offered++
	l.class.Totals.Offered.Add(1)
}

func (l *Lane) coalesced(it *Item) {
	l.settled++
	l.class.Totals.Coalesced.Add(1)
	it.drop()
}

func (l *Lane) dropped(r base.Reason) {
	x := l.rareBooks()
	x.dropped[r]++
	if l.tell {
		x.untold++
		x.because = r
	}
	l.class.Totals.Dropped[r].Add(1)
}

// landed takes a message out of the window; the caller settles it.
func (l *Lane) landed(i int) {
	f := l.window.free(i)
	l.class.Totals.InFlight.Add(-1)
	l.class.Totals.Bytes.Add(-int64(f.size))
	f.item.drop()
}

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
