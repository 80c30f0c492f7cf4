package journal

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/topiclog"
)

// parts is in how many segments, at least, a log's limits are kept: whole segments are removed, so that a log is at most this
// part below its limits, and never above.
const parts = 64

// rolls reports whether a segment with so much in it has to end before a record.
func (l *Log) rolls(x *index, w *waiting) bool {
	return l.over(x, w) || (x.records > 0 && l.limits.Age > 0 && w.At-x.firstAt > int64(l.age()))
}

// over reports whether a segment with so much in it has no room for a record.
func (l *Log) over(x *index, w *waiting) bool {
	return x.records > 0 && ((x.end+int64(w.size) > l.j.options.SegmentBytes && x.end+int64(encodedSize(w.Record)) > l.j.options.SegmentBytes) ||
		(l.limits.Records > 0 && x.records >= max(1, l.limits.Records/parts)) ||
		(l.limits.Bytes > 0 && x.size+w.size > l.limits.Bytes/parts))
}

// seal ends the segment that is written. It is synced under every policy, behind the writer's back, before the next one has a name.
func (l *Log) seal() {
	if f := l.file; f != nil {
		l.letFile()
		l.do(task{sealFile, f})
	}
}

// letFile is the end of a file that was written.
func (l *Log) letFile() {
	l.file, l.parked = nil, false
	l.setActive(nil)
	l.mu.Lock()
	l.active = false
	l.mu.Unlock()
}

// begin makes the next segment. Its header and its name are durable when it returns if the policy is Always, or if the header has
// to say that something in the file before is no record; else soon.
func (l *Log) begin() error {
	h := header{Mark: rand.Uint32() | 1, Base: l.next, Previous: l.ends, Epoch: l.epoch, Namespace: l.namespace, Topic: l.topic} //nolint:gosec // no secret
	l.next++                                                                                                                     // no name is tried twice
	b := h.encode()
	if err := l.j.charge(int64(len(b))); err != nil {
		return err
	}
	err := l.makeDirectory()
	var f *output
	if err == nil {
		f, err = l.create(&h, b)
	}
	if errors.Is(err, fs.ErrNotExist) && l.takeStock() == nil {
		f, err = l.create(&h, b)
	}
	if err != nil {
		l.j.used.Add(-int64(len(b)))
		if errors.Is(err, fs.ErrExist) && !l.prompt {
			return l.begin() // what recovery could not remove: it has a name less
		}
		return err
	}
	l.next, l.behind, l.file = h.Base, false, f
	l.mu.Lock()
	l.active = true
	l.segments = append(l.segments, f.segment)
	l.mu.Unlock()
	l.setActive(f)
	return nil
}

// makeDirectory is for the first segment of all.
func (l *Log) makeDirectory() error {
	if l.used() {
		return nil
	}
	if err := l.j.fs.MkdirAll(l.dir); err != nil {
		return err
	}
	return l.j.fs.SyncDir(".")
}

func (l *Log) create(h *header, b []byte) (*output, error) {
	s := &segment{name: segmentName(h.Base), base: h.Base, previous: h.Previous, mark: h.Mark, index: index{end: int64(len(b))}}
	name := path.Join(l.dir, s.name)
	l.j.takeFile()
	file, err := l.j.fs.Create(name)
	if err != nil {
		l.j.giveFile()
		return nil, err
	}
	f := &output{File: file, segment: s}
	s.output = f
	_, err = f.Write(b)
	durable := l.j.options.Fsync == Always || l.behind
	if err == nil && durable {
		err = f.Sync()
	}
	if err == nil && durable {
		l.awaitTasks() // the names of earlier ones come first
		err = l.j.fs.SyncDir(l.dir)
	}
	if err != nil {
		err = errors.Join(err, l.shutFile(f))
		if e := l.j.fs.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return nil, err
	}
	if !durable {
		l.wrote(f, len(b))
		l.do(task{nameFile, f})
	}
	return f, nil
}

