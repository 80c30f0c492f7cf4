package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"

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
	sizes   []int // bytes in the file; 0: the record is volatile
	at      int64 // where the first is
	bytes   int
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
		if l.failing {
			l.failing = false
			l.j.log.Info("journal: appends succeed again", "namespace", l.namespace, "topic", l.topic)
		}
		l.tell(s)
		batch = batch[len(s.batch):]
	}
}

// refuse tells all of a batch why they have no place, and the log once.
func (l *Log) refuse(batch []waiting, err error) {
	err = fmt.Errorf("append to the log of %q %q: %w", l.namespace, l.topic, err)
	l.j.stats.failed.Add(uint64(len(batch)))
	if !l.failing {
		l.failing = true
		l.j.log.Error("journal: appends are refused until the disk takes them", "error", err)
	}
	for _, w := range batch {
		l.release(w.record.Size())
		w.later.Fail(err)
	}
}

func (l *Log) release(bytes int) {
	l.mu.Lock()
	l.queued -= bytes
	l.mu.Unlock()
}

// tell delivers what has its place.
func (l *Log) tell(s *portion) {
	bytes := 0
	for i, w := range s.batch {
		l.deliver(s.entries[i])
		bytes += w.record.Size()
		if i == len(s.batch)-1 {
			l.release(bytes) // before the last one knows: then there is room again
		}
		w.later.Place(s.entries[i].Position)
	}
	clear(s.entries)
}

// write gives the first records of a batch their places, and makes them as durable as the policy says.
func (l *Log) write(batch []waiting) (*portion, error) {
	if l.file != nil && l.rolls(batch[0].record) {
		l.seal()
	}
	if l.file == nil && !allVolatile(batch) {
		if err := l.begin(); err != nil {
			return nil, err
		}
	}
	s := l.encode(batch)
	if err := l.reserve(); err != nil {
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

// rolls reports whether the segment that is written has to end before r.
func (l *Log) rolls(r *topiclog.Record) bool {
	s := l.current
	return l.over(s.records, s.size, s.end, r) || (s.records > 0 && l.limits.Age > 0 && r.At-s.firstAt > int64(l.age()))
}

// over reports whether a segment with so much in it has no room for r.
func (l *Log) over(records, size int, end int64, r *topiclog.Record) bool {
	return records > 0 && (end+int64(encodedSize(r)) > l.j.options.SegmentBytes ||
		(l.limits.Records > 0 && records >= max(1, l.limits.Records/parts)) ||
		(l.limits.Bytes > 0 && size+r.Size() > l.limits.Bytes/parts))
}

// seal ends the segment that is written. It is synced under every policy: what a failure of the machine loses is an end of the
// log, never its middle.
func (l *Log) seal() {
	l.syncNow()
	l.endFile()
}

// begin makes the next segment. When it returns the file, its header and its name are durable.
func (l *Log) begin() error {
	h := header{Mark: rand.Uint32() | 1, Base: l.next, Previous: l.previous, Epoch: l.epoch, Namespace: l.namespace, Topic: l.topic} //nolint:gosec // no secret
	l.next++                                                                                                                         // no name is tried twice
	b := h.encode()
	if err := l.j.charge(int64(len(b))); err != nil {
		return err
	}
	err := l.makeDirectory()
	if err == nil {
		err = l.create(&h, b)
	}
	if err != nil {
		l.j.used.Add(-int64(len(b)))
		if errors.Is(err, fs.ErrExist) {
			return l.begin() // what recovery could not remove: it has a name less
		}
		return err
	}
	l.next, l.behind = h.Base, false
	l.current = &segment{name: segmentName(h.Base), base: h.Base, previous: h.Previous, mark: h.Mark, end: int64(len(b))}
	l.mu.Lock()
	l.active = true
	l.segments = append(l.segments, l.current)
	l.mu.Unlock()
	return nil
}

// makeDirectory is for the first segment of all.
func (l *Log) makeDirectory() error {
	if l.reserved > 0 {
		return nil
	}
	if err := l.j.fs.MkdirAll(l.dir); err != nil {
		return err
	}
	return l.j.fs.SyncDir(".")
}

func (l *Log) create(h *header, b []byte) error {
	name := path.Join(l.dir, segmentName(h.Base))
	f, err := l.j.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.j.fs.SyncDir(l.dir)
	}
	if err != nil {
		err = errors.Join(err, f.Close())
		if e := l.j.fs.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return err
	}
	l.file = f
	return nil
}

// encode numbers the first records of a batch and puts them into the buffer: as many as one segment and one write take.
func (l *Log) encode(batch []waiting) *portion {
	s := &l.step
	*s = portion{entries: s.entries[:0], sizes: s.sizes[:0]}
	l.buffer = l.buffer[:0]
	records, size, end := 0, 0, int64(0)
	mark := uint32(0)
	if l.file != nil {
		c := l.current
		records, size, end, mark = c.records, c.size, c.end, c.mark
	}
	s.at = end
	previous := l.previous
	for i, w := range batch {
		r := w.record
		if i > 0 && (s.bytes > batchBytes || (!r.Volatile && (l.file == nil || l.over(records, size, end, r)))) {
			break
		}
		e := topiclog.Placement{Record: r, Position: topiclog.Position{Epoch: l.epoch, Offset: l.next, Previous: previous}}
		n := 0
		if !r.Volatile {
			l.buffer = appendRecord(l.buffer, mark, e)
			n = len(l.buffer) - s.bytes
			previous = l.next
			records, size, end = records+1, size+r.Size(), end+int64(n)
		}
		s.entries, s.sizes = append(s.entries, e), append(s.sizes, n)
		s.bytes += n
		l.next++
	}
	s.batch = batch[:len(s.entries)]
	return s
}

// reserve makes sure that the offsets up to next are reserved, whatever becomes of the machine.
func (l *Log) reserve() error {
	if l.next-1 <= l.reserved {
		return nil
	}
	if err := l.makeDirectory(); err != nil {
		return err
	}
	s := l.stateNow()
	s.Reserved = l.next - 1 + reserveBlock
	if err := writeFile(l.j.fs, path.Join(l.dir, stateName), s.encode()); err != nil {
		return err
	}
	l.reserved = s.Reserved
	return nil
}

// put writes a step. What is refused leaves no record behind, if the disk lets it.
func (l *Log) put(s *portion) error {
	if err := l.j.charge(int64(s.bytes)); err != nil {
		return err
	}
	_, err := l.file.Write(l.buffer)
	syncs := err == nil && l.j.options.Fsync == Always
	if syncs {
		l.j.stats.syncs.Add(1)
		err = l.file.Sync()
	}
	if cap(l.buffer) > 2*batchBytes {
		l.buffer = nil
	}
	if err == nil {
		return nil
	}
	l.j.used.Add(-int64(s.bytes))
	if cut := l.file.Truncate(s.at); cut != nil || syncs {
		l.giveUp()
		l.behind = cut != nil
	}
	return err
}

// giveUp ends a file of which nothing more is known: the next record begins another one.
func (l *Log) giveUp() {
	l.unsure = true
	l.endFile()
}

// endFile closes the file that is written, if one is.
func (l *Log) endFile() {
	if l.file == nil {
		return
	}
	_ = l.file.Close() // it is synced, or given up
	l.file = nil
	l.mu.Lock()
	l.active = false
	l.mu.Unlock()
}

// commit lets readers see a step.
func (l *Log) commit(s *portion) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, kept := s.at, uint64(0)
	for i, e := range s.entries {
		if n := s.sizes[i]; n > 0 {
			l.current.add(e, at, n)
			at += int64(n)
			l.previous = e.Offset
			kept++
		}
	}
	l.last = l.next - 1
	l.dirty = l.dirty || (s.bytes > 0 && l.j.options.Fsync != Always)
	l.j.stats.appended.Add(kept)
	l.j.stats.bytes.Add(uint64(s.bytes)) //nolint:gosec // not negative
}

