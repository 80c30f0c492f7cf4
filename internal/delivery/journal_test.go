package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// onDisk is a topic with SPILL_TO_DISK and a journal.
func onDisk(name string, p lane.Policy) delivery.TopicSpec {
	p.Overflow = base.SpillToDisk
	s := topic(name, p)
	s.Journal, s.Retention = true, topiclog.Limits{Bytes: 1 << 28}
	return s
}

// disk is a journal on a file system in memory, and how often it has opened a log.
type disk struct {
	*journal.Journal
	fs     *memfs.FS
	fsync  journal.Fsync
	opened atomic.Int32
}

func newDisk(t testing.TB, fs *memfs.FS) *disk { return newDiskAs(t, fs, journal.Always) }

func newDiskAs(t testing.TB, fs *memfs.FS, fsync journal.Fsync) *disk {
	t.Helper()
	return newDiskOf(t, journal.Options{FS: fs, Fsync: fsync})
}

func newDiskWith(t testing.TB, fs *memfs.FS, o journal.Options) *disk {
	t.Helper()
	o.FS = fs
	return newDiskOf(t, o)
}

func newDiskOf(t testing.TB, o journal.Options) *disk {
	t.Helper()
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{Journal: j, fs: o.FS.(*memfs.FS), fsync: o.Fsync} //nolint:forcetypeassert // the tests' disks are
	t.Cleanup(func() { _ = j.Close() })
	return d
}

func (d *disk) open(of *delivery.Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error) {
	d.opened.Add(1)
	return openIn(d.Journal, of, topic, deliver, d.fsync)
}

// openIn opens the log of a topic as a server does.
func openIn(j *journal.Journal, d *delivery.Declared, topic string, deliver topiclog.Deliver, fsync journal.Fsync) (topiclog.Log, error) {
	if d.Reliable() || fsync == journal.Always {
		return j.Topic(d.Namespace.Path, topic, d.Spec.Retention, deliver)
	}
	return j.Prompt(d.Namespace.Path, topic, d.Spec.Retention)
}

// journaled is a rig whose topics have logs on a disk.
func journaled(t testing.TB, o delivery.Options, fs *memfs.FS) (*rig, *disk) {
	t.Helper()
	return journaledOn(t, o, newDisk(t, fs))
}

func journaledOn(t testing.TB, o delivery.Options, d *disk) (*rig, *disk) {
	t.Helper()
	o.Open = d.open
	r := newRig(t, o)
	if err := r.OpenLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, d
}

// The whole way through a journal, for both modes; StreamFence W8: one record on disk, however many wait for it.
func TestSpillThroughTheJournal(t *testing.T) {
	const clients, messages = 10, 120
	for name, p := range map[string]lane.Policy{"best effort": narrow(4), "reliable": strict(8)} {
		t.Run(name, func(t *testing.T) {
			r, d := journaled(t, options(2, onDisk("ticks", p)), memfs.New())
			all := make([]*reader, clients)
			for i := range all {
				all[i] = r.reader(i % 2)
				all[i].do(func() { all[i].window = 0 })
				all[i].subscribe(all[i].socket, "ticks", delivery.SubscribeOptions{})
			}
			r.numbered("ticks", 1, messages)
			if s := d.Stats(); s.Appended != messages {
				t.Errorf("%d records on disk of %d messages for %d clients", s.Appended, messages, clients)
			}
			if files := d.fs.Files(); len(files) > 4 {
				t.Errorf("they are in %q", files)
			}
			for _, c := range all {
				c.open(wide)
			}
			r.wait(func() bool {
				for _, c := range all {
					c.acknowledge("ticks", func(int) bool { return true })
				}
				n := r.totals("ticks")
				return n.Behind == 0 && n.Queued+n.InFlight == 0
			})
			for i, c := range all {
				wantPayloads(t, fmt.Sprint("client ", i), sequence(c.client, "ticks"), counted(1, messages))
			}
			if n := r.totals("ticks"); n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
				t.Errorf("%+v", n)
			}
			settledRig(t, r, all)
		})
	}
}

