// Package wheel is the timing wheel of one shard: heartbeats, ack time-outs, retries and expiry of a million
// connections for the price of a list operation each.
//
// It is a pure core (architecture.md D6): no goroutine, no clock, no lock, and no allocation after New. Time is an int64 of
// nanoseconds on a monotonic clock the caller owns. A Wheel and its Timers belong to one goroutine.
package wheel

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// DefaultTick suits heartbeats and ack time-outs: nobody sees 10 ms there, and a coarse tick means that many timers
// fire in one step.
const DefaultTick = 10 * time.Millisecond

// MinTick is the shortest tick the levels can carry over the whole range of int64 nanoseconds.
const MinTick = 100 * time.Microsecond

const (
	slotBits = 6
	slots    = 1 << slotBits
	slotMask = slots - 1

	// 2^48 ticks of MinTick are 892 years, more than the 585 an int64 spans: no moment needs clamping.
	levels = 8

	// movesPerFire bounds the timers brought down a level in one Advance, as a multiple of its limit: moving one
	// costs some ten nanoseconds, an Expire that writes a ping several hundred.
	movesPerFire = 8
)

// Wheel holds armed timers by the tick at which they fire, a tick being the first one not before the timer's moment.
//
//	level 0   64 slots of 1 tick       the ticks of cur's own block of 64
//	level 1   64 slots of 64 ticks     the blocks of cur's own block of 4,096
//	level n   64 slots of 64^n ticks   …
//
// A timer sits on the level of the highest 6-bit digit in which its tick differs from cur. From that follow the two
// invariants everything rests on: every occupied slot of a level lies ahead of cur's slot there, and everything on a
// level fires before anything on the next. So the earliest occupied slot is the lowest bit of the lowest non-empty
// level. When cur enters a slot of an upper level its timers are moved down (they cascade), each at most once a level.
type Wheel struct {
	tick  uint64
	start int64

	now   int64  // the latest moment Advance was given
	cur   uint64 // the tick reached; behind now's while an Advance is catching up or was cut short
	armed int

	occupied [levels]uint64 // bit s of level l: slot[l][s] holds a timer
	slot     [levels][slots]list

	due     list // taken out of slots, to be fired before cur moves on
	cascade list // taken out of an upper slot, to be moved down before cur moves on
	late    list // armed for a moment already past; fired when cur has caught up
	overdue list // the same, armed since the current Advance began: for the next one
}

// New returns an empty wheel whose clock stands at now. A tick of 0 means DefaultTick; one below MinTick panics.
func New(tick time.Duration, now int64) *Wheel {
	if tick == 0 {
		tick = DefaultTick
	}
	if tick < MinTick {
		panic(fmt.Sprintf("wheel: tick %v is below %v", tick, MinTick))
	}
	w := &Wheel{tick: uint64(tick), start: now, now: now}
	for l := range w.slot {
		for s := range w.slot[l] {
			w.slot[l][s].init(int64(l<<slotBits | s))
		}
	}
	for _, l := range []*list{&w.due, &w.cascade, &w.late, &w.overdue} {
		l.init(noSlot)
	}
	return w
}

// Len is the number of armed timers.
func (w *Wheel) Len() int { return w.armed }

// Schedule arms t for the moment when, moving it if it is armed already. It fires in the first Advance that reaches
// the tick at or after when: never early, at most one tick late. A moment not after the latest Advance's fires in the
// next Advance; from within Expire that is the next call too, so a timer that keeps re-arming itself in the past
// cannot hold the loop. t must have been given its owner by Init.
func (w *Wheel) Schedule(t *Timer, when int64) {
	if t.owner == nil {
		panic("wheel: schedule a timer without an owner: Init was not called")
	}
	if t.next != nil {
		w.unlink(t)
	}
	t.when = when
	w.armed++
	if when <= w.now {
		w.overdue.append(t)
		return
	}
	w.place(t)
}

// Stop disarms t and reports whether it was armed. After it t does not fire, not even when it was due already and
// waiting behind a sibling.
func (w *Wheel) Stop(t *Timer) bool {
	if t.next == nil {
		return false
	}
	w.unlink(t)
	return true
}

