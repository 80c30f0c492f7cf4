package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// thefts are what somebody does to the only log in a directory.
var thefts = map[string]func(t *testing.T, dir string){
	"the segment is removed": func(t *testing.T, dir string) {
		if err := os.Remove(newestSegment(t, dir)); err != nil {
			t.Fatal(err)
		}
	},
	"the segment is moved away": func(t *testing.T, dir string) {
		if err := os.Rename(newestSegment(t, dir), filepath.Join(t.TempDir(), "away")); err != nil {
			t.Fatal(err)
		}
	},
	"the directory of the topic is removed": func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Dir(newestSegment(t, dir))); err != nil {
			t.Fatal(err)
		}
	},
}

// newestSegment is the path of the file that is written.
func newestSegment(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*", "*.seg"))
	if err != nil || len(all) == 0 {
		t.Fatalf("%q, %v", all, err)
	}
	return slices.Max(all)
}

// bytesIn is what all files in a directory have, but for the lock.
func bytesIn(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// reads checks what a reader gets behind an offset, and whether it is told of a loss.
func (l *life) reads(after uint64, want []string, lost bool) {
	l.t.Helper()
	if got, told := l.read(after); !slices.Equal(got, want) || told != lost {
		l.t.Errorf("behind %d: read %q, lost %v; want %q, %v", after, got, told, want, lost)
	}
}

// What somebody removes under a writer is lost, and told: to readers of it and to nobody else, to the operator once. What is
// published behind it is kept, in another file, and all of that is so after the next start too.
func TestRemovedFileIsToldAndAnotherBegun(t *testing.T) {
	for how, steal := range thefts {
		for _, fsync := range policies {
			t.Run(fmt.Sprint(how, ", policy ", fsync), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					o := journal.Options{FS: vfs.Dir(dir), Fsync: fsync, Interval: time.Hour, TailBytes: -1}
					p := newPatient(t, o)
					if _, err := p.publish(0, 5); err != nil {
						t.Fatal(err)
					}
					p.log.Settle()
					seen := p.log.Span().Last
					steal(t, dir)
					if fsync != journal.Always { // which looks each time
						time.Sleep(60 * time.Millisecond)
					}
					all, err := p.publish(5, 5)
					if err != nil {
						t.Fatal(err)
					}
					p.log.Settle()
					p.reads(0, all, true)
					p.reads(seen, all, false)
					p.hears("removed removed")
					p.is(journal.RemovedFiles)
					if used, there := p.j.Stats().Used, bytesIn(t, dir); used != there {
						t.Errorf("%d bytes count, %d are there", used, there)
					}
					time.Sleep(7 * time.Second)
					p.hears("healed removed")
					p.is()
					p.end()
					p = newPatient(t, o)
					p.reads(0, all, true)
					p.reads(seen, all, false)
					p.hears()
					p.end()
				})
			})
		}
	}
}

// Nothing is written any more when a file is removed: that is found out all the same, and outlives the process.
func TestRemovedFileOfAnIdleLogIsTold(t *testing.T) {
	for how, steal := range thefts {
		for _, ending := range []string{"closed", "killed"} {
			t.Run(how+", "+ending, func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					o := journal.Options{FS: vfs.Dir(dir), Interval: time.Hour, TailBytes: -1}
					p := newPatient(t, o)
					if _, err := p.publish(0, 5); err != nil {
						t.Fatal(err)
					}
					seen := p.log.Span().Last
					steal(t, dir)
					switch ending {
					case "closed": // at once: the last look is that of Close
						p.end()
						p.hears("removed removed")
					default:
						time.Sleep(1500 * time.Millisecond)
						p.hears("removed removed")
						o.FS = vfs.Dir(copied(t, dir))
						p.end()
					}
					p = newPatient(t, o)
					p.reads(0, nil, true)
					p.reads(2, nil, true)
					if ending == "closed" {
						p.reads(seen, nil, false)
					}
					more, err := p.publish(5, 1)
					if err != nil {
						t.Fatal(err)
					}
					p.reads(2, more, true)
					p.end()
				})
			})
		}
	}
}

// copied is a directory with what another one has now: of a process that was killed.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// What is in memory is read, though its file was removed.
func TestTailOutlivesItsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Always)
		o.TailBytes = 20 * numbered(0).Size()
		p := newPatient(t, o)
		defer p.end()
		all, err := p.publish(0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range fs.Files() {
			if strings.HasSuffix(name, ".seg") {
				if err := fs.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(1500 * time.Millisecond)
		p.hears("removed removed")
		got, lost := p.read(0)
		if len(got) < 10 || !slices.Equal(got, all[100-len(got):]) || !lost {
			t.Errorf("read %q, lost %v", got, lost)
		}
		p.reads(95, all[95:], false)
	})
}

// The file of a log that has given its way to others is removed meanwhile.
func TestRemovedFileThatWasParkedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Interval)
		o.Files = 1
		p := newPatient(t, o)
		defer p.end()
		if _, err := p.publish(0, 5); err != nil {
			t.Fatal(err)
		}
		name := lastSegment(fs)
		other, err := p.j.Topic("/feed", "other", topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		r := numbered(0)
		r.Topic = "other"
		_, later, err := other.Append(r)
		if err == nil {
			_, err = later.Wait(t.Context())
		}
		if err = errors.Join(err, fs.Remove(name)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		p.hears()
		all, err := p.publish(5, 5)
		if err != nil {
			t.Fatal(err)
		}
		if got, lost := p.read(0); !slices.Equal(got[len(got)-5:], all) || !lost {
			t.Errorf("read %q, lost %v", got, lost)
		}
		p.hears("removed removed")
	})
}

// Another process has made the directory anew that somebody has removed, and writes there: this one does not.
func TestDirectoryOfAnotherIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := journal.Options{FS: vfs.Dir(dir), TailBytes: -1}
		p := newPatient(t, o)
		defer p.end()
		if _, err := p.publish(0, 5); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if err := os.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
		second := newPatient(t, o)
		defer second.end()
		all, err := second.publish(0, 5)
		if err != nil {
			t.Fatal(err)
		}
		before := bytesIn(t, dir)
		time.Sleep(60 * time.Millisecond) // the first look is the writer's
		for n := range 10 {
			if _, err := p.publish(n, 1); err == nil {
				t.Error("what nobody can read is confirmed")
			}
		}
		p.hears("refusing gone")
		p.is(journal.GoneDisk)
		time.Sleep(time.Minute)
		p.hears()
		p.is(journal.GoneDisk)
		if now := bytesIn(t, dir); now != before {
			t.Errorf("the other's directory has %d bytes instead of %d", now, before)
		}
		second.reads(0, all, false)
		second.hears()
	})
}
