package journal

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/vfs"
)

// output is a file that is, or was, written.
type output struct {
	vfs.File
	segment *segment
	shut    bool // it is closed: whoever has it closed at the time says so, its syncer or after all tasks

	// Under syncer.mu:
	dirty int64 // bytes written since the last sync began
	given bool  // it is not synced any more: it could not be, or its records are gone
}

// job is what a log has done beside its writer.
type job uint8

const (
	syncFile  job = iota // sync what was written so far
	nameFile             // and make its name durable
	sealFile             // sync it, close it, write its index
	parkFile             // sync it and close it, for a while
	reserving            // reserve the next block of offsets
)

type task struct {
	job  job
	file *output
}

// syncer makes durable what the writer writes, so that the writer does not wait for the disk: tasks, in order. A name
// is made durable when what was written before it is. So what a failure of the machine loses is an end of the log,
// never its middle.
type syncer struct {
	mu       sync.Mutex
	room     sync.Cond // told when unsynced, tasks or reserved have changed
	tasks    []task
	runs     bool    // runSync runs
	active   *output // the file that is written; nil: none is
	asked    bool    // a task is to sync it
	unsynced int64   // bytes of all files that were written and not synced
	reserved uint64  // offsets up to this may be given
	ahead    bool    // a task is to reserve more, or the state is being written
	restate  bool    // the state is to be written once more: it says what was true before something could not be synced
	unsure   bool    // something could not be synced: the log cannot say where it ends
	failing  bool    // the last sync has failed
}

// doLocked adds a task. The log must not have been closed, or its writer must run.
func (l *Log) doLocked(t task) {
	l.syncer.tasks = append(l.syncer.tasks, t)
	if !l.syncer.runs {
		l.syncer.runs = true
		l.running.Go(l.runSync)
	}
}

func (l *Log) do(t task) {
	l.syncer.mu.Lock()
	defer l.syncer.mu.Unlock()
	l.doLocked(t)
}

// runSync does one task after the other, and ends when there is none.
func (l *Log) runSync() {
	y := &l.syncer
	for {
		y.mu.Lock()
		if len(y.tasks) == 0 {
			y.runs = false
			y.room.Broadcast()
			y.mu.Unlock()
			return
		}
		t := y.tasks[0]
		y.tasks = y.tasks[1:]
		if len(y.tasks) == tasksMost {
			y.room.Broadcast()
		}
		if t.job == syncFile {
			y.asked = false
		}
		y.mu.Unlock()
		l.doNow(t)
	}
}

func (l *Log) doNow(t task) {
	switch t.job {
	case syncFile:
		l.syncOutput(t.file)
	case nameFile:
		l.syncOutput(t.file)
		switch err := l.j.fs.SyncDir(l.dir); {
		case errors.Is(err, fs.ErrNotExist):
			l.patrol() // somebody has removed it
		case err != nil:
			l.cannotSync(err)
		}
	case sealFile:
		sound := l.syncOutput(t.file)
		_ = l.shutFile(t.file) // it is synced, or given up
		if sound {
			l.writeIndex(t.file.segment)
		}
	case parkFile:
		l.syncOutput(t.file)
		_ = l.shutFile(t.file) // it is synced, or given up
	case reserving:
		l.reserveAhead()
	}
}

// tick has the file that is written synced, if something was written to it.
func (l *Log) tick() {
	y := &l.syncer
	y.mu.Lock()
	defer y.mu.Unlock()
	l.askLocked()
}

func (l *Log) askLocked() {
	y := &l.syncer
	if y.active != nil && y.active.dirty > 0 && !y.asked {
		y.asked = true
		l.doLocked(task{syncFile, y.active})
	}
}

// wrote notes that a file has so many bytes more.
func (l *Log) wrote(f *output, n int) {
	y := &l.syncer
	y.mu.Lock()
	defer y.mu.Unlock()
	if !f.given {
		f.dirty += int64(n)
		y.unsynced += int64(n)
	}
}

// syncOutput syncs a file, and reports whether all that was written to it before is durable. After an error the file is given
// up: what was written since the last sync may be gone, and this file would not say so.
func (l *Log) syncOutput(f *output) bool {
	y := &l.syncer
	y.mu.Lock()
	n, given := f.dirty, f.given
	y.mu.Unlock()
	if n == 0 || given {
		return !given
	}
	err := l.timed(f)
	y.mu.Lock()
	f.dirty -= n
	y.unsynced -= n
	y.failing = y.failing && err != nil
	y.room.Broadcast()
	y.mu.Unlock()
	if err != nil {
		l.cannotSync(err)
		l.give(f)
	}
	return err == nil
}

