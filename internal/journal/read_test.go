package journal_test

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
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

// Readers at one place share what is read: each block comes from the disk once (StreamFence J8: all of it, for each).
func TestReadersShareBlocks(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes, o.TailBytes = 1<<20, -1
	l := mustBegin(t, o)
	all, err := l.publish(0, 3000)
	if err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	fs.Hook(func(op memfs.Op) error {
		if op.Kind == memfs.Read {
			reads.Add(1)
		}
		return nil
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, lost := l.read(0); !slices.Equal(got, all) || lost {
				t.Errorf("read %d of %d, lost %v", len(got), len(all), lost)
			}
		})
	}
	wg.Wait()
	if most := l.j.Stats().Bytes/(64<<10) + 1; uint64(reads.Load()) > most { //nolint:gosec // not negative
		t.Errorf("%d blocks were read %d times", most, reads.Load())
	}
	l.end()
}

// A reader passes over blocks that have nothing for it, without reading them, and misses nothing.
func TestReadersPassOverWhatIsForOthers(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes = 256 << 10
	l := mustBegin(t, o)
	const n = 20_000
	last := (*topiclog.Later)(nil)
	for i := range n {
		r := numbered(i)
		r.To = topiclog.Recipient{Socket: fmt.Sprint("s", i%20)}
		if i == n/2 {
			r.To = topiclog.Recipient{Socket: "mine"}
		}
		_, later, err := l.log.Append(r)
		for err != nil {
			_, _ = last.Wait(t.Context())
			_, later, err = l.log.Append(r)
		}
		last = later
	}
	if _, err := last.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.j.Stats()
	var reads atomic.Int64
	fs.Hook(func(op memfs.Op) error {
		if op.Kind == memfs.Read {
			reads.Add(1)
		}
		return nil
	})
	q := topiclog.Query{Limit: topiclog.Limit{Records: 10, Bytes: 1 << 20}, For: &topiclog.Reader{Socket: "mine"}}
	var got []string
	for range n {
		answer := make(chan topiclog.Batch, 1)
		l.log.Read(q, func(b topiclog.Batch) { answer <- b })
		b := <-answer
		for _, e := range b.Placements {
			got = append(got, e.ID)
		}
		if b.Lost || b.Err != nil {
			t.Fatalf("%+v", b)
		}
		if q.After = b.Next; b.End() {
			break
		}
	}
	if !slices.Equal(got, []string{fmt.Sprint(n / 2)}) || reads.Load() != 1 {
		t.Errorf("read %q from %d blocks", got, reads.Load())
	}
	l.end()
}

// A bit that flips while the log is open is found when the block is read: the record is missing, the reader is told, all others
// are there, and the reader comes to the end.
func TestDamageWhileOpenIsTold(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Always)
	l := mustBegin(t, o)
	all, err := l.publish(0, 9)
	if err != nil {
		t.Fatal(err)
	}
	data := fs.Data(lastSegment(fs))
	data[len(data)-1] ^= 1
	got, lost := l.read(0)
	if !slices.Equal(got, all[:8]) || !lost || l.j.Stats().Damaged == 0 {
		t.Errorf("read %q, lost %v, %+v", got, lost, l.j.Stats())
	}
	l.end()
}

// TestManyDamagedBlocksAreOneWord: a segment of many blocks that is cut short under its readers is told once.
func TestManyDamagedBlocksAreOneWord(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Interval)
	o.SegmentBytes = 1 << 20
	l := mustBegin(t, o)
	all, err := l.publish(0, 2000)
	if err != nil {
		t.Fatal(err)
	}
	name := lastSegment(fs)
	fs.SetData(name, fs.Data(name)[:1000])
	if got, lost := l.read(0); len(got) == 0 || len(got) == len(all) || !lost || l.j.Stats().Damaged != 1 {
		t.Errorf("read %d records, lost %v, told of %d damages, want 1", len(got), lost, l.j.Stats().Damaged)
	}
	l.end()
}

