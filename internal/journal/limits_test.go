package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// A disk that hangs holds up neither a publisher nor a reader who needs nothing of it: what waits is bounded, and is written
// when the disk goes on, with one sync for all (StreamFence J9, W8).
func TestSlowDiskBlocksNobody(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Always)
	o.SegmentBytes, o.QueueBytes = 1<<20, 100*numbered(0).Size()
	l := mustBegin(t, o)
	if _, err := l.publish(0, 1); err != nil {
		t.Fatal(err)
	}
	hangs, goOn := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	fs.Hook(func(op memfs.Op) error {
		if op.Kind == memfs.Sync && once.CompareAndSwap(false, true) {
			close(hangs)
			<-goOn
		}
		return nil
	})
	var later []*topiclog.Later
	appendOne := func(n int) error {
		_, p, err := l.log.Append(numbered(n))
		if err == nil {
			later = append(later, p)
		}
		return err
	}
	if err := appendOne(1); err != nil {
		t.Fatal(err)
	}
	<-hangs
	n := 2
	for ; n < 1000; n++ {
		if err := appendOne(n); err != nil {
			if !errors.Is(err, journal.ErrBusy) || !errors.Is(err, topiclog.ErrFull) {
				t.Error(err)
			}
			break
		}
	}
	if n < 50 || n > 101 {
		t.Errorf("%d appends wait for a disk that hangs", n)
	}
	if got, _ := l.read(1); len(got) != 0 || l.log.Span().Last != 1 || len(l.delivered) != 1 {
		t.Errorf("seen before it was synced: %q, %d delivered", got, len(l.delivered))
	}
	before := l.j.Stats().Syncs
	close(goOn)
	for _, p := range later {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if syncs := l.j.Stats().Syncs - before; syncs != 1 {
		t.Errorf("%d appends that had waited took %d syncs", len(later)-1, syncs)
	}
	if err := appendOne(n); err != nil {
		t.Errorf("when all is written: %v", err)
	}
	l.end()
}

// A disk that is full, or read-only, is told to each publisher, and to the log once; what was confirmed can be read, and
// appends succeed when there is room (StreamFence S1).
func TestFullAndReadOnlyDisksAreTold(t *testing.T) {
	for name, want := range map[string]error{"full": memfs.ErrNoSpace, "read-only": memfs.ErrReadOnly} {
		fs := memfs.New()
		l := mustBegin(t, options(fs, journal.Interval))
		all, err := l.publish(0, 5)
		if err != nil {
			t.Fatal(err)
		}
		set := func(broken bool) {
			free, _ := fs.Free()
			switch {
			case name == "read-only":
				fs.SetReadOnly(broken)
			case broken:
				fs.SetCapacity(1<<40 - free + 10)
			default:
				fs.SetCapacity(1 << 40)
			}
		}
		set(true)
		more, err := l.publish(5, 4)
		if len(more) > 0 || !errors.Is(err, want) || !strings.Contains(err.Error(), "ticks") {
			t.Errorf("%s: %q confirmed, %v", name, more, err)
		}
		if got, lost := l.read(0); !slices.Equal(got, all) || lost {
			t.Errorf("%s: read %q, lost %v", name, got, lost)
		}
		set(false)
		more, err = l.publish(9, 4)
		if got, lost := l.read(0); err != nil || !slices.Equal(got, slices.Concat(all, more)) || lost || l.j.Stats().Failed != 4 {
			t.Errorf("%s: then %v, read %q, lost %v, %+v", name, err, got, lost, l.j.Stats())
		}
		l.end()
		again := mustBegin(t, options(fs, journal.Interval))
		if got, lost := again.read(0); !slices.Equal(got, slices.Concat(all, more)) || lost {
			t.Errorf("%s: after a restart read %q, lost %v", name, got, lost)
		}
		again.end()
	}
}

// All topics together have one budget: at its end an append is refused, or the oldest segment of any topic gives way and its
// readers are told (StreamFence S14).
func TestBudgetIsForAllTopics(t *testing.T) {
	for _, whenFull := range []journal.WhenFull{journal.Refuse, journal.DropOldest} {
		fs := memfs.New()
		j := openJournal(t, journal.Options{FS: fs, MaxBytes: 20_000, SegmentBytes: 1000, WhenFull: whenFull})
		var logs []*life
		for n := range 4 {
			topic := fmt.Sprint("t", n)
			log, err := j.Topic("/feed", topic, topiclog.Limits{}, func(topiclog.Placement) {})
			if err != nil {
				t.Fatal(err)
			}
			logs = append(logs, &life{t: t, fs: fs, j: j, log: log})
		}
		refused := 0
		for n := range 400 {
			r := numbered(n)
			r.Topic = fmt.Sprint("t", n%4)
			_, later, err := logs[n%4].log.Append(r)
			if err == nil {
				_, err = later.Wait(t.Context())
			}
			if err != nil {
				refused++
				if !errors.Is(err, journal.ErrNoRoom) || !errors.Is(err, topiclog.ErrFull) {
					t.Fatal(err)
				}
			}
			if used := onDisk(t, fs); used > 20_000 || used != j.Stats().Used {
				t.Fatalf("%d bytes on the disk, %d counted", used, j.Stats().Used)
			}
		}
		if (whenFull == journal.Refuse) != (refused > 0) {
			t.Errorf("policy %d: %d refused", whenFull, refused)
		}
		for n, l := range logs {
			if s := l.log.Span(); (s.First > 1) != (whenFull == journal.DropOldest) || s.Last < 20 {
				t.Errorf("policy %d: topic %d has %+v", whenFull, n, s)
			}
		}
		used := j.Stats().Used
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if again := openJournal(t, journal.Options{FS: fs}); again.Stats().Used != used {
			t.Errorf("%d bytes after a restart, %d before", again.Stats().Used, used)
		}
	}
}

