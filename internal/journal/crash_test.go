package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// life is one process that publishes to a topic on a file system.
type life struct {
	t         *testing.T
	fs        *memfs.FS
	j         *journal.Journal
	log       *journal.Log
	prompt    bool // it places at once
	delivered []topiclog.Placement
}

var policies = []journal.Fsync{journal.Always, journal.Interval, journal.Never}

func options(fs *memfs.FS, fsync journal.Fsync) journal.Options {
	return journal.Options{FS: fs, Fsync: fsync, SegmentBytes: 700, Interval: time.Hour, TailBytes: -1}
}

// beginAs starts a process, whose log places at once or late. The error is that of opening.
func beginAs(t *testing.T, o journal.Options, prompt bool) (*life, error) {
	l := &life{t: t, fs: o.FS.(*memfs.FS), prompt: prompt} //nolint:forcetypeassert // options says so
	j, err := journal.Open(o)
	if err != nil {
		return l, err
	}
	l.j = j
	if prompt {
		var p journal.Prompt
		p, err = j.Prompt("/feed", "ticks", topiclog.Limits{})
		l.log = p.Log
	} else {
		l.log, err = j.Topic("/feed", "ticks", topiclog.Limits{}, func(e topiclog.Placement) { l.delivered = append(l.delivered, e) })
	}
	if err != nil {
		_ = j.Close()
	}
	return l, err
}

func mustBegin(t *testing.T, o journal.Options) *life {
	t.Helper()
	return mustBeginAs(t, o, false)
}

