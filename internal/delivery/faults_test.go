package delivery_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

var errBadSector = errors.New("input/output error")

// badDisk is a hub with a topic of each mode whose log is on a disk that fails so many reads of files; below 0: all.
type badDisk struct {
	*rig
	fails, tried atomic.Int64
}

func newBadDisk(t *testing.T) *badDisk {
	t.Helper()
	d := &badDisk{}
	fs := memfs.New()
	fs.Hook(func(o memfs.Op) error {
		if o.Kind != memfs.Read {
			return nil
		}
		d.tried.Add(1)
		if n := d.fails.Load(); n != 0 {
			d.fails.Store(n - 1)
			return errBadSector
		}
		return nil
	})
	j, err := journal.Open(journal.Options{FS: fs, Fsync: journal.Never, TailBytes: -1, Interval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	o := options(1, onDisk("ticks", narrow(4)), onDisk("orders", strict(8)))
	o.Open = func(d *delivery.Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error) {
		return openIn(j, d, topic, deliver, journal.Never)
	}
	d.rig = newRig(t, o)
	t.Cleanup(func() { d.Close(); _ = j.Close() })
	if err := d.OpenLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// behind is a client that stalled while 100 messages were published to a topic, and that reads and acknowledges again.
func (d *badDisk) behind(topic string) *reader {
	d.t.Helper()
	c := d.reader(0)
	c.do(func() { c.window = 0 })
	c.subscribe(c.socket, topic, delivery.SubscribeOptions{Tell: true})
	d.numbered(topic, 1, 100)
	return c
}

// goOn lets time pass, and the client acknowledge what it reads.
func (d *badDisk) goOn(c *reader, topic string, during time.Duration) {
	d.t.Helper()
	for range 200 {
		time.Sleep(during / 200)
		c.acknowledge(topic, func(int) bool { return true })
	}
}

// A read that fails once, ten times, or for ever: the lane tries again with pauses, and does not spin. A best-effort
// one gives up after four in a row, books what it will not get and tells its client; then it is live again. A reliable
// one waits for its log, is in order and complete when that can be read, and is shown as behind until then. The books
// balance at every end.
func TestReadsThatFail(t *testing.T) {
	const ever = -1
	for _, x := range []struct {
		topic  string
		fails  int64
		lost   uint64
		within int64 // reads in ten minutes
	}{
		{"ticks", 1, 0, 60}, {"ticks", 3, 0, 60}, {"ticks", 10, 96, 4}, {"ticks", ever, 96, 4},
		{"orders", 1, 0, 60}, {"orders", 10, 0, 60}, {"orders", ever, 0, 3 + 10*60/5},
	} {
		t.Run(fmt.Sprint(x.topic, " ", x.fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newBadDisk(t)
				c := d.behind(x.topic)
				d.fails.Store(x.fails)
				d.tried.Store(0)
				c.open(wide)
				d.goOn(c, x.topic, 10*time.Minute)
				if n := d.tried.Load(); n == 0 || n > x.within {
					t.Errorf("%d reads in ten minutes, want at most %d", n, x.within)
				}
				n := d.totals(x.topic)
				stuck := x.topic == "orders" && x.fails == ever
				if (n.Behind == 1) != stuck || (n.Spilled == 0) == stuck || n.Dropped[base.ReasonSpillFailed] != x.lost {
					t.Errorf("after ten minutes the topic says %+v", n)
				}
				if v := c.laneView(x.topic); !v.Balanced || v.BehindSince.IsZero() == stuck {
					t.Errorf("its lane is %+v", v)
				}
				d.fails.Store(0)
				d.goOn(c, x.topic, time.Minute)
				d.numbered(x.topic, 101, 110)
				d.goOn(c, x.topic, time.Minute)
				want := counted(1, 110)
				if x.lost > 0 {
					want = append(counted(1, 4), counted(101, 110)...)
				}
				wantPayloads(t, "in the end", sequence(c.client, x.topic), want)
				told := strings.Count(strings.Join(c.texts(), "\n"), fmt.Sprintf(`["weir:lost",{"topic":%q,"count":96,"reason":"spill_failed"}]`, x.topic))
				if want := map[bool]int{true: 1, false: 0}[x.lost > 0]; told != want {
					t.Errorf("its client was told %d times", told)
				}
				if n := d.totals(x.topic); n.Behind != 0 || n.Spilled != 0 || d.Unbalanced.Load() != 0 {
					t.Errorf("in the end the topic says %+v, %d unbalanced", n, d.Unbalanced.Load())
				}
				settledRig(t, d.rig, []*reader{c})
			})
		})
	}
}

// Who leaves while its log cannot be read has the rest booked; a subscription that begins at a cursor there is told
// that something is missing.
func TestReadsThatFailForWhoLeavesAndWhoComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBadDisk(t)
		c := d.behind("orders")
		d.fails.Store(-1)
		c.open(wide)
		d.goOn(c, "orders", time.Minute)
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
		n := d.totals("orders")
		if n.Offered != 100 || n.Acked+n.Dropped[base.ReasonDisconnect] != 100 || n.Spilled != 0 || n.Behind != 0 {
			t.Errorf("it has left: %+v", n)
		}
		last := d.publish("ticks", "1")
		back := d.connect(0)
		from := cursorAt("ticks", last.Epoch, 0)
		back.subscribe(back.join(), "ticks", delivery.SubscribeOptions{From: &from, Tell: true})
		time.Sleep(time.Minute)
		d.fails.Store(0)
		d.numbered("ticks", 2, 3)
		wantPayloads(t, "who came back", sequence(back, "ticks"), counted(2, 3))
		if told := strings.Join(back.texts(), "\n"); strings.Count(told, `"weir:lost",{"topic":"ticks","count":1,"reason":"spill_failed"}`) != 1 {
			t.Errorf("it was told %q", told)
		}
		if d.Unbalanced.Load() != 0 {
			t.Errorf("%d unbalanced", d.Unbalanced.Load())
		}
	})
}
