package wheel

// Expirer owns timers. An owner of several tells them apart by address.
type Expirer interface {
	// Expire is called when t has fired; t is disarmed and may be scheduled again. now is the moment given to
	// Advance, which is not before t's.
	Expire(t *Timer, now int64)
}

// Timer is one moment of one owner, embedded in it by value: 40 bytes, armed or not. The zero value is disarmed and
// needs Init before its first Schedule. An armed timer must not be copied, and its owner not be reused, until it has
// fired or was stopped.
type Timer struct {
	next, prev *Timer // nil: disarmed
	when       int64
	owner      Expirer
}

// Init names the owner whose Expire is called. It must not be called on an armed timer.
func (t *Timer) Init(owner Expirer) { t.owner = owner }

// Armed says whether t is scheduled and has not fired.
func (t *Timer) Armed() bool { return t.next != nil }

// When is the moment t was last scheduled for, which is not rounded to ticks; 0 before the first Schedule.
func (t *Timer) When() int64 { return t.when }

// noSlot marks the head of a list that is not one of the wheel's slots.
const noSlot = -1

// list is a ring of timers through head, whose when names the slot: so a timer can leave its list in O(1) without
// knowing which one it is in.
type list struct{ head Timer }

func (l *list) init(slot int64) {
	l.head.next, l.head.prev = &l.head, &l.head
	l.head.when = slot
}

func (l *list) empty() bool { return l.head.next == &l.head }

func (l *list) append(t *Timer) {
	last := l.head.prev
	t.prev, t.next = last, &l.head
	last.next, l.head.prev = t, t
}

// take moves all timers of from to the end of l, in O(1).
func (l *list) take(from *list) {
	if from.empty() {
		return
	}
	first, last := from.head.next, from.head.prev
	first.prev, last.next = l.head.prev, &l.head
	l.head.prev.next, l.head.prev = first, last
	from.head.next, from.head.prev = &from.head, &from.head
}
