package guard_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/guard"
)

// memory is the exact window that a Meter stands in for: it remembers each message.
type memory struct {
	q    guard.Quota
	sent []sent
}

type sent struct {
	at    int64
	bytes int
}

func (m *memory) add(at int64, bytes int) { m.sent = append(m.sent, sent{at, bytes}) }

// within adds up what was sent in the window that ends with at, as a Meter knows time: to the microsecond. Of a message that is
// larger than the quota as much as the quota counts: what follows waits for the rest.
func (m *memory) within(at int64) (messages, bytes int) {
	for i := len(m.sent) - 1; i >= 0 && m.sent[i].at/1000 > (at-int64(m.q.Window))/1000; i-- {
		if m.sent[i].at <= at {
			messages++
			bytes += m.counted(m.sent[i].bytes)
		}
	}
	return messages, bytes
}

// counted is how much of a message one window can hold.
func (m *memory) counted(bytes int) int {
	if m.q.Bytes > 0 {
		return min(bytes, m.q.Bytes)
	}
	return bytes
}

// story is a sequence of messages: how long after the last each comes, in microseconds, and its bytes.
type story func(i int) (after int64, bytes int)

// stories are those of senders: as fast as can be, evenly at some rate, in bursts, at random, with silence in between.
func stories(r *rand.Rand, q guard.Quota) map[string]story {
	w, n := q.Window.Microseconds(), int64(max(q.Messages, 4))
	size := func() int { return r.IntN(max(q.Bytes, 400)/8 + 1) }
	pace := w*(1+r.Int64N(30))/(10*n) + 1
	burst := 1 + r.IntN(2*int(n))
	return map[string]story{
		"flood":  func(int) (int64, int) { return r.Int64N(3), size() },
		"even":   func(int) (int64, int) { return pace, size() },
		"random": func(int) (int64, int) { return r.Int64N(2*w/n + 2), size() },
		"bursts": func(i int) (int64, int) {
			if i%burst == 0 {
				return w*r.Int64N(25)/10 + 1, size()
			}
			return 0, size()
		},
		"boundary": func(i int) (int64, int) { // as much as fits right before a bucket ends, again right after
			if i%burst == 0 {
				return w - 1 + r.Int64N(3), size()
			}
			return 0, size()
		},
	}
}

func someQuota(r *rand.Rand) guard.Quota {
	q := guard.Quota{Window: time.Duration(1+r.Int64N(2000)) * time.Millisecond}
	if r.IntN(4) > 0 {
		q.Messages = 1 + r.IntN(60)
	}
	if q.Messages == 0 || r.IntN(2) > 0 {
		q.Bytes = 1 + r.IntN(5000)
	}
	return q
}

// bounded checks the bounds that Meter states: twice the quota in any window, and the quota in the long run.
func (m *memory) bounded(t *testing.T, what string) {
	t.Helper()
	all, largest := 0, 0
	for _, s := range m.sent {
		messages, bytes := m.within(s.at)
		if m.q.Messages > 0 && messages > 2*m.q.Messages || m.q.Bytes > 0 && bytes > 2*m.q.Bytes {
			t.Fatalf("%s, %+v: %d messages, %d bytes let through in a window", what, m.q, messages, bytes)
		}
		all += s.bytes
		largest = max(largest, s.bytes)
	}
	if len(m.sent) == 0 {
		return
	}
	windows := float64(m.sent[len(m.sent)-1].at-m.sent[0].at)/float64(m.q.Window) + 2
	if m.q.Messages > 0 && float64(len(m.sent)) > windows*float64(m.q.Messages) {
		t.Fatalf("%s, %+v: %d messages in %.1f windows", what, m.q, len(m.sent), windows)
	}
	if m.q.Bytes > 0 && float64(all) > windows*float64(m.q.Bytes)+float64(largest) {
		t.Fatalf("%s, %+v: %d bytes in %.1f windows", what, m.q, all, windows)
	}
}

func TestMeterTakesNoMoreThanItSaysAndRefusesNobodyBelowHalf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	taken, refused := 0, 0
	for range 150 {
		q := someQuota(r)
		for what, next := range stories(r, q) {
			var m guard.Meter
			exact, asked := &memory{q: q}, &memory{q: q}
			now := r.Int64N(1e15)
			for i := range 250 {
				after, bytes := next(i)
				now += after * int64(time.Microsecond)
				ok := m.Take(&q, now, bytes)
				if asked.add(now, bytes); ok {
					taken++
					exact.add(now, bytes)
					continue
				}
				refused++
				messages, sum := asked.within(now)
				if calm(asked, q) && (q.Messages == 0 || 2*messages <= q.Messages) && (q.Bytes == 0 || 2*sum <= q.Bytes) {
					t.Fatalf("%s, %+v: refused with %d messages and %d bytes in the window, below half of the quota", what, q, messages, sum)
				}
			}
			exact.bounded(t, what)
		}
	}
	if taken == 0 || refused == 0 {
		t.Errorf("%d taken, %d refused: the stories show nothing", taken, refused)
	}
}

