package lane

import "github.com/streamweir/weir/internal/base"

// spill is what a lane does not hold and its client is still to get: it waits in the topic's log. Of it there are
// only these figures; where it begins its user knows.
//
//	Offer, full ──> spilled ──Unspill──> queued      the oldest first
//	Spill ────────────^  └──Forgo──> dropped         the log has it no more
type spill struct {
	messages uint64
	bytes    int64 // about: a message that is read back may be some bytes longer
	at       int64 // when the oldest of them was published, or the one before
}

func (x *rareBooks) waits() bool { return x != nil && x.spill.messages > 0 }

// Spill books a message that waits in the log behind others, without a look at the lane's room. One that the lane could never
// hold is dropped when it is read from the log, where its place is.
func (l *Lane) Spill(m *base.Message) Fate {
	l.offered()
	l.spill(m.Frame(l.form).Len(), m.At)
	return Spilled
}

func (l *Lane) spill(size int, at int64) {
	s := &l.rareBooks().spill
	if s.messages == 0 {
		s.at = at
	}
	s.messages++
	s.bytes += int64(size)
	t := &l.class.Totals
	t.Spills.Add(1)
	t.Spilled.Add(1)
	t.SpilledBytes.Add(int64(size))
}

// Spilled is how many messages wait in the log for the lane, about how many bytes they are, and when the oldest of them was
// published, or the one before it.
func (l *Lane) Spilled() (messages uint64, bytes, at int64) {
	if !l.rare.waits() {
		return 0, 0, 0
	}
	s := &l.rare.spill
	return s.messages, s.bytes, s.at
}

// settle takes n messages out of the figures: those it is called for are queued or dropped.
func (s *spill) settle(c *Class, n uint64, bytes int64) {
	s.messages -= n
	if bytes = min(bytes, s.bytes); s.messages == 0 {
		bytes = s.bytes
	}
	s.bytes -= bytes
	c.Totals.Spilled.Add(-int64(n))
	c.Totals.SpilledBytes.Add(-bytes)
}

// Unspill queues a message that was read from the log. counted says that it had been spilled: one that was not is
// offered now. One that has expired, or that the lane could never hold, is dropped; under SNAPSHOT_ONLY and COALESCE it
// takes the place of what it replaces. If there is no room for it now nothing is done, and how many bytes it needs is
// returned; else 0.
func (l *Lane) Unspill(it *Item, counted bool, now int64) (needs int) {
	l.Expire(now)
	m := it.Msg
	size := m.Frame(l.form).Len()
	expired, tooLarge := m.Expires != 0 && m.Expires <= now, size > l.class.Policy.MaxBytes
	if !expired && !tooLarge && !l.replaces(m) && !l.fits(size) {
		return size
	}
	if counted && l.rare.waits() {
		l.rare.spill.settle(l.class, 1, int64(size))
		l.rare.spill.at = m.At
	} else {
		l.offered()
	}
	switch {
	case expired:
		l.dropped(base.ReasonExpired)
	case tooLarge:
		l.dropped(base.ReasonTooLarge)
	default:
		l.supplant(it, size)
		it.recount() // whoever holds it may not let go of it soon
	}
	return 0
}

// replaces reports whether a message would take the place of one that is queued, full or not.
func (l *Lane) replaces(m *base.Message) bool {
	switch l.class.Policy.Overflow {
	case base.SnapshotOnly:
		return l.queue.len() > 0
	case base.Coalesce:
		_, found := l.queue.find(m.Key)
		return found
	default:
		return false
	}
}

// supplant queues a message in the place of what it replaces, if there is anything.
func (l *Lane) supplant(it *Item, size int) {
	switch l.class.Policy.Overflow {
	case base.SnapshotOnly:
		l.coalesceAll()
	case base.Coalesce:
		if l.replace(it, size) {
			return
		}
	default:
	}
	l.append(it, size)
}

// Forgo books that n of the spilled messages, or all if they are fewer, are dropped for r.
func (l *Lane) Forgo(n uint64, r base.Reason) {
	all, bytes, _ := l.Spilled()
	if n = min(n, all); n == 0 {
		return
	}
	l.rare.spill.settle(l.class, n, bytes/int64(all)*int64(n)) //nolint:gosec // a count of messages
	x := l.rare
	x.dropped[r] += n
	if l.tell {
		x.untold += n
		x.because = r
	}
	l.class.Totals.Dropped[r].Add(n)
}

// Room is how many messages and bytes more the lane could hold.
func (l *Lane) Room() (messages, bytes int) {
	p := &l.class.Policy
	return p.MaxMessages - l.Depth(), p.MaxBytes - l.Bytes()
}
