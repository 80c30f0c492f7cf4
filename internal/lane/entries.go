package lane

import "github.com/streamweir/weir/internal/base"

// This file is how entries come and go: every path keeps the books, the class totals and the byte counts together.

func (l *Lane) append(it *Item, size int) {
	it.ref()
	l.occupy()
	l.class.Totals.Queued.Add(1)
	l.class.Totals.Bytes.Add(int64(size))
	l.index(it, l.queue.push(slot{item: it, size: size}))
}

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

// index remembers where the newest queued entry of a key is.
func (l *Lane) index(it *Item, position uint32) {
	if it.Msg.Key != "" && l.class.Policy.Overflow == base.Coalesce {
		before := l.queue.peak
		if l.queue.index(it.Msg.Key, position); l.queue.peak > before {
			l.class.memory += keyBytes
		}
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
