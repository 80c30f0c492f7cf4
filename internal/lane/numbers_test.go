package lane_test

import (
	"math"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/packet"
)

// reliableLane holds one message.
func reliableLane(p lane.Policy) *lane.Lane {
	p.Mode, p.Overflow, p.MaxMessages, p.MaxBytes, p.MaxInFlight = base.AtLeastOnce, base.RejectNew, 4, 1<<20, 1
	c := &lane.Class{Policy: p}
	l := new(lane.Lane)
	l.Init(c, base.Plain, false)
	m := packet.NewMessage(base.RawFrame([]byte{0x81, 1, '2'}))
	m.ID = "x"
	it := c.Hold(m)
	l.Offer(it, 0)
	c.Release(it)
	return l
}

// However many retries are allowed, they end.
func TestRetriesEndBeyondWhatIsCounted(t *testing.T) {
	for _, retries := range []int{lane.MaxRetries, 70_000, math.MaxInt} {
		l := reliableLane(lane.Policy{AckTimeout: time.Second, MaxRetries: retries, Backoff: 1})
		now, sends := int64(0), 0
		for range 1 << 17 {
			e, ok := l.Take(now)
			if !ok {
				break
			}
			sends++
			l.Wrote(e, now)
			now += int64(2 * time.Second)
			l.Due(now)
		}
		if sends != lane.MaxRetries+1 || l.InFlight() != 0 || l.Dropped(base.ReasonExhausted) != 1 {
			t.Errorf("%d retries: %d sends, %d in flight, %d exhausted", retries, sends, l.InFlight(), l.Dropped(base.ReasonExhausted))
		}
	}
}

// A time-out that is longer than the clock goes does not run out at once.
func TestLongAckTimeoutIsNotDueAtOnce(t *testing.T) {
	l := reliableLane(lane.Policy{AckTimeout: math.MaxInt64, MaxRetries: 3, Backoff: 2})
	e, _ := l.Take(1)
	l.Wrote(e, 1)
	for _, now := range []int64{2, int64(time.Hour), math.MaxInt64 - 1} {
		if again, exhausted := l.Due(now); again+exhausted > 0 {
			t.Errorf("at %d: %d again, %d exhausted", now, again, exhausted)
		}
	}
}
