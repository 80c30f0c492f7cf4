package lane_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// P4: nothing newer overtakes a lost message by more than the window, also when
// all between have been acknowledged.
func TestWindowHoldsBackUntilTheOldestIsAcked(t *testing.T) {
	r := newRig(t, reliable(3))
	r.fill("a", "b", "c", "d", "e")
	r.wantSent(all, "a", "b", "c")
	r.mustAck("b", "c")
	if r.Sendable() {
		t.Fatal("sendable: the window reaches three beyond a")
	}
	r.wantSent(all)
	r.mustAck("a")
	r.wantSent(all, "d", "e")
}

func TestWindowCountsAgainstTheLimits(t *testing.T) {
	p := reliable(2)
	p.MaxMessages = 3
	r := newRig(t, p)
	r.fill("a", "b", "c")
	r.wantSent(all, "a", "b")
	r.wantHolds(3, 3, 2)
	r.wantOffer(msg{id: "d"}, lane.Rejected)
	r.mustAck("a")
	r.wantOffer(msg{id: "e"}, lane.Accepted)
	r.wantSent(all, "c")
}

func TestAckSaysWhenTheMessageWasPublished(t *testing.T) {
	r := newRig(t, reliable(2))
	r.fill("a")
	r.send(all)
	r.advance(50)
	if at, ok := r.Ack("a"); at != 1000 || !ok {
		t.Fatalf("ack: published at %d (%v), want 1000", at, ok)
	}
}

func TestAckIsKnownOnceAndOnlyAfterSending(t *testing.T) {
	for _, window := range []int{2, 40} { // scanned and indexed
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			r := newRig(t, reliable(window))
			r.wantNoAck("a")
			r.fill("a", "b")
			r.wantNoAck("a")
			out := r.take(1)
			r.wantNoAck("a") // not yet with the kernel
			r.wrote(out...)
			r.wantNoAck("nonsense")
			r.wantNoAck("b")
			r.mustAck("a")
			r.wantNoAck("a")
			if r.Acked() != 1 || !r.Balanced() {
				t.Fatalf("books %+v", r.Books)
			}
		})
	}
}

func TestAckInAnyOrderFreesEverything(t *testing.T) {
	for _, window := range []int{31, 32, 33, 40} {
		r := newRig(t, reliable(window))
		for i := range window {
			r.fill(fmt.Sprint(i))
		}
		r.send(all)
		for i := range window {
			r.mustAck(fmt.Sprint(i * 7 % window)) // 7 divides none of the windows
		}
		r.wantHolds(0, 0, 0)
	}
}

func TestRetryIsARepeatAndGoesFirst(t *testing.T) {
	r := newRig(t, reliable(2))
	r.fill("a", "b", "c")
	r.send(all)
	r.mustAck("b")
	r.advance(100)
	r.wantDue(1, 0)
	out := r.take(all)
	if got := ids(out); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("took %v, want a again and nothing past the window", got)
	}
	if out[0].Frame() != out[0].Message().Frame(base.Redelivered) {
		t.Fatal("a repeat is not marked as redelivered")
	}
	r.wrote(out...)
	if r.Written != 2 || r.Retries() != 1 {
		t.Fatalf("written %d, retries %d, want 2, 1", r.Written, r.Retries())
	}
	r.mustAck("a")
	r.wantSent(all, "c")
}

func TestRetryPutBackIsTakenAgain(t *testing.T) {
	r := newRig(t, reliable(2))
	r.fill("a", "b")
	r.send(1)
	r.advance(100)
	r.wantDue(1, 0)
	out := r.take(2)
	r.Untake(out[1])
	r.Untake(out[0])
	r.wantHolds(2, 2, 1)
	r.wantSent(all, "a", "b")
	if r.Written != 2 || r.Retries() != 1 {
		t.Fatalf("written %d, retries %d, want 2, 1", r.Written, r.Retries())
	}
}

func TestRetriesEndAfterOnePlusMaxRetriesSends(t *testing.T) {
	r := newRig(t, reliable(1))
	r.fill("a", "b")
	r.wantSent(all, "a")
	for range 2 {
		r.advance(100)
		r.wantDue(1, 0)
		r.wantSent(all, "a")
	}
	r.advance(99)
	r.wantDue(0, 0)
	r.advance(1)
	r.wantDue(0, 1)
	r.wantDropped(base.ReasonExhausted, 1)
	r.wantSent(all, "b") // an exhausted message does not hold up the others
}

func TestBackoffMultipliesTheTimeout(t *testing.T) {
	p := reliable(1)
	p.Backoff, p.MaxRetries = 3, 5
	r := newRig(t, p)
	r.fill("a")
	for _, wait := range []int64{100, 300, 900} {
		r.wantSent(all, "a")
		if got := r.NextDeadline(); got != r.now+wait {
			t.Fatalf("deadline in %d, want %d", got-r.now, wait)
		}
		r.now += wait
		r.wantDue(1, 0)
	}
}