// Advance moves the clock to now and fires what is due, tick by tick, within a tick in no promised order. It fires at
// most limit timers (0: all) and moves at most eight times as many between levels, so that a step of the loop stays
// short; more says that it stopped for that and has something left at this moment: call it again, with the same or
// a later now. Expire may schedule and stop any timer, but must not call Advance. A now before an earlier one counts
// as the earlier one.
func (w *Wheel) Advance(now int64, limit int) (fired int, more bool) {
	w.now = max(w.now, now)
	target := w.ticksUntil(w.now)
	w.late.take(&w.overdue)

	b := budget{fire: math.MaxInt, move: math.MaxInt}
	if limit > 0 {
		b = budget{fire: limit, move: movesPerFire * limit}
	}
	for {
		fired += w.fire(&w.due, &b)
		w.moveDown(&b)
		switch {
		case b.spent():
			next, ok := w.Next()
			return fired, ok && next <= w.now
		case !w.due.empty():
			continue
		case w.step(target):
			continue
		}
		fired += w.fire(&w.late, &b)
		return fired, !w.late.empty()
	}
}

// Next is the earliest moment at which Advance has something to do, which may be no more than moving timers down a
// level: no timer fires before it, and an Advance then makes progress. It is false when nothing is armed.
func (w *Wheel) Next() (when int64, ok bool) {
	if w.armed == 0 {
		return 0, false
	}
	if !w.due.empty() || !w.cascade.empty() || !w.late.empty() || !w.overdue.empty() {
		return w.now, true
	}
	_, tick := w.earliest()
	return w.moment(tick), true
}

// budget is what one Advance may still do.
type budget struct{ fire, move int }

func (b *budget) spent() bool { return b.fire == 0 || b.move == 0 }

// fire empties l into the owners' hands as far as the budget goes. Each timer is disarmed before its Expire runs,
// which may therefore re-arm it; the others stay in the list, where Stop finds them.
func (w *Wheel) fire(l *list, b *budget) (fired int) {
	for b.fire > 0 && !l.empty() {
		t := l.head.next
		w.unlink(t)
		b.fire--
		fired++
		t.owner.Expire(t, w.now)
	}
	return fired
}

// moveDown brings the timers of the upper slot cur has entered to where they belong now.
func (w *Wheel) moveDown(b *budget) {
	for b.move > 0 && !w.cascade.empty() {
		t := w.cascade.head.next
		w.unlink(t)
		b.move--
		w.armed++
		w.place(t)
	}
}

// step moves cur to the next occupied slot not after target, however many empty ones lie between, and takes its
// timers out. Without one it moves cur to target and returns false.
func (w *Wheel) step(target uint64) bool {
	if target <= w.cur {
		return false
	}
	level, tick := w.earliest()
	if level == levels || tick > target {
		w.cur = target
		return false
	}
	w.cur = tick
	s := int(tick>>(slotBits*level)) & slotMask
	w.occupied[level] &^= 1 << s
	into := &w.due
	if level > 0 {
		into = &w.cascade
	}
	into.take(&w.slot[level][s])
	return true
}

// earliest is the first occupied slot: its level and the tick it begins with; level is levels when there is none.
func (w *Wheel) earliest() (level int, tick uint64) {
	for l, set := range w.occupied {
		if set == 0 {
			continue
		}
		shift := slotBits * l
		block := w.cur &^ (1<<(shift+slotBits) - 1)
		return l, block | uint64(bits.TrailingZeros64(set))<<shift
	}
	return levels, 0
}

// place links a timer whose moment is after now, or which cascades, by its tick: never before cur.
func (w *Wheel) place(t *Timer) {
	tick := w.tickOf(t.when)
	if tick == w.cur {
		w.due.append(t)
		return
	}
	level := (bits.Len64(tick^w.cur) - 1) / slotBits
	s := int(tick>>(slotBits*level)) & slotMask
	w.occupied[level] |= 1 << s
	w.slot[level][s].append(t)
}

// unlink disarms t. The timer that leaves a slot empty has that slot's list on both sides, which names the slot.
func (w *Wheel) unlink(t *Timer) {
	if head := t.next; head == t.prev && head.when != noSlot {
		level, s := head.when>>slotBits, head.when&slotMask
		w.occupied[level] &^= 1 << s
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	w.armed--
}

// tickOf is the first tick not before when, which is after start. The difference is taken unsigned: it may exceed an
// int64 when start is negative.
func (w *Wheel) tickOf(when int64) uint64 {
	d := uint64(when) - uint64(w.start)
	tick := d / w.tick
	if d%w.tick != 0 {
		tick++
	}
	return tick
}

// ticksUntil is the last tick not after now.
func (w *Wheel) ticksUntil(now int64) uint64 {
	return (uint64(now) - uint64(w.start)) / w.tick
}

// moment is when tick begins, or the end of time for a tick rounded up beyond it.
func (w *Wheel) moment(tick uint64) int64 {
	if room := uint64(math.MaxInt64) - uint64(w.start); tick > room/w.tick {
		return math.MaxInt64
	}
	return int64(uint64(w.start) + tick*w.tick)
}
