package lane_test

import (
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

func TestLossIsToldOnceWithTheLastReason(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.wantLoss(0, 0)
	r.fill("a", "b", "c", "d")
	r.offer(msg{id: "big", size: 2000})
	r.wantLoss(2, base.ReasonTooLarge)
	r.wantLoss(0, 0)
	r.fill("e")
	r.wantLoss(1, base.ReasonOverflow)
}

func TestLossNoticeNotWrittenIsToldAgain(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.fill("a", "b", "c", "d")
	n, reason, _ := r.TakeLoss()
	r.ReturnLoss(n, reason)
	r.wantLoss(1, base.ReasonOverflow)
	r.wantLoss(0, 0)
}

func TestLossIsNotAReplacement(t *testing.T) {
	r := newRig(t, bestEffort(base.SnapshotOnly))
	r.fill("a", "b", "c")
	r.wantLoss(0, 0)
}

func TestLossIsKeptOnlyForWhoAskedForIt(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.Init(r.class, base.Plain, false)
	r.fill("a", "b", "c", "d")
	r.wantLoss(0, 0)
	r.wantDropped(base.ReasonOverflow, 1)
}

func TestRefusedIsBookedAndTold(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.Refuse(base.ReasonRejected)
	r.wantDropped(base.ReasonRejected, 1)
	r.wantHolds(0, 0, 0)
	r.wantLoss(1, base.ReasonRejected)
	if r.Offered != 1 || r.class.Totals.Offered.Load() != 1 {
		t.Fatalf("offered %d, in total %d, want 1", r.Offered, r.class.Totals.Offered.Load())
	}
}

func (r *rig) wantLoss(n uint64, reason base.Reason) {
	r.t.Helper()
	gotN, gotReason, ok := r.TakeLoss()
	if gotN != n || ok != (n > 0) || (ok && gotReason != reason) {
		r.t.Fatalf("loss: %d for %s (%v), want %d for %s", gotN, gotReason, ok, n, reason)
	}
}

// D2, D9: however many lanes hold a message, it is counted once.
func TestClassCountsAMessageOnceForAllLanes(t *testing.T) {
	class := &lane.Class{Policy: bestEffort(base.DropOldest)}
	lanes := make([]lane.Lane, 100)
	for i := range lanes {
		lanes[i].Init(class, base.Plain, false)
	}
	m := base.NewMessage(sized(500))
	it := class.Hold(m)
	for i := range lanes {
		lanes[i].Offer(it, 0)
	}
	class.Release(it)
	if want := int64(500 + 100*lane.EntryBytes); class.Held() != want {
		t.Fatalf("class holds %d, want %d", class.Held(), want)
	}
	for i := range lanes {
		if class.Oldest() == nil || class.Oldest().Msg != m {
			t.Fatalf("oldest item gone with %d lanes holding it", len(lanes)-i)
		}
		lanes[i].Close(base.ReasonDisconnect)
	}
	if class.Held() != 0 || class.Oldest() != nil {
		t.Fatalf("class holds %d, oldest %v, after all lanes closed", class.Held(), class.Oldest())
	}
	if got := class.Totals.Dropped[base.ReasonDisconnect].Load(); got != 100 {
		t.Fatalf("totals: %d dropped, want 100", got)
	}
}

func TestClassForgetsAMessageNobodyTook(t *testing.T) {
	class := &lane.Class{Policy: bestEffort(base.DropOldest)}
	class.Release(class.Hold(base.NewMessage(sized(500))))
	if class.Held() != 0 || class.Oldest() != nil {
		t.Fatalf("class holds %d, oldest %v", class.Held(), class.Oldest())
	}
}

func TestClassOldestSurvivesYoungerOnesLeaving(t *testing.T) {
	class := &lane.Class{Policy: bestEffort(base.DropOldest)}
	var slow, fast lane.Lane
	slow.Init(class, base.Plain, false)
	fast.Init(class, base.Plain, false)
	first := base.NewMessage(sized(1))
	for i, m := range []*base.Message{first, base.NewMessage(sized(1)), base.NewMessage(sized(1))} {
		it := class.Hold(m)
		if i == 0 {
			slow.Offer(it, 0)
		}
		fast.Offer(it, 0)
		class.Release(it)
	}
	for e, ok := fast.Take(0); ok; e, ok = fast.Take(0) {
		fast.Wrote(e, 0)
	}
	if class.Oldest() == nil || class.Oldest().Msg != first {
		t.Fatal("the oldest item is not the one the slow lane holds")
	}
}
