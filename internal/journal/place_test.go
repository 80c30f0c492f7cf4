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
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// together appends records without waiting in between, and returns the ids of those that were confirmed.
func (l *life) together(from, n int) (confirmed []string, err error) {
	var later []*topiclog.Later
	for i := from; i < from+n; i++ {
		_, p, err := l.log.Append(numbered(i))
		if err != nil {
			l.t.Fatal(err)
		}
		later = append(later, p)
	}
	for i, p := range later {
		if _, e := p.Wait(l.t.Context()); e == nil {
			confirmed = append(confirmed, fmt.Sprint(from+i))
		} else {
			err = e
		}
	}
	return confirmed, err
}

// While a portion is written the next is numbered and the last delivered. Any write or sync fails: who was confirmed
// was delivered and is read, in order, and nobody else; and what comes after that succeeds.
func TestPortionsOverlapAndFail(t *testing.T) {
	for _, fsync := range policies {
		for _, kind := range []memfs.Kind{memfs.Write, memfs.Sync, memfs.Create, memfs.Rename} {
			for at, hit := 1, true; hit && !t.Failed(); at++ {
				hit = portionFails(t, fsync, kind, at)
			}
		}
	}
}

// A delivery that takes long does not hold up the disk: the next portion is written meanwhile.
func TestTheDiskWorksDuringSlowDeliveries(t *testing.T) {
	synctest.Test(t, diskWorksDuringSlowDeliveries)
}

func diskWorksDuringSlowDeliveries(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Interval)
	o.SegmentBytes = 1 << 20
	journal.WithPortionsAsNeeded(&o, 300)
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	var delivering atomic.Bool
	l, err := j.Topic("/feed", "ticks", topiclog.Limits{}, func(topiclog.Placement) {
		delivering.Store(true)
		time.Sleep(time.Millisecond) // a client that has little room
		delivering.Store(false)
	})
	if err != nil {
		t.Fatal(err)
	}
	queued := make(chan struct{})
	var first sync.Once
	var during atomic.Int64
	fs.Hook(func(op memfs.Op) error {
		if op.Kind == memfs.Write && strings.HasSuffix(op.Name, ".seg") {
			first.Do(func() { <-queued })
			if delivering.Load() {
				during.Add(1)
			}
		}
		return nil
	})
	var last *topiclog.Later
	for n := range 100 {
		if _, last, err = l.Append(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	close(queued)
	if _, err := last.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if during.Load() == 0 {
		t.Error("nothing was written while something was delivered")
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func portionFails(t *testing.T, fsync journal.Fsync, kind memfs.Kind, at int) bool {
	fs := memfs.New()
	o := options(fs, fsync)
	o.SegmentBytes = 1500
	journal.WithPortions(&o, 300)
	journal.WithReserveBlock(&o, 16)
	l := mustBegin(t, o)
	hit := make(chan struct{}, 1)
	var mu sync.Mutex
	n, refused := 0, ""
	fs.Hook(func(op memfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case (op.Kind == memfs.Truncate || op.Kind == memfs.Remove) && op.Name == refused:
			refused = ""
		case op.Kind == memfs.Write && op.Name == refused:
			t.Errorf("policy %d, write %d: a portion is written behind one that was refused, and not cut off yet", fsync, at)
		}
		if op.Kind != kind {
			return nil
		}
		if n++; n != at {
			return nil
		}
		if kind == memfs.Write && strings.HasSuffix(op.Name, ".seg") {
			refused = op.Name
		}
		hit <- struct{}{}
		return errBroken
	})
	all, err := l.together(0, 60)
	more, again := l.together(60, 10)
	l.log.Settle()
	fs.Hook(nil)
	all = append(all, more...)
	what := fmt.Sprintf("policy %d, %s %d fails: %v, %v, confirmed %q", fsync, kind, at, err, again, all)
	var delivered []string
	for _, e := range l.delivered {
		delivered = append(delivered, e.ID)
	}
	if (err != nil && !errors.Is(err, errBroken)) || (err != nil && again != nil) || !slices.Equal(delivered, all) {
		t.Errorf("%s; delivered %q", what, delivered)
	}
	if got, lost := l.read(0); !slices.Equal(got, all) || lost {
		t.Errorf("%s; read %q, lost %v", what, got, lost)
	}
	_ = l.j.Close()
	unsynced := l.j.Stats().Unsynced > 0 // then something may be lost, though nothing is
	second := mustBegin(t, o)
	if got, lost := second.read(0); !slices.Equal(got, all) || lost != unsynced {
		t.Errorf("%s; after the next start %q, lost %v", what, got, lost)
	}
	second.end()
	return len(hit) > 0
}