// A topic of a pattern that nobody uses gives its log back, and has its numbers and its records when it is named again; so it
// has after a restart.
func TestForgottenTopicComesBackWithItsNumbers(t *testing.T) {
	fs := memfs.New()
	r, d := journaled(t, options(1, onDisk("user:*", narrow(4))), fs)
	first := r.publish("user:1", "1")
	r.publish("user:1", "2")
	if d.opened.Load() != 1 {
		t.Errorf("%d logs opened", d.opened.Load())
	}
	r.ns.Forget("user:1")
	if r.ns.Live() != 0 {
		t.Fatal("it is not forgotten")
	}
	again := r.publish("user:1", "3")
	if again.Epoch != first.Epoch || again.Offset != 3 || d.opened.Load() != 2 {
		t.Errorf("it comes back at %+v, it was at %+v; %d logs opened", again.Placed, first.Placed, d.opened.Load())
	}
	r.Close()
	_ = d.Close()
	r, _ = journaled(t, options(1, onDisk("user:*", narrow(4))), fs)
	if later := r.publish("user:1", "4"); later.Epoch != first.Epoch || later.Offset <= again.Offset {
		t.Errorf("after a restart it is at %+v, it was at %+v", later.Placed, again.Placed)
	}
	c := r.connect(0)
	s := c.join()
	from := cursorAt("user:1", first.Epoch, 1)
	c.subscribe(s, "user:1", delivery.SubscribeOptions{From: &from})
	r.caughtUp(c, "user:1")
	wantPayloads(t, "who comes back", sequence(c, "user:1"), counted(2, 4))
}

// A loop does not wait for a log to be opened: a subscription is told so, and comes again when it is.
func TestLoopsDoNotWaitForLogs(t *testing.T) {
	o := options(1, onDisk("user:*", narrow(4)), topic("plain", latest()))
	d := newDisk(t, memfs.New())
	hold, holding := make(chan struct{}), make(chan struct{})
	o.Open = func(of *delivery.Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error) {
		close(holding)
		<-hold
		return d.open(of, topic, deliver)
	}
	r := newRig(t, o)
	c := r.connect(0)
	s := c.join("plain")
	var err error
	c.do(func() { err = s.Subscribe("user:1", delivery.SubscribeOptions{}, func(delivery.Subscription) {}) })
	if !errors.Is(err, delivery.ErrOpening) || r.ns.Ready("user:1") || !r.ns.Ready("plain") {
		t.Errorf("a subscription to a topic whose log is not open: %v", err)
	}
	opened := make(chan error)
	go func() {
		_, err := r.ns.Await(t.Context(), "user:1")
		opened <- err
	}()
	<-holding
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.Publish(short, r.ns, "user:1", &delivery.Publication{Payload: []byte("1")}, false); !errors.Is(err, delivery.ErrBusy) {
		t.Errorf("who publishes meanwhile and cannot wait: %v", err)
	}
	r.publish("plain", "1")
	wantPayloads(t, "meanwhile", sequence(c, "plain"), counted(1, 1))
	close(hold)
	if err := <-opened; err != nil {
		t.Error(err)
	}
	c.subscribe(s, "user:1", delivery.SubscribeOptions{})
	r.publish("user:1", "2")
	wantPayloads(t, "then", sequence(c, "user:1"), []string{"2"})
}

// A log that cannot be opened is an error to who needs it, and is tried again.
func TestLogThatCannotBeOpened(t *testing.T) {
	o := options(1, onDisk("ticks", narrow(4)), onDisk("user:*", narrow(4)))
	d := newDisk(t, memfs.New())
	var broken atomic.Bool
	broken.Store(true)
	o.Open = func(of *delivery.Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error) {
		if broken.Load() {
			return nil, memfs.ErrReadOnly
		}
		return d.open(of, topic, deliver)
	}
	r := newRig(t, o)
	if err := r.OpenLogs(t.Context()); !errors.Is(err, delivery.ErrLog) || !errors.Is(err, memfs.ErrReadOnly) {
		t.Errorf("opening: %v", err)
	}
	if _, err := r.Publish(t.Context(), r.ns, "user:1", &delivery.Publication{Payload: []byte("1")}, false); !errors.Is(err, delivery.ErrLog) {
		t.Errorf("publishing: %v", err)
	}
	if n := r.ns.Declared("user:*").Refused[delivery.RefusedLog].Load(); n != 1 || r.ns.Live() != 0 {
		t.Errorf("%d refused, %d topics", n, r.ns.Live())
	}
	broken.Store(false)
	r.publish("user:1", "1")
	r.publish("ticks", "1")
}

