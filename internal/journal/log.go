package journal

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/topiclog"
)

// Log is the log of one topic: a topiclog.Log that places late. Prompt is one that places at once.
type Log struct {
	j                *Journal
	namespace, topic string
	dir, epoch       string
	limits           topiclog.Limits // of Limits a zero bounds nothing
	deliver          topiclog.Deliver
	running          sync.WaitGroup // run, runSync
	reading          sync.WaitGroup // reads that were not answered
	seat             *list.Element  // among those idle; outputs.mu guards it
	reads            int            // Journal.readMu guards it: how many are under way, or wait for a reader
	line             []*read        // the same: those that wait for their log's turn
	prompt           bool           // it places at once. It never changes
	summer           summer
	backlog          backlog
	syncer           syncer

	mu       sync.RWMutex
	segments []*segment // oldest first
	active   bool       // the last one is being written
	last     uint64     // the highest offset given; of one that places at once, see places, of what is in the segments
	previous uint64     // the offset of the newest record, or of one that may have been
	gave     uint64     // what is up to this offset gave way; after a start, what is not there any more
	tail     tail
	closed   bool

	writer // run's, and recovery's before there is one
}

// backlog is what waits for the writer. Its lock is taken for each append, and by a reader only where records are placed at
// once.
type backlog struct {
	mu      sync.Mutex
	queue   []waiting
	later   []topiclog.Later // to be given away
	bytes   int              // of Record.Size: in the queue and with the writer
	queued  int              // the same: in the queue
	writing bool             // run runs
	park    bool             // run shall close the file, if it has nothing to do
	now     int64            // run shall remove what is too old at that time; 0: it need not
	missing bool             // run shall take stock: somebody has removed the file that is written
	closed  bool
	places  // of a log that places at once
}

// lock is mu.Lock for the writer. Publishers hold it often and briefly: to try again is sooner than to be woken.
func (i *backlog) lock() {
	for range 2000 {
		if i.mu.TryLock() {
			return
		}
	}
	i.mu.Lock()
}

// laters is how many positions are allocated together.
const laters = 32

// spareMost is how long a queue is at most that is used again: one of records of 256 B in 4 MiB.
const spareMost = 1 << 14

// spareIdle is how long the queue is at most that a log keeps while nothing is written.
const spareIdle = 64

// waiting is a record that is not written yet.
type waiting struct {
	topiclog.Placement                 // it has no place yet, unless its log places at once
	later              *topiclog.Later // nil: nobody is to be told
	size               int             // of Record.Size
	bodySum            bodySum
}

// writer is what only the goroutine that writes touches.
type writer struct {
	file       *output      // of the last segment, which is active; nil: the next record begins one
	next       uint64       // the offset of the next record
	ends       uint64       // the offset of the newest record in a file, or of one that may have been
	briefly    string       // see passing; "" = it was not needed
	parked     bool         // file is closed, or about to be, until it is written again
	behind     bool         // the next header has to be durable: the last file has bytes behind its end that could not be cut off, or is not there
	missing    bool         // somebody has removed a file; see takeStock
	looked     time.Time    // when it was made sure last that the file is where it was
	stateBytes atomic.Int64 // of the state's file; whoever writes that one changes it
	*scratch                // while run runs
}

// Append implements topiclog.Log. Besides its errors: ErrBusy and ErrNoRoom, which are ErrFull, and those of the file system.
func (l *Log) Append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	n, err := l.mayAppend(r)
	if err != nil {
		return topiclog.Position{}, nil, err
	}
	s := l.summer.sum(r)
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return topiclog.Position{}, nil, topiclog.ErrClosed
	case i.bytes > 0 && i.bytes+n > l.j.options.QueueBytes:
		l.j.stats.busy.Add(1)
		return topiclog.Position{}, nil, ErrBusy
	}
	later := i.laterLocked()
	w := l.queueLocked(n)
	w.Record, w.later, w.bodySum = r, later, s
	return topiclog.Position{}, later, nil
}

// mayAppend returns the size of a record, if it is one of this log's.
func (l *Log) mayAppend(r *topiclog.Record) (size int, err error) {
	n := r.Size()
	switch {
	case r.Namespace != l.namespace || r.Topic != l.topic:
		return 0, fmt.Errorf("append to the log of %q %q: the record is of %q %q", l.namespace, l.topic, r.Namespace, r.Topic)
	case n > maxBody/2:
		return 0, errTooLarge
	}
	return n, nil
}

// queueLocked has a record of that size written, which its caller puts there.
func (l *Log) queueLocked(size int) *waiting {
	i := &l.backlog
	i.queue = append(i.queue, waiting{})
	i.bytes += size
	i.queued += size
	l.startLocked()
	w := &i.queue[len(i.queue)-1]
	w.size = size
	return w
}

