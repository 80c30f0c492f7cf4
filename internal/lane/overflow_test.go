package lane_test

import (
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

func TestLaneDropOldestKeepsOrder(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.fill("a", "b", "c", "d", "e")
	r.wantDropped(base.ReasonOverflow, 2)
	r.wantSent(all, "c", "d", "e")
}

func TestLaneDropOldestRemovesUntilTheNewOneFits(t *testing.T) {
	p := bestEffort(base.DropOldest)
	p.MaxBytes = 100
	r := newRig(t, p)
	r.wantOffer(msg{id: "a", size: 30}, lane.Accepted)
	r.wantOffer(msg{id: "b", size: 30}, lane.Accepted)
	r.wantOffer(msg{id: "c", size: 40}, lane.Accepted)
	r.wantOffer(msg{id: "d", size: 50}, lane.DroppedOldest)
	r.wantHolds(2, 90, 0)
	r.wantDropped(base.ReasonOverflow, 2)
	r.wantSent(all, "c", "d")
}

// W1: the policy acts on all that has not been taken, however long the client
// stalls, and nothing beyond the limits is held.
func TestLaneOfAStalledClientStaysBoundedAndFresh(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	for range 20_000 {
		r.offer(msg{id: "old", size: 16})
	}
	r.fill("x", "y", "z")
	r.wantHolds(3, 3, 0)
	r.wantDropped(base.ReasonOverflow, 20_000)
	if want := int64(3 + 3*lane.EntryBytes); r.class.Held() != want {
		t.Fatalf("class holds %d bytes, want %d", r.class.Held(), want)
	}
	r.wantSent(all, "x", "y", "z")
}

func TestLaneRejectNewKeepsWhatItHas(t *testing.T) {
	r := newRig(t, bestEffort(base.RejectNew))
	r.fill("a", "b", "c")
	r.wantOffer(msg{id: "d"}, lane.Rejected)
	r.wantDropped(base.ReasonRejected, 1)
	r.wantSent(all, "a", "b", "c")
	r.wantOffer(msg{id: "e"}, lane.Accepted)
}

func TestLaneDisconnectRefusesWithoutDropping(t *testing.T) {
	r := newRig(t, bestEffort(base.Disconnect))
	r.fill("a", "b", "c")
	r.wantOffer(msg{id: "d"}, lane.Disconnect)
	r.wantHolds(3, 3, 0)
	if r.AllDropped() != 1 || !r.Balanced() {
		t.Fatalf("dropped %d, want the refused one alone", r.AllDropped())
	}
}

func TestLaneCoalesceReplacesInPlaceFullOrNot(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	r.fill("x")
	r.wantOffer(msg{id: "a1", key: "a"}, lane.Accepted)
	r.wantOffer(msg{id: "a2", key: "a", size: 5}, lane.Coalesced)
	r.wantHolds(2, 6, 0)
	r.fill("y")
	r.wantOffer(msg{id: "a3", key: "a", size: 7}, lane.Coalesced)
	r.wantHolds(3, 9, 0)
	if r.Coalesced() != 2 {
		t.Fatalf("coalesced %d, want 2", r.Coalesced())
	}
	r.wantSent(all, "x", "a3", "y")
}

func TestLaneCoalesceWithoutMatchDropsOldest(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	for _, k := range []string{"a", "b", "c"} {
		r.wantOffer(msg{id: k + "1", key: k}, lane.Accepted)
	}
	r.wantOffer(msg{id: "d1", key: "d"}, lane.DroppedOldest)
	r.wantOffer(msg{id: "a2", key: "a"}, lane.DroppedOldest) // a1 has gone: no match
	r.wantSent(all, "c1", "d1", "a2")
}

func TestLaneCoalesceAppendsMessagesWithoutKey(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	r.fill("a", "b", "c")
	if r.Coalesced() != 0 {
		t.Fatalf("coalesced %d messages without a key", r.Coalesced())
	}
	r.wantOffer(msg{id: "d"}, lane.DroppedOldest)
	r.wantSent(all, "b", "c", "d")
}

func TestLaneCoalesceNeverReplacesWhatIsBeingWritten(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	r.wantOffer(msg{id: "a1", key: "a"}, lane.Accepted)
	out := r.take(1)
	r.wantOffer(msg{id: "a2", key: "a"}, lane.Accepted)
	r.wantHolds(2, 2, 0)
	r.wrote(out...)
	r.wantSent(all, "a2")
}

func TestLaneCoalesceFindsAnEntryPutBack(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	r.wantOffer(msg{id: "a1", key: "a"}, lane.Accepted)
	r.wantOffer(msg{id: "b1", key: "b"}, lane.Accepted)
	out := r.take(2)
	r.Untake(out[1])
	r.Untake(out[0])
	r.wantOffer(msg{id: "a2", key: "a"}, lane.Coalesced)
	r.wantOffer(msg{id: "b2", key: "b"}, lane.Coalesced)
	r.wantSent(all, "a2", "b2")
}

func TestLaneCoalescePushesOlderOnesOutForAHeavierMessage(t *testing.T) {
	p := bestEffort(base.Coalesce)
	p.MaxBytes = 100
	r := newRig(t, p)
	r.wantOffer(msg{id: "x", size: 40}, lane.Accepted)
	r.wantOffer(msg{id: "a1", key: "a", size: 40}, lane.Accepted)
	r.wantOffer(msg{id: "a2", key: "a", size: 80}, lane.Coalesced)
	r.wantDropped(base.ReasonOverflow, 1)
	r.wantHolds(1, 80, 0)
	r.wantSent(all, "a2")
}

func TestLaneSnapshotKeepsOneAlways(t *testing.T) {
	r := newRig(t, bestEffort(base.SnapshotOnly))
	r.wantOffer(msg{id: "a"}, lane.Accepted)
	r.wantOffer(msg{id: "b", size: 7}, lane.Coalesced)
	r.wantOffer(msg{id: "c", size: 9}, lane.Coalesced)
	r.wantHolds(1, 9, 0)
	if r.Coalesced() != 2 || r.AllDropped() != 0 {
		t.Fatalf("coalesced %d, dropped %d, want 2, 0", r.Coalesced(), r.AllDropped())
	}
	r.wantSent(all, "c")
}

func TestLaneRefusesTooLargeUnderEveryPolicy(t *testing.T) {
	for _, o := range []base.Overflow{base.DropOldest, base.RejectNew, base.Coalesce, base.SnapshotOnly, base.Disconnect} {
		t.Run(o.String(), func(t *testing.T) {
			p := bestEffort(o)
			p.MaxBytes = 10
			r := newRig(t, p)
			r.wantOffer(msg{id: "a", key: "k", size: 10}, lane.Accepted)
			r.wantOffer(msg{id: "b", key: "k", size: 11}, lane.TooLarge)
			r.wantDropped(base.ReasonTooLarge, 1)
			r.wantSent(all, "a")
		})
	}
}

// StreamFence S7: what spills is not lost, and is not counted as if it were; nothing overtakes it.
func TestLaneTellsSpillingFromLoss(t *testing.T) {
	p := reliable(1)
	p.Overflow, p.MaxMessages = base.SpillToDisk, 2
	r := newRig(t, p)
	r.fill("a", "b")
	r.wantOffer(msg{id: "c"}, lane.Spilled)
	r.wantSent(all, "a")
	r.Ack("a")
	r.wantOffer(msg{id: "d"}, lane.Spilled)
	if n, bytes, at := r.Spilled(); n != 2 || bytes != 2 || at != r.now || r.AllDropped() != 0 || !r.Balanced() {
		t.Errorf("spilled %d, %d bytes, since %d; dropped %d", n, bytes, at, r.AllDropped())
	}
}

// D1: acks and namespace packets are queued even when the lane is full; half
// full is when the socket is no longer read.
func TestLaneForceIgnoresLimitsAndHalfWarns(t *testing.T) {
	p := bestEffort(base.Disconnect)
	p.MaxMessages = 4
	r := newRig(t, p)
	r.fill("a")
	if r.Half() {
		t.Fatal("half full with 1 of 4")
	}
	r.fill("b")
	if !r.Half() {
		t.Fatal("not half full with 2 of 4")
	}
	r.fill("c", "d")
	it := r.class.Hold(r.message(msg{id: "ack", size: 2000}))
	r.Force(it)
	r.class.Release(it)
	r.wantHolds(5, 2004, 0)
	r.wantOffer(msg{id: "e"}, lane.Disconnect)
	r.wantSent(all, "a", "b", "c", "d", "ack")
	if r.Half() || !r.Balanced() {
		t.Fatalf("after writing all: half %v, books %+v", r.Half(), r.Books)
	}
}

func TestLaneHalfCountsBytes(t *testing.T) {
	p := bestEffort(base.Disconnect)
	p.MaxMessages, p.MaxBytes = 100, 10
	r := newRig(t, p)
	r.wantOffer(msg{id: "a", size: 5}, lane.Accepted)
	if !r.Half() {
		t.Fatal("not half full with 5 of 10 bytes")
	}
}

func TestLanePartlyWrittenBatchKeepsOrder(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.fill("a", "b", "c")
	out := r.take(3)
	r.wrote(out[0])
	r.Untake(out[2]) // b stays with the connection, half written
	r.wantHolds(2, 2, 0)
	r.fill("d", "e")
	r.wantHolds(4, 4, 0) // the limits and the batch
	r.wrote(out[1])
	r.wantSent(all, "c", "d", "e")
	r.wantDropped(base.ReasonOverflow, 0)
}

func TestLaneAbandonSettlesForItsReason(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.fill("a", "b")
	out := r.take(1)
	r.Abandon(out[0], base.ReasonDisconnect)
	r.wantDropped(base.ReasonDisconnect, 1)
	r.wantHolds(1, 1, 0)
}