// D10: the clock starts when the kernel has the message and runs only while the
// connection has nothing unsent.
func TestAckClockIsFair(t *testing.T) {
	r := newRig(t, reliable(2))
	r.fill("a")
	out := r.take(1)
	r.advance(1000)
	r.wantDue(0, 0)
	r.wrote(out...)
	for range 20 {
		r.advance(90)
		r.Busy(r.now)
		r.wantDue(0, 0)
	}
	r.advance(99)
	r.wantDue(0, 0)
	r.advance(1)
	r.wantDue(1, 0)
}

func TestRetryIsNotQueuedWhileACopyIsUnsent(t *testing.T) {
	r := newRig(t, reliable(2))
	r.fill("a")
	r.send(1)
	r.advance(100)
	r.wantDue(1, 0)
	r.wantDue(0, 0) // waiting to be taken
	out := r.take(all)
	r.advance(1000)
	r.wantDue(0, 0) // being written
	r.wrote(out...)
	r.advance(99)
	r.wantDue(0, 0)
}

func TestAckOfARepeatInWritingSettlesIt(t *testing.T) {
	r := newRig(t, reliable(1))
	r.fill("a", "b")
	r.send(1)
	r.advance(100)
	r.wantDue(1, 0)
	out := r.take(1)
	r.mustAck("a") // the first copy was only late
	r.wrote(out...)
	if r.Acked() != 1 || r.Retries() != 0 || !r.Balanced() {
		t.Fatalf("books %+v", r.Books)
	}
	r.wantSent(all, "b")
}

// W5: a lane closed with unacknowledged messages is empty, and a new one in its
// place works.
func TestUnsubscribeWithUnackedDoesNotWedge(t *testing.T) {
	r := newRig(t, reliable(2))
	r.fill("a", "b", "c")
	r.wantSent(all, "a", "b")
	r.Close(base.ReasonUnsubscribe)
	r.wantDropped(base.ReasonUnsubscribe, 3)
	r.wantHolds(0, 0, 0)
	if r.Sendable() || r.NextDeadline() != 0 || r.class.Held() != 0 {
		t.Fatalf("closed lane: sendable %v, deadline %d, class holds %d", r.Sendable(), r.NextDeadline(), r.class.Held())
	}
	r.wantNoAck("a")
	r.Init(r.class, base.Plain, true)
	r.fill("d", "e", "f")
	r.wantSent(all, "d", "e")
	r.mustAck("d", "e")
	r.wantSent(all, "f")
}

func TestCloseSettlesAnEntryInWritingOnce(t *testing.T) {
	r := newRig(t, reliable(2))
	r.fill("a", "b")
	out := r.take(2)
	r.Close(base.ReasonDisconnect)
	r.wrote(out[0])
	r.Abandon(out[1], base.ReasonDisconnect)
	r.wantDropped(base.ReasonDisconnect, 2)
	r.wantHolds(0, 0, 0)
}

func TestCallbackFindsTheMessageByItsAckID(t *testing.T) {
	r := newRig(t, reliable(3))
	r.Init(r.class, base.Callback, true)
	for i, id := range []string{"a", "b", "c"} {
		m := r.message(msg{id: id})
		m.AckID = uint64(10 + i)
		it := r.class.Hold(m)
		r.Offer(it, r.now)
		r.class.Release(it)
	}
	r.send(2)
	r.mustAck("a")
	for ackID, want := range map[uint64]string{10: "", 11: "b", 12: "", 99: ""} {
		if id, ok := r.Callback(ackID); id != want || ok != (want != "") {
			t.Errorf("callback %d: %q %v, want %q", ackID, id, ok, want)
		}
	}
}

func TestCallbackIsOnlyForLanesThatAskForIt(t *testing.T) {
	r := newRig(t, reliable(1))
	r.fill("a")
	r.send(1)
	if id, ok := r.Callback(0); ok {
		t.Fatalf("callback 0 found %q in a lane without callbacks", id)
	}
}

func (r *rig) mustAck(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		if _, ok := r.Ack(id); !ok {
			r.t.Fatalf("ack %s: unknown", id)
		}
	}
}

func (r *rig) wantNoAck(id string) {
	r.t.Helper()
	if _, ok := r.Ack(id); ok {
		r.t.Fatalf("ack %s: known", id)
	}
}

func (r *rig) wantDue(again, exhausted int) {
	r.t.Helper()
	if a, e := r.Due(r.now); a != again || e != exhausted {
		r.t.Fatalf("due: %d again, %d exhausted, want %d, %d", a, e, again, exhausted)
	}
}