func mustBeginAs(t *testing.T, o journal.Options, prompt bool) *life {
	t.Helper()
	l, err := beginAs(t, o, prompt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// appends appends a record as the owner of the order does. Of a log that places at once it is delivered then; what that one
// does not take has a place all the same, and is missed.
func (l *life) appends(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	p := journal.Prompt{Log: l.log}
	for l.prompt {
		at, later, err := p.Append(r)
		if err == nil {
			l.delivered = append(l.delivered, topiclog.Placement{Record: r, Position: at})
			return at, later, nil
		}
		if errors.Is(err, topiclog.ErrFull) {
			if err = p.Room(l.t.Context(), r); err == nil {
				continue
			}
		}
		v := *r
		v.Volatile, v.Missed = true, !r.Volatile
		if at, e := p.Pass(&v); e == nil {
			l.delivered = append(l.delivered, topiclog.Placement{Record: &v, Position: at})
		}
		return topiclog.Position{}, nil, err
	}
	return l.log.Append(r)
}

// numbered is a record with every field, whose payload says its number.
func numbered(n int) *topiclog.Record {
	return &topiclog.Record{
		Namespace: "/feed", Topic: "ticks", ID: fmt.Sprint(n), Key: "k", At: int64(n), Expires: int64(n) + 1000, Binary: n%2 == 0,
		To: topiclog.Recipient{Principal: []string{"", "p"}[n%2]}, Payload: fmt.Appendf(nil, `{"n":%d,"pad":%q}`, n, strings.Repeat("x", n%37)),
	}
}

// publish appends records from a number on until one is refused or there are enough, and returns the ids of those that
// were confirmed and the first error.
func (l *life) publish(from, n int) (confirmed []string, err error) {
	for i := from; i < from+n; i++ {
		_, later, e := l.appends(numbered(i))
		if e == nil {
			_, e = later.Wait(l.t.Context())
		}
		if e == nil {
			confirmed = append(confirmed, fmt.Sprint(i))
		} else if err == nil {
			err = e
		}
	}
	return confirmed, err
}

// read reads all, and checks that each is what was published, in order.
func (l *life) read(after uint64) (ids []string, lost bool) {
	l.t.Helper()
	q := topiclog.Query{After: after, Limit: topiclog.Limit{Records: 7, Bytes: 1 << 20}}
	for {
		answer := make(chan topiclog.Batch, 1)
		l.log.Read(q, func(b topiclog.Batch) { answer <- b })
		b := <-answer
		if errors.Is(b.Err, errBroken) {
			continue // it comes once
		}
		if b.Err != nil {
			l.t.Fatalf("read after %d: %v", q.After, b.Err)
		}
		for _, e := range b.Placements {
			var n int
			_, _ = fmt.Sscan(e.ID, &n)
			if want := numbered(n); want.At != e.At || want.Expires != e.Expires || string(want.Payload) != string(e.Payload) || want.To != e.To || want.Binary != e.Binary || want.Key != e.Key || e.Namespace != "/feed" || e.Topic != "ticks" {
				l.t.Errorf("record %d came back as %+v", n, e.Record)
			}
			if e.Offset <= q.After {
				l.t.Errorf("offset %d after %d", e.Offset, q.After)
			}
			q.After = e.Offset
			ids = append(ids, e.ID)
		}
		lost = lost || b.Lost
		if q.After = b.Next; b.End() {
			return ids, lost
		}
	}
}

// end is the end of a process in order.
func (l *life) end() {
	if err := l.j.Close(); err != nil {
		l.t.Errorf("close: %v", err)
	}
}

// die is the end of a process out of order: nothing that it does on the way reaches the disk.
func (l *life) die(how func()) {
	l.fs.Hook(func(memfs.Op) error { return memfs.ErrCrashed })
	_ = l.j.Close()
	l.fs.Hook(nil)
	how()
}

// highest is the highest offset of the log's epoch that anybody has seen.
func (l *life) highest() (offset uint64) {
	for _, e := range l.delivered {
		if e.Epoch == l.log.Span().Epoch {
			offset = e.Offset
		}
	}
	return offset
}

// torn are what a crash may leave of bytes that were not synced.
var torn = map[string]func(string, int) int{
	"nothing":    nil,
	"all":        func(_ string, n int) int { return n },
	"a byte":     func(string, int) int { return 1 },
	"but a byte": func(_ string, n int) int { return n - 1 },
	"half":       func(_ string, n int) int { return n / 2 },
}

// The machine fails at any operation of the file system. What was confirmed is there (always), or there is a prefix of it and
// readers are told (interval, never); no offset is given twice; and it is the same after the next failure.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, x := range placings {
		for left, keep := range torn {
			t.Run(fmt.Sprint(x, " leaves ", left), func(t *testing.T) {
				for at := 1; !t.Failed(); at++ {
					if !crashAt(t, x, at, keep) {
						return
					}
				}
			})
		}
	}
}

// placing is how a log syncs, and whether it places at once.
type placing struct {
	fsync  journal.Fsync
	prompt bool
}

var placings = []placing{{journal.Always, false}, {journal.Interval, false}, {journal.Never, false}, {journal.Interval, true}, {journal.Never, true}}

