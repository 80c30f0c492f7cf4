package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// patient is a journal in a bubble, and what its operator hears.
type patient struct {
	*life

	mu   sync.Mutex
	told []string
}

func newPatient(t *testing.T, o journal.Options) *patient {
	t.Helper()
	p := new(patient)
	o.Incidents = func(e journal.Incident) {
		if !slices.Contains([]journal.Kind{journal.Refusing, journal.Slow, journal.Removed, journal.Healed}, e.Kind) {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, fmt.Sprint(e.Kind, " ", e.What))
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	p.life = &life{t: t, j: j, log: openTopic(t, j, topiclog.Limits{}, func(topiclog.Placement) {})}
	return p
}

// hears checks what the operator has heard since the last look, and what is wrong now.
func (p *patient) hears(want ...string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.told, want) {
		p.t.Errorf("the operator hears %q, want %q", p.told, want)
	}
	p.told = nil
}

func (p *patient) is(want ...journal.What) {
	p.t.Helper()
	var got []journal.What
	for _, x := range p.j.Troubles() {
		got = append(got, x.What)
		if x.Err == nil || x.Since.IsZero() || x.Since.After(time.Now()) {
			p.t.Errorf("%+v", x)
		}
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("the disk is %v, want %v", got, want)
	}
}

// A disk on which something hangs, whatever it is, is slow after two seconds, told once, and well when nothing has hung for five.
func TestDiskThatHangsIsSlow(t *testing.T) {
	for _, what := range []memfs.Kind{memfs.Write, memfs.Sync, memfs.Read, memfs.Open} {
		synctest.Test(t, func(t *testing.T) {
			fs := memfs.New()
			p := newPatient(t, options(fs, journal.Always))
			defer p.end()
			if _, err := p.publish(0, 3); err != nil {
				t.Fatal(err)
			}
			release := make(chan struct{})
			fs.Hook(func(o memfs.Op) error {
				if o.Kind == what && o.Name != "lock" {
					<-release
				}
				return nil
			})
			_, _, err := p.log.Append(numbered(3))
			if err != nil {
				t.Fatal(err)
			}
			p.log.Read(topiclog.Query{Limit: topiclog.Limit{Records: 1, Bytes: 1}}, func(topiclog.Batch) {})
			time.Sleep(1900 * time.Millisecond)
			p.hears()
			p.is()
			time.Sleep(700 * time.Millisecond)
			p.hears("slow slow")
			time.Sleep(time.Minute)
			p.hears()
			p.is(journal.SlowDisk)
			close(release)
			time.Sleep(4 * time.Second)
			p.hears()
			time.Sleep(2 * time.Second)
			p.hears("healed slow")
			p.is()
		})
	}
}

// A disk that does not keep up with the appends is slow.
func TestDiskThatFallsBehindIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Never)
		o.QueueBytes = 1
		p := newPatient(t, o)
		defer p.end()
		fs.Hook(func(o memfs.Op) error {
			if o.Kind == memfs.Write {
				time.Sleep(time.Second)
			}
			return nil
		})
		refused := 0
		for n := range 20 {
			if _, _, err := p.log.Append(numbered(n)); errors.Is(err, journal.ErrBusy) {
				refused++
			}
			time.Sleep(200 * time.Millisecond)
		}
		if refused == 0 || p.j.Stats().Busy != uint64(refused) {
			t.Errorf("%d refused, %+v", refused, p.j.Stats())
		}
		p.hears("slow slow")
		p.is(journal.SlowDisk)
		time.Sleep(7 * time.Second)
		p.hears("healed slow")
	})
}

// Whatever the disk refuses has its word; and when it takes something again that is found out though nobody publishes.
func TestRefusingDiskHasAWordAndRecovers(t *testing.T) {
	for what, failing := range map[journal.What]func(fs *memfs.FS) (mend func()){
		journal.FullDisk: func(fs *memfs.FS) func() {
			free, _ := fs.Free()
			fs.SetCapacity(1<<40 - free)
			return func() { fs.SetCapacity(1 << 40) }
		},
		journal.ReadOnlyDisk: func(fs *memfs.FS) func() {
			fs.SetReadOnly(true)
			return func() { fs.SetReadOnly(false) }
		},
		journal.FailingDisk: func(fs *memfs.FS) func() {
			fs.Hook(func(memfs.Op) error { return errBroken })
			return func() { fs.Hook(nil) }
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			fs := memfs.New()
			p := newPatient(t, options(fs, journal.Never))
			defer p.end()
			if _, err := p.publish(0, 3); err != nil {
				t.Fatal(err)
			}
			p.log.Settle()
			mend := failing(fs)
			for n := range 100 {
				if _, err := p.publish(n, 1); err == nil {
					t.Fatalf("%v: an append succeeds", what)
				}
			}
			p.hears("refusing " + what.String())
			time.Sleep(time.Hour)
			p.hears()
			p.is(what)
			mend()
			time.Sleep(2 * time.Second)
			p.hears("healed " + what.String())
			p.is()
			if _, err := p.publish(100, 3); err != nil {
				t.Error(err)
			}
			p.hears()
		})
	}
}

