package delivery_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// hungDisk is a rig whose topics have logs on a disk that hangs when it is told to, in a bubble.
type hungDisk struct {
	*rig
	*disk
	hold  chan struct{}
	hangs atomic.Bool
}

// queueBytes is what may wait for that disk, of a topic.
const queueBytes = 64 << 10

func newHungDisk(t *testing.T, topics ...delivery.TopicSpec) *hungDisk {
	d := &hungDisk{hold: make(chan struct{})}
	fs := memfs.New()
	fs.Hook(func(o memfs.Op) error {
		if d.hangs.Load() && o.Name != "lock" {
			<-d.hold
		}
		return nil
	})
	o := options(2, topics...)
	o.BudgetBytes = 1 << 30
	d.rig, d.disk = journaledOn(t, o, newDiskWith(t, fs, journal.Options{Fsync: journal.Interval, QueueBytes: queueBytes}))
	return d
}

// goOn ends the hang.
func (d *hungDisk) goOn() {
	d.hangs.Store(false)
	close(d.hold)
	synctest.Wait()
}

// balanced holds P5 of a topic at this moment, and of each lane.
func (d *hungDisk) balanced(topic string) {
	d.t.Helper()
	synctest.Wait()
	for _, v := range d.survey(survey.Query{Limit: 100}).Clients {
		for _, l := range v.Lanes {
			if !l.Balanced {
				d.t.Errorf("%+v", l)
			}
		}
	}
	n := d.totals(topic)
	done := n.Written
	for _, x := range n.Dropped {
		done += x
	}
	if held := n.Queued + n.InFlight + n.Spilled; held < 0 || n.Offered != done+uint64(held) || d.Unbalanced.Load() != 0 {
		d.t.Errorf("%s: %+v, %d unbalanced", topic, n, d.Unbalanced.Load())
	}
}

// wide1k is a payload of a kilobyte that says its number.
func wide1k(n int) string { return fmt.Sprintf(`"%d%s"`, n, strings.Repeat("x", 1000)) }

// A disk hangs under a best-effort topic: whoever keeps up gets everything, live and in order, at once; publishers are
// answered, the first after a second at most, the others at once, and told what is not known to be written; memory is
// bounded; the books balance at every moment. When the disk goes on, who was behind gets all that had room to wait,
// and is told of the rest where it is missing.
func TestBestEffortNeedsNoDiskThatHangs(t *testing.T) {
	const all = 300
	for _, readsWhileItHangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := newHungDisk(t, onDisk("ticks", lane.Policy{MaxMessages: 4, MaxBytes: 1 << 20}))
			slow, quick := d.stalled(0), d.connect(1)
			slow.subscribe(slow.join(), "ticks", delivery.SubscribeOptions{Tell: true})
			quick.join("ticks")
			for n := 1; n <= 20; n++ {
				if sent := d.publish("ticks", wide1k(n)); sent.Unkept {
					t.Errorf("%d: %+v", n, sent.Placed)
				}
			}
			d.hangs.Store(true)
			held := d.Held()
			unkept, rejected, waited := 0, 0, 0
			for n := 21; n <= all; n++ {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				sent, err := d.Publish(ctx, d.ns, "ticks", &delivery.Publication{Payload: []byte(wide1k(n))}, true)
				if err != nil {
					t.Fatalf("%d: %v", n, err)
				}
				got := sent.Receipt(ctx)
				cancel()
				if took := time.Since(began); took > 1100*time.Millisecond { // of the bubble's clock
					t.Errorf("%d was answered after %v", n, took)
				} else if took > 0 {
					waited++
				}
				if rejected += got.Rejected; sent.Unkept {
					unkept++
				}
				if got.Queued != 1 || got.Rejected+got.Spilled != 1 || !got.Complete {
					t.Errorf("%d: %+v", n, got)
				}
				if n%50 == 0 {
					d.balanced("ticks")
					wantPayloads(t, "who keeps up, while it hangs", numbersOf(quick, "ticks"), counted(1, n))
				}
			}
			if unkept != all-20 || waited != 1 || rejected < all/2 {
				t.Errorf("%d of %d are not known to be kept, %d were rejected by the lane that is behind, %d waited", unkept, all-20, rejected, waited)
			}
			if more := d.Held() - held; more > 3*queueBytes {
				t.Errorf("%d bytes more are held, of %d that may wait", more, queueBytes)
			}
			kept := all - rejected
			if readsWhileItHangs { // what waits for the disk is read from memory
				slow.open(wide)
				d.caughtUp(slow, "ticks")
				d.balanced("ticks")
				wantPayloads(t, "who is behind, while it hangs", numbersOf(slow, "ticks"), counted(1, kept))
			}
			d.goOn()
			if sent := d.publish("ticks", "0"); sent.Unkept {
				t.Errorf("when it goes on %+v", sent.Placed)
			}
			slow.open(wide)
			d.caughtUp(slow, "ticks")
			d.balanced("ticks")
			wantPayloads(t, "who was behind", numbersOf(slow, "ticks"), append(counted(1, kept), "0"))
			wantPayloads(t, "who keeps up", numbersOf(quick, "ticks"), append(counted(1, all), "0"))
			wantLossOf(t, slow, kept, rejected)
			if n := d.totals("ticks"); n.Dropped[base.ReasonSpillFailed] != uint64(rejected) || n.Spilled != 0 || n.Behind != 0 { //nolint:gosec // not negative
				t.Errorf("%+v, %d rejected", n, rejected)
			}
		})
	}
}

