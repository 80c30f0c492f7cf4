package journal_test

import (
	"testing"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/topiclog/logtest"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// The part of the suite that is about disks, under each policy, with a tail and without.
func TestJournalOutlivesItsDisk(t *testing.T) {
	for name, fsync := range map[string]journal.Fsync{"always": journal.Always, "interval": journal.Interval, "never": journal.Never} {
		for tail, bytes := range map[string]int{"with a tail": 0, "without": -1} {
			t.Run(name+" "+tail, func(t *testing.T) {
				logtest.RunDisk(t, func(t testing.TB, deliver topiclog.Deliver) (topiclog.Log, logtest.Disk) {
					d := &breakable{fs: memfs.New(), options: journal.Options{Fsync: fsync, TailBytes: bytes, SegmentBytes: 2000}}
					log := d.open(t, deliver)
					return log, d
				}, fsync == journal.Always)
			})
			if fsync == journal.Always {
				continue
			}
			t.Run(name+" "+tail+", placing at once", func(t *testing.T) {
				logtest.RunDisk(t, func(t testing.TB, _ topiclog.Deliver) (topiclog.Log, logtest.Disk) {
					d := &breakable{fs: memfs.New(), options: journal.Options{Fsync: fsync, TailBytes: bytes, SegmentBytes: 2000}, prompt: true}
					log := d.open(t, nil)
					return log, d
				}, false)
			})
		}
	}
}

// breakable is a file system in memory as a disk that a test breaks.
type breakable struct {
	fs      *memfs.FS
	options journal.Options
	prompt  bool
	journal *journal.Journal
}

func (d *breakable) open(t testing.TB, deliver topiclog.Deliver) topiclog.Log {
	d.options.FS = d.fs
	d.journal = openJournal(t, d.options)
	if d.prompt {
		return openPrompt(t, d.journal, topiclog.Limits{})
	}
	return openTopic(t, d.journal, topiclog.Limits{}, deliver)
}

// Break implements logtest.Disk.
func (d *breakable) Break(how logtest.Fault) (heal func()) {
	switch how {
	case logtest.Full:
		free, _ := d.fs.Free()
		d.fs.SetCapacity(1<<40 - free + 500)
		return func() { d.fs.SetCapacity(1 << 40) }
	case logtest.ReadOnly:
		d.fs.SetReadOnly(true)
		return func() { d.fs.SetReadOnly(false) }
	case logtest.Gone:
		d.fs.Hook(func(memfs.Op) error { return errBroken })
		return func() { d.fs.Hook(nil) }
	case logtest.Hangs:
	}
	goOn := make(chan struct{})
	d.fs.Hook(func(memfs.Op) error {
		<-goOn
		return nil
	})
	return func() { close(goOn) }
}

// Restart implements logtest.Disk.
func (d *breakable) Restart(t testing.TB, how logtest.Ending, deliver topiclog.Deliver) topiclog.Log {
	if how != logtest.InOrder {
		d.fs.Hook(func(memfs.Op) error { return memfs.ErrCrashed })
	}
	_ = d.journal.Close()
	d.fs.Hook(nil)
	switch how {
	case logtest.Killed:
		d.fs.Kill()
	case logtest.Torn:
		d.fs.Crash(torn["half"])
	case logtest.InOrder:
	}
	return d.open(t, deliver)
}