// crashAt publishes in two lives, the second of which ends at an operation. It reports whether there were so many.
func crashAt(t *testing.T, x placing, at int, keep func(string, int) int) bool {
	fs := memfs.New()
	fsync, o := x.fsync, options(fs, x.fsync)
	first := mustBeginAs(t, o, x.prompt)
	all, err := first.publish(0, 8)
	if err != nil {
		t.Fatal(err)
	}
	first.end()
	before := fs.Ops()
	var crashed atomic.Bool
	fs.Hook(func(op memfs.Op) error {
		if op.N-before < at {
			return nil
		}
		crashed.Store(true)
		return memfs.ErrCrashed
	})
	highest, seen := first.highest(), len(all)
	second, err := beginAs(t, o, x.prompt)
	if err == nil {
		confirmed, _ := second.publish(8, 12)
		all = append(all, confirmed...)
		highest = max(highest, second.highest())
		seen += len(second.delivered)
		_ = second.j.Close()
	}
	fs.Crash(keep)
	third := mustBeginAs(t, o, x.prompt)
	got, lost := third.read(0)
	what := fmt.Sprintf("operation %d: confirmed %q, read %q, lost %v", at, all, got, lost)
	for i, id := range got {
		if i < len(all) && all[i] != id {
			t.Errorf("%s: not in order", what)
		}
	}
	missing := len(got) < len(all) || (x.prompt && len(got) < seen && highest > first.highest())
	if missing && (fsync == journal.Always || !lost) {
		t.Errorf("%s: something is missing", what)
	}
	if _, told := third.read(highest); missing && !told && highest > 0 {
		t.Errorf("%s: who has read up to %d is not told", what, highest)
	}
	third.die(func() { fs.Crash(nil) })
	fourth := mustBeginAs(t, o, x.prompt)
	if again, _ := fourth.read(0); !slices.Equal(again, got) {
		t.Errorf("%s, but then %q", what, again)
	}
	more, err := fourth.publish(100, 3)
	if err != nil || fourth.delivered[0].Offset <= highest {
		t.Errorf("%s: then %v, offset %d after %d", what, err, fourth.delivered[0].Offset, highest)
	}
	if again, _ := fourth.read(0); !slices.Equal(again, slices.Concat(got, more)) {
		t.Errorf("%s, then with more %q", what, again)
	}
	fourth.end()
	if s := fourth.j.Stats(); s.Damaged > 0 {
		t.Errorf("%s: %+v", what, s)
	}
	return crashed.Load()
}

var errBroken = errors.New("input/output error")

// Any one operation fails, alone or with every attempt to undo it. Who was confirmed is read, who was refused is not,
// at once and after the next start; and the next appends succeed.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, x := range placings {
		for _, undo := range []bool{true, false} {
			at := 1
			for errorAt(t, x, at, undo) && !t.Failed() {
				at++
			}
			if at < 30 {
				t.Errorf("there were %d operations", at)
			}
		}
	}
}

func errorAt(t *testing.T, x placing, at int, undo bool) bool {
	fs := memfs.New()
	o := options(fs, x.fsync)
	hit := ""
	var mu sync.Mutex
	fs.Hook(func(op memfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if hit != "" && !undo && strings.HasSuffix(op.Name, ".seg") && (op.Kind == memfs.Truncate || op.Kind == memfs.Remove) {
			return errBroken
		}
		if op.N != at {
			return nil
		}
		hit = fmt.Sprintf("%s %s", op.Kind, op.Name)
		return errBroken
	})
	first, err := beginAs(t, o, x.prompt)
	if err != nil {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: opening says %v", hit, err)
		}
		first = mustBeginAs(t, o, x.prompt)
	}
	all, err := first.publish(0, 10)
	first.log.Settle()
	what := fmt.Sprintf("%+v, %s fails: %v, confirmed %q", x, hit, err, all)
	missed := x.prompt && len(all) < 10 // that was delivered, so whoever reads past it is told
	if err != nil && !errors.Is(err, errBroken) || len(all) < 9 {
		t.Error(what)
	}
	if got, lost := first.read(0); !slices.Equal(got, all) || lost != missed {
		t.Errorf("%s: read %q, lost %v", what, got, lost)
	}
	failed := first.j.Close()
	fs.Hook(nil)
	mu.Lock()
	told := missed || (x.prompt && (failed != nil || strings.Contains(hit, "state"))) // it may be left as after a crash
	mu.Unlock()
	unsynced := first.j.Stats().Unsynced > 0 // then something may be lost, though nothing is
	second := mustBeginAs(t, o, x.prompt)
	if got, lost := second.read(0); !slices.Equal(got, all) || (lost != (unsynced || missed) && !told) {
		t.Errorf("%s: after the next start read %q, lost %v", what, got, lost)
	}
	more, err := second.publish(20, 2)
	if got, _ := second.read(0); err != nil || !slices.Equal(got, slices.Concat(all, more)) || second.delivered[0].Offset <= first.highest() {
		t.Errorf("%s: then %v, read %q", what, err, got)
	}
	second.end()
	return hit != ""
}

