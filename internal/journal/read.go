package journal

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/streamweir/weir/internal/topiclog"
)

// How many reads of one journal, and of one of its logs, are under way at most; others wait. One log whose file hangs
// leaves readers to the others.
const (
	readers     = 8
	readersEach = 2
)

// loadMost is how many blocks one read reads: those with records for others do not make it long.
const loadMost = 64

// passMost is how many blocks one read passes over without reading them.
const passMost = 4096

// read is one Read that needs the disk.
type read struct {
	log    *Log
	q      topiclog.Query
	done   func(topiclog.Batch)
	hashes []uint32

	batch  topiclog.Batch
	bytes  int
	loaded int // blocks
}

// Read implements topiclog.Log. What needs no disk is answered before it returns, all else by a goroutine of the journal.
func (l *Log) Read(q topiclog.Query, done func(topiclog.Batch)) {
	r := &read{log: l, q: q, done: done}
	l.mu.RLock()
	known := l.beginLocked(r)
	if !known {
		l.reading.Add(1)
	}
	l.mu.RUnlock()
	switch {
	case known:
		l.j.stats.tailReads.Add(1)
		done(r.batch)
	case r.recent():
		l.j.stats.tailReads.Add(1)
		done(r.batch)
		l.reading.Done()
	default:
		l.j.stats.diskReads.Add(1)
		l.j.queueRead(r)
	}
}

// recent answers from blocks that were read lately, and reports whether that is an answer: who reads a log from one end
// to the other waits for a goroutine once for each block, and not for each read.
func (r *read) recent() bool {
	if r.q.For != nil {
		r.hashes = hashes(r.q.For)
	}
	for range loadMost {
		s, b, more := r.look()
		switch {
		case !more, r.stops(b.previous):
			return true
		case r.passes(&b):
			continue
		}
		entries, found := r.log.j.cache.peek(s, &b)
		if !found {
			return len(r.batch.Placements) > 0
		}
		if !r.take(entries) {
			return true
		}
	}
	return len(r.batch.Placements) > 0
}

// beginLocked reports whether the answer is known without a look at the disk.
func (l *Log) beginLocked(r *read) bool {
	r.batch = topiclog.Batch{Span: l.spanLocked(), Next: r.q.After}
	switch {
	case l.closed:
		r.batch.Err = topiclog.ErrClosed
	case r.q.Epoch != "" && r.q.Epoch != l.epoch:
		r.batch.Err = topiclog.ErrEpoch
	case r.q.After >= l.tail.from:
		r.takeTailLocked()
	default:
		if _, _, more := l.afterLocked(r.q.After); more {
			return false
		}
		r.takeTailLocked() // its segment was removed
	}
	return true
}

// takeTailLocked goes on in the tail, which has all that is behind Next.
func (r *read) takeTailLocked() {
	first, second := r.log.tail.after(r.batch.Next)
	if r.take(first) && r.take(second) {
		r.endLocked()
	}
}

// endLocked is the end of a read that has seen everything.
func (r *read) endLocked() {
	l := r.log
	previous, last := l.previous, l.last
	if l.prompt {
		i := &l.backlog
		i.mu.Lock()
		defer i.mu.Unlock()
		if !r.takePlacedLocked(i.all()) {
			return
		}
		previous, last = i.previous, i.next-1
	}
	if r.stops(previous) {
		return
	}
	if previous > r.batch.Next {
		r.batch.Miss()
	}
	r.batch.Next = max(r.batch.Next, last)
}

// stops reports whether a read ends where it is, as the next record names another one before it than the last it has looked at:
// what is lost stands in front of all that a batch has, so that it can be told where it is.
func (r *read) stops(previous uint64) bool {
	return previous > r.batch.Next && len(r.batch.Placements) > 0
}

// afterLocked is the first block with records behind an offset.
func (l *Log) afterLocked(offset uint64) (*segment, block, bool) {
	low, high := 0, len(l.segments)
	for low < high {
		if middle := (low + high) / 2; l.segments[middle].last() > offset {
			high = middle
		} else {
			low = middle + 1
		}
	}
	for _, s := range l.segments[low:] { // one without records has the last offset of what was before
		if b, ok := s.after(offset); ok {
			return s, b, true
		}
	}
	return nil, block{}, false
}

// queueRead has a read done.
func (j *Journal) queueRead(r *read) {
	j.readMu.Lock()
	defer j.readMu.Unlock()
	if l := r.log; l.reads < readersEach {
		l.reads++
		j.readyLocked(r)
	} else {
		l.line = append(l.line, r)
	}
}

// readyLocked has a read done as soon as a reader is free.
func (j *Journal) readyLocked(r *read) {
	j.reads = append(j.reads, r)
	if j.readers < readers {
		j.readers++
		j.running.Go(j.runReads)
	}
}

// runReads ends when no read waits.
func (j *Journal) runReads() {
	for {
		j.readMu.Lock()
		if len(j.reads) == 0 {
			j.readers--
			j.readMu.Unlock()
			return
		}
		r := j.reads[0]
		j.reads[0] = nil
		j.reads = j.reads[1:]
		j.readMu.Unlock()
		r.do()
		r.done(r.batch)
		j.readDone(r.log)
		r.log.reading.Done()
	}
}

// readDone lets the next read of a log have its turn, behind those of others.
func (j *Journal) readDone(l *Log) {
	j.readMu.Lock()
	defer j.readMu.Unlock()
	if len(l.line) == 0 {
		l.reads--
		return
	}
	r := l.line[0]
	l.line[0] = nil
	l.line = l.line[1:]
	j.readyLocked(r)
}