// onDisk is what all files have that count.
func onDisk(t *testing.T, fs *memfs.FS) (bytes int64) {
	for _, name := range fs.Files() {
		if !strings.HasSuffix(name, ".new") {
			bytes += int64(len(fs.Data(name)))
		}
	}
	return bytes
}

// A budget that is smaller than one segment holds too, and the topic goes on with what is newest.
func TestBudgetBelowOneSegment(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes, o.MaxBytes, o.WhenFull = 1<<20, 5000, journal.DropOldest
	l := mustBegin(t, o)
	for n := range 200 {
		if _, err := l.publish(n, 1); err != nil {
			t.Fatal(err)
		}
		if used := onDisk(t, fs); used > 5000 {
			t.Fatalf("%d bytes", used)
		}
	}
	if got, lost := l.read(0); !lost || len(got) == 0 || got[len(got)-1] != "199" {
		t.Errorf("read %q, lost %v", got, lost)
	}
	l.end()
}

// Topics that publish at once take from each other, and the count of bytes is that of the disk.
func TestTopicsTakeFromEachOther(t *testing.T) {
	fs := memfs.New()
	j := openJournal(t, journal.Options{FS: fs, Fsync: journal.Never, MaxBytes: 30_000, SegmentBytes: 1500, WhenFull: journal.DropOldest})
	var all sync.WaitGroup
	for n := range 4 {
		topic := fmt.Sprint("t", n)
		log, err := j.Topic("/feed", topic, topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for n := range 500 {
				r := numbered(n)
				r.Topic = topic
				_, later, err := log.Append(r)
				if err == nil {
					_, err = later.Wait(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if used := onDisk(t, fs); used != j.Stats().Used || used > 30_000 {
		t.Errorf("%d bytes on the disk, %d counted", used, j.Stats().Used)
	}
}

// A removed topic leaves nothing; one that is open cannot be removed, nor opened twice; a second process is refused.
func TestOneOwner(t *testing.T) {
	fs := memfs.New()
	l := mustBegin(t, options(fs, journal.Never))
	if _, err := l.publish(0, 9); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(options(fs, journal.Never)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	if err := l.j.Remove("/feed", "ticks"); err == nil {
		t.Error("an open topic is removed")
	}
	if _, err := l.j.Topic("/feed", "ticks", topiclog.Limits{}, nil); err == nil {
		t.Error("a topic is opened twice")
	}
	if _, _, err := l.log.Append(&topiclog.Record{Namespace: "/feed", Topic: "other"}); err == nil {
		t.Error("a record of another topic is taken")
	}
	l.log.Close()
	if err := l.j.Remove("/feed", "ticks"); err != nil {
		t.Error(err)
	}
	if err := l.j.Remove("/feed", "never"); err != nil {
		t.Error(err)
	}
	if got := fs.Files(); !slices.Equal(got, []string{"lock"}) || l.j.Stats().Used != 0 {
		t.Errorf("left: %q, %d bytes", got, l.j.Stats().Used)
	}
	l.end()
	l.end()
	if _, err := l.j.Topic("/feed", "ticks", topiclog.Limits{}, nil); !errors.Is(err, topiclog.ErrClosed) {
		t.Errorf("a closed journal: %v", err)
	}
}

// Under interval what was confirmed is synced when the interval is over, and then outlives the machine. What is too old
// goes though nothing is appended.
func TestIntervalSyncsAndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Interval)
		o.Interval = 50 * time.Millisecond
		j := openJournal(t, o)
		log := openTopic(t, j, topiclog.Limits{Age: time.Minute}, func(topiclog.Placement) {})
		put := func() {
			r := numbered(1)
			r.At = time.Now().UnixNano()
			_, later, err := log.Append(r)
			if err == nil {
				_, err = later.Wait(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		put()
		synctest.Wait()
		begun := j.Stats().Syncs // for the name of the first segment
		put()
		synctest.Wait()
		if n := j.Stats().Syncs - begun; n != 0 {
			t.Errorf("%d syncs at once", n)
		}
		time.Sleep(60 * time.Millisecond)
		synctest.Wait()
		if n := j.Stats().Syncs - begun; n != 1 {
			t.Errorf("%d syncs after the interval", n)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s := log.Span(); s.First != 1 || j.Stats().Syncs != begun+1 {
			t.Errorf("after half the age %+v, %d syncs", s, j.Stats().Syncs)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if s := log.Span(); s.First != 3 || j.Stats().Used != onDisk(t, fs) || j.Stats().Topics[0].Segments != 0 {
			t.Errorf("after the age %+v, %d bytes, %+v", s, j.Stats().Used, j.Stats().Topics)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Limits that are lower than they were hold as soon as the topic is opened.
func TestLowerLimitsHoldAtOnce(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes = 1
	l := mustBegin(t, o)
	all, err := l.publish(0, 20)
	if err != nil {
		t.Fatal(err)
	}
	l.end()
	j := openJournal(t, o)
	again := &life{t: t, fs: fs, j: j, log: openTopic(t, j, topiclog.Limits{Records: 5}, func(topiclog.Placement) {})}
	if got, lost := again.read(0); !slices.Equal(got, all[15:]) || !lost || j.Stats().Used != onDisk(t, fs) {
		t.Errorf("read %q, lost %v, %d bytes counted of %d", got, lost, j.Stats().Used, onDisk(t, fs))
	}
}
