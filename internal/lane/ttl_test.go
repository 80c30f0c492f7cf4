package lane_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

func TestExpiredIsNeverTaken(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.offer(msg{id: "a", ttl: 50})
	r.offer(msg{id: "b", ttl: 60})
	r.offer(msg{id: "c"})
	if got := r.NextDeadline(); got != 1050 {
		t.Fatalf("next deadline %d, want 1050", got)
	}
	r.advance(60)
	r.wantSent(all, "c")
	r.wantDropped(base.ReasonExpired, 2)
}

func TestExpiryIsTheMomentItself(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.offer(msg{id: "a", ttl: 50})
	r.advance(49)
	r.Expire(r.now)
	r.wantHolds(1, 1, 0)
	r.advance(1)
	r.Expire(r.now)
	r.wantHolds(0, 0, 0)
	if r.NextDeadline() != 0 {
		t.Fatalf("next deadline %d of an empty lane", r.NextDeadline())
	}
}

func TestExpiredMakesRoomBeforeThePolicyActs(t *testing.T) {
	r := newRig(t, bestEffort(base.RejectNew))
	for _, id := range []string{"a", "b", "c"} {
		r.offer(msg{id: id, ttl: 50})
	}
	r.advance(50)
	r.wantOffer(msg{id: "d"}, lane.Accepted)
	r.wantDropped(base.ReasonExpired, 3)
	r.wantDropped(base.ReasonRejected, 0)
}

// A full lane refuses nobody, drops nothing that lives, and cuts no client, for the sake of what has expired: wherever that
// stands, the first of the lane may live for ever.
func TestExpiredMakesRoomWhereverItStands(t *testing.T) {
	for _, overflow := range []base.Overflow{base.RejectNew, base.Disconnect, base.DropOldest, base.Coalesce} {
		const most = 8
		p := bestEffort(overflow)
		p.MaxMessages = most
		r := newRig(t, p)
		r.offer(msg{id: "lives"})
		for i := range most - 2 {
			r.offer(msg{id: fmt.Sprint(i), ttl: 50 - int64(i)})
		}
		r.offer(msg{id: "lives too", ttl: 1000})
		r.advance(49) // all but the first of them have expired
		r.wantOffer(msg{id: "new"}, lane.Accepted)
		r.wantDropped(base.ReasonExpired, most-3)
		r.advance(1) // and that too
		for i := range most - 3 {
			r.wantOffer(msg{id: fmt.Sprint("more ", i)}, lane.Accepted)
		}
		r.wantDropped(base.ReasonExpired, most-2)
		r.wantDropped(base.ReasonRejected, 0)
		r.wantDropped(base.ReasonOverflow, 0)
		r.wantHolds(most, most, 0)
	}
}

func TestExpiredIsBeingWrittenAllTheSame(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.offer(msg{id: "a", ttl: 50})
	out := r.take(1)
	r.advance(100)
	r.Expire(r.now)
	r.wrote(out...)
	if r.Written != 1 || r.AllDropped() != 0 {
		t.Fatalf("books %+v", r.Books)
	}
}

func TestExpiredInFlightIsNotRetried(t *testing.T) {
	r := newRig(t, reliable(2))
	r.offer(msg{id: "a", ttl: 50})
	r.fill("b")
	r.send(all)
	r.advance(100)
	r.wantDue(1, 0) // b alone
	r.wantDropped(base.ReasonExpired, 1)
	r.wantSent(all, "b")
}

func TestEvictTakesWhatIsOldAndNoMore(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	for _, id := range []string{"a", "b", "c"} {
		r.fill(id)
		r.advance(1)
	}
	if n := r.Evict(1001); n != 2 {
		t.Fatalf("evicted %d, want 2", n)
	}
	if n := r.Evict(1001); n != 0 {
		t.Fatalf("evicted %d again", n)
	}
	r.wantDropped(base.ReasonBudget, 2)
	r.wantSent(all, "c")
}

func TestTrimOfALaneInUseLosesNothing(t *testing.T) {
	r := newRig(t, reliable(2))
	r.Trim()
	r.fill("a", "b", "c")
	r.send(all)
	r.Trim()
	r.mustAck("a", "b")
	r.wantSent(all, "c")
	r.mustAck("c")
	r.Trim()
	r.fill("d")
	r.wantSent(all, "d")
	r.mustAck("d")
}

func TestTrimForgetsNoKeyInUse(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	r.wantOffer(msg{id: "a1", key: "a"}, lane.Accepted)
	r.Trim()
	r.wantOffer(msg{id: "a2", key: "a"}, lane.Coalesced)
	r.send(all)
	r.Trim()
	r.wantOffer(msg{id: "a3", key: "a"}, lane.Accepted)
	r.wantSent(all, "a3")
}

func TestOldestAtIsTheUnackedOne(t *testing.T) {
	r := newRig(t, reliable(1))
	if r.OldestAt() != 0 {
		t.Fatalf("oldest at %d in an empty lane", r.OldestAt())
	}
	r.fill("a")
	r.advance(10)
	r.fill("b")
	r.send(all)
	if r.OldestAt() != 1000 {
		t.Fatalf("oldest at %d, want 1000", r.OldestAt())
	}
	r.mustAck("a")
	if r.OldestAt() != 1010 {
		t.Fatalf("oldest at %d, want 1010", r.OldestAt())
	}
}

// A client that reads a little now and then always has a message half written: the writing never comes to an end.
func TestOldestAtGoesOnWhileOneIsAlwaysBeingWritten(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	r.fill("a")
	writing := r.take(1)
	for range 10 {
		r.advance(100)
		r.fill("b")
		next := r.take(1)
		r.wrote(writing...)
		writing = next
	}
	if r.OldestAt() < 1900 {
		t.Errorf("oldest at %d, want 1900 or later: all before is written", r.OldestAt())
	}
}
