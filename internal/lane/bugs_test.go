package lane_test

import (
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// A promise broken when this file was written has its smallest case here. The
// model test finds most of them too.

// Due: a give-up at the head of the window moves it past the
// acknowledged ones behind it.
func TestBugDueSurvivesAHoleBehindTheExhausted(t *testing.T) {
	for name, give := range map[string]msg{"exhausted": {id: "a"}, "expired": {id: "a", ttl: 50}} {
		t.Run(name, func(t *testing.T) {
			p := reliable(2)
			if give.ttl == 0 {
				p.MaxRetries = 0
			}
			r := newRig(t, p)
			r.offer(give)
			r.fill("b")
			r.send(all)
			r.mustAck("b")
			r.advance(100)
			r.unharmed("due", func() { r.Due(r.now) })
			r.wantHolds(0, 0, 0)
		})
	}
}

// Promise P1: the byte limit holds also when the oldest entry is the one that is
// replaced by a heavier message.
func TestBugCoalesceAtTheHeadKeepsTheByteLimit(t *testing.T) {
	p := bestEffort(base.Coalesce)
	p.MaxBytes = 100
	r := newRig(t, p)
	r.wantOffer(msg{id: "a1", key: "a", size: 10}, lane.Accepted)
	r.wantOffer(msg{id: "x", size: 90}, lane.Accepted)
	r.wantOffer(msg{id: "a2", key: "a", size: 50}, lane.Coalesced)
	if r.Bytes() > p.MaxBytes {
		t.Fatalf("lane holds %d bytes, limit %d", r.Bytes(), p.MaxBytes)
	}
	r.wantDropped(base.ReasonOverflow, 1)
	r.wantSent(all, "a2")
}

// Design D9: the oldest frame is evicted from all best-effort lanes at once, or
// shedding never gets past it.
func TestBugEvictReachesBehindACoalescedHead(t *testing.T) {
	r := newRig(t, bestEffort(base.Coalesce))
	r.wantOffer(msg{id: "a1", key: "a"}, lane.Accepted)
	r.wantOffer(msg{id: "b1", key: "b"}, lane.Accepted)
	r.advance(1)
	r.wantOffer(msg{id: "a2", key: "a"}, lane.Coalesced)
	if n := r.Evict(r.class.Oldest().Msg.At); n != 1 {
		t.Fatalf("evicted %d, want b1", n)
	}
	r.wantDropped(base.ReasonBudget, 1)
	r.wantOffer(msg{id: "a3", key: "a"}, lane.Coalesced)
	r.wantSent(all, "a3")
}

// Design D9: memory is counted as it is held, the frames of repeats too.
func TestBugClassCountsTheFramesOfRepeats(t *testing.T) {
	r := newRig(t, reliable(1))
	r.offer(msg{id: "a", size: 100})
	r.send(1)
	r.advance(100)
	r.wantDue(1, 0)
	out := r.take(1)
	held := out[0].Frame().Len() + 100 + lane.EntryBytes
	if r.class.Held() != int64(held) {
		t.Fatalf("class holds %d, want %d: both forms and the entry", r.class.Held(), held)
	}
}

// Entry: it goes back by exactly one of Wrote, Untake or Abandon, also when the
// lane was trimmed meanwhile.
func TestBugWroteAfterAckAndTrim(t *testing.T) {
	r := newRig(t, reliable(1))
	out := r.repeatBeingWritten()
	r.mustAck("a")
	r.Trim()
	r.unharmed("wrote", func() { r.wrote(out...) })
}

// Entry.Message and Frame: what to write, until it is reported written.
func TestBugEntryKeepsItsMessageWhenAcked(t *testing.T) {
	r := newRig(t, reliable(1))
	out := r.repeatBeingWritten()
	r.mustAck("a")
	r.fill("b") // may take the place in memory
	if m := out[0].Message(); m == nil || m.ID != "a" {
		t.Errorf("message of the entry being written: %+v, want a", m)
	}
	r.unharmed("frame", func() { out[0].Frame() })
}

// Design D10: the ack clock of a message starts when the kernel has it, not when
// it has an acknowledged one that stood at the same place.
func TestBugWroteOfAnAckedRepeatIsNotItsSuccessors(t *testing.T) {
	r := newRig(t, reliable(1))
	repeat := r.repeatBeingWritten()
	r.mustAck("a")
	r.fill("b")
	next := r.take(1)
	r.wrote(repeat...)
	r.wantNoAck("b") // nothing of it has been sent
	r.Untake(next[0])
	if r.Written != 1 || r.InFlight() != 0 {
		t.Fatalf("written %d, in flight %d, want 1, 0", r.Written, r.InFlight())
	}
	out := r.take(1)
	if out[0].Frame() != out[0].Message().Frame(base.Plain) {
		t.Fatal("b's first send is marked as a repeat")
	}
}

// Take: entries past their time to live are dropped on the way, repeats too.
func TestBugExpiredRepeatIsNotTaken(t *testing.T) {
	r := newRig(t, reliable(1))
	r.offer(msg{id: "a", ttl: 150})
	r.fill("b")
	r.send(all)
	r.advance(100)
	r.wantDue(1, 0)
	r.advance(50)
	r.wantSent(all, "b")
	r.wantDropped(base.ReasonExpired, 1)
}

// TakeLoss: why the last one was lost.
func TestBugReturnLossKeepsTheNewerReason(t *testing.T) {
	r := newRig(t, bestEffort(base.DropOldest))
	r.fill("a", "b", "c", "d")
	n, reason, _ := r.TakeLoss()
	r.offer(msg{id: "big", size: 2000})
	r.ReturnLoss(n, reason)
	r.wantLoss(2, base.ReasonTooLarge)
}

// repeatBeingWritten sends a once and takes its repeat.
func (r *rig) repeatBeingWritten() []lane.Entry {
	r.t.Helper()
	r.fill("a")
	r.send(1)
	r.advance(100)
	r.wantDue(1, 0)
	return r.take(1)
}

// unharmed turns a panic of f into a failure.
func (r *rig) unharmed(what string, f func()) {
	r.t.Helper()
	defer func() {
		r.t.Helper()
		if p := recover(); p != nil {
			r.t.Fatalf("%s panics: %v", what, p)
		}
	}()
	f()
}
