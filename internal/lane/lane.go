package lane

import (
	"math"

	"github.com/streamweir/weir/internal/base"
)

// Lane is the queue of one topic, or of plain events, for one client. The zero
// Lane is not usable: see Init.
//
//weir:loop
type Lane struct {
	Books

	class  *Class
	queue  *queue  // nil while nothing waits or, best effort, is being written
	window *window // reliable lanes, from the first send on
	takes  uint32  // numbers what the window gives out to be written
	form   base.Form
	tell   bool // losses are to be told to the client
	ended  bool // see End
}

// Entry is a message taken out to be written. It goes back to its lane by
// exactly one of Wrote, Untake or Abandon.
type Entry struct {
	item   *Item // best effort: referenced until reported
	msg    *base.Message
	size   int
	flight int    // index in the window, -1 for best effort
	take   uint32 // which taking of that place
	form   base.Form
}

// Frame is what to write.
func (e *Entry) Frame() *base.Frame { return e.msg.Frame(e.form) }

// Message is the message the entry stands for.
func (e *Entry) Message() *base.Message { return e.msg }

// Init makes l an empty lane of class c whose messages are written in form f.
// With tell, losses are kept for TakeLoss.
func (l *Lane) Init(c *Class, f base.Form, tell bool) {
	*l = Lane{class: c, form: f, tell: tell}
}

// Reshape changes the form in which messages offered from now on are written, and
// whether losses are told. What is queued must have one form only: plain events.
func (l *Lane) Reshape(f base.Form, tell bool) { l.form, l.tell = f, tell }

// Form is in which form messages are written, and whether losses are told.
func (l *Lane) Form() (f base.Form, tell bool) { return l.form, l.tell }

// Class returns what the lane shares with others of its topic.
func (l *Lane) Class() *Class { return l.class }

// Half reports whether the lane is half full: the time to make no more answers, which must not be dropped.
func (l *Lane) Half() bool {
	p := &l.class.Policy
	return 2*l.Depth() >= p.MaxMessages || 2*l.Bytes() >= p.MaxBytes
}

// Full reports whether the lane has reached one of its limits.
func (l *Lane) Full() bool {
	p := &l.class.Policy
	return l.Depth() >= p.MaxMessages || l.Bytes() >= p.MaxBytes
}

// Sendable reports whether Take would return an entry.
func (l *Lane) Sendable() bool {
	if l.window != nil && l.window.resend > 0 {
		return true
	}
	return l.queue.len() > 0 && (l.window == nil || !l.window.full())
}

// Take returns the next entry to write: repeats first, then the oldest queued.
// Entries past their time to live are dropped on the way.
func (l *Lane) Take(now int64) (Entry, bool) {
	if e, ok := l.takeRepeat(now); ok {
		return e, true
	}
	l.Expire(now)
	if l.queue.len() == 0 {
		return Entry{}, false
	}
	if l.class.Policy.Mode == base.BestEffort {
		s := l.queue.pop()
		l.queue.begin(s)
		return Entry{item: s.item, msg: s.item.Msg, size: s.size, flight: -1, form: l.form}, true
	}
	if l.window == nil {
		l.window = newWindow(l.class.Policy.MaxInFlight)
		l.class.memory += l.window.memory()
	}
	if l.window.full() {
		return Entry{}, false
	}
	s := l.queue.pop()
	l.vacate()
	l.class.Totals.Queued.Add(-1)
	l.class.Totals.InFlight.Add(1)
	return l.launch(l.window.add(s), l.form), true
}

// takeRepeat returns the oldest message waiting to be sent again that is still
// worth it.
func (l *Lane) takeRepeat(now int64) (Entry, bool) {
	if l.window == nil {
		return Entry{}, false
	}
	for {
		i, ok := l.window.nextDue()
		if !ok {
			return Entry{}, false
		}
		it := l.window.slots[i].item
		if x := it.Msg.Expires; x != 0 && x <= now {
			l.landed(i)
			l.dropped(base.ReasonExpired)
			continue
		}
		l.window.set(i, flightWriting)
		e := l.launch(i, l.form|base.Redelivered)
		e.Frame() // the first repeat of a message makes a frame that counts
		it.recount()
		return e, true
	}
}

