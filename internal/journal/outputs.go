package journal

import (
	"container/list"
	"errors"
	"io/fs"
	"path"
	"sync"
)

// outputs bounds how many files are open to be written, however many topics there are: one that nobody writes is synced and closed
// ("parked") when another log needs its place, and opened again when something is appended.
//
//	writing ──nothing to write──> idle ──another log waits──> parked ──append──> writing
type outputs struct {
	most int

	mu      sync.Mutex
	room    sync.Cond // told when a file was closed
	open    int
	waiting int       // writers that wait for a place
	idle    list.List // of *Log with an open file that nobody writes, the one idle for longest in front
}

// FilesFor is Options.Files for a process that may have so many descriptors (0: that is not known), and how many of
// them the journal may then have at a time: those files, and what is opened beside them for a moment.
func FilesFor(limit int) (files, descriptors int) {
	files = 256
	if limit > 0 {
		files = min(max(limit/64, 8), 512)
	}
	return files, 3*files + 16
}

// takeFile waits for a place for an open file. The caller is a writer, holds no lock, and opens a file.
func (j *Journal) takeFile() {
	o := &j.outputs
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.open >= o.most {
		o.waiting++
		idle := o.popLocked()
		o.mu.Unlock()
		if idle != nil {
			idle.askToPark()
		}
		o.mu.Lock()
		if o.open >= o.most {
			o.room.Wait()
		}
		o.waiting--
	}
	o.open++
}

// giveFile gives the place of a file back that was closed, or not opened.
func (j *Journal) giveFile() {
	o := &j.outputs
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open--
	o.room.Signal()
}

func (o *outputs) popLocked() *Log {
	first := o.idle.Front()
	if first == nil {
		return nil
	}
	l := o.idle.Remove(first).(*Log) //nolint:forcetypeassert // only those are in it
	l.seat = nil
	return l
}

// rests says that nobody writes the open file of a log, and reports whether another one waits for its place: then it is
// not idle, but to be parked.
func (o *outputs) rests(l *Log) (park bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting > 0 {
		return true
	}
	l.seat = o.idle.PushBack(l)
	return false
}

// works says that a log is written, or closed.
func (o *outputs) works(l *Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.seat != nil {
		o.idle.Remove(l.seat)
		l.seat = nil
	}
}

func (o *outputs) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open
}

// askToPark has the writer of a log that is idle close its file. One that is being closed does so anyway.
func (l *Log) askToPark() {
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed {
		i.park = true
		l.startLocked()
	}
}

// park has the file synced and closed once what is to be done with it is done. The writer calls it.
func (l *Log) park() {
	l.parked = true
	l.setActive(nil)
	l.do(task{parkFile, l.file})
}

// reopen opens the file that was parked. One that cannot be opened, or is not as it was left, is ended: the next append
// begins another.
func (l *Log) reopen() error {
	l.awaitTasks()
	f := l.file
	if l.isGiven(f) {
		return nil // its sync has failed; the writer ends it
	}
	l.j.takeFile()
	file, err := l.j.fs.Append(path.Join(l.dir, f.segment.name))
	if err != nil {
		l.j.giveFile()
		l.seal()
		if errors.Is(err, fs.ErrNotExist) {
			return l.takeStock()
		}
		return err
	}
	f = &output{File: file, segment: f.segment}
	f.segment.output, l.file, l.parked = f, f, false
	l.setActive(f)
	size, err := file.Size()
	if err != nil || size != f.segment.end {
		l.seal()
	}
	return err
}

// shutFile closes a file that was written, once.
func (l *Log) shutFile(f *output) error {
	if f.shut {
		return nil
	}
	f.shut = true
	err := f.Close()
	l.j.giveFile()
	return err
}