// TestASegmentThatSomebodyRemovedIsLostAndTold: its readers go on behind it, and do not wait for what nobody will bring
// back. What is on a disk that is away they wait for.
func TestASegmentThatSomebodyRemovedIsLostAndTold(t *testing.T) {
	for _, away := range []bool{false, true} {
		fs := memfs.New()
		o := options(fs, journal.Always)
		o.SegmentBytes, o.TailBytes = 512, -1
		l := mustBegin(t, o)
		all, err := l.publish(0, 40)
		if err != nil {
			t.Fatal(err)
		}
		segments := slices.DeleteFunc(fs.Files(), func(name string) bool { return !strings.HasSuffix(name, ".seg") })
		if err := fs.Remove(segments[0]); err != nil {
			t.Fatal(err)
		}
		if away {
			fs.Hook(func(op memfs.Op) error {
				if op.Kind == memfs.Look && op.Name == "lock" {
					return iofs.ErrNotExist
				}
				return nil
			})
		}
		answer := make(chan topiclog.Batch, 1)
		l.log.Read(topiclog.Query{Limit: topiclog.Limit{Records: 100, Bytes: 1 << 20}}, func(b topiclog.Batch) { answer <- b })
		b := <-answer
		switch {
		case away && (b.Err == nil || b.Lost):
			t.Errorf("on a disk that is away: %+v", b)
		case !away && (b.Err != nil || !b.Lost || len(b.Placements) == 0 || len(b.Placements) >= len(all) || l.j.Stats().Damaged != 1):
			t.Errorf("removed: %d records, lost %v, %v, %d damages", len(b.Placements), b.Lost, b.Err, l.j.Stats().Damaged)
		}
		l.end()
	}
}

// A process that was killed on a machine that runs on has lost nothing, and no reader is told otherwise. When the machine
// has started anew, those inside the hole are.
func TestOnlyTheMachineLosesWhatWasWritten(t *testing.T) {
	for _, machine := range []bool{false, true} {
		fs := memfs.New()
		l := mustBegin(t, options(fs, journal.Never))
		all, err := l.publish(0, 5)
		if err != nil {
			t.Fatal(err)
		}
		if machine {
			l.die(func() { fs.Crash(nil) })
		} else {
			l.die(fs.Kill)
		}
		again := mustBegin(t, options(fs, journal.Never))
		if got, _ := again.read(0); len(got) > len(all) || !slices.Equal(got, all[:len(got)]) || (len(got) < len(all) && !machine) {
			t.Errorf("machine %v: read %q", machine, got)
		}
		if _, lost := again.read(l.highest()); lost != machine {
			t.Errorf("machine %v: who has read all is told %v", machine, lost)
		}
		if _, err := again.publish(10, 1); err != nil {
			t.Fatal(err)
		}
		if got, lost := again.read(l.highest()); lost != machine || len(got) != 1 {
			t.Errorf("machine %v: then %q, lost %v", machine, got, lost)
		}
		if got, lost := again.read(again.highest()); lost || len(got) != 0 {
			t.Errorf("machine %v: at the end %q, lost %v", machine, got, lost)
		}
		again.end()
	}
}

// What a killed process has written is durable before anything that the next one writes, whether its log places at once, so that
// its state names no run of the machine, or late: what a machine loses is an end, and no middle.
func TestWhatAKilledProcessHasWrittenOutlivesTheNextOnes(t *testing.T) {
	for _, prompt := range []bool{false, true} {
		fs := memfs.New()
		l := mustBeginAs(t, options(fs, journal.Interval), prompt)
		if _, err := l.put(numbered(1)); err != nil {
			t.Fatal(err)
		}
		l.die(fs.Kill)
		l = mustBeginAs(t, options(fs, journal.Interval), prompt)
		l.die(func() { fs.Crash(nil) })
		l = mustBeginAs(t, options(fs, journal.Interval), prompt)
		if got, _ := l.read(0); len(got) != 1 {
			t.Errorf("prompt %v: read %q", prompt, got)
		}
		l.end()
	}
}

// Under always a record is delivered when it was synced, not before.
func TestAlwaysDeliversWhatIsDurable(t *testing.T) {
	fs := memfs.New()
	j := openJournal(t, options(fs, journal.Always))
	synced := atomic.Bool{}
	fs.Hook(func(op memfs.Op) error {
		if op.Kind != memfs.Look {
			synced.Store(op.Kind == memfs.Sync)
		}
		return nil
	})
	log := openTopic(t, j, topiclog.Limits{}, func(e topiclog.Placement) {
		if !synced.Load() {
			t.Errorf("record %s is delivered before it was synced", e.ID)
		}
	})
	l := &life{t: t, fs: fs, j: j, log: log}
	if all, err := l.publish(0, 20); len(all) != 20 {
		t.Error(err)
	}
}