// timed is a sync that counts.
func (l *Log) timed(f *output) error {
	c := &l.j.stats
	c.syncs.Add(1)
	began := time.Now()
	err := f.Sync()
	c.syncTime.Observe(int64(time.Since(began)))
	return err
}

// cannotSync says that what was confirmed may not outlive the machine, or a file system that is mounted anew. The state
// says so too, as far as the disk takes it: then the next start tells readers.
func (l *Log) cannotSync(err error) {
	y := &l.syncer
	y.mu.Lock()
	told, first := y.failing, !y.unsure
	y.unsure, y.failing = true, true
	if first {
		l.restateLocked()
	}
	y.mu.Unlock()
	l.j.stats.unsynced.Add(1)
	if !told {
		l.report(Incident{
			Kind: Unsynced, File: l.dir, Err: err,
			Text: "records that were confirmed cannot be synced; a failure of the machine may lose them",
		})
	}
}

// restate has the state written once more, if there is one.
func (l *Log) restate() {
	l.syncer.mu.Lock()
	defer l.syncer.mu.Unlock()
	l.restateLocked()
}

func (l *Log) restateLocked() {
	y := &l.syncer
	switch {
	case y.ahead:
		y.restate = true
	case y.reserved > 0:
		y.ahead = true
		l.doLocked(task{job: reserving})
	}
}

// give says that a file is not synced any more.
func (l *Log) give(f *output) {
	y := &l.syncer
	y.mu.Lock()
	defer y.mu.Unlock()
	f.given = true
	y.unsynced -= f.dirty
	f.dirty = 0
	y.room.Broadcast()
}

func (l *Log) isGiven(f *output) bool {
	l.syncer.mu.Lock()
	defer l.syncer.mu.Unlock()
	return f.given
}

// tasksMost is how many tasks may wait: each has a file open.
const tasksMost = 256

// awaitSync waits while the disk has fallen behind: under Interval by more than Options.UnsyncedBytes, so that what a
// failure of the machine loses is bounded, and always by too many files. Appends wait in the queue meanwhile, and then
// are refused.
func (l *Log) awaitSync() {
	y := &l.syncer
	y.mu.Lock()
	defer y.mu.Unlock()
	for len(y.tasks) > tasksMost || (y.unsynced > l.j.options.UnsyncedBytes && l.j.options.Fsync == Interval) {
		l.askLocked()
		y.room.Wait()
	}
}

// awaitTasks waits until there is none.
func (l *Log) awaitTasks() {
	y := &l.syncer
	y.mu.Lock()
	defer y.mu.Unlock()
	for y.runs {
		y.room.Wait()
	}
}

// setActive says which file is written.
func (l *Log) setActive(f *output) {
	l.syncer.mu.Lock()
	defer l.syncer.mu.Unlock()
	l.syncer.active = f
}

// used reports whether the directory of the log is there and durable.
func (l *Log) used() bool {
	l.syncer.mu.Lock()
	defer l.syncer.mu.Unlock()
	return l.syncer.reserved > 0
}

// reserve makes sure that the offsets up to one are reserved, whatever becomes of the machine. The next block is reserved before
// this one is used up.
func (l *Log) reserve(upTo uint64) error {
	y := &l.syncer
	y.mu.Lock()
	for y.ahead && upTo > y.reserved {
		y.room.Wait()
	}
	reserved := y.reserved
	block := l.j.options.reserveBlock
	if upTo <= reserved && reserved-upTo < block/2 && !y.ahead {
		y.ahead = true
		l.doLocked(task{job: reserving})
	}
	if upTo <= reserved {
		y.mu.Unlock()
		return nil
	}
	y.ahead = true
	y.mu.Unlock()
	err := l.makeDirectory()
	if err == nil {
		err = l.writeReserved(upTo + block)
	}
	l.reservedAhead()
	return err
}

// reserveAhead reserves a block behind the one there is. If that fails, reserve tries it once more when it needs it, and says so.
func (l *Log) reserveAhead() {
	if l.prompt {
		err := l.reservePlaces()
		l.reservedAhead()
		l.haveReserved(err)
		return
	}
	y := &l.syncer
	y.mu.Lock()
	upTo := y.reserved + l.j.options.reserveBlock
	y.mu.Unlock()
	_ = l.writeReserved(upTo)
	l.reservedAhead()
}

