package lane_test

import (
	"math"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/packet"
)

// loser is a lane of one place, so that each message but the first drops the one before it.
func loser(overflow base.Overflow) (offer func(n int), look func(at time.Duration) (lane.Lately, bool)) {
	c := &lane.Class{Policy: lane.Policy{Mode: base.BestEffort, Overflow: overflow, MaxMessages: 1, MaxBytes: 1 << 20}}
	var l lane.Lane
	l.Init(c, base.Plain, false)
	offer = func(n int) {
		for range n {
			m := packet.NewMessage(packet.NewFrame(0, func(b []byte) []byte { return b }))
			m.Key = "k"
			it := c.Hold(m)
			l.Offer(it, 0)
			c.Release(it)
		}
	}
	return offer, func(at time.Duration) (lane.Lately, bool) { return l.Lately(int64(at)) }
}

func TestLatelyIsOfTheLastTenToTwentySeconds(t *testing.T) {
	offer, look := loser(base.DropOldest)
	if v, known := look(0); !known || v != (lane.Lately{}) {
		t.Errorf("a lane that lost nothing: %+v, %v", v, known)
	}
	offer(11) // drops ten
	if _, known := look(time.Second); known {
		t.Error("what the books say at the first look may be of long ago")
	}
	offer(4)
	if _, known := look(1900 * time.Millisecond); known {
		t.Error("known less than a second after the first look")
	}
	for _, c := range []struct {
		at      time.Duration
		offered int // before the look
		want    lane.Lately
	}{
		{3 * time.Second, 0, lane.Lately{Offered: 4, Dropped: 4, Span: 2 * time.Second}},
		{11 * time.Second, 6, lane.Lately{Offered: 10, Dropped: 10, Span: 10 * time.Second}},
		{20 * time.Second, 1, lane.Lately{Offered: 11, Dropped: 11, Span: 19 * time.Second}},
		{21 * time.Second, 0, lane.Lately{Offered: 11, Dropped: 11, Span: 20 * time.Second}},
		{22 * time.Second, 0, lane.Lately{Offered: 1, Dropped: 1, Span: 11 * time.Second}}, // from second 11 on
		{40 * time.Second, 0, lane.Lately{Offered: 1, Dropped: 1, Span: 29 * time.Second}},
		{50 * time.Second, 0, lane.Lately{Span: 29 * time.Second}}, // from second 21 on
	} {
		offer(c.offered)
		if v, known := look(c.at); !known || v != c.want {
			t.Errorf("after %v: %+v, %v, want %+v", c.at, v, known, c.want)
		}
	}
}

func TestLatelyCountsReplacedApart(t *testing.T) {
	offer, look := loser(base.Coalesce)
	offer(2)
	look(0)
	offer(3)
	if v, known := look(time.Minute); !known || v != (lane.Lately{Offered: 3, Replaced: 3, Span: time.Minute}) {
		t.Errorf("%+v, %v", v, known)
	}
}

// Ticks of 100 ms wrap after 13 years.
func TestLatelyOutlivesItsTicks(t *testing.T) {
	offer, look := loser(base.DropOldest)
	last := math.MaxUint32 * 100 * time.Millisecond
	offer(2)
	look(last)
	offer(3)
	if v, known := look(last + 2*time.Second); !known || v != (lane.Lately{Offered: 3, Dropped: 3, Span: 2 * time.Second}) {
		t.Errorf("%+v, %v", v, known)
	}
}