// syncNow syncs the file that is written. After an error another one is begun: what was written since the last sync may be
// gone, and this file would not say so.
func (l *Log) syncNow() bool {
	l.mu.Lock()
	dirty := l.dirty
	l.dirty = false
	l.mu.Unlock()
	if !dirty || l.file == nil {
		return true
	}
	l.j.stats.syncs.Add(1)
	err := l.file.Sync()
	if err == nil {
		return true
	}
	l.j.stats.failed.Add(1)
	l.j.log.Error("journal: records that were confirmed cannot be synced; a failure of the machine may lose them", "namespace", l.namespace, "topic", l.topic, "error", err)
	l.giveUp()
	return false
}

// retain removes segments beyond the log's limits; with now, those that are too old by then.
func (l *Log) retain(now int64) {
	l.mu.Lock()
	var gone []*segment
	records, size := 0, 0
	for _, s := range l.segments {
		records, size = records+s.records, size+s.size
		now = max(now, s.lastAt)
	}
	for len(l.segments) > 0 {
		s := l.segments[0]
		if s.records == 0 && len(l.segments) == 1 {
			break
		}
		over := (l.limits.Records > 0 && records > l.limits.Records) || (l.limits.Bytes > 0 && size > l.limits.Bytes) ||
			(l.limits.Age > 0 && now-s.lastAt > int64(l.limits.Age))
		if !over {
			break
		}
		records, size = records-s.records, size-s.size
		gone = append(gone, s)
		l.segments = l.segments[1:]
	}
	none := len(l.segments) == 0
	l.mu.Unlock()
	if none {
		l.endFile()
	}
	for _, s := range gone {
		l.j.used.Add(-s.end)
		l.remove(s)
	}
}
