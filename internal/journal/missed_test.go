package journal_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// passing is a record that takes a place and is not kept.
func passing(n int, missed bool) *topiclog.Record {
	r := numbered(n)
	r.Volatile, r.Missed = true, missed
	return r
}

func (l *life) put(r *topiclog.Record) (topiclog.Position, error) {
	l.t.Helper()
	_, later, err := l.appends(r)
	if err != nil {
		return topiclog.Position{}, err
	}
	return later.Wait(l.t.Context())
}

// What was to be kept and could not be is told to whoever reads past it, now and after a restart; to nobody else.
func TestMissedRecordIsToldToReaders(t *testing.T) {
	for _, tail := range []int{-1, 1 << 20} {
		fs := memfs.New()
		o := options(fs, journal.Interval)
		o.TailBytes = tail
		l := mustBegin(t, o)
		before, err := l.publish(0, 3)
		if err != nil {
			t.Fatal(err)
		}
		if at, err := l.put(passing(100, false)); err != nil || at.Offset != 4 {
			t.Errorf("%+v, %v", at, err)
		}
		if _, lost := l.read(3); lost {
			t.Error("a volatile record is told as lost")
		}
		if at, err := l.put(passing(100, true)); err != nil || at.Offset != 5 {
			t.Errorf("%+v, %v", at, err)
		}
		look := func(what string, want []string) {
			t.Helper()
			for after := range uint64(6) {
				_, lost := l.read(after)
				if want := after < 5; lost != want {
					t.Errorf("%s: behind %d a reader is told %t", what, after, lost)
				}
			}
			if got, _ := l.read(0); !slices.Equal(got, want) {
				t.Errorf("%s: %q", what, got)
			}
		}
		look("at the end", before)
		l.end()
		l = mustBegin(t, o)
		look("after a restart", before)
		more, err := l.publish(10, 2)
		if err != nil {
			t.Fatal(err)
		}
		look("with more behind it", append(before, more...))
		l.end()
		l = mustBegin(t, o)
		look("with more, after a restart", append(before, more...))
		l.end()
	}
}

// What the disk has refused and could not cut off is no record, though something missed has a higher offset.
func TestMissedRecordDoesNotBringBackWhatWasRefused(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Always)
	l := mustBegin(t, o)
	all, err := l.publish(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	fs.Hook(func(op memfs.Op) error { // the record is written, and cannot be synced, nor cut off
		if op.Kind == memfs.Sync || op.Kind == memfs.Truncate {
			return memfs.ErrReadOnly
		}
		return nil
	})
	if _, err := l.put(numbered(3)); err == nil {
		t.Fatal("it was not refused")
	}
	if _, err := l.put(passing(3, true)); err != nil {
		t.Fatal(err)
	}
	fs.Hook(nil)
	more, err := l.publish(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, more...)
	l.die(fs.Kill)
	l = mustBegin(t, o)
	if got, lost := l.read(0); !slices.Equal(got, all) || !lost {
		t.Errorf("read %q, want %q; lost %t", got, all, lost)
	}
	l.end()
}

// One batch has what needs the disk and what does not: the disk refuses, and what does not has its place.
func TestRefusedDiskTakesWhatNeedsNone(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Always)
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	j := openJournal(t, o)
	log := openTopic(t, j, topiclog.Limits{}, func(topiclog.Placement) {
		select {
		case held <- struct{}{}:
		default:
		}
		<-hold
	})
	var all []*topiclog.Later
	put := func(r *topiclog.Record) {
		_, later, err := log.Append(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, later)
	}
	put(numbered(0))
	<-held // the writer delivers: what follows is one batch
	for n := 1; n <= 10; n++ {
		if n%2 == 0 {
			put(passing(n, true))
		} else {
			put(numbered(n))
		}
	}
	fs.SetReadOnly(true)
	close(hold)
	last, epoch := uint64(0), ""
	for n, later := range all {
		at, err := later.Wait(t.Context())
		if (err != nil) != (n%2 == 1) {
			t.Errorf("record %d: %+v, %v", n, at, err)
		}
		if err == nil {
			if at.Offset <= last {
				t.Errorf("record %d is at %d, behind %d", n, at.Offset, last)
			}
			last, epoch = at.Offset, at.Epoch
		}
	}
	if epoch != log.Span().Epoch {
		t.Error("offsets that were reserved are of another epoch")
	}
	fs.SetReadOnly(false)
}

// Topics that are named and forgotten, and never published to, leave nothing behind, neither on the disk nor in the list.
func TestTopicsNeverUsedLeaveNothing(t *testing.T) {
	fs := memfs.New()
	j := openJournal(t, options(fs, journal.Never))
	for n := range 100 {
		log, err := j.Topic("/feed", fmt.Sprint(n), topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		log.Close()
	}
	topics, err := j.Topics()
	if err != nil || len(topics) != 0 || j.Resting() != 0 {
		t.Errorf("%d topics, %d remembered, %v", len(topics), j.Resting(), err)
	}
}
