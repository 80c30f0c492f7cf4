package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"

	"github.com/streamweir/weir/internal/topiclog"
)

// parts is in how many segments, at least, a log's limits are kept: whole segments are removed, so that a log is at most this
// part below its limits, and never above.
const parts = 64

// batchBytes is how much is written, synced and delivered together.
const batchBytes = 1 << 20

// giveTries is how often a topic ends its segment to make room: others may take the room before it does.
const giveTries = 4

// portion is a part of a batch: what is written with one call, into one segment.
type portion struct {
	batch   []waiting
	entries []topiclog.Placement
	at      int64 // where the first is
	bytes   int
	kept    int    // records that are in the file
	newest  uint64 // the offset of the last of them, or what was before
	index   index  // a draft of the segment's
	blocks  []block
}

// place writes and delivers a batch, in portions. When one is refused the rest is too: nobody waits for the same disk once more.
func (l *Log) place(batch []waiting) {
	for len(batch) > 0 {
		s, err := l.write(batch)
		for n := 0; n < giveTries && errors.Is(err, ErrNoRoom) && l.j.options.WhenFull == DropOldest; n++ {
			l.seal() // so that there is a segment that can be removed
			s, err = l.write(batch)
		}
		if err != nil {
			l.refuse(batch, err)
			return
		}
		l.j.healthy(l)
		l.tell(s)
		batch = batch[len(s.batch):]
	}
}

// refuse tells all of a batch why they have no place.
func (l *Log) refuse(batch []waiting, err error) {
	err = fmt.Errorf("append to the log of %q %q: %w", l.namespace, l.topic, err)
	l.j.stats.failed.Add(uint64(len(batch)))
	l.j.sick(l, err)
	for _, w := range batch {
		l.release(w.size)
		w.later.Fail(err)
	}
}

func (l *Log) release(bytes int) {
	l.backlog.mu.Lock()
	l.backlog.bytes -= bytes
	l.backlog.mu.Unlock()
}

// tell delivers what has its place.
func (l *Log) tell(s *portion) {
	bytes := 0
	for i := range s.batch {
		w := &s.batch[i]
		l.deliver(s.entries[i])
		bytes += w.size
		if i == len(s.batch)-1 {
			l.release(bytes) // before the last one knows: then there is room again
		}
		w.later.Place(s.entries[i].Position)
	}
	clear(s.entries)
}

// write gives the first records of a batch their places, and makes them as durable as the policy says.
func (l *Log) write(batch []waiting) (*portion, error) {
	switch {
	case l.file == nil:
	case l.isGiven(l.file):
		l.seal()
	case l.rolls(&batch[0]):
		l.seal()
	}
	if l.file == nil && !allVolatile(batch) {
		if err := l.begin(); err != nil {
			return nil, err
		}
	}
	s := l.encode(batch)
	if err := l.reserve(l.next - 1); err != nil {
		return nil, err
	}
	if s.bytes > 0 {
		if err := l.put(s); err != nil {
			return nil, err
		}
	}
	l.commit(s)
	l.retain(0)
	return s, nil
}

func allVolatile(batch []waiting) bool {
	for _, w := range batch {
		if !w.record.Volatile {
			return false
		}
	}
	return true
}

// rolls reports whether the segment that is written has to end before a record.
func (l *Log) rolls(w *waiting) bool {
	x := &l.file.segment.index
	return l.over(x, w) || (x.records > 0 && l.limits.Age > 0 && w.record.At-x.firstAt > int64(l.age()))
}

// over reports whether a segment with so much in it has no room for a record.
func (l *Log) over(x *index, w *waiting) bool {
	return x.records > 0 && (x.end+int64(encodedSize(w.record)) > l.j.options.SegmentBytes ||
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
	l.file = nil
	l.setActive(nil)
	l.mu.Lock()
	l.active = false
	l.mu.Unlock()
}

// begin makes the next segment. Its header and its name are durable when it returns if the policy is Always, or if the header has
// to say that something in the file before is no record; else soon.
func (l *Log) begin() error {
	h := header{Mark: rand.Uint32() | 1, Base: l.next, Previous: l.previous, Epoch: l.epoch, Namespace: l.namespace, Topic: l.topic} //nolint:gosec // no secret
	l.next++                                                                                                                         // no name is tried twice
	b := h.encode()
	if err := l.j.charge(int64(len(b))); err != nil {
		return err
	}
	err := l.makeDirectory()
	var f *output
	if err == nil {
		f, err = l.create(&h, b)
	}
	if err != nil {
		l.j.used.Add(-int64(len(b)))
		if errors.Is(err, fs.ErrExist) {
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
	file, err := l.j.fs.Create(name)
	if err != nil {
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
		err = errors.Join(err, f.Close())
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

// encode numbers the first records of a batch and puts them into the buffer: as many as one segment and one write take.
func (l *Log) encode(batch []waiting) *portion {
	s := &l.step
	*s = portion{entries: s.entries[:0], blocks: s.blocks}
	l.buffer = l.buffer[:0]
	mark := uint32(0)
	if l.file != nil {
		c := l.file.segment
		s.index, mark = c.draft(s.blocks), c.mark
	}
	x := &s.index
	s.at, s.newest = x.end, l.previous
	for i := range batch {
		w := &batch[i]
		r := w.record
		if i > 0 && (len(l.buffer) > batchBytes || (!r.Volatile && (l.file == nil || l.over(x, w)))) {
			break
		}
		e := topiclog.Placement{Record: r, Position: topiclog.Position{Epoch: l.epoch, Offset: l.next, Previous: s.newest}}
		if !r.Volatile {
			from := len(l.buffer)
			l.buffer = appendRecord(l.buffer, mark, e)
			x.add(e, w.size, x.end, len(l.buffer)-from)
			s.newest = l.next
			s.kept++
		}
		s.entries = append(s.entries, e)
		l.next++
	}
	s.bytes, s.batch, s.blocks = len(l.buffer), batch[:len(s.entries)], x.blocks
	return s
}

// put writes a portion. What is refused leaves no record behind, if the disk lets it.
func (l *Log) put(s *portion) error {
	if err := l.j.charge(int64(s.bytes)); err != nil {
		return err
	}
	always := l.j.options.Fsync == Always
	if !always {
		l.awaitSync()
	}
	_, err := l.file.Write(l.buffer)
	synced := err == nil && always
	switch {
	case synced:
		err = l.timed(l.file)
	case err == nil:
		l.wrote(l.file, s.bytes)
	}
	if cap(l.buffer) > 2*batchBytes {
		l.buffer = nil
	}
	if err == nil {
		return nil
	}
	l.j.used.Add(-int64(s.bytes))
	if cut := l.file.Truncate(s.at); cut != nil || synced {
		l.giveUp()
		l.behind = cut != nil
	}
	return err
}

// giveUp ends a file of which nothing more is known: the next record begins another one.
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
		x := &l.file.segment.index
		more := s.index.held - x.held
		x.adopt(&s.index)
		l.j.holds(indexes, more)
	}
	l.previous, l.last = s.newest, l.next-1
	more := l.tail.add(s.entries, l.j.tailRoom(&l.tail))
	l.mu.Unlock()
	l.j.holds(tails, more)
	l.j.stats.appended.Add(uint64(s.kept)) //nolint:gosec // not negative
	l.j.stats.bytes.Add(uint64(s.bytes))   //nolint:gosec // not negative
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
