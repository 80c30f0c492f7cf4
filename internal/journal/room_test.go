package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// topicOf opens a topic and appends so many records.
func topicOf(t *testing.T, j *journal.Journal, name string, n int) *journal.Log {
	t.Helper()
	log, err := j.Topic("/feed", name, topiclog.Limits{}, func(topiclog.Placement) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := numbered(i)
		r.Topic, r.At = name, time.Now().UnixNano()
		_, later, err := log.Append(r)
		if err == nil {
			_, err = later.Wait(t.Context())
		}
		if err != nil {
			t.Fatalf("record %d of %s: %v", i, name, err)
		}
	}
	return log
}

// The budget is for what nobody has opened too: its oldest segments give way, and who opens it later is told.
func TestUnopenedTopicsGiveWay(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.MaxBytes, o.WhenFull = 20_000, journal.DropOldest
	j := openJournal(t, o)
	topicOf(t, j, "old", 60)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, o)
	before := j.Stats()
	log := topicOf(t, j, "new", 300) // more than there is room for
	if used := onDisk(t, fs); used > o.MaxBytes || used != j.Stats().Used {
		t.Errorf("%d bytes on the disk, %d counted", used, j.Stats().Used)
	}
	if s := j.Stats(); s.RestingBytes >= before.RestingBytes || s.Dropped == 0 {
		t.Errorf("before %+v, after %+v", before, s)
	}
	if s := log.Span(); s.Last < 300 {
		t.Errorf("%+v", s)
	}
	old, err := j.Topic("/feed", "old", topiclog.Limits{}, func(topiclog.Placement) {})
	if err != nil {
		t.Fatal(err)
	}
	l := &life{t: t, fs: fs, j: j, log: old}
	if got, lost := l.ids(nil); len(got) >= 60 || !lost || old.Span().Last != 60 {
		t.Errorf("read %d, lost %v, %+v", len(got), lost, old.Span())
	}
}

// Copies of damaged files count, and the oldest of them go when they are more than their part of the budget.
func TestSetAsideIsBounded(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes, o.MaxBytes = 3000, 160_000
	var pruned []string
	o.Incidents = func(e journal.Incident) {
		if e.Kind == journal.Pruned {
			pruned = append(pruned, e.File)
		}
	}
	for round := range 8 {
		l := mustBegin(t, o)
		if _, err := l.publish(100*round, 20); err != nil {
			t.Fatal(err)
		}
		l.end()
		data := fs.Data(lastSegment(fs))
		data[len(data)-20] ^= 1
	}
	l := mustBegin(t, o)
	s := l.j.Stats()
	if s.AsideBytes > o.MaxBytes/16 || s.Aside < 2 || int(s.Pruned) == 0 || s.Used != onDisk(t, fs) {
		t.Errorf("%+v, %d bytes on the disk", s, onDisk(t, fs))
	}
	left := 0
	for _, name := range fs.Files() {
		if strings.Contains(name, ".damaged") {
			left++
		}
	}
	if left != s.Aside || len(pruned) != 8-left {
		t.Errorf("%d files are left, %d counted, pruned %q", left, s.Aside, pruned)
	}
	l.end()
}

// Which topics there are is known without opening them.
func TestTopicsAreListed(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	j := openJournal(t, o)
	topicOf(t, j, "a/../b", 10)
	topicOf(t, j, "c\n", 5).Close()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range fs.Files() {
		if strings.HasSuffix(name, "/state") {
			fs.SetData(name, []byte("not a state")) // the segments say it too
			break
		}
	}
	j = openJournal(t, o)
	topicOf(t, j, "d", 1)
	topics, err := j.Topics()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var bytes int64
	for _, x := range topics {
		got = append(got, fmt.Sprintf("%q %v %d", x.Namespace+" "+x.Topic, x.Open, x.Segments))
		bytes += x.Bytes
	}
	slices.Sort(got)
	if want := []string{`"/feed a/../b" false 2`, `"/feed c\n" false 1`, `"/feed d" true 1`}; !slices.Equal(got, want) || bytes != onDisk(t, fs) {
		t.Errorf("%q, %d bytes of %d", got, bytes, onDisk(t, fs))
	}
}

// Files and directories are the owner's alone, and no byte of a name is in a path.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	o := journal.Options{FS: vfs.Dir(dir), SegmentBytes: 2000}
	journal.WithIndexFrom(&o, 1)
	j := openJournal(t, o)
	topicOf(t, j, "../../evil", 50)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[e.IsDir()]; err != nil || info.Mode().Perm() != want || strings.Contains(path, "evil") {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		files++
		return nil
	})
	if err != nil || files < 8 {
		t.Errorf("%d files, %v", files, err)
	}
	if _, err := journal.Open(o); err != nil {
		t.Error(err)
	}
}

// A disk that takes nothing is told once, however many topics and messages, and once when it has healed.
func TestTroubleIsToldOnce(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	journal.WithRecovery(&o, 1)
	var told []journal.Incident
	o.Incidents = func(e journal.Incident) { told = append(told, e) }
	j := openJournal(t, o)
	a, b := topicOf(t, j, "a", 1), topicOf(t, j, "b", 1)
	try := func(log *journal.Log, topic string) error {
		r := numbered(1)
		r.Topic = topic
		_, later, err := log.Append(r)
		if err == nil {
			_, err = later.Wait(t.Context())
		}
		return err
	}
	free, _ := fs.Free()
	fs.SetCapacity(1<<40 - free)
	for range 5 {
		if err := errors.Join(try(a, "a"), try(b, "b")); !errors.Is(err, memfs.ErrNoSpace) {
			t.Error(err)
		}
	}
	if s := j.Stats(); len(s.Troubles) != 1 || s.Troubles[0].What != journal.FullDisk || !errors.Is(s.Troubles[0].Err, memfs.ErrNoSpace) || s.Troubles[0].Since.IsZero() || s.Failed != 10 {
		t.Errorf("%+v", s)
	}
	fs.SetCapacity(1 << 40)
	if err := errors.Join(try(b, "b"), try(a, "a")); err != nil {
		t.Error(err)
	}
	if s := j.Stats(); s.Troubles != nil {
		t.Errorf("%+v", s)
	}
	if len(told) != 2 || told[0].Kind != journal.Refusing || told[1].Kind != journal.Healed || told[1].Since.IsZero() {
		t.Errorf("%+v", told)
	}
}