// StreamFence S1: a disk that is full or read-only. A reliable publish fails and says why; a best-effort one reaches
// who has room, and is booked as spill_failed where it would have to wait on disk, never as spilled. When the disk
// takes appends again all is as before.
func TestSpillOfADiskThatRefuses(t *testing.T) {
	for name, set := range map[string]func(*memfs.FS, bool){
		"full":      func(fs *memfs.FS, on bool) { fs.SetCapacity(map[bool]int64{true: 1, false: 1 << 40}[on]) },
		"read-only": func(fs *memfs.FS, on bool) { fs.SetReadOnly(on) },
	} {
		for how, fsync := range map[string]journal.Fsync{"placing late": journal.Always, "placing at once": journal.Never} {
			t.Run(name+", "+how, func(t *testing.T) { spillRefused(t, set, fsync) })
		}
	}
}

func spillRefused(t *testing.T, set func(*memfs.FS, bool), fsync journal.Fsync) {
	fs := memfs.New()
	r, _ := journaledOn(t, options(2, onDisk("ticks", narrow(8)), onDisk("orders", strict(8))), newDiskAs(t, fs, fsync))
	stalled, healthy := r.stalled(0), r.connect(1)
	s := stalled.join()
	stalled.subscribe(s, "ticks", delivery.SubscribeOptions{Tell: true})
	healthy.join("ticks", "orders")
	r.numbered("ticks", 1, 10)
	r.publish("orders", "1")
	set(fs, true)
	if _, err := r.Publish(t.Context(), r.ns, "orders", &delivery.Publication{Payload: []byte("2")}, true); !errors.Is(err, delivery.ErrLog) {
		t.Errorf("a reliable publish: %v", err)
	}
	if r.Refusing() != 1 {
		t.Errorf("%d topics refuse", r.Refusing())
	}
	for n := 11; n <= 15; n++ {
		sent := r.publish("ticks", fmt.Sprint(n))
		if got := sent.Receipt(t.Context()); got.Rejected != 1 || got.Queued != 1 || got.Spilled != 0 || !sent.Unkept {
			t.Errorf("a best-effort publish: %+v, %+v", got, sent.Placed)
		}
	}
	if r.Refusing() != 2 {
		t.Errorf("then %d topics refuse", r.Refusing())
	}
	set(fs, false)
	r.numbered("ticks", 16, 20)
	r.publish("orders", "3")
	stalled.do(func() { stalled.take = func(offered int) int { return min(offered, 60) } })
	r.wait(func() bool { // two messages at a time: some are still in its lane when what comes next is found to be lost
		stalled.open(wide)
		n := r.totals("ticks")
		return n.Behind == 0 && n.Queued == 0
	})
	wantPayloads(t, "who has room", sequence(healthy, "ticks"), counted(1, 20))
	wantPayloads(t, "who stalled", sequence(stalled, "ticks"), append(counted(1, 10), counted(16, 20)...))
	wantPayloads(t, "orders", sequence(healthy, "orders"), []string{"1", "3"})
	if n := r.totals("ticks"); n.Dropped[base.ReasonSpillFailed] != 5 || n.Spilled != 0 || r.Unbalanced.Load() != 0 || r.Refusing() != 0 {
		t.Errorf("%+v, %d unbalanced, %d refuse", n, r.Unbalanced.Load(), r.Refusing())
	}
	wantLoss(t, stalled, "10", 5, "16")
}

// wantLoss checks that a client was told once, between two messages, that so many are gone, and nowhere else.
func wantLoss(t *testing.T, c *client, before string, count int, after string) {
	t.Helper()
	texts := c.texts()
	at := slices.IndexFunc(texts, func(s string) bool { return strings.Contains(s, "weir:lost") })
	want := fmt.Sprintf(`"count":%d,"reason":"spill_failed"}]`, count)
	if at < 1 || at+1 == len(texts) || !strings.HasSuffix(texts[at], want) || !strings.Contains(texts[at-1], ","+before+"]") || !strings.Contains(texts[at+1], ","+after+"]") ||
		slices.ContainsFunc(texts[at+1:], func(s string) bool { return strings.Contains(s, "weir:lost") }) {
		t.Errorf("%d messages are gone behind %s and before %s; its client was told %q", count, before, after, texts)
	}
}

