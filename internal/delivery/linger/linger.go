// Package linger keeps things for a while, so that more of them can be dealt with
// together.
//
//	Add ──> waiting ──timer──> waking ──a slice at a time──> wake
//
// One timer serves a line, however many wait in it: when the first of them has waited
// for long enough, all are woken. It is pure (architecture.md D6) and belongs to one goroutine,
// which moves the wheel.
package linger

import (
	"time"

	"github.com/streamweir/weir/internal/wheel"
)

// Tick is that of the wheel a line wants: things are woken up to so much earlier than
// asked for, and never later.
const Tick = wheel.MinTick

// Slice is how many things one Advance of the wheel wakes.
const Slice = 2048

// Line is things that wait equally long. It allocates only to grow.
type Line[T any] struct {
	wheel  *wheel.Wheel
	length int64
	wake   func(T)

	timer   wheel.Timer
	due     int64 // when the first of waiting has waited for long enough
	waiting []T   // added since the timer last fired
	waking  []T   // those before next are woken
	next    int
	used    bool // since the last Trim
}

// New returns a line in which nothing waits. The wheel must have Tick.
func New[T any](w *wheel.Wheel, length time.Duration, wake func(T)) *Line[T] {
	l := &Line[T]{wheel: w, length: int64(length), wake: wake}
	l.timer.Init(l)
	return l
}

// Length is how long things wait, in nanoseconds.
func (l *Line[T]) Length() int64 { return l.length }

// Len is how many things wait.
func (l *Line[T]) Len() int { return len(l.waiting) + len(l.waking) - l.next }

// Add makes x wait: it is woken once, together with what waits already. now is the
// moment of the wheel's last Advance or a later one.
func (l *Line[T]) Add(x T, now int64) {
	l.used = true
	l.waiting = append(l.waiting, x)
	if len(l.waiting) == 1 {
		l.due = now + l.length
		l.arm(now)
	}
}

// arm schedules the timer for what there is to do.
func (l *Line[T]) arm(now int64) {
	switch {
	case l.next < len(l.waking):
		l.wheel.Schedule(&l.timer, now)
	case len(l.waiting) > 0:
		l.wheel.Schedule(&l.timer, l.due-int64(Tick)) // the wheel may be a tick late
	}
}

// Expire implements wheel.Expirer: the first of those that wait has done so for long
// enough, or a slice of them was woken before.
func (l *Line[T]) Expire(_ *wheel.Timer, now int64) {
	if l.next == len(l.waking) {
		l.waiting, l.waking, l.next = l.waking[:0], l.waiting, 0
	}
	var none T
	for end := min(l.next+Slice, len(l.waking)); l.next < end; l.next++ {
		x := l.waking[l.next]
		l.waking[l.next] = none
		l.wake(x)
	}
	l.arm(now)
}

// Trim gives back the memory of a line that has not been used since it was last
// called.
func (l *Line[T]) Trim() {
	if !l.used && l.Len() == 0 {
		l.waiting, l.waking, l.next = nil, nil, 0
	}
	l.used = false
}