// A disk that takes one message and refuses the next is told twice at most in five seconds: it is not well in between.
func TestDiskThatFailsNowAndThenFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		p := newPatient(t, options(fs, journal.Never))
		defer p.end()
		var fails atomic.Bool
		fs.Hook(func(o memfs.Op) error {
			if fails.Load() && o.Kind == memfs.Write && o.Name != "probe" {
				return memfs.ErrNoSpace
			}
			return nil
		})
		for n := range 1000 {
			fails.Store(n%2 == 0)
			_, _ = p.publish(n, 1)
			time.Sleep(100 * time.Millisecond)
		}
		p.hears("refusing full")
		p.is(journal.FullDisk)
		fails.Store(false)
		time.Sleep(6 * time.Second)
		p.hears("healed full")
	})
}

// What is wrong changes, as when a device fails and its file system turns read-only: that is told, but not for each message.
func TestAnotherFaultIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		p := newPatient(t, options(fs, journal.Never))
		defer p.end()
		_, _ = p.publish(0, 1)
		p.log.Settle()
		fs.Hook(func(memfs.Op) error { return errBroken })
		_, _ = p.publish(1, 1)
		fs.Hook(nil)
		fs.SetReadOnly(true)
		for n := range 100 {
			_, _ = p.publish(n, 1)
			time.Sleep(100 * time.Millisecond)
		}
		p.hears("refusing failing", "refusing read_only")
	})
}

// The journal's own budget is used up, which is no fault of the disk; and its records get too old.
func TestJournalWithoutRoomIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Never)
		o.MaxBytes, o.Interval = 20_000, 50*time.Millisecond
		p := newPatient(t, o)
		defer p.end()
		other, err := p.j.Topic("/feed", "old", topiclog.Limits{Age: time.Minute}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; err == nil; n++ {
			r := numbered(n)
			r.Topic, r.At = "old", time.Now().UnixNano()
			var later *topiclog.Later
			if _, later, err = other.Append(r); err == nil {
				_, err = later.Wait(t.Context())
			}
		}
		p.hears("refusing no_room")
		p.is(journal.NoRoom)
		time.Sleep(50 * time.Second)
		p.hears()
		time.Sleep(12 * time.Second)
		p.hears("healed no_room")
	})
}

// A directory that is not there any more is told, and takes nothing: nobody could read it. It is back when it is back.
func TestDirectoryIsGone(t *testing.T) {
	outer := t.TempDir()
	dir, away := filepath.Join(outer, "journal"), filepath.Join(outer, "away")
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, journal.Options{FS: vfs.Dir(dir), Interval: time.Hour, TailBytes: -1})
		defer p.end()
		all, err := p.publish(0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, away); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		p.hears("refusing gone")
		p.is(journal.GoneDisk)
		if _, err := p.publish(10, 1); err == nil {
			t.Error("what nobody can read is confirmed")
		}
		if at, err := p.put(passing(10, true)); err != nil || at.Offset < 10 { // what needs no disk
			t.Errorf("what is not kept is at %+v, %v", at, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("the directory was made anew, where nobody finds it when the disk is back")
		}
		time.Sleep(time.Minute)
		p.hears()
		if err := os.Rename(away, dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		p.hears("healed gone")
		more, err := p.publish(20, 10)
		if err != nil {
			t.Fatal(err)
		}
		if got, lost := p.read(0); !slices.Equal(got, append(all, more...)) || !lost {
			t.Errorf("read %q, lost %v", got, lost)
		}
	})
}

// A page that is left on a full disk does not make it well: what was refused has to fit.
func TestRoomForLessThanWasRefusedIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		p := newPatient(t, options(fs, journal.Never))
		defer p.end()
		if _, err := p.publish(0, 3); err != nil {
			t.Fatal(err)
		}
		p.log.Settle()
		free, _ := fs.Free()
		full := 1<<40 - free
		fs.SetCapacity(full)
		if _, err := p.publish(3, 1); err == nil {
			t.Fatal("an append succeeds")
		}
		fs.SetCapacity(full + 5000)
		time.Sleep(time.Minute)
		p.hears("refusing full")
		p.is(journal.FullDisk)
		fs.SetCapacity(full + 1<<20)
		time.Sleep(2 * time.Second)
		p.hears("healed full")
	})
}