// reservedAhead is the end of writing the state.
func (l *Log) reservedAhead() {
	y := &l.syncer
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.ahead = y.restate; y.restate {
		y.restate = false
		l.doLocked(task{job: reserving})
	}
	y.room.Broadcast()
}

func (l *Log) writeReserved(upTo uint64) error {
	s := l.stateNow()
	s.Reserved = upTo
	if err := l.writeState(s); err != nil {
		return err
	}
	l.syncer.mu.Lock()
	l.syncer.reserved = upTo
	l.syncer.mu.Unlock()
	return nil
}

// writeState writes the state, and counts its bytes.
func (l *Log) writeState(s state) error {
	b := s.encode()
	more := int64(len(b)) - l.stateBytes.Load()
	if more > 0 {
		if err := l.j.charge(more); err != nil {
			return err
		}
	}
	err := writeFile(l.j.fs, path.Join(l.dir, stateName), b)
	if errors.Is(err, fs.ErrNotExist) && l.j.present() && l.remakeDirectory() == nil {
		err = writeFile(l.j.fs, path.Join(l.dir, stateName), b)
	}
	switch {
	case err == nil:
		l.stateBytes.Add(more)
		l.j.used.Add(min(more, 0))
	case more > 0:
		l.j.used.Add(-more)
	}
	return err
}

// stateNow is the state without what is reserved. One of a log that could not sync something, or that places before it
// writes, names no run of the machine: though it runs on, something may be lost.
func (l *Log) stateNow() state {
	s := state{Synced: l.j.options.Fsync == Always, Epoch: l.epoch, Namespace: l.namespace, Topic: l.topic}
	l.syncer.mu.Lock()
	unsure := l.syncer.unsure
	l.syncer.mu.Unlock()
	if !unsure && !l.prompt {
		s.Boot = l.j.fs.Boot()
	}
	return s
}

// finish leaves a state that says where the log ends. A log that could not be synced is left as after a crash. No goroutine of
// the log runs any more.
func (l *Log) finish() {
	l.syncer.ahead = true // no task is begun
	sound := l.file == nil || l.syncOutput(l.file)
	if f := l.file; f != nil && errors.Is(l.astray(f), errRemoved) {
		_ = l.shutFile(f)
		l.letFile()
		_ = l.takeStock() // what it says of a loss is said by the state too
	}
	if l.behind {
		_ = l.begin() // its header says that they are no records
	}
	if f := l.file; f != nil {
		_ = l.shutFile(f) // it is synced, or given up
		l.letFile()
		if sound {
			l.writeIndex(f.segment)
		}
	}
	y := &l.syncer
	if y.reserved == 0 {
		return // it was never used
	}
	s := l.stateNow()
	s.Reserved = y.reserved
	if sound && !y.unsure {
		s.Reserved, s.Previous, s.Clean = l.next-1, l.previous, true
	}
	if err := l.writeState(s); err != nil {
		l.report(Incident{Kind: Unsynced, File: path.Join(l.dir, stateName), Err: err, Text: "the state of a log cannot be written; it will be recovered"})
	}
}

// indexAll writes the index files that are missing, of a log that was recovered.
func (l *Log) indexAll() {
	l.mu.RLock()
	all := slices.Clone(l.segments)
	l.mu.RUnlock()
	for _, s := range all {
		if s.beside == 0 {
			l.writeIndex(s)
		}
	}
}

// writeIndex writes the index of a segment that is complete, beside it, unless reading the whole is as fast. It need not be
// durable: what is not as it was written is not used.
func (l *Log) writeIndex(s *segment) {
	l.mu.RLock()
	x := s.index
	l.mu.RUnlock()
	if x.end < l.j.options.indexFrom {
		return
	}
	name := path.Join(l.dir, indexName(s.base))
	b := x.encode(s.base, s.previous, s.mark)
	if !l.j.tryCharge(int64(len(b))) {
		return // the segment is read then
	}
	err := l.createFile(name, b)
	l.mu.Lock()
	kept := err == nil && l.hasLocked(s)
	if kept {
		s.beside = int64(len(b))
	}
	l.mu.Unlock()
	if !kept {
		l.j.used.Add(-int64(len(b)))
		_ = l.j.fs.Remove(name)
	}
}

// createFile writes a file in the place of one that may be there.
func (l *Log) createFile(name string, b []byte) error {
	if err := l.j.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := l.j.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