// The last record is cut at any byte: all others are there, the end is cut once, and it is told.
func TestTruncationAtEveryByteOfTheLastRecord(t *testing.T) {
	for _, clean := range []bool{true, false} {
		fs := memfs.New()
		o := options(fs, journal.Always)
		l := mustBegin(t, o)
		all, err := l.publish(0, 9)
		if err != nil {
			t.Fatal(err)
		}
		fs = whole(l, clean)
		name := lastSegment(fs)
		data := fs.Data(name)
		from := strings.LastIndex(string(data), string(data[12:16])) // the mark
		for n := from; n < len(data); n++ {
			cut := fs.Clone()
			cut.SetData(name, data[:n])
			o := options(cut, journal.Always)
			for round := range 2 {
				l := mustBegin(t, o)
				got, lost := l.read(0)
				s := l.j.Stats()
				if !slices.Equal(got, all[:len(all)-1]) || lost != clean || s.Damaged > 0 || (s.Torn > 0) != (n > from && round == 0) {
					t.Fatalf("clean %v, %d of %d bytes: read %q, lost %v, %+v", clean, n-from, len(data)-from, got, lost, s)
				}
				cut = whole(l, clean)
				o = options(cut, journal.Always)
			}
		}
	}
}

// whole ends a process, in order or not, and returns what it leaves.
func whole(l *life, clean bool) *memfs.FS {
	left := l.fs.Clone()
	l.end()
	if clean {
		return l.fs.Clone()
	}
	return left
}

func lastSegment(fs *memfs.FS) string {
	var last string
	for _, name := range fs.Files() {
		if strings.HasSuffix(name, ".seg") {
			last = name
		}
	}
	return last
}

// One bit of any field of any file is flipped: nothing false is read, at most one record is missing, and then the damage is
// counted, a copy is set aside, readers are told; and the next start finds nothing wrong.
func TestFlippedBitInEveryField(t *testing.T) {
	for _, clean := range []bool{true, false} {
		l := mustBegin(t, options(memfs.New(), journal.Always))
		all, err := l.publish(0, 9)
		if err != nil {
			t.Fatal(err)
		}
		fs := whole(l, clean)
		for _, name := range fs.Files() {
			for i := range fs.Data(name) {
				broken := fs.Clone()
				broken.Data(name)[i] ^= 1 << (i % 8)
				flipped(t, broken, fmt.Sprintf("clean %v, byte %d of %s", clean, i, name), all, l.highest())
			}
			if t.Failed() {
				return
			}
		}
	}
}

func flipped(t *testing.T, fs *memfs.FS, what string, all []string, highest uint64) {
	first := mustBegin(t, options(fs, journal.Always))
	got, lost := first.read(0)
	s := first.j.Stats()
	missing := len(all) - len(got)
	if missing < 0 || missing > 1 || !subset(got, all) || s.Damaged == 0 || (missing > 0 && !lost) {
		t.Errorf("%s: read %q, lost %v, %+v", what, got, lost, s)
	}
	more, err := first.publish(50, 1)
	if err != nil || first.highest() <= highest {
		t.Errorf("%s: then %v, offset %d after %d", what, err, first.highest(), highest)
	}
	first.end()
	second := mustBegin(t, options(fs, journal.Always))
	if again, _ := second.read(0); !slices.Equal(again, slices.Concat(got, more)) || second.j.Stats().Damaged > 0 {
		t.Errorf("%s: read %q, then %q, %+v", what, got, again, second.j.Stats())
	}
	second.end()
	if missing > 0 && !slices.ContainsFunc(fs.Files(), func(name string) bool { return strings.Contains(name, ".damaged") }) {
		t.Errorf("%s: nothing was set aside: %q", what, fs.Files())
	}
}

// subset reports whether some are all, in order, but for those that are missing.
func subset(some, all []string) bool {
	for _, x := range all {
		if len(some) > 0 && some[0] == x {
			some = some[1:]
		}
	}
	return len(some) == 0
}