// launch is the entry for the flight at i. Its number tells it from a later one
// at the same place: the message may be acknowledged before the entry is reported.
func (l *Lane) launch(i int, form base.Form) Entry {
	l.takes++
	f := &l.window.slots[i]
	f.take = l.takes
	return Entry{msg: f.item.Msg, size: f.size, flight: i, take: l.takes, form: form}
}

// flying returns the flight e stands for, nil if it has been settled since.
func (l *Lane) flying(e Entry) *flight {
	if l.window == nil {
		return nil
	}
	if f := &l.window.slots[e.flight]; f.state == flightWriting && f.take == e.take {
		return f
	}
	return nil
}

// Wrote says that the kernel has taken all of e.
func (l *Lane) Wrote(e Entry, now int64) {
	if e.flight < 0 {
		l.outDone(e)
		l.Written++
		l.class.Totals.Written.Add(1)
		return
	}
	f := l.flying(e)
	if f == nil {
		return // acknowledged while its repeat was being written, or the lane was closed
	}
	if f.tries == 0 {
		l.Written++
		l.class.Totals.Written.Add(1)
	} else {
		l.rareBooks().retries++
		l.class.Totals.Retries.Add(1)
	}
	f.tries = min(f.tries, MaxRetries) + 1 // it never wraps
	f.since = now
	l.window.set(e.flight, flightSent)
}

// Untake puts back an entry of which nothing was written. Entries go back in the
// opposite order of their taking, before anything else is done with the lane.
func (l *Lane) Untake(e Entry) {
	s := slot{item: e.item, size: e.size}
	if e.flight < 0 {
		l.queue.end(e.size)
	} else {
		f := l.flying(e)
		if f == nil {
			return
		}
		if f.tries > 0 {
			l.window.set(e.flight, flightDue)
			return
		}
		var ok bool
		if s, ok = l.window.takeBack(e.flight); !ok {
			return
		}
		l.class.Totals.Queued.Add(1)
		l.class.Totals.InFlight.Add(-1)
	}
	l.occupy()
	l.index(s.item, l.queue.pushFront(s))
}

// Abandon settles an entry that was taken and will never be written whole.
func (l *Lane) Abandon(e Entry, r base.Reason) {
	if e.flight >= 0 {
		return // still in the window: Close settles it
	}
	l.outDone(e)
	l.dropped(r)
}

func (l *Lane) outDone(e Entry) {
	l.queue.end(e.size)
	l.queue.outAt = max(l.queue.outAt, e.msg.At) // those still being written came after it
	l.vacate()
	l.unqueue(e.size)
	e.item.drop()
}

// Close empties the lane: everything it holds or has spilled is booked as dropped for r. An
// entry being written may still be reported by Wrote or Abandon.
func (l *Lane) Close(r base.Reason) {
	n, _, _ := l.Spilled()
	l.Forgo(n, r)
	for l.queue.len() > 0 {
		l.dropHead(r)
	}
	if l.window != nil {
		for l.window.n > 0 {
			l.landed(l.window.head)
			l.dropped(r)
		}
	}
	l.dropWindow()
}

func (l *Lane) dropWindow() {
	if l.window != nil {
		l.class.memory -= l.window.memory()
		l.window = nil
	}
}

// End says that the lane was closed for good and is not used any more, but for an entry
// that is still being written: what its books take is not counted from now on.
func (l *Lane) End() {
	if !l.ended && l.rare != nil {
		l.class.memory -= rareBytes
	}
	l.ended = true
}

// Expire drops queued entries whose time to live has passed, oldest first.
func (l *Lane) Expire(now int64) {
	for l.queue.len() > 0 {
		x := l.queue.front().item.Msg.Expires
		if x == 0 || x > now {
			return
		}
		l.dropHead(base.ReasonExpired)
	}
}

