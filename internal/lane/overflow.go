package lane

import "github.com/streamweir/weir/internal/base"

// This file is what a lane does with a message that it is offered: whether it fits, and if not, what the policy says.

// Fate is what an Offer did with the message offered.
type Fate uint8

// The fates of a message. All but Rejected, Spilled, TooLarge and Disconnect took the message.
const (
	Accepted      Fate = iota
	Coalesced          // it took the place of an older one
	DroppedOldest      // older ones were dropped to make room
	Rejected           // full, and the policy refuses the newest
	Spilled            // full: it waits in the topic's log, and so does all that comes after it, see Unspill
	TooLarge           // larger than the lane's byte limit
	Disconnect         // full, and the policy is to cut the client
)

// Offer gives the lane a message, which it takes or refuses as its policy says.
func (l *Lane) Offer(it *Item, now int64) Fate {
	l.offered()
	size := it.Msg.Frame(l.form).Len()
	p := &l.class.Policy
	if size > p.MaxBytes {
		l.dropped(base.ReasonTooLarge)
		return TooLarge
	}
	l.Expire(now)
	switch p.Overflow {
	case base.SnapshotOnly:
		if l.queue.len() > 0 {
			l.coalesceAll()
			l.append(it, size)
			return Coalesced
		}
	case base.Coalesce:
		if l.replace(it, size) {
			return Coalesced
		}
	case base.SpillToDisk:
		if l.rare.waits() { // nothing overtakes what has spilled
			l.spill(size, it.Msg.At)
			return Spilled
		}
	case base.DropOldest, base.RejectNew, base.Disconnect: // act on a full lane only: see overflow
	}
	if l.fits(size) {
		l.append(it, size)
		return Accepted
	}
	if l.expireBehind(now) && l.fits(size) {
		l.append(it, size)
		return Accepted
	}
	return l.overflow(it, size)
}

func (l *Lane) fits(size int) bool {
	p := &l.class.Policy
	flights, flying := l.window.load()
	return l.queue.len()+flights+1 <= p.MaxMessages && l.queue.weight()+flying+size <= p.MaxBytes
}

// Fits reports whether a message could be queued without its policy acting on what
// is there for lack of room.
func (l *Lane) Fits(it *Item) bool { return l.fits(it.Msg.Frame(l.form).Len()) }

// overflow does with a message that does not fit what the policy says. COALESCE found no entry of its key, and
// SNAPSHOT_ONLY has nothing unsent: for them too the oldest gives way.
func (l *Lane) overflow(it *Item, size int) Fate {
	switch l.class.Policy.Overflow {
	case base.DropOldest, base.Coalesce, base.SnapshotOnly:
		return l.dropOldest(it, size)
	case base.RejectNew:
		l.dropped(base.ReasonRejected)
		return Rejected
	case base.SpillToDisk:
		l.spill(size, it.Msg.At)
		return Spilled
	case base.Disconnect:
		l.dropped(base.ReasonOverflow)
		return Disconnect
	}
	panic("lane: an overflow action without a meaning")
}

// dropOldest drops from the head until the message fits.
func (l *Lane) dropOldest(it *Item, size int) Fate {
	for l.queue.len() > 0 && !l.fits(size) {
		l.dropHead(base.ReasonOverflow)
	}
	if !l.fits(size) { // what is in flight leaves no room
		l.dropped(base.ReasonOverflow)
		return Rejected
	}
	l.append(it, size)
	return DroppedOldest
}

func (l *Lane) coalesceAll() {
	for l.queue.len() > 0 {
		s := l.queue.pop()
		l.unqueue(s.size)
		l.coalesced(s.item)
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

// overweight reports whether the lane is beyond its byte limit.
func (l *Lane) overweight() bool { return l.queue.bytes > l.class.Policy.MaxBytes }

// Supersede books a message that is not queued because the newest value of its key
// will be offered for it later: as coalesced.
func (l *Lane) Supersede() {
	l.offered()
	l.settled++
	l.class.Totals.Coalesced.Add(1)
}

// Force queues a message whatever the limits: acks and namespace packets, whose
// number is bounded by no longer reading the socket (architecture.md D1).
func (l *Lane) Force(it *Item) {
	l.offered()
	l.append(it, it.Msg.Frame(l.form).Len())
}

// Refuse books a message that is not even offered to the queue, because whoever
// sent it wants it written at once or not at all.
func (l *Lane) Refuse(r base.Reason) {
	l.offered()
	l.dropped(r)
}

// RefuseMany is Refuse for n messages of which there is nothing but the number.
func (l *Lane) RefuseMany(n uint64, r base.Reason) {
	l.Offered += n
	l.class.Totals.Offered.Add(n)
	x := l.rareBooks()
	x.dropped[r] += n
	if l.tell {
		x.untold += n
		x.because = r
	}
	l.class.Totals.Dropped[r].Add(n)
}
