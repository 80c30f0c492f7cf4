package journal

import (
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// Log is the log of one topic: a topiclog.Log that places late.
type Log struct {
	j                *Journal
	namespace, topic string
	dir, epoch       string
	limits           topiclog.Limits // of Limits a zero bounds nothing
	deliver          topiclog.Deliver
	running          sync.WaitGroup // run
	reading          sync.WaitGroup // reads that were not answered

	mu       sync.RWMutex
	segments []*segment // oldest first
	active   bool       // the last one is being written
	last     uint64     // the highest offset given
	previous uint64     // the offset of the newest record, or of one that may have been
	queue    []waiting
	queued   int  // bytes of Record.Size: in the queue and with the writer
	writing  bool // run runs
	sync     bool // run shall sync
	dirty    bool // something was written since the last sync
	now      int64
	closed   bool

	writer // run's, and recovery's before there is one
}

// waiting is a record that has no place yet.
type waiting struct {
	record *topiclog.Record
	later  *topiclog.Later
}

// writer is what only the goroutine that writes touches.
type writer struct {
	file     vfs.File // of the last segment, which is active; nil: the next record begins one
	current  *segment // the one of that file
	next     uint64   // the offset of the next record
	reserved uint64   // offsets up to this may be given
	buffer   []byte
	step     portion // under way, or to be used again
	failing  bool    // the last batch was refused
	behind   bool    // the last file has bytes behind its end that could not be cut off
	unsure   bool    // a file was given up that could not be synced
}

// Append implements topiclog.Log. Besides its errors: ErrBusy and ErrNoRoom, which are ErrFull, and those of the file system.
func (l *Log) Append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	switch {
	case r.Namespace != l.namespace || r.Topic != l.topic:
		return topiclog.Position{}, nil, fmt.Errorf("append to the log of %q %q: the record is of %q %q", l.namespace, l.topic, r.Namespace, r.Topic)
	case r.Size() > maxBody/2:
		return topiclog.Position{}, nil, errTooLarge
	}
	n := r.Size()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return topiclog.Position{}, nil, topiclog.ErrClosed
	case l.queued > 0 && l.queued+n > l.j.options.QueueBytes:
		return topiclog.Position{}, nil, ErrBusy
	}
	w := waiting{r, topiclog.NewLater()}
	l.queue = append(l.queue, w)
	l.queued += n
	l.startLocked()
	return topiclog.Position{}, w.later, nil
}

func (l *Log) startLocked() {
	if !l.writing {
		l.writing = true
		l.running.Go(l.run)
	}
}

// tend has the log synced if that is due, and what is too old removed.
func (l *Log) tend(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.dirty && l.j.options.Fsync == Interval {
		l.sync = true
		l.startLocked()
	}
	if l.tooOldLocked(now) {
		l.now = now
		l.startLocked()
	}
}

func (l *Log) tooOldLocked(now int64) bool {
	for _, s := range l.segments {
		if s.records > 0 {
			return l.limits.Age > 0 && now-s.lastAt > int64(l.limits.Age)
		}
	}
	return false
}

// run places what waits, and does what tend has asked for. It ends when there is nothing.
func (l *Log) run() {
	for {
		l.mu.Lock()
		batch, sync, now := l.queue, l.sync, l.now
		l.queue, l.sync, l.now = nil, false, 0
		if len(batch) == 0 && !sync && now == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if len(batch) > 0 {
			l.place(batch)
		}
		if sync {
			l.syncNow()
		}
		if now > 0 {
			l.retain(now)
		}
	}
}

// Keeps implements topiclog.Log.
func (l *Log) Keeps() bool { return true }

// Span implements topiclog.Log.
func (l *Log) Span() topiclog.Span {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.spanLocked()
}

func (l *Log) spanLocked() topiclog.Span {
	s := topiclog.Span{Epoch: l.epoch, First: l.last + 1, Last: l.last}
	for _, g := range l.segments {
		if g.records > 0 {
			s.First = g.first()
			break
		}
	}
	return s
}

// Close implements topiclog.Log: what waits is written, delivered and synced before it returns, unless the disk refuses.
func (l *Log) Close() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	l.running.Wait()
	l.reading.Wait()
	if !first {
		return
	}
	l.finish()
	l.j.cache.drop(l)
	bytes := int64(0)
	l.mu.RLock()
	for _, s := range l.segments {
		bytes += s.end
	}
	l.mu.RUnlock()
	l.j.forget(l, bytes)
}

// finish leaves a state that says where the log ends. A log that could not be synced is left as after a crash.
func (l *Log) finish() {
	sound := l.syncNow()
	if l.behind {
		_ = l.begin() // its header says that they are no records
	}
	l.endFile()
	if l.reserved == 0 || !sound || l.unsure {
		return // it was never used, or cannot say where it ends
	}
	s := l.stateNow()
	s.Reserved, s.Previous, s.Clean = l.next-1, l.previous, true
	if err := writeFile(l.j.fs, path.Join(l.dir, stateName), s.encode()); err != nil {
		l.j.log.Error("journal: the state of a log cannot be written; it will be recovered", "namespace", l.namespace, "topic", l.topic, "error", err)
	}
}

func (l *Log) stateNow() state {
	return state{
		Reserved: l.reserved, Synced: l.j.options.Fsync == Always, Epoch: l.epoch, Boot: l.j.fs.Boot(),
		Namespace: l.namespace, Topic: l.topic,
	}
}

// oldest is the time of the newest record in the oldest segment that is not written any more.
func (l *Log) oldest() (at int64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.sealedLocked() {
		return 0, false
	}
	return l.segments[0].lastAt, true
}

// sealedLocked reports whether the oldest segment is not being written. Who closes the log counts what it has.
func (l *Log) sealedLocked() bool {
	return !l.closed && (len(l.segments) > 1 || (len(l.segments) == 1 && !l.active))
}

// dropSealed removes that segment.
func (l *Log) dropSealed() bool {
	l.mu.Lock()
	if !l.sealedLocked() {
		l.mu.Unlock()
		return false
	}
	s := l.segments[0]
	l.segments = l.segments[1:]
	l.j.used.Add(-s.end) // with the list: who finds nothing to remove sees that it is counted no more
	l.mu.Unlock()
	l.remove(s)
	return true
}

// remove takes away the file of a segment that is in no list any more.
func (l *Log) remove(s *segment) {
	if err := l.j.fs.Remove(path.Join(l.dir, s.name)); err != nil {
		l.j.log.Error("journal: a segment whose time is over cannot be removed", "dir", l.dir, "file", s.name, "error", err)
	}
}

// age is how much time one segment may cover.
func (l *Log) age() time.Duration { return l.limits.Age / parts }