// encode numbers the first records of a batch and puts them into a buffer, behind what x says of the file and behind
// the record with that offset: as many as one segment and one write take.
func (l *Log) encode(batch []waiting, x *index, previous uint64) *portion {
	s := l.scratch.next()
	mark := uint32(0)
	if s.file = l.file; l.file != nil {
		s.index, mark = x.draft(s.blocks), l.file.segment.mark
	}
	x = &s.index
	s.at, s.newest, s.first = x.end, previous, l.next
	for i := range batch {
		w := &batch[i]
		r := w.Record
		if i > 0 && (len(s.buffer) > l.j.options.portionBytes || (!r.Volatile && (l.file == nil || l.over(x, w)))) {
			break
		}
		if !l.prompt {
			w.Position = topiclog.Position{Epoch: l.epoch, Offset: l.next, Previous: s.newest}
		}
		if !r.Volatile {
			from := len(s.buffer)
			s.buffer = appendRecord(l.roomy(s.buffer, w.size), mark, w)
			x.add(&w.Placement, w.size, x.end, len(s.buffer)-from)
			s.newest, s.ends = w.Offset, w.Offset
			s.kept++
		} else if r.Missed {
			s.newest = w.Offset // the next one names it
		}
		s.batch = batch[:i+1]
		s.last, l.next = w.Offset, w.Offset+1
	}
	s.blocks = x.blocks
	return s
}

// roomy is a buffer with room for a record. One that has become large is made as large as any gets: to be copied again and again
// costs more than the record.
func (l *Log) roomy(b []byte, size int) []byte {
	if most := l.j.options.portionBytes; cap(b)-len(b) < size && cap(b) >= 32<<10 && len(b) < most {
		return slices.Grow(b, most+size-len(b))
	}
	return b
}

// put writes a portion, and syncs it if the policy says so before it is delivered.
func (l *Log) put(s *portion) {
	always := l.j.options.Fsync == Always
	if !always {
		l.awaitSync()
	}
	began := time.Now()
	_, s.err = s.file.Write(s.buffer)
	switch {
	case s.err == nil && always:
		s.err = l.timed(s.file)
		if s.unsynced = s.err != nil; !s.unsynced {
			s.err = l.astray(s.file)
		}
	case s.err == nil:
		l.wrote(s.file, len(s.buffer))
	}
	s.took = time.Since(began)
}

// undo cuts off what a portion has left that could not be written, if the disk lets it.
func (l *Log) undo(s *portion) {
	l.j.used.Add(-int64(len(s.buffer)))
	cut := s.file.Truncate(s.at)
	l.missing = l.missing || errors.Is(s.err, errRemoved)
	switch {
	case s.unsynced:
		l.giveUp()
	case cut != nil:
		l.seal()
	}
	l.behind = l.behind || cut != nil
}

// giveUp ends a file that could not be synced under Always: of what it has nothing more is known, but that what was
// confirmed is durable.
func (l *Log) giveUp() {
	l.syncer.mu.Lock()
	l.syncer.unsure = true
	l.syncer.mu.Unlock()
	l.give(l.file)
	l.seal()
}

// commit lets readers see a portion.
func (l *Log) commit(s *portion) {
	l.mu.Lock()
	if s.kept > 0 {
		x := &s.file.segment.index
		more := s.index.held - x.held
		x.adopt(&s.index)
		l.j.holds(indexes, more)
		l.ends = s.ends
	}
	l.previous, l.last = s.newest, s.last
	if l.prompt {
		l.passed(len(s.batch))
	}
	more := l.tail.add(s.batch, l.j.tailRoom(&l.tail))
	l.mu.Unlock()
	l.j.holds(tails, more)
	l.j.stats.appended.Add(uint64(s.kept)) //nolint:gosec // not negative
	l.j.stats.bytes.Add(uint64(len(s.buffer)))
}

// retain removes segments beyond the log's limits; with now, those that are too old by then.
func (l *Log) retain(now int64) {
	l.mu.Lock()
	records, size := 0, 0
	for _, s := range l.segments {
		records, size = records+s.records, size+s.size
		now = max(now, s.lastAt)
	}
	n := 0
	for n < len(l.segments) {
		s := l.segments[n]
		if s.records == 0 && n == len(l.segments)-1 {
			break
		}
		over := (l.limits.Records > 0 && records > l.limits.Records) || (l.limits.Bytes > 0 && size > l.limits.Bytes) ||
			(l.limits.Age > 0 && now-s.lastAt > int64(l.limits.Age))
		if !over {
			break
		}
		records, size = records-s.records, size-s.size
		n++
	}
	gone := slices.Clone(l.segments[:n])
	less := l.cutLocked(n)
	none := len(l.segments) == 0
	l.mu.Unlock()
	l.j.holds(tails, less)
	if none {
		l.seal()
	}
	for _, s := range gone {
		l.j.used.Add(-s.bytes())
		l.remove(s)
	}
}