// StreamFence W2: while a lane is behind there is room in it again, and its log does not answer. What is published then
// does not overtake what has spilled, in either mode.
func TestNothingOvertakesWhatHasSpilled(t *testing.T) {
	for name, p := range map[string]lane.Policy{"best effort": narrow(4), "reliable": strict(8)} {
		t.Run(name, func(t *testing.T) {
			fs := memfs.New()
			o := options(1, onDisk("ticks", p))
			o.Open = newDiskOf(t, journal.Options{FS: fs, Fsync: journal.Always, TailBytes: -1}).open
			r := newRig(t, o)
			if err := r.OpenLogs(t.Context()); err != nil {
				t.Fatal(err)
			}
			c := r.reader(0)
			c.do(func() { c.window = 0 })
			c.subscribe(c.socket, "ticks", delivery.SubscribeOptions{})
			r.numbered("ticks", 1, 30)
			hold := make(chan struct{})
			fs.Hook(func(o memfs.Op) error {
				if (o.Kind == memfs.Open || o.Kind == memfs.Read) && strings.HasSuffix(o.Name, ".seg") {
					<-hold
				}
				return nil
			})
			c.open(wide)
			all := func(int) bool { return true }
			for c.acknowledge("ticks", all); r.totals("ticks").InFlight > 0; c.acknowledge("ticks", all) {
			}
			if n := r.totals("ticks"); n.Queued != 0 || n.Behind != 1 || n.Spilled == 0 {
				t.Fatalf("its lane is not empty and behind: %+v", n)
			}
			r.numbered("ticks", 31, 33) // there is room for them
			if got := sequence(c.client, "ticks"); slices.Contains(got, "31") {
				t.Errorf("it has read %q", got)
			}
			close(hold)
			r.wait(func() bool {
				c.acknowledge("ticks", all)
				n := r.totals("ticks")
				return n.Behind == 0 && n.Queued+n.InFlight == 0
			})
			wantPayloads(t, "in the end", sequence(c.client, "ticks"), counted(1, 33))
			settledRig(t, r, []*reader{c})
		})
	}
}

// StreamFence W7: a segment with a damaged record, and one that somebody has removed. What is sound comes, in order; the rest is
// booked as spill_failed and told once; and nothing goes round in circles: the server comes to rest.
func TestSpillOfADamagedFile(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(fs *memfs.FS, segment string)
		lost int
		want []string
	}{
		"damaged": {flipped, 1, append(counted(1000, 1049), counted(1051, 1099)...)},
		"removed": {func(fs *memfs.FS, segment string) { _ = fs.Remove(segment) }, 96, counted(1000, 1003)},
	} {
		t.Run(name, func(t *testing.T) { spillOfAFile(t, c.harm, c.lost, c.want) })
	}
}

// flipped damages the record with the payload 1050.
func flipped(fs *memfs.FS, segment string) {
	data := slices.Clone(fs.Data(segment))
	data[bytes.Index(data, []byte("1050"))] ^= 0xff
	fs.SetData(segment, data)
}

