package journal_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// shelf is logs of many topics, and what was confirmed of each.
type shelf struct {
	t    *testing.T
	j    *journal.Journal
	logs []*life
	all  [][]string
}

func newShelf(t *testing.T, o journal.Options, topics int) *shelf {
	t.Helper()
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{t: t, j: j, all: make([][]string, topics)}
	for n := range topics {
		log, err := j.Topic("/feed", fmt.Sprint("t", n), topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		s.logs = append(s.logs, &life{t: t, j: j, log: log})
	}
	return s
}

// append appends a record to a topic, and waits for it.
func (s *shelf) append(topic, n int) {
	r := numbered(n)
	r.Topic = fmt.Sprint("t", topic)
	_, later, err := s.logs[topic].log.Append(r)
	if err == nil {
		_, err = later.Wait(s.t.Context())
	}
	if err != nil {
		s.t.Errorf("record %d of topic %d: %v", n, topic, err)
		return
	}
	s.all[topic] = append(s.all[topic], r.ID)
}

func (s *shelf) check(when string) {
	s.t.Helper()
	for i, l := range s.logs {
		if got, lost := l.ids(nil); !slices.Equal(got, s.all[i]) || lost {
			s.t.Errorf("%s: topic %d has %d of %d, lost %v", when, i, len(got), len(s.all[i]), lost)
		}
	}
}

// However many topics are written, in whatever order and by however many at a time, no more files are open than there
// may be; everything is there, and after a restart too.
func TestOpenFilesAreBounded(t *testing.T) {
	for _, k := range []struct {
		fsync journal.Fsync
		files int
	}{{journal.Interval, 3}, {journal.Never, 1}, {journal.Always, 2}} {
		const topics, writers, each = 40, 8, 150
		fs := memfs.New()
		o := options(fs, k.fsync)
		o.Files, o.SegmentBytes = k.files, 3000
		s := newShelf(t, o, topics)
		var wg sync.WaitGroup
		most := 0
		var mu sync.Mutex
		for w := range writers {
			wg.Go(func() {
				for n := range each {
					s.append(w+writers*rand.IntN(topics/writers), n) // each topic has one writer
					mu.Lock()
					most = max(most, s.j.Stats().OpenFiles)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if most > k.files || most == 0 {
			t.Errorf("%d files are open, of %d", most, k.files)
		}
		s.check("while it runs")
		if err := s.j.Close(); err != nil {
			t.Error(err)
		}
		if n := s.j.Stats().OpenFiles; n != 0 {
			t.Errorf("%d files are open in the end", n)
		}
		again := newShelf(t, o, topics)
		again.all = s.all
		again.check("after a restart")
		if d := again.j.Stats(); d.Damaged+d.Torn != 0 {
			t.Errorf("%+v", d)
		}
		if err := again.j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file that gave way to another is synced before it is closed: whatever becomes of the machine, nothing of it is lost.
func TestFileThatGivesWayIsSynced(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.Files = 1
	s := newShelf(t, o, 3)
	s.append(0, 0)
	s.logs[0].log.Settle() // its name is durable, and so is what there was
	for n := range 4 {
		s.append(0, n+1)
	}
	s.append(1, 0)
	s.append(2, 0)
	s.logs[0].log.Settle()
	s.logs[1].log.Settle()
	fs.Hook(func(memfs.Op) error { return memfs.ErrCrashed })
	_ = s.j.Close()
	fs.Hook(nil)
	fs.Crash(torn["nothing"])
	again := newShelf(t, o, 2)
	for i := range 2 {
		if got, _ := again.logs[i].ids(nil); !slices.Equal(got, s.all[i]) {
			t.Errorf("topic %d has %q of %q", i, got, s.all[i])
		}
	}
	if err := again.j.Close(); err != nil {
		t.Error(err)
	}
}

// A file that cannot be opened again refuses what is appended, and no more than that: then a new one is begun.
func TestFileThatCannotBeReopened(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.Files = 1
	s := newShelf(t, o, 2)
	s.append(0, 0)
	s.append(1, 0)
	s.logs[0].log.Settle()
	fs.Hook(func(op memfs.Op) error {
		if op.Kind == memfs.Append {
			return errBroken
		}
		return nil
	})
	r := numbered(1)
	r.Topic = "t0"
	_, later, err := s.logs[0].log.Append(r)
	if err == nil {
		_, err = later.Wait(t.Context())
	}
	if err == nil {
		t.Error("an append succeeds")
	}
	fs.Hook(nil)
	s.append(0, 2)
	s.append(1, 1)
	s.check("afterwards")
	if n := s.j.Stats().OpenFiles; n != 1 {
		t.Errorf("%d files are open", n)
	}
	if err := s.j.Close(); err != nil {
		t.Error(err)
	}
}

// An operation fails, any of them, or the machine does, while files give way to one another: what was confirmed is
// there, at once and after a restart, and no place for a file is lost.
func TestGivingWayAtEveryFault(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for at := 1; ; at++ {
			fs := memfs.New()
			o := options(fs, journal.Always)
			o.Files = 1
			s := newShelf(t, o, 2)
			ops := 0
			var mu sync.Mutex
			fs.Hook(func(memfs.Op) error {
				mu.Lock()
				defer mu.Unlock()
				switch ops++; {
				case crash && ops >= at:
					return memfs.ErrCrashed
				case ops == at:
					return errBroken
				}
				return nil
			})
			for n := range 12 {
				r := numbered(n)
				r.Topic = fmt.Sprint("t", n%2)
				_, later, err := s.logs[n%2].log.Append(r)
				if err == nil {
					_, err = later.Wait(t.Context())
				}
				if err == nil {
					s.all[n%2] = append(s.all[n%2], r.ID)
				}
			}
			mu.Lock()
			done := ops < at
			mu.Unlock()
			when := fmt.Sprintf("crash %v, operation %d", crash, at)
			if !crash {
				fs.Hook(nil)
				s.append(0, 100)
				s.append(1, 101)
				for i, l := range s.logs {
					if got, _ := l.ids(nil); !slices.Equal(got, s.all[i]) {
						t.Fatalf("%s: topic %d has %q of %q", when, i, got, s.all[i])
					}
				}
			}
			_ = s.j.Close()
			if n := s.j.Stats().OpenFiles; n != 0 {
				t.Fatalf("%s: %d files are open in the end", when, n)
			}
			fs.Hook(nil)
			if crash {
				fs.Crash(nil)
			}
			again := newShelf(t, o, 2)
			for i, l := range again.logs {
				if got, _ := l.ids(nil); !slices.Equal(got, s.all[i]) && !(crash && len(got) > len(s.all[i])) {
					t.Fatalf("%s, after a restart: topic %d has %q of %q", when, i, got, s.all[i])
				}
			}
			if err := again.j.Close(); err != nil {
				t.Fatal(err)
			}
			if done {
				break
			}
		}
	}
}