// wantLossOf checks that a client was told of so many lost messages, all of it behind the message with that number and in
// front of the next.
func wantLossOf(t *testing.T, c *client, behind, count int) {
	t.Helper()
	last, lost := 0, 0
	for _, text := range c.texts() {
		var n int
		switch _, after, found := strings.Cut(text, `"weir:lost",{"topic":"ticks","count":`); {
		case found:
			if _, err := fmt.Sscanf(after, `%d,"reason":"spill_failed"`, &n); err != nil || last != behind {
				t.Errorf("behind %d it was told %q", last, text)
			}
			lost += n
		default:
			if _, after, found = strings.Cut(text, `["ticks",`); found {
				_, _ = fmt.Sscanf(strings.TrimPrefix(after, `"`), "%d", &last)
			}
		}
	}
	if lost != count {
		t.Errorf("it was told of %d lost messages, want %d", lost, count)
	}
}

// A topic that is new on a disk that hangs: its offsets are of another epoch until the disk goes on, and nobody who
// has room sees any of it. A reliable topic beside it is told that the outcome is not known.
func TestNewTopicsOnADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHungDisk(t, onDisk("user:*", lane.Policy{MaxMessages: 4, MaxBytes: 1 << 20}), onDisk("orders", strict(8)))
		d.publish("user:0", "1")
		if _, err := d.ns.Await(t.Context(), "user:1"); err != nil {
			t.Fatal(err)
		}
		slow, quick := d.stalled(0), d.connect(1)
		slow.subscribe(slow.join(), "user:1", delivery.SubscribeOptions{Tell: true})
		quick.join("user:1")
		d.hangs.Store(true)
		epochs := map[string]bool{}
		for n := 1; n <= 20; n++ {
			sent := d.publish("user:1", fmt.Sprint(n))
			if epochs[sent.Epoch] = true; !sent.Unkept || sent.Offset != uint64(n) {
				t.Errorf("%d: %+v", n, sent.Placed)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := d.Publish(ctx, d.ns, "orders", &delivery.Publication{Payload: []byte("1")}, true); err == nil {
			t.Error("a reliable publish to a disk that hangs succeeds")
		}
		d.balanced("user:1")
		wantPayloads(t, "who keeps up", sequence(quick, "user:1"), counted(1, 20))
		d.goOn()
		sent := d.publish("user:1", "21")
		if sent.Unkept || epochs[sent.Epoch] || len(epochs) != 1 || sent.Offset != 21 {
			t.Errorf("when it goes on %+v, then were %v", sent.Placed, epochs)
		}
		slow.open(wide)
		d.caughtUp(slow, "user:1")
		d.balanced("user:1")
		wantPayloads(t, "who was behind", sequence(slow, "user:1"), append(counted(1, 4), "21"))
		if n := d.totals("user:*"); n.Dropped[base.ReasonSpillFailed] != 16 {
			t.Errorf("%+v", n)
		}
	})
}

// What was delivered and could not be written when its turn came: the receipt was given already, who was behind is told.
func TestWhatIsDeliveredAndThenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHungDisk(t, onDisk("ticks", lane.Policy{MaxMessages: 8, MaxBytes: 1 << 20}))
		slow, quick := d.stalled(0), d.connect(1)
		slow.subscribe(slow.join(), "ticks", delivery.SubscribeOptions{Tell: true})
		quick.join("ticks")
		d.numbered("ticks", 1, 10)
		d.hangs.Store(true)
		for n := 11; n <= 30; n++ {
			if sent := d.publish("ticks", fmt.Sprint(n)); !sent.Unkept {
				t.Errorf("%+v", sent.Placed)
			}
		}
		d.fs.SetReadOnly(true)
		d.goOn()
		d.balanced("ticks")
		d.fs.SetReadOnly(false)
		d.numbered("ticks", 31, 40)
		slow.do(func() { slow.take = func(offered int) int { return min(offered, 60) } })
		d.wait(func() bool { // some are still in its lane when what comes next is found to be lost
			slow.open(wide)
			n := d.totals("ticks")
			return n.Behind == 0 && n.Queued == 0
		})
		d.balanced("ticks")
		wantPayloads(t, "who keeps up", sequence(quick, "ticks"), counted(1, 40))
		wantPayloads(t, "who was behind", sequence(slow, "ticks"), append(counted(1, 10), counted(31, 40)...))
		wantLossOf(t, slow, 10, 20)
		b, err := d.ns.History(t.Context(), "ticks", delivery.HistoryQuery{From: 11, Limit: topiclog.Limit{Records: 100, Bytes: 1 << 20}})
		if err != nil || !b.Lost || len(b.Placements) != 10 {
			t.Errorf("who reads the log gets %d records, lost %v, %v", len(b.Placements), b.Lost, err)
		}
	})
}
