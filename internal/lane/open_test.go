package lane_test

import (
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// What is open is what the lane holds of a message whose way is not over, whatever its state.
func TestLaneKnowsWhatIsOpen(t *testing.T) {
	r := newRig(t, reliable(6))
	open := func(what string, want ...uint64) {
		t.Helper()
		if got := slices.Sorted(slices.Values(r.Open(nil))); !slices.Equal(got, want) {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	open("nothing")
	r.fill("1", "2", "3", "4", "5", "6", "7")
	open("all wait", 1, 2, 3, 4, 5, 6, 7)
	r.send(4)
	writing := r.take(1)
	open("some are sent, one is being written", 1, 2, 3, 4, 5, 6, 7)
	r.Ack("3")
	r.Ack("1")
	open("acknowledged in no order", 2, 4, 5, 6, 7)
	r.advance(time.Hour)
	r.Due(r.now)
	open("due again", 2, 4, 5, 6, 7)
	r.wrote(writing...)
	r.Close(base.ReasonDisconnect)
	open("closed")

	r = newRig(t, bestEffort(base.DropOldest))
	r.fill("1", "2", "3")
	writing = r.take(1)
	open("best effort, being written", 2, 3)
	r.Untake(writing[0])
	open("taken back", 1, 2, 3)
}