func (i *backlog) laterLocked() *topiclog.Later {
	if len(i.later) == 0 {
		i.later = make([]topiclog.Later, laters)
	}
	later := &i.later[0]
	i.later = i.later[1:]
	return later
}

func (l *Log) startLocked() {
	if !l.backlog.writing {
		l.backlog.writing = true
		l.running.Go(l.run)
	}
}

// tend has the log synced if that is due, and what is too old removed.
func (l *Log) tend(now int64) {
	l.mu.Lock()
	old := l.tooOldLocked(now)
	less := l.tail.rest(now)
	l.mu.Unlock()
	l.j.holds(tails, less)
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return
	}
	if l.j.options.Fsync == Interval {
		l.tick()
	}
	if old {
		i.now = now
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

// run places what waits, and removes what tend has found too old. It ends when there is nothing.
func (l *Log) run() {
	i := &l.backlog
	l.scratch = scratches.Get().(*scratch) //nolint:forcetypeassert // New's
	l.j.outputs.works(l)
	for {
		i.lock()
		now, park, missing := i.now, i.park, i.missing
		i.now, i.park, i.missing = 0, false, false
		batch := l.takeLocked(true)
		if len(batch) == 0 && now == 0 && !missing {
			if l.file != nil && !l.parked && (park || l.j.outputs.rests(l)) {
				i.mu.Unlock()
				l.park()
				continue
			}
			i.queue = l.rest(i.queue)
			l.scratch, i.writing = nil, false
			i.mu.Unlock()
			return
		}
		i.mu.Unlock()
		if missing {
			_ = l.takeStock() // what is wrong is met by the next append
		}
		if len(batch) > 0 {
			l.place(batch)
		}
		if now > 0 {
			l.retain(now)
		}
	}
}

// takeLocked takes the queue, see scratch.swap.
func (l *Log) takeLocked(idle bool) []waiting {
	i := &l.backlog
	batch := i.queue
	i.queue, i.queued = l.swap(batch, idle), 0
	return batch
}

// more takes the queue if a portion is to be had from it.
func (l *Log) more() []waiting {
	l.backlog.lock()
	defer l.backlog.mu.Unlock()
	if l.backlog.queued < l.j.options.portionBytes {
		return nil
	}
	return l.takeLocked(false)
}

// TellsMissed implements topiclog.Log.
func (l *Log) TellsMissed() bool { return true }

// Keeps implements topiclog.Log.
func (l *Log) Keeps() bool { return true }

// Span implements topiclog.Log.
func (l *Log) Span() topiclog.Span {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.spanLocked()
}

func (l *Log) spanLocked() topiclog.Span {
	s := topiclog.Span{Epoch: l.epoch, First: l.gave + 1, Last: l.last, Gave: l.gave}
	found := false
	for _, g := range l.segments {
		if found = g.records > 0; found {
			s.First = g.first()
			break
		}
	}
	if l.prompt {
		l.backlog.span(&s, found)
	}
	return s
}

// Close implements topiclog.Log: what waits is written, delivered and synced before it returns, unless the disk refuses.
func (l *Log) Close() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	l.backlog.mu.Lock()
	l.backlog.closed = true
	l.backlog.mu.Unlock()
	l.running.Wait()
	l.reading.Wait()
	if !first {
		return
	}
	l.settlePlaces()
	l.finish()
	l.j.cache.drop(l)
	l.j.forget(l)
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
	less := l.cutLocked(1)
	l.j.used.Add(-s.bytes()) // with the list: who finds nothing to remove sees that it is counted no more
	l.mu.Unlock()
	l.j.holds(tails, less)
	l.remove(s)
	l.j.stats.dropped.Add(1)
	return true
}

// cutLocked takes the oldest segments from the list, and returns by how much the tail has grown.
func (l *Log) cutLocked(n int) int {
	if n == 0 {
		return 0
	}
	l.gave = l.segments[n-1].last()
	more := l.tail.forget(l.gave)
	clear(l.segments[:n])
	l.segments = l.segments[n:]
	return more
}

// hasLocked reports whether a segment's time is not over.
func (l *Log) hasLocked(s *segment) bool { return slices.Contains(l.segments, s) }

// remove takes away the files of a segment that is in no list any more, and need not be synced.
func (l *Log) remove(s *segment) {
	l.j.holds(indexes, -s.held)
	if s.output != nil {
		l.give(s.output)
	}
	if s.beside > 0 {
		_ = l.j.fs.Remove(path.Join(l.dir, indexName(s.base))) // it is worth nothing; recovery removes it too
	}
	if err := l.j.fs.Remove(path.Join(l.dir, s.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.report(Incident{Kind: Leftover, File: path.Join(l.dir, s.name), Err: err, Text: "a segment whose time is over cannot be removed"})
	}
}

// age is how much time one segment may cover.
func (l *Log) age() time.Duration { return l.limits.Age / parts }