// expireBehind is Expire for a lane that is full: it finds also what stands behind a message that lives longer, so that no
// policy acts for the sake of messages that nobody will get. It reports whether there was any.
func (l *Lane) expireBehind(now int64) (any bool) {
	if q := l.queue; q == nil || q.soonest == 0 || q.soonest > now {
		return false
	}
	for range l.queue.len() {
		if x := l.queue.front().expires(); x != 0 && x <= now {
			l.dropHead(base.ReasonExpired)
			any = true
			continue
		}
		s := l.queue.pop()
		l.index(s.item, l.queue.push(s))
	}
	if l.queue != nil {
		l.queue.review()
	}
	return any
}

// Evict drops queued messages published at or before that moment, to save
// memory: best effort only (architecture.md D9). It reports how many.
func (l *Lane) Evict(at int64) (n int) {
	if l.class.Policy.Overflow == base.Coalesce {
		return l.evictAnywhere(at)
	}
	for l.queue.len() > 0 && l.queue.front().item.Msg.At <= at {
		l.dropHead(base.ReasonBudget)
		n++
	}
	return n
}

// evictAnywhere is Evict where a newer message may stand before an older one:
// it turns the queue once.
func (l *Lane) evictAnywhere(at int64) (n int) {
	for range l.queue.len() {
		if l.queue.front().item.Msg.At <= at {
			l.dropHead(base.ReasonBudget)
			n++
			continue
		}
		s := l.queue.pop()
		l.index(s.item, l.queue.push(s)) // where it has just made room
	}
	return n
}

// Trim gives back the window while nothing is in flight; for quiet moments.
func (l *Lane) Trim() {
	if l.window != nil && l.window.n == 0 {
		l.dropWindow()
	}
}

// NextDeadline is when Due or Expire has something to do; 0 = never.
func (l *Lane) NextDeadline() int64 {
	at := l.NextExpiry()
	if l.window != nil {
		at = min(at, l.window.deadline(&l.class.Policy))
	}
	if at == math.MaxInt64 {
		return 0
	}
	return at
}

// NextExpiry is when Expire has something to do; MaxInt64 = never.
func (l *Lane) NextExpiry() int64 {
	if l.queue.len() > 0 {
		if x := l.queue.front().item.Msg.Expires; x != 0 {
			return x
		}
	}
	return math.MaxInt64
}

// Depth is how many entries the lane holds, in flight and being written included.
func (l *Lane) Depth() int {
	writing, _ := l.queue.writing()
	return l.queue.len() + writing + l.InFlight()
}

// InFlight is how many are in the window.
func (l *Lane) InFlight() int {
	n, _ := l.window.load()
	return n
}

// Bytes is the wire size of what the lane holds.
func (l *Lane) Bytes() int {
	_, writing := l.queue.writing()
	_, flying := l.window.load()
	return l.queue.weight() + writing + flying
}

// OldestAt is when the message that has waited longest was published, in the lane or spilled; 0 if there is none.
func (l *Lane) OldestAt() int64 {
	if n, _ := l.queue.writing(); n > 0 {
		return l.queue.outAt
	}
	if l.window != nil && l.window.n > 0 {
		return l.window.slots[l.window.head].item.Msg.At
	}
	if l.queue.len() > 0 {
		return l.queue.front().item.Msg.At
	}
	_, _, at := l.Spilled()
	return at
}

// Balanced reports whether the books add up (promise P5).
func (l *Lane) Balanced() bool {
	done := l.settled
	if !l.reliable() {
		done += l.Written
	}
	spilled, _, _ := l.Spilled()
	return l.Offered == done+l.AllDropped()+uint64(l.Depth())+spilled
}

// TakeLoss returns how many messages were lost since the client was last told,
// and why the last one was. ok is false if there is nothing to tell.
func (l *Lane) TakeLoss() (n uint64, r base.Reason, ok bool) {
	x := l.rare
	if x == nil {
		return 0, 0, false
	}
	n, r = x.untold, x.because
	x.untold = 0
	return n, r, n > 0
}

// ReturnLoss undoes a TakeLoss whose notice was not written.
func (l *Lane) ReturnLoss(n uint64, r base.Reason) {
	x := l.rare
	if x.untold == 0 {
		x.because = r
	}
	x.untold += n
}