// do reads block after block until the query's limits, or the end.
func (r *read) do() {
	for n := 0; n < passMost && r.loaded < loadMost; n++ {
		if !r.step() {
			return
		}
	}
}

// look finds the next block. If there is none it has taken what the tail has, and more is false.
func (r *read) look() (s *segment, b block, more bool) {
	l := r.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	r.batch.Span = l.spanLocked()
	if r.batch.Next >= l.tail.from {
		r.takeTailLocked()
		return nil, b, false
	}
	if s, b, more = l.afterLocked(r.batch.Next); !more {
		r.takeTailLocked() // its segment was removed
	}
	return s, b, more
}

// passes passes over a block in which nothing is for the reader.
func (r *read) passes(b *block) bool {
	if r.hashes == nil || b.mayHave(r.hashes) {
		return false
	}
	r.pass(b.previous, b.last)
	return true
}

// step looks at one block, and reports whether to go on.
func (r *read) step() bool {
	l := r.log
	s, b, more := r.look()
	switch {
	case !more, r.stops(b.previous):
		return false
	case r.passes(&b):
		return true
	}
	r.loaded++
	entries, err := l.j.cache.get(l, s, &b)
	switch {
	case errors.Is(err, fs.ErrNotExist) && l.isGone(s):
		return true // its time was over meanwhile; the next look sees that
	case errors.Is(err, errDamaged):
		room := r.take(entries)
		l.distrust(s, "a segment is damaged; what is sound in it is read")
		return room && r.lose(&b) // what could not be read
	case errors.Is(err, fs.ErrNotExist) && l.j.present():
		l.distrust(s, "a segment was removed by somebody else; what was in it is lost")
		return r.lose(&b)
	case err != nil && len(r.batch.Placements) == 0:
		l.j.stats.readFaults.Add(1)
		l.unreadable(s, err)
		r.batch.Next, r.batch.Err = r.q.After, err
		return false
	case err != nil:
		return false
	}
	return r.take(entries)
}

// lose passes over what is left of a block that cannot be read, and reports whether to go on.
func (r *read) lose(b *block) bool {
	if len(r.batch.Placements) > 0 {
		return false // the next read begins with it
	}
	r.pass(b.last, b.last)
	r.batch.Miss()
	return true
}

func (l *Log) isGone(s *segment) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.hasLocked(s)
}

// present reports whether the journal's directory is where it was: a file that is missing from it was removed, and is not on a disk
// that is away.
func (j *Journal) present() bool {
	named, err := j.lock.Named()
	return named && err == nil
}

// distrust says, once of each segment, what is wrong with it. The segment loses its index file, so that the next start
// reads all of it and sets it aside.
func (l *Log) distrust(s *segment, what string) {
	l.mu.Lock()
	first := !s.distrusted
	s.distrusted = true
	beside := s.beside
	s.beside = 0
	l.mu.Unlock()
	if first {
		l.damage(what, s.name)
	}
	if beside > 0 {
		l.j.used.Add(-beside)
		_ = l.j.fs.Remove(path.Join(l.dir, indexName(s.base))) // else the damage is found once more when it is read
	}
}

// pass has looked at records up to last, the first of which names previous.
func (r *read) pass(previous, last uint64) {
	if previous > r.batch.Next {
		r.batch.Miss()
	}
	r.batch.Next = max(r.batch.Next, last)
}

// take adds entries to the batch as far as the limits go, and reports whether there is room for more.
func (r *read) take(entries []topiclog.Placement) bool {
	for i := range entries {
		if e := &entries[i]; e.Offset > r.batch.Next && !r.takeOne(e) {
			return false
		}
	}
	return true
}

func (r *read) takeOne(e *topiclog.Placement) bool {
	if r.stops(e.Previous) {
		return false
	}
	if r.q.For == nil || r.q.For.Gets(&e.To) {
		r.bytes += e.Size()
		if n := len(r.batch.Placements); n > 0 && (n >= r.q.Limit.Records || r.bytes > r.q.Limit.Bytes) {
			return false
		}
		r.batch.Placements = append(r.batch.Placements, *e)
	}
	r.pass(e.Previous, e.Offset)
	return true
}

// blockBuffers are what blocks are read into. Nothing of them is kept: records have payloads and texts of their own.
var blockBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBlockBuffer is the longest that is kept for the next block: a block is as long as its last record makes it.
const maxBlockBuffer = 4 * blockBytes

// load reads a block from its file. What is sound in a damaged one is returned with errDamaged.
func (l *Log) load(s *segment, b *block) ([]topiclog.Placement, error) {
	f, err := l.j.fs.Open(path.Join(l.dir, s.name))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written

	whole := blockBuffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in it
	defer func() {
		if cap(*whole) <= maxBlockBuffer {
			blockBuffers.Put(whole)
		}
	}()
	*whole = slices.Grow((*whole)[:0], int(b.to-b.from))
	p := (*whole)[:b.to-b.from]
	n, err := f.ReadAt(p, b.from)
	if n < len(p) && err != nil && !errors.Is(err, errEOF) {
		return nil, err
	}
	h := header{Mark: s.mark, Base: b.first, Namespace: l.namespace, Topic: l.topic, Epoch: l.epoch}
	most := min(b.last-b.first+1, uint64(b.to-b.from)/headSize+1) //nolint:gosec // to is behind from
	entries := make([]topiclog.Placement, 0, most)
	found := scan(p[:n], 0, &h, b.last, func(e topiclog.Placement, _, _ int) {
		e.Payload = append([]byte{}, e.Payload...) // of its own: a record that is kept shall not keep its block
		entries = append(entries, e)
	})
	l.j.stats.blocksRead.Add(1)
	if found.damaged || found.torn || n < len(p) {
		return entries, errDamaged
	}
	return entries, nil
}
