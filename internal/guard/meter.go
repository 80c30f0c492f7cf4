package guard

import (
	"math"
	"time"
)

// Quota is how much may be sent in a window of time. Of Messages and Bytes 0 is any number.
type Quota struct {
	Messages, Bytes int           // at most math.MaxInt32
	Window          time.Duration // 1 ms to MaxWindow
}

// MaxWindow is the longest window of a Quota: up to it the arithmetic of a Meter is exact.
const MaxWindow = time.Hour

// Meter measures what one sender has sent against a Quota, by a sliding window of two buckets: what the bucket before has
// counts for the share of it that the window still covers.
//
//	 before          current
//	|───────────────|─────────┬·····|
//	        └────── window ───┘ now        sent = before × (window − past)/window + current
//
// That takes what came in the bucket before to have come evenly, so it errs, within bounds that are tested against a window
// that remembers each message: in no window is more let through than twice the quota, and in the long run no more than the
// quota; whoever sends at most half of the quota in any window is never told to wait.
//
// The zero Meter has seen nothing. It is pure and belongs to one goroutine; it must be asked with the same Quota always.
type Meter struct {
	began    int64  // when the current bucket began, in microseconds of the caller's clock
	past     uint32 // up to when it is used, in microseconds since then: time does not go back
	messages [2]uint32
	bytes    [2]uint32
}

// The buckets of a Meter.
const (
	current = iota
	before
)

// Take counts a message of so many bytes at now, in nanoseconds, unless it is beyond the quota; it reports whether it is
// counted. One that is larger than the quota's bytes never is.
func (m *Meter) Take(q *Quota, now int64, bytes int) bool {
	t := m.roll(q, now)
	if q.Bytes > 0 && bytes > q.Bytes || m.fitsAt(q, bytes) > t {
		return false
	}
	m.count(bytes)
	return true
}

// Reserve counts a message of so many bytes, and returns when its turn is: at now, in nanoseconds, or as much later as the
// quota wants, behind all that was counted before. A message that is larger than the quota's bytes is let through when a
// window has no other, and what follows waits as many windows as it has filled.
func (m *Meter) Reserve(q *Quota, now int64, bytes int) (at int64) {
	m.roll(q, now)
	need := bytes
	if q.Bytes > 0 {
		need = min(bytes, q.Bytes)
	}
	turn := m.fitsAt(q, need) * int64(time.Microsecond)
	m.roll(q, turn)
	m.count(need)
	if need < bytes {
		over := min(int64(bytes)-int64(need), math.MaxInt32)
		m.began += over * micros(q.Window) / int64(q.Bytes)
	}
	return max(turn, now)
}

// Next is when Take would count a message of so many bytes, which are not beyond the quota's, if nothing came before it: at now,
// in nanoseconds, or later.
func (m *Meter) Next(q *Quota, now int64, bytes int) (at int64) {
	m.roll(q, now)
	return max(m.fitsAt(q, bytes)*int64(time.Microsecond), now)
}

// Idle reports whether nothing that was counted matters any more at now, in nanoseconds: the Meter may be forgotten.
func (m *Meter) Idle(q *Quota, now int64) bool {
	return now/int64(time.Microsecond)-m.began >= 2*micros(q.Window)
}

// roll has the current bucket be that of now, or stays where it is if it has been used later, and returns the time in
// microseconds for which it stands.
func (m *Meter) roll(q *Quota, now int64) int64 {
	w := micros(q.Window)
	t := max(now/int64(time.Microsecond), m.began+int64(m.past))
	switch past := t - m.began; {
	case past < w:
		m.past = uint32(past)
	case past < 2*w:
		m.began += w
		m.past = uint32(past - w)
		m.messages = [2]uint32{before: m.messages[current]}
		m.bytes = [2]uint32{before: m.bytes[current]}
	default:
		*m = Meter{began: t}
	}
	return t
}

// fitsAt is when a message fits, in microseconds: not before the time for which the Meter stands. Its bytes are not beyond
// the quota's.
func (m *Meter) fitsAt(q *Quota, bytes int) int64 {
	w := micros(q.Window)
	t := max(fit(m.messages, q.Messages, 1, w), fit(m.bytes, q.Bytes, bytes, w))
	return m.began + max(t, int64(m.past))
}

// fit is how long after the beginning of the current bucket there is room for so much more; 0 if there is no quota. The products
// are below 2^63 for MaxWindow.
func fit(sent [2]uint32, quota, more int, window int64) int64 {
	if quota <= 0 {
		return 0
	}
	room := int64(quota) - int64(more)
	if left := room - int64(sent[current]); left >= 0 {
		return untilFaded(int64(sent[before]), left, window)
	}
	return window + untilFaded(int64(sent[current]), room, window)
}

// untilFaded is how long a bucket has to have been the one before until what counts of it is at most room.
func untilFaded(sent, room, window int64) int64 {
	if sent <= room {
		return 0
	}
	return window - room*window/sent
}

// count adds a message to the current bucket, which has room for it.
func (m *Meter) count(bytes int) {
	m.messages[current] = saturated(m.messages[current], 1)
	m.bytes[current] = saturated(m.bytes[current], bytes)
}

// saturated is a sum that stays at its largest value: only what has no quota gets there.
func saturated(n uint32, more int) uint32 {
	return uint32(min(uint64(n)+uint64(more), math.MaxInt32))
}

func micros(d time.Duration) int64 { return d.Microseconds() }
