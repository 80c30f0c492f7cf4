package journal_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// Readers a little behind are served from memory, as the records were appended, and before Read returns; the tail is bounded by its
// topic's limit and by that of all, and what is held is told.
func TestTailServesReadersWithoutTheDisk(t *testing.T) {
	fs := memfs.New()
	var held atomic.Int64
	o := options(fs, journal.Never)
	size := numbered(0).Size() + 40
	o.TailBytes, o.TailsBytes, o.Held = 10*size, 15*size, func(more int64) { held.Add(more) }
	l := mustBegin(t, o)
	all, err := l.publish(0, 50)
	if err != nil {
		t.Fatal(err)
	}
	fs.Hook(func(op memfs.Op) error {
		if op.Kind == memfs.Open || op.Kind == memfs.Read {
			return errBroken
		}
		return nil
	})
	answered := false
	l.log.Read(topiclog.Query{After: 42, Limit: topiclog.Limit{Records: 5, Bytes: 1 << 20}}, func(b topiclog.Batch) {
		answered = true
		if len(b.Placements) != 5 || b.Placements[0].ID != "42" || b.Err != nil || b.Lost || b.Placements[0].Record != l.delivered[42].Record {
			t.Errorf("%+v", b)
		}
	})
	if got, lost := l.read(45); !answered || !slices.Equal(got, all[45:]) || lost {
		t.Errorf("answered %v, read %q, lost %v", answered, got, lost)
	}
	fs.Hook(nil)
	if s := l.j.Stats(); s.TailBytes > int64(10*size) || s.TailBytes < int64(7*size) || s.TailBytes+s.BlockBytes+s.IndexBytes != held.Load() || s.TailReads < 2 || s.DiskReads != 0 {
		t.Errorf("%d held of %d and %d: %+v", held.Load(), 10*size, 15*size, s)
	}
	if got, lost := l.read(0); !slices.Equal(got, all) || lost || l.j.Stats().DiskReads == 0 {
		t.Errorf("from the beginning %q, lost %v", got, lost)
	}
	second, err := l.j.Topic("/feed", "second", topiclog.Limits{}, func(topiclog.Placement) {})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		r := numbered(n)
		r.Topic = "second"
		_, later, err := second.Append(r)
		if err == nil {
			_, err = later.Wait(t.Context())
		}
		if s := l.j.Stats(); err != nil || s.TailBytes > int64(15*size) {
			t.Fatalf("%v, tails of all have %d bytes of %d", err, s.TailBytes, 15*size)
		}
	}
	l.j.Shed()
	if s := l.j.Stats(); s.TailBytes != 0 || s.BlockBytes != 0 || s.IndexBytes != held.Load() {
		t.Errorf("%d held: %+v", held.Load(), s)
	}
	if got, _ := l.read(45); !slices.Equal(got, all[45:]) {
		t.Errorf("when the tail is gone: %q", got)
	}
	l.end()
	if held.Load() != 0 {
		t.Errorf("%d bytes are held by a closed journal", held.Load())
	}
}

// A topic to which nothing is appended keeps nothing in memory.
func TestTailRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(memfs.New(), journal.Interval)
		o.Interval, o.TailBytes = 50*time.Millisecond, 0
		l := mustBegin(t, o)
		all, err := l.publish(0, 3)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		if s := l.j.Stats(); s.TailBytes == 0 {
			t.Error("the tail is gone at once")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s := l.j.Stats(); s.TailBytes != 0 {
			t.Errorf("%+v", s)
		}
		if got, lost := l.read(0); !slices.Equal(got, all) || lost {
			t.Errorf("read %q, lost %v", got, lost)
		}
		l.end()
	})
}