// calm reports whether every window so far had at most half of the quota.
func calm(m *memory, q guard.Quota) bool {
	for _, s := range m.sent {
		if messages, bytes := m.within(s.at); q.Messages > 0 && 2*messages > q.Messages || q.Bytes > 0 && 2*bytes > q.Bytes {
			return false
		}
	}
	return true
}

func TestMeterReservesTurnsInOrderAtTheRate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	waited := 0
	for range 150 {
		q := someQuota(r)
		for what, next := range stories(r, q) {
			var m guard.Meter
			exact := &memory{q: q}
			now, last := r.Int64N(1e15), int64(0)
			for i := range 250 {
				after, bytes := next(i)
				if q.Bytes > 0 && r.IntN(20) == 0 {
					bytes = q.Bytes * (1 + r.IntN(4)) // larger than a window takes
				}
				now += after * int64(time.Microsecond)
				at := m.Reserve(&q, now, bytes)
				if at < now || at/1000 < last/1000 {
					t.Fatalf("%s, %+v: the turn of a message that came at %d is at %d, behind one at %d", what, q, now, at, last)
				}
				if at > now {
					waited++
				}
				exact.add(at, bytes)
				last = at
				if r.IntN(3) == 0 {
					now = max(now, at) // a sender that is not read meanwhile
				}
			}
			exact.bounded(t, what)
		}
	}
	if waited == 0 {
		t.Error("nobody had to wait")
	}
}

// A sender that always has something to send gets its quota, not half of it, however late it is woken.
func TestMeterGivesAFloodItsWholeQuota(t *testing.T) {
	for _, late := range []time.Duration{0, 10 * time.Millisecond, 70 * time.Millisecond} {
		q := guard.Quota{Messages: 100, Window: time.Second}
		var m guard.Meter
		now, n := int64(5e9), 0
		for end := now + 60*int64(time.Second); now < end; n++ {
			if at := m.Reserve(&q, now, 10); at > now {
				now = at + int64(late)
			}
		}
		if n < 5000 || n > 6100 {
			t.Errorf("woken %v late: %d messages in a minute, want 100 a second", late, n)
		}
	}
}

func TestMeterIsIdleWhenItWouldAllowAll(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		q := someQuota(r)
		var m guard.Meter
		now := r.Int64N(1e15)
		for range r.IntN(100) {
			now += r.Int64N(int64(q.Window) / 8)
			m.Take(&q, now, r.IntN(100))
		}
		idle := now
		for !m.Idle(&q, idle) {
			idle += int64(q.Window) / 16
		}
		fresh, used := guard.Meter{}, m
		for i := range 100 {
			if a, b := fresh.Take(&q, idle, i), used.Take(&q, idle, i); a != b {
				t.Fatalf("%+v: idle, message %d is taken: %v; by a fresh one %v", q, i, b, a)
			}
		}
	}
}

// The largest numbers do not overflow, and time that stands still or goes back is no licence.
func TestMeterAtTheLimits(t *testing.T) {
	q := guard.Quota{Messages: math.MaxInt32, Bytes: math.MaxInt32, Window: guard.MaxWindow}
	var m guard.Meter
	now := int64(math.MaxInt64 / 4)
	if !m.Take(&q, now, math.MaxInt32) || m.Take(&q, now, 1) {
		t.Error("want the largest message taken, and no more")
	}
	for range 3 {
		if at := m.Reserve(&q, now, math.MaxInt32); at <= now {
			t.Errorf("a turn at %d, behind a full window, at %d", at, now)
		}
	}
	one := guard.Quota{Messages: 1, Window: time.Millisecond}
	var back guard.Meter
	if !back.Take(&one, now, 0) || back.Take(&one, now-int64(time.Hour), 0) || back.Take(&one, 0, 0) {
		t.Error("a clock that goes back lets more through")
	}
	if size := unsafe.Sizeof(guard.Meter{}); size > 32 {
		t.Errorf("a Meter takes %d bytes, want at most 32", size)
	}
}

func FuzzMeter(f *testing.F) {
	f.Add(uint16(10), uint16(100), uint16(1000), []byte{0, 1, 2, 255, 128, 7, 7, 7})
	f.Add(uint16(0), uint16(1), uint16(1), []byte("bursts of bytes"))
	f.Add(uint16(1), uint16(0), uint16(3), []byte{0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, messages, bytes, ms uint16, script []byte) {
		q := guard.Quota{Messages: int(messages), Bytes: int(bytes), Window: time.Duration(ms)*time.Millisecond + time.Millisecond}
		var taker, waiter guard.Meter
		taken, turns := &memory{q: q}, &memory{q: q}
		now, last := int64(1e12), int64(0)
		for i, b := range script {
			now += int64(b%16) * int64(b/16) * int64(q.Window) / 100
			n := i * int(b) % 300
			if taker.Take(&q, now, n) {
				taken.add(now, n)
			}
			at := waiter.Reserve(&q, now, n)
			if at < now || at/1000 < last/1000 {
				t.Fatalf("the turn of a message that came at %d is at %d, behind one at %d", now, at, last)
			}
			last = at
			turns.add(at, n)
		}
		taken.bounded(t, "taken")
		turns.bounded(t, "turns")
	})
}
