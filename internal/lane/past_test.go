package lane_test

import (
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// A lane that takes up the books of an earlier one has lost nothing of them
// (promise P5), and they go on to add up.
func TestPastGoesOnInAnotherLane(t *testing.T) {
	r := newRig(t, bestEffort(base.Disconnect))
	r.fill("a", "b", "c")
	r.wantOffer(msg{id: "d"}, lane.Disconnect)
	r.send(all)
	past := r.Past()
	if past.Written() != 3 || past.AllDropped() != 1 {
		t.Errorf("%d written and %d dropped so far, want 3 and 1", past.Written(), past.AllDropped())
	}

	r.Init(r.class, base.Plain, true)
	if r.Offered != 0 || r.AllDropped() != 0 {
		t.Fatalf("a lane just made has books: %+v", r.Books)
	}
	r.Resume(past)
	if r.Offered != 4 || r.Written != 3 || r.Dropped(base.ReasonOverflow) != 1 || !r.Balanced() {
		t.Errorf("resumed books: %+v", r.Books)
	}
	r.fill("e", "f", "g")
	r.wantOffer(msg{id: "h"}, lane.Disconnect)
	r.send(all)
	r.wantDropped(base.ReasonOverflow, 2)
	if got := r.class.Totals.Offered.Load(); got != 8 || r.Offered != got {
		t.Errorf("%d offered by the lane's books, %d by its class's, want 8", r.Offered, got)
	}
}

// The zero Past is that of a lane nothing was offered to.
func TestZeroPastIsEmpty(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.Resume(lane.Past{})
	if (r.Past() != lane.Past{}) || r.Offered != 0 || !r.Balanced() {
		t.Errorf("books %+v", r.Books)
	}
}