// A disk whose syncs hang delays no append under interval until so much is not synced that a failure of the machine
// would lose too much; then appends are refused, and all that were taken are confirmed when the disk goes on.
func TestSyncsThatHangDelayNobodyUntilTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Interval)
		o.SegmentBytes, o.UnsyncedBytes, o.QueueBytes = 1000, 8000, 20*numbered(0).Size()
		l := mustBegin(t, o)
		goOn := make(chan struct{})
		fs.Hook(func(op memfs.Op) error {
			if op.Kind == memfs.Sync && strings.HasSuffix(op.Name, ".seg") {
				<-goOn
			}
			return nil
		})
		confirmed, err := l.publish(0, 50) // some 6,000 bytes
		if err != nil || len(confirmed) != 50 {
			t.Errorf("%d confirmed beside a sync that hangs, %v", len(confirmed), err)
		}
		var later []*topiclog.Later
		for n := 50; err == nil && n < 2000; n++ {
			synctest.Wait() // until the writer has nothing to do, or waits for the disk
			var p *topiclog.Later
			if _, p, err = l.log.Append(numbered(n)); err == nil {
				later = append(later, p)
			}
		}
		if s := l.log.Stats(); !errors.Is(err, journal.ErrBusy) || s.Unsynced < 8000 || s.Unsynced > 9500 {
			t.Errorf("%d more are taken, then %v, %+v", len(later), err, s)
		}
		close(goOn)
		for _, p := range later {
			if _, err := p.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got, lost := l.read(0); len(got) != 50+len(later) || lost {
			t.Errorf("read %d of %d, lost %v", len(got), 50+len(later), lost)
		}
		l.end()
		if s := l.j.Stats(); s.Unsynced != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Syncs that fail behind the writer's back are told once, and the file is given up. The next start tells readers that
// something may be lost, though the machine runs on: what could not be synced is gone when the file system is mounted
// anew.
func TestSyncsThatFailAreToldOnce(t *testing.T) {
	for _, how := range []string{"closed", "killed", "mounted anew"} {
		fs := memfs.New()
		o := options(fs, journal.Interval)
		var events atomic.Int64
		o.Incidents = func(journal.Incident) { events.Add(1) }
		l := mustBegin(t, o)
		var broken atomic.Bool
		fs.Hook(func(op memfs.Op) error {
			if op.Kind == memfs.Sync && strings.HasSuffix(op.Name, ".seg") && broken.Load() {
				return errBroken
			}
			return nil
		})
		all, err := l.publish(0, 5)
		l.log.Settle()
		broken.Store(true)
		more, again := l.publish(5, 30)
		all = append(all, more...)
		if err := errors.Join(err, again); err != nil || len(all) != 35 {
			t.Errorf("%d confirmed, %v", len(all), err)
		}
		l.log.Settle()
		if events.Load() != 1 || l.j.Stats().Unsynced < 2 {
			t.Errorf("%d events, %+v", events.Load(), l.j.Stats())
		}
		switch how {
		case "closed":
			fs.Hook(nil)
			l.end()
		case "killed":
			l.die(fs.Kill)
		case "mounted anew":
			l.die(func() { fs.Remount(nil) })
		}
		second := mustBegin(t, o)
		got, lost := second.read(0)
		if len(got) > 35 || !slices.Equal(got, all[:len(got)]) || (len(got) < 35) != (how == "mounted anew") || !lost {
			t.Errorf("%s: read %d, lost %v", how, len(got), lost)
		}
		second.end()
	}
}

// What was shed is not held again at once: where memory is short readers read from the disk, until it has not been for a while.
func TestShedHoldsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(memfs.New(), journal.Never)
		o.TailBytes = 0
		l := mustBegin(t, o)
		all, err := l.publish(0, 50)
		if err != nil || l.j.Stats().TailBytes == 0 {
			t.Fatal(err)
		}
		l.j.Shed()
		more, err := l.publish(50, 50)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, more...)
		if got, lost := l.read(0); !slices.Equal(got, all) || lost {
			t.Errorf("read %q, lost %v", got, lost)
		}
		if s := l.j.Stats(); s.TailBytes != 0 || s.BlockBytes != 0 {
			t.Errorf("held at once: %+v", s)
		}
		time.Sleep(6 * time.Second)
		if _, err := l.publish(100, 5); err != nil {
			t.Fatal(err)
		}
		l.read(0)
		if s := l.j.Stats(); s.TailBytes == 0 || s.BlockBytes == 0 {
			t.Errorf("after a while: %+v", s)
		}
		l.end()
	})
}
