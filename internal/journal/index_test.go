package journal_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// counted counts the bytes that are read of segments.
type counted struct{ reads atomic.Int64 }

func (c *counted) hook(op memfs.Op) error {
	if op.Kind == memfs.Read && strings.HasSuffix(op.Name, ".seg") {
		c.reads.Add(1)
	}
	return nil
}

// many appends n records of a kilobyte, for whom to says.
func (l *life) many(n int, to func(i int) topiclog.Recipient) {
	l.t.Helper()
	var last *topiclog.Later
	for i := range n {
		r := numbered(i)
		r.To = to(i)
		_, later, err := l.log.Append(r)
		for err != nil && last != nil {
			_, _ = last.Wait(l.t.Context())
			_, later, err = l.log.Append(r)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		last = later
	}
	if _, err := last.Wait(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

func everybody(int) topiclog.Recipient { return topiclog.Recipient{} }

// ids reads all that is for somebody.
func (l *life) ids(to *topiclog.Reader) (ids []string, lost bool) {
	l.t.Helper()
	q := topiclog.Query{Limit: topiclog.Limit{Records: 1000, Bytes: 1 << 20}, For: to}
	for {
		answer := make(chan topiclog.Batch, 1)
		l.log.Read(q, func(b topiclog.Batch) { answer <- b })
		b := <-answer
		if b.Err != nil {
			l.t.Fatalf("read after %d: %v", q.After, b.Err)
		}
		for _, e := range b.Placements {
			ids = append(ids, e.ID)
		}
		lost = lost || b.Lost
		if q.After = b.Next; b.End() {
			return ids, lost
		}
	}
}

// After an end in order a log is opened by its index files: of each segment the header is read and nothing else. What
// is damaged meanwhile is found when it is read, once, and set aside at the next start. An index that is damaged, or of
// another file, is made anew.
func TestOpeningReadsIndexesOnly(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes = 100_000
	journal.WithIndexFrom(&o, 10_000)
	l := mustBegin(t, o)
	l.many(5000, func(i int) topiclog.Recipient { return topiclog.Recipient{Socket: fmt.Sprint("s", i%500)} })
	want := l.log.Span()
	all, _ := l.ids(nil)
	mine := &topiclog.Reader{Socket: "s7"}
	forMe, _ := l.ids(mine)
	l.end()
	open := func(reads int64, what string) *life {
		t.Helper()
		var c counted
		fs.Hook(c.hook)
		l := mustBegin(t, o)
		fs.Hook(nil)
		if n := c.reads.Load(); reads >= 0 && n != reads {
			t.Errorf("%s: %d reads of segments to open %d, want %d", what, n, l.j.Stats().Topics[0].Segments, reads)
		}
		if got := l.log.Span(); got != want {
			t.Errorf("%s: %+v, was %+v", what, got, want)
		}
		if used := onDisk(t, fs); used != l.j.Stats().Used {
			t.Errorf("%s: %d bytes on the disk, %d counted", what, used, l.j.Stats().Used)
		}
		return l
	}
	var indexes []string
	for _, name := range fs.Files() {
		if strings.HasSuffix(name, ".idx") {
			indexes = append(indexes, name)
		}
	}
	again := open(int64(len(indexes)), "a clean end")
	if got, lost := again.ids(nil); !slices.Equal(got, all) || lost || len(indexes) < 5 {
		t.Errorf("read %d of %d from %d segments, lost %v", len(got), len(all), len(indexes), lost)
	}
	if got, lost := again.ids(mine); !slices.Equal(got, forMe) || len(got) != 10 || lost {
		t.Errorf("for one %q, want %q, lost %v", got, forMe, lost)
	}
	again.end()

	// Broken indexes.
	fs.Data(indexes[0])[20] ^= 1
	fs.SetData(indexes[1], nil)
	fs.SetData(indexes[2], fs.Data(indexes[2])[:40])
	fs.SetData(indexes[3], fs.Data(indexes[4]))
	again = open(-1, "broken indexes")
	if got, lost := again.ids(nil); !slices.Equal(got, all) || lost || again.j.Stats().Damaged > 0 {
		t.Errorf("broken indexes: read %d of %d, lost %v", len(got), len(all), lost)
	}
	again.end()
	open(int64(len(indexes)), "indexes made anew").end()

	// A damaged record.
	data := fs.Data(strings.TrimSuffix(indexes[1], ".idx") + ".seg")
	data[len(data)/2] ^= 1
	again = open(int64(len(indexes)), "a damaged record")
	for range 3 {
		if got, lost := again.ids(nil); len(got) != len(all)-1 || !subset(got, all) || !lost || again.j.Stats().Damaged != 1 {
			t.Errorf("read %d of %d, lost %v, %+v", len(got), len(all), lost, again.j.Stats().Damaged)
		}
	}
	again.end()
	again = open(-1, "the start after that")
	if s := again.j.Stats(); s.Damaged != 1 || s.Aside != 1 {
		t.Errorf("%+v", s)
	}
	again.end()
	again = open(int64(len(indexes)), "at last")
	if got, lost := again.ids(nil); len(got) != len(all)-1 || !lost || again.j.Stats().Damaged != 0 {
		t.Errorf("read %d of %d, lost %v, %+v", len(got), len(all), lost, again.j.Stats().Damaged)
	}
	again.end()

	// A segment that is not as long as it was.
	name := strings.TrimSuffix(indexes[2], ".idx") + ".seg"
	fs.SetData(name, fs.Data(name)[:len(fs.Data(name))-20])
	again = open(-1, "a segment that is cut")
	if got, lost := again.ids(nil); len(got) != len(all)-2 || !lost || again.j.Stats().Torn != 1 {
		t.Errorf("read %d of %d, lost %v, %+v", len(got), len(all), lost, again.j.Stats().Torn)
	}
	again.end()
}

// A log of a process that was killed reads the last segment only, and what had no index.
func TestOpeningAfterAKillReadsTheLastSegment(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes = 100_000
	journal.WithIndexFrom(&o, 10_000)
	l := mustBegin(t, o)
	l.many(5000, everybody)
	l.log.Settle()
	segments := l.j.Stats().Topics[0].Segments
	l.die(fs.Kill)
	var c counted
	fs.Hook(c.hook)
	again := mustBegin(t, o)
	if n := c.reads.Load(); n != int64(segments) || segments < 5 { // a header each, and the last whole
		t.Errorf("%d reads to open %d segments", n, segments)
	}
	if got, lost := again.ids(nil); len(got) != 5000 || lost {
		t.Errorf("read %d, lost %v", len(got), lost)
	}
	again.end()
}

// A record for one among many for thousands of others is found without reading theirs.
func TestOneAmongManyRecipientsIsFound(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes = 1 << 20
	l := mustBegin(t, o)
	const n = 50_000
	l.many(n, func(i int) topiclog.Recipient {
		if i == n/2 {
			return topiclog.Recipient{Socket: "mine"}
		}
		return topiclog.Recipient{Socket: fmt.Sprint("s", i)}
	})
	var c counted
	fs.Hook(c.hook)
	got, lost := l.ids(&topiclog.Reader{Socket: "mine"})
	blocks := int64(l.j.Stats().Bytes) / (64 << 10) //nolint:gosec // small
	if !slices.Equal(got, []string{fmt.Sprint(n / 2)}) || lost || c.reads.Load() > 2+blocks/10 {
		t.Errorf("read %q, lost %v, from %d blocks of %d", got, lost, c.reads.Load(), blocks)
	}
	l.end()
}