func spillOfAFile(t *testing.T, harm func(fs *memfs.FS, segment string), lost int, want []string) {
	fs := memfs.New()
	d := newDiskOf(t, journal.Options{FS: fs, Fsync: journal.Always, TailBytes: -1})
	o := options(1, onDisk("ticks", narrow(4)))
	o.Open = d.open
	r := newRig(t, o)
	if err := r.OpenLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := r.stalled(0)
	c.subscribe(c.join(), "ticks", delivery.SubscribeOptions{Tell: true})
	for n := range 100 {
		r.publish("ticks", fmt.Sprintf("%d", 1000+n))
	}
	r.settle()
	for _, name := range fs.Files() {
		if strings.HasSuffix(name, ".seg") {
			harm(fs, name)
		}
	}
	c.open(wide)
	r.caughtUp(c, "ticks")
	wantPayloads(t, "the client", sequence(c, "ticks"), want)
	if n := r.totals("ticks"); n.Dropped[base.ReasonSpillFailed] != uint64(lost) || n.Spilled != 0 || r.Unbalanced.Load() != 0 { //nolint:gosec // not negative
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
	reads := d.Stats().DiskReads
	r.publish("ticks", "2000")
	wantPayloads(t, "afterwards", sequence(c, "ticks"), append(want, "2000"))
	if told := strings.Join(c.texts(), "\n"); strings.Count(told, "weir:lost") != 1 || !strings.Contains(told, fmt.Sprintf(`"count":%d,"reason":"spill_failed"`, lost)) {
		t.Errorf("it was told %q", told)
	}
	if again := d.Stats().DiskReads; again != reads {
		t.Errorf("the log was read %d times more by who is behind no more", again-reads)
	}
}

// StreamFence J9: a disk that does not answer holds up who publishes to its topics, no longer than he waits, and nobody
// else: no loop, no other topic, and no client that reads what was published before.
func TestSlowDiskHoldsUpNobodyElse(t *testing.T) {
	fs := memfs.New()
	r, _ := journaled(t, options(1, onDisk("ticks", narrow(64)), topic("plain", latest())), fs)
	c, stalled := r.connect(0), r.stalled(0)
	c.join("ticks", "plain")
	stalled.join("ticks", "plain")
	r.numbered("ticks", 1, 3)
	hold := make(chan struct{})
	fs.Hook(func(o memfs.Op) error {
		if o.Kind == memfs.Write || o.Kind == memfs.Sync {
			<-hold
		}
		return nil
	})
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.Publish(short, r.ns, "ticks", &delivery.Publication{Payload: []byte("4")}, true); !errors.Is(err, delivery.ErrUndecided) {
		t.Errorf("who publishes to it: %v", err)
	}
	r.numbered("plain", 1, 10)
	wantPayloads(t, "who reads another topic", sequence(c, "plain"), counted(1, 10))
	stalled.open(wide)
	wantPayloads(t, "who reads what was before", sequence(stalled, "ticks"), counted(1, 3))
	close(hold)
	fs.Hook(nil)
	r.publish("ticks", "5")
	wantPayloads(t, "in the end", sequence(c, "ticks"), counted(1, 5))
}

// StreamFence J8: whoever catches up is given what its lane may hold and no more, at every moment.
func TestLanesThatCatchUpStayWithinTheirLimits(t *testing.T) {
	p := narrow(8)
	p.MaxBytes = 600
	r, _ := journaled(t, options(1, onDisk("ticks", p)), memfs.New())
	c := r.stalled(0)
	c.join("ticks")
	r.numbered("ticks", 1, 500)
	c.do(func() {
		c.take = func(offered int) int {
			if n, b := c.conn.Depth(), c.conn.Sockets()[0].LaneBytes("ticks"); n > 8+1 || b > 600+100 { // what is being written counts too
				t.Errorf("%d messages, %d bytes in its lane", n, b)
			}
			return min(offered, 50)
		}
	})
	r.wait(func() bool {
		c.open(100)
		n := r.totals("ticks")
		return n.Behind == 0 && n.Queued == 0
	})
	c.do(func() { c.take = nil })
	c.open(wide)
	wantPayloads(t, "in the end", sequence(c, "ticks"), counted(1, 500))
}

// A disk that does not answer reads keeps those waiting whose log is on it, and nobody else: a lane that is behind a
// log in memory catches up, its history is read, and of the log on disk what is near its end, which is still in memory.
func TestHungDiskHoldsUpNoLogInMemory(t *testing.T) {
	const lanes = 3 * delivery.MaxReads
	fs := memfs.New()
	j, err := journal.Open(journal.Options{FS: fs, Fsync: journal.Never, TailBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{Journal: j, fs: fs, fsync: journal.Never}
	t.Cleanup(func() { _ = j.Close() })
	hung := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	o := options(1, spilling("memory", narrow(4), 1000))
	for _, name := range hung {
		o.Namespaces[0].Topics = append(o.Namespaces[0].Topics, onDisk(name, narrow(4)))
	}
	o.Open = d.open
	r := newRig(t, o)
	if err := r.OpenLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow := make([]*client, lanes)
	for i := range slow {
		slow[i] = r.stalled(0)
		slow[i].join(append(hung, "memory")...)
	}
	for _, name := range append(hung, "memory") {
		r.numbered(name, 1, 50)
	}
	hold := make(chan struct{})
	fs.Hook(func(o memfs.Op) error {
		if o.Kind == memfs.Open || o.Kind == memfs.Read {
			<-hold
		}
		return nil
	})
	for _, c := range slow {
		c.open(wide)
	}
	r.wait(func() bool { return r.totals("memory").Behind == 0 })
	if b, err := r.ns.History(t.Context(), "memory", delivery.HistoryQuery{Limit: topiclog.Limit{Records: 5, Bytes: 1 << 20}}); err != nil || len(b.Placements) != 5 {
		t.Errorf("its history: %+v, %v", b, err)
	}
	for _, c := range slow {
		wantPayloads(t, "who reads what is in memory", sequence(c, "memory"), counted(1, 50))
		wantPayloads(t, "who reads what is on disk", sequence(c, "a"), counted(1, 4))
	}
	close(hold)
	fs.Hook(nil)
	for _, name := range hung {
		r.wait(func() bool { return r.totals(name).Behind == 0 })
		for _, c := range slow {
			wantPayloads(t, "who reads what is on disk", sequence(c, name), counted(1, 50))
		}
	}
}
