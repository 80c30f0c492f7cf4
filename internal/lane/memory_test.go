package lane_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// small is more than a queue takes that is kept for reuse.
const small = 64*48 + 64*16 + 256

// crammed is a lane with so many messages of different keys.
func crammed(t *testing.T, o base.Overflow, n int) *rig {
	t.Helper()
	p := bestEffort(o)
	p.MaxMessages, p.MaxBytes = 1<<20, 1<<30
	r := newRig(t, p)
	for i := range n {
		r.offer(msg{id: fmt.Sprint(i), key: fmt.Sprint("key", i)})
	}
	return r
}

// A queue that was long gives its slots back when it is short, though it is never empty.
func TestQueueThatWasLongGivesItsSlotsBack(t *testing.T) {
	r := crammed(t, base.DropOldest, 5000)
	for range 4999 {
		e, _ := r.Take(r.now)
		r.Wrote(e, r.now)
	}
	if n := r.class.Slack(); r.Depth() != 1 || n > small+lane.MessageBytes {
		t.Errorf("%d messages wait and the class has %d bytes of slack", r.Depth(), n)
	}
}

// A map of keys does not stay with the queue that is kept for reuse: it never shrinks.
func TestQueueKeptForReuseHasNoLargeMap(t *testing.T) {
	r := crammed(t, base.Coalesce, 5000)
	if n := r.class.Slack(); n < 5000*32 {
		t.Errorf("%d bytes of slack for 5,000 keys", n)
	}
	for r.Depth() > 0 {
		e, _ := r.Take(r.now)
		r.Wrote(e, r.now)
	}
	if n := r.class.Spare(); r.class.Slack() != 0 || n == 0 || n > small {
		t.Errorf("the empty class has %d bytes of slack, and %d to spare", r.class.Slack(), n)
	}
	if r.class.Drop(); r.class.Slack() != 0 || r.class.Spare() != 0 {
		t.Errorf("%d bytes of slack, %d to spare when all is given back", r.class.Slack(), r.class.Spare())
	}
}

// A window counts whole from the first message sent until it is given back, and what a
// lane remembers of losses until it has ended.
func TestWindowsAndLossesCountUntilTheyGo(t *testing.T) {
	p := reliable(1000)
	p.MaxMessages = 1000
	r := newRig(t, p)
	r.fill("a")
	if e, ok := r.Take(r.now); !ok {
		t.Fatal("nothing to take")
	} else {
		r.Wrote(e, r.now)
	}
	if n := r.class.Slack(); n < 1000*32 {
		t.Errorf("%d bytes for a window of 1,000", n)
	}
	r.Ack("a")
	r.Trim()
	if n := r.class.Slack(); n != 0 {
		t.Errorf("%d bytes when the window is given back", n)
	}
	r.fill("b")
	r.Close(base.ReasonDisconnect)
	if n := r.class.Slack(); n == 0 || n > 256 {
		t.Errorf("%d bytes for a loss", n)
	}
	r.End()
	r.End()
	r.Refuse(base.ReasonOverflow)
	if n := r.class.Slack(); n != 0 {
		t.Errorf("%d bytes when the lane has ended", n)
	}
}