// A disk that cannot be read is told to the operator, once a minute however often it is tried, by name.
func TestDiskThatCannotBeReadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Never)
		var told []journal.Incident
		o.Incidents = func(i journal.Incident) { told = append(told, i) }
		l := mustBegin(t, o)
		if _, err := l.publish(0, 3); err != nil {
			t.Fatal(err)
		}
		fs.Hook(func(op memfs.Op) error {
			if op.Kind == memfs.Read {
				return memfs.ErrReadOnly
			}
			return nil
		})
		for range 100 {
			answer := make(chan topiclog.Batch, 1)
			l.log.Read(topiclog.Query{Limit: topiclog.Limit{Records: 1, Bytes: 1}}, func(b topiclog.Batch) { answer <- b })
			if b := <-answer; !errors.Is(b.Err, memfs.ErrReadOnly) {
				t.Fatalf("%+v", b)
			}
			time.Sleep(1500 * time.Millisecond)
		}
		fs.Hook(nil)
		l.end()
		if len(told) != 3 || told[0].Kind != journal.Unreadable || told[0].Topic != "ticks" || !strings.HasSuffix(told[0].File, ".seg") || told[0].Err == nil {
			t.Errorf("in two and a half minutes the operator hears %+v", told)
		}
	})
}

// A file that hangs keeps its own readers waiting: those of other logs are answered, however many want the one that hangs.
func TestFileThatHangsLeavesReadersToOtherLogs(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.TailBytes = -1
	j := openJournal(t, o)
	logs := make(map[string]*journal.Log)
	hangs := ""
	for _, name := range []string{"hangs", "reads"} {
		log, err := j.Topic("/feed", name, topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		_, later, err := log.Append(&topiclog.Record{Namespace: "/feed", Topic: name, ID: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := later.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if logs[name] = log; hangs == "" {
			hangs = path.Dir(lastSegment(fs))
		}
	}
	hold := make(chan struct{})
	fs.Hook(func(op memfs.Op) error {
		if path.Dir(op.Name) == hangs {
			<-hold
		}
		return nil
	})
	read := func(name string) chan topiclog.Batch {
		answer := make(chan topiclog.Batch, 1)
		logs[name].Read(topiclog.Query{Limit: topiclog.Limit{Records: 1, Bytes: 1}}, func(b topiclog.Batch) { answer <- b })
		return answer
	}
	var all []chan topiclog.Batch
	for range 20 {
		all = append(all, read("hangs"))
	}
	for range 3 {
		select {
		case b := <-read("reads"):
			if len(b.Placements) != 1 || b.Placements[0].ID != "reads" {
				t.Errorf("%+v", b)
			}
		case <-t.Context().Done():
			t.Fatal("a log whose file can be read waits for another's")
		}
	}
	close(hold)
	for _, answer := range all {
		if b := <-answer; len(b.Placements) != 1 || b.Placements[0].ID != "hangs" {
			t.Errorf("%+v", b)
		}
	}
}

// Who reads a log from one end to the other waits for a goroutine once for each block: the rest of it is answered at once.
func TestBlockThatWasReadIsAnsweredAtOnce(t *testing.T) {
	fs := memfs.New()
	o := options(fs, journal.Never)
	o.SegmentBytes = 1 << 20
	l := mustBegin(t, o)
	all, err := l.publish(0, 3000)
	if err != nil {
		t.Fatal(err)
	}
	if got, lost := l.read(0); !slices.Equal(got, all) || lost {
		t.Errorf("read %d of %d, lost %t", len(got), len(all), lost)
	}
	s := l.j.Stats()
	if s.DiskReads > s.Blocks+1 || s.TailReads < 300 {
		t.Errorf("%d blocks, %d reads by a goroutine, %d at once", s.Blocks, s.DiskReads, s.TailReads)
	}
	l.end()
}
