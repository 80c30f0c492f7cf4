package outbox_test

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/outbox"
)

// order is who has written, one letter for each packet.
func (r *rig) order() string {
	var b strings.Builder
	for _, p := range r.read() {
		b.WriteByte(p[0])
	}
	return b.String()
}

// Events before reliable before best effort, and none starves (architecture.md D1).
func TestKindsHaveTheirTurns(t *testing.T) {
	r := newRig(t)
	r.three()
	r.fill(10, "b", "r", "e")
	if r.write() {
		t.Error("more could be written after all was")
	}
	if got, want := r.order(), "eereerbeereerbeer"+"rrrb"; !strings.HasPrefix(got, want[:17]) || len(got) != 30 {
		t.Errorf("order %s, want it to begin %s", got, want[:17])
	}
}

// Lanes of one kind have their turns too, each of as many entries as its weight.
func TestLanesOfAKindWriteTheirWeight(t *testing.T) {
	r := newRig(t)
	heavy := best()
	heavy.Weight = 3
	r.lane("h", outbox.BestEffort, heavy)
	r.lane("l", outbox.BestEffort, best())
	r.fill(8, "h", "l")
	r.write()
	if got := r.order(); got != "hhhlhhhlhhllllll" {
		t.Errorf("order %s, want three heavy to one light", got)
	}
}

// However little a batch takes, the order is that of one large batch: what does not fit has not had its turn.
func TestTurnsCountWhatIsWritten(t *testing.T) {
	write := func(window, take int) string {
		r := newRig(t)
		r.out.window, r.out.take = window, take
		r.three()
		r.lane("c", outbox.BestEffort, best())
		r.fill(9, "e", "r", "b", "c")
		for range 1000 {
			r.write()
		}
		r.wantBooks()
		if r.box.Waiting() || r.box.Unwritten() > 0 {
			t.Errorf("window %d, %d taken: something waits for ever", window, take)
		}
		return r.order()
	}
	want := write(1<<10, -1)
	for _, window := range []int{1, 2, 3, 4, 6, 7, 10, 100} {
		for _, take := range []int{1, 2, 3, 5, 8, -1} {
			if got := write(window, take); got != want {
				t.Errorf("window %d, %d taken: order\n%s, want\n%s", window, take, got, want)
			}
		}
	}
}

// A lane that is paused is not written, and when it is released it is.
func TestPausedLanesWait(t *testing.T) {
	r := newRig(t)
	r.three()
	r.fill(1, "b")
	r.box.Pause(r.lanes["b"])
	r.fill(1, "b")
	if r.write(); !r.lanes["b"].Paused() || r.lanes["b"].Queued() || r.box.Waiting() {
		t.Error("a lane that is paused waits to be written")
	}
	r.wantRead()
	r.box.Release(r.lanes["b"])
	if !r.box.Waiting() || !r.box.WaitingOf(outbox.BestEffort) || r.box.WaitingOf(outbox.Events) {
		t.Error("a lane that is released does not wait to be written")
	}
	r.write()
	r.wantRead("b1;", "b2;")
}

// A lane that follows the events lane is written when that has written what it held, also where the count passes 2^32.
func TestFollowingAcrossTheWrap(t *testing.T) {
	for before := range uint64(4) {
		for holds := range 4 {
			r := newRig(t)
			r.three()
			e, b := r.lanes["e"], r.lanes["b"]
			e.Written = 1<<32 - before
			e.Offered = e.Written
			r.fill(holds, "e")
			if !r.box.Follow(b, e) {
				t.Fatal("nothing to wait for")
			}
			r.fill(3, "e")
			for i := range holds {
				if !b.Follows(e.Written) {
					t.Errorf("%d before the wrap: it follows %d of %d", before, i, holds)
				}
				r.out.window = 3
				r.write()
			}
			if b.Follows(e.Written) {
				t.Errorf("%d before the wrap: it follows more than the %d there were", before, holds)
			}
		}
	}
	r := newRig(t)
	r.three()
	if r.box.Follow(r.lanes["b"], r.lanes["e"]) || r.lanes["b"].Paused() {
		t.Error("a lane waits for an events lane that never had anything")
	}
}

// A lane that is fed is given more when its turn comes and it has nothing; when there is no more it leaves.
func TestFedLanesAreGivenMoreInTheirTurn(t *testing.T) {
	r := newRig(t)
	r.three()
	l, left := r.lanes["b"], 3
	r.feed = func(of *outbox.Lane) bool {
		if of != l || left == 0 {
			return false
		}
		left--
		r.offer("b", 0)
		return true
	}
	l.Feed(true)
	r.box.Add(l)
	r.fill(1, "r")
	r.write()
	r.wantRead("r1;", "b1;", "b2;", "b3;")
	if r.write(); l.Queued() {
		t.Error("a lane stays that is given no more")
	}
	l.Feed(false)
	if r.box.Add(l); l.Queued() {
		t.Error("a lane that has nothing and is not fed waits to be written")
	}
}

// Taking out a lane that is not in, or the last, or one of several, leaves the others as they are.
func TestRemove(t *testing.T) {
	for _, gone := range []string{"", "a", "b", "c", "ab", "cb", "ca", "bac", "d"} {
		r := newRig(t)
		for _, name := range []string{"a", "b", "c", "d"} {
			r.lane(name, outbox.BestEffort, best())
		}
		r.fill(2, "a", "b", "c")
		want := "abcabc"
		for _, name := range gone {
			r.box.Remove(r.lanes[string(name)])
			want = strings.ReplaceAll(want, string(name), "")
		}
		if r.write(); r.order() != want {
			t.Errorf("without %q: order %s, want %s", gone, r.order(), want)
		}
	}
}
