package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// looked is all that a look finds, read whole.
func looked(t *testing.T, fsys *memfs.FS) (ids []string, bad, missing, torn int) {
	t.Helper()
	all, err := journal.Look(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.State != nil && !errors.Is(v.State, fs.ErrNotExist) { // it comes after the first segment
			bad++
		}
		for i := range v.Segments {
			v.Walk(i, 0, func(p topiclog.Placement) bool {
				ids = append(ids, p.ID)
				return true
			})
			s := &v.Segments[i]
			for _, count := range []struct {
				is bool
				n  *int
			}{{s.Bad(), &bad}, {s.Missing, &missing}, {s.Torn, &torn}} {
				if count.is {
					*count.n++
				}
			}
		}
	}
	return ids, bad, missing, torn
}

// A look changes nothing, takes no lock, and finds every flipped bit; an end that is not complete is no damage.
func TestLookFindsDamage(t *testing.T) {
	for _, clean := range []bool{true, false} {
		l := mustBegin(t, options(memfs.New(), journal.Always))
		all, err := l.publish(0, 9)
		if err != nil {
			t.Fatal(err)
		}
		if got, bad, missing, torn := looked(t, l.fs); !slices.Equal(got, all) || bad+missing+torn > 0 {
			t.Errorf("while it is open: %q, %d bad, %d missing, %d torn", got, bad, missing, torn)
		}
		fs := whole(l, clean)
		before := fs.Ops()
		for _, name := range fs.Files() {
			for i := range fs.Data(name) {
				broken := fs.Clone()
				broken.SetReadOnly(true)
				broken.Data(name)[i] ^= 1 << (i % 8)
				if got, bad, _, _ := looked(t, broken); bad == 0 || !subset(got, all) {
					t.Errorf("clean %v, byte %d of %s: %q, %d bad", clean, i, name, got, bad)
				}
			}
		}
		name := lastSegment(fs)
		data := fs.Data(name)
		from := strings.LastIndex(string(data), string(data[12:16])) // the mark
		for n := from; n < len(data); n++ {
			cut := fs.Clone()
			cut.SetData(name, data[:n])
			if got, bad, missing, torn := looked(t, cut); !slices.Equal(got, all[:8]) || bad+missing > 0 || (torn == 1) != (n > from) {
				t.Errorf("cut at %d: %q, %d bad, %d missing, %d torn", n-from, got, bad, missing, torn)
			}
		}
		if fs.Ops() != before {
			t.Errorf("%d operations on what is only cloned", fs.Ops()-before)
		}
	}
}

// What is lost in the middle is told.
func TestLookFindsWhatIsMissing(t *testing.T) {
	l := mustBegin(t, options(memfs.New(), journal.Always))
	if _, err := l.publish(0, 30); err != nil {
		t.Fatal(err)
	}
	fs := whole(l, true)
	var segments []string
	for _, name := range fs.Files() {
		if strings.HasSuffix(name, ".seg") {
			segments = append(segments, name)
		}
	}
	if err := fs.Remove(segments[1]); err != nil {
		t.Fatal(err)
	}
	if got, bad, missing, _ := looked(t, fs); bad > 0 || missing != 1 || len(got) >= 30 {
		t.Errorf("read %d, %d bad, %d missing", len(got), bad, missing)
	}
}

// A look beside a writer whose segments come and go finds no damage, and records in order.
func TestLookBesideAWriter(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes, o.Interval = 5000, time.Millisecond
	journal.WithIndexFrom(&o, 1)
	j := openJournal(t, o)
	log := openTopic(t, j, topiclog.Limits{Records: 200}, func(topiclog.Placement) {})
	l := &life{t: t, fs: fs, j: j, log: log}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; ; n += 10 {
			select {
			case <-stop:
				return
			default:
				if _, err := l.publish(n, 10); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for round := 0; round < 200 || l.log.Span().Last < 1000; round++ {
		got, bad, _, _ := looked(t, fs)
		last := -1
		for _, id := range got {
			var n int
			_, _ = fmt.Sscan(id, &n)
			if n <= last {
				t.Fatalf("%d after %d", n, last)
			}
			last = n
		}
		if bad > 0 {
			t.Fatalf("round %d: %d bad", round, bad)
		}
	}
	close(stop)
	writing.Wait()
}
