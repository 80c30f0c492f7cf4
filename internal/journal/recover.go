package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// unknownJump is how far a log goes on whose state is lost: further than any block that may have been reserved.
const unknownJump = 1 << 40

// recovery makes a log of what is in its directory.
type recovery struct {
	*Log
	sizes   map[string]int64 // of all files
	state   state
	known   bool // state was read
	damaged bool // something that may have been delivered is lost
}

// file is one segment file as it was read.
type file struct {
	name   string
	bytes  []byte
	header header
	size   int // of the header
}

// recover reads the directory. It repairs what can be, says what was lost, and fails only if it cannot read, or would have to
// read another version's files.
func (l *Log) recover() error {
	infos, err := l.j.fs.List(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		l.epoch, l.next = rand.Text(), 1
		return nil
	}
	if err != nil {
		return err
	}
	r := &recovery{Log: l, sizes: map[string]int64{}}
	for _, info := range infos {
		if strings.HasSuffix(info.Name, newSuffix) {
			_ = l.j.fs.Remove(path.Join(l.dir, info.Name)) // it was never completed
			continue
		}
		r.sizes[info.Name] = info.Size
	}
	segments := r.segmentNames()
	if err := r.readState(len(segments) > 0); err != nil {
		return err
	}
	if err := r.readSegments(segments); err != nil {
		return err
	}
	r.goOn()
	r.goOnBehind(l.j.floor(l.dir))
	l.ends, l.tail.from = l.previous, l.last
	if l.gave = l.last; len(l.segments) > 0 {
		l.gave = l.segments[0].previous
	}
	return nil
}

// segmentNames are those of the segments, in order. Index files without one go.
func (r *recovery) segmentNames() (names []string) {
	for name := range r.sizes {
		if _, ok := segmentBase(name); ok {
			names = append(names, name)
		}
		if base, ok := indexBase(name); ok && r.sizes[segmentName(base)] == 0 {
			r.removeIndex(base)
		}
	}
	slices.Sort(names)
	return names
}

func (r *recovery) removeIndex(base uint64) {
	if name := indexName(base); r.sizes[name] > 0 {
		_ = r.j.fs.Remove(path.Join(r.dir, name))
		delete(r.sizes, name)
	}
}

// readState reads the state, if it is there and sound.
func (r *recovery) readState(used bool) error {
	b, err := readFile(r.j.fs, path.Join(r.dir, stateName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.stateBytes.Store(int64(len(b)))
	if err == nil {
		var half bool
		r.state, half, err = decodeState(b)
		if errors.Is(err, errVersion) {
			return fmt.Errorf("read the state in %s: %w", r.dir, err)
		}
		if err == nil && half {
			r.damage("one of the two copies of a log's state is damaged; the other is used", stateName)
		}
		used = true
	}
	r.known = err == nil
	if !r.known && used {
		r.damage("the state of a log is lost; its offsets go on far beyond those it may have given", stateName)
	}
	if r.known && (r.state.Namespace != r.namespace || r.state.Topic != r.topic) {
		return fmt.Errorf("%s is the log of %q %q", r.dir, r.state.Namespace, r.state.Topic)
	}
	r.epoch = r.state.Epoch
	return nil
}

// readSegments reads the segments, which are in order, the newest first: a header says what is valid in the one before it.
func (r *recovery) readSegments(names []string) error {
	limit := uint64(math.MaxUint64)
	for _, name := range slices.Backward(names) {
		s, err := r.readIndexed(name, limit)
		if err == nil && s == nil {
			s, err = r.readWhole(name, limit)
		}
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		r.segments = append(r.segments, s)
		limit = min(limit, s.previous)
	}
	slices.Reverse(r.segments)
	if r.epoch == "" {
		r.epoch = rand.Text()
	}
	return nil
}

// readIndexed takes a segment from its index file, if that is there, sound, and about a file of that length. What else may be
// wrong with the segment is found when it is read.
func (r *recovery) readIndexed(name string, limit uint64) (*segment, error) {
	base, _ := segmentBase(name)
	besides := r.sizes[indexName(base)]
	if besides == 0 {
		return nil, nil
	}
	p, err := readFile(r.j.fs, path.Join(r.dir, indexName(base)))
	if err != nil {
		return nil, fmt.Errorf("read the index of a segment: %w", err)
	}
	h, err := r.readHead(name)
	var x index
	if err == nil {
		x, err = decodeIndex(p, h)
	}
	s := &segment{name: name, base: base, previous: h.Previous, mark: h.Mark, index: x, beside: besides}
	if err != nil || x.end != r.sizes[name] || s.last() > limit || !r.isOurs(h, base) {
		r.removeIndex(base)
		return nil, nil
	}
	if r.epoch == "" {
		r.epoch = h.Epoch
	}
	return s, nil
}

// readHead reads the header of a segment and no more.
func (r *recovery) readHead(name string) (*header, error) {
	f, err := r.j.fs.Open(path.Join(r.dir, name))
	if err != nil {
		return &header{}, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return headOf(f)
}

// headOf is the header that a file begins with.
func headOf(f vfs.File) (*header, error) {
	for _, most := range []int{1 << 10, maxHeader} {
		p := make([]byte, most)
		n, err := f.ReadAt(p, 0)
		if err != nil && !errors.Is(err, errEOF) {
			return &header{}, err
		}
		h, _, err := decodeHeader(p[:n])
		if n == most && errors.Is(err, errTorn) {
			continue
		}
		return &h, err
	}
	return &header{}, errDamaged
}

func (r *recovery) isOurs(h *header, base uint64) bool {
	return h.Base == base && h.Namespace == r.namespace && h.Topic == r.topic && (r.epoch == "" || h.Epoch == r.epoch)
}

// readWhole reads a segment, and repairs it; nil: there was nothing in it.
func (r *recovery) readWhole(name string, limit uint64) (*segment, error) {
	f, err := r.readHeader(name)
	if err != nil || f == nil {
		return nil, err
	}
	if r.epoch == "" {
		r.epoch = f.header.Epoch
	}
	return r.readSegment(f, limit), nil
}

// readHeader reads a file with its header, or makes the header anew. It returns nil if there is nothing in the file.
func (r *recovery) readHeader(name string) (*file, error) {
	full := path.Join(r.dir, name)
	b, err := readFile(r.j.fs, full)
	if err != nil {
		return nil, fmt.Errorf("read a segment: %w", err)
	}
	f := &file{name: name, bytes: b}
	f.header, f.size, err = decodeHeader(b)
	base, _ := segmentBase(name)
	switch {
	case errors.Is(err, errVersion):
		return nil, fmt.Errorf("read %s: %w", full, err)
	case err == nil && r.isOurs(&f.header, base):
		return f, nil
	}
	guess := header{Base: base, Epoch: r.epoch, Namespace: r.namespace, Topic: r.topic}
	f.size = len(guess.encode())
	if len(b) < f.size {
		r.report(Incident{Kind: Unused, File: full, Text: fmt.Sprintf("a segment that was never used is removed; it had %d bytes", len(b))})
		_ = r.j.fs.Remove(full)
		return nil, nil
	}
	r.damaged = true
	for _, at := range []int{12, f.size} {
		if len(b) < at+4 {
			continue
		}
		guess.Mark = binary.LittleEndian.Uint32(b[at:])
		first := resync(b, f.size, guess.Mark, base-1)
		if first < 0 {
			continue
		}
		_, e, _ := next(b[first:], guess.Mark, base-1)
		guess.Previous = e.Previous
		f.header = guess
		r.repair(f, []span{{f.size, len(b)}})
		return f, nil
	}
	r.damage("a segment has no header and no record that can be read; it is set aside", name)
	if r.setAside(full, b) == nil {
		_ = r.j.fs.Remove(full)
	}
	return nil, nil
}

// setAside keeps a copy of what was found in a file.
func (r *recovery) setAside(full string, b []byte) error {
	name, err := setAside(r.j.fs, full, b, func(name string) bool { _, taken := r.sizes[path.Base(name)]; return taken })
	if err == nil {
		r.sizes[path.Base(name)] = int64(len(b))
		r.j.setAside(aside{r.dir, path.Base(name), int64(len(b)), time.Now().UnixNano()})
	}
	return err
}

// readSegment indexes a segment, and repairs the file.
func (r *recovery) readSegment(f *file, limit uint64) *segment {
	s, found := f.index(limit)
	switch {
	case found.damaged:
		r.damaged = r.damaged || limit == math.MaxUint64 // else the next one's header tells what is missing
		if r.repair(f, found.sound) {
			s, _ = f.index(limit)
		}
	case found.torn:
		full := path.Join(r.dir, f.name)
		r.j.stats.torn.Add(1)
		r.report(Incident{Kind: Torn, File: full, Text: fmt.Sprintf("the end of a segment was never completed; its last %d bytes are cut", len(f.bytes)-int(s.end))})
		if err := truncate(r.j.fs, full, s.end); err != nil {
			r.report(Incident{Kind: Leftover, File: full, Err: err, Text: "a segment cannot be cut; its end is not read"})
		}
	}
	return s
}

// index makes the index of a file.
func (f *file) index(limit uint64) (*segment, found) {
	h := &f.header
	s := &segment{name: f.name, base: h.Base, previous: h.Previous, mark: h.Mark, index: index{end: int64(f.size)}}
	return s, scan(f.bytes, f.size, h, limit, func(e topiclog.Placement, at, n int) { s.add(&e, e.Size(), int64(at), n) })
}

// repair sets a copy of the file aside, and leaves what is sound in its place: either is complete whenever the machine ends.
func (r *recovery) repair(f *file, sound []span) bool {
	full := path.Join(r.dir, f.name)
	r.damage("a segment is damaged; a copy is set aside, and what is sound is used", f.name)
	b := f.header.encode()
	size := len(b)
	for _, s := range sound {
		b = append(b, f.bytes[s.from:s.to]...)
	}
	err := r.setAside(full, f.bytes)
	if err == nil {
		err = writeFile(r.j.fs, full, b)
	}
	if err != nil {
		r.report(Incident{Kind: Leftover, File: full, Err: err, Text: "a damaged segment cannot be set aside; what is sound in it is read"})
		return false
	}
	f.bytes, f.size = b, size
	return true
}

// goOn decides which offset comes next, and which one the next record names as the one before.
func (r *recovery) goOn() {
	l := r.Log
	newest, base := uint64(0), uint64(0)
	if n := len(l.segments); n > 0 {
		newest, base = l.segments[n-1].last(), l.segments[n-1].base
	}
	if r.known && r.state.Clean && newest <= r.state.Reserved && base <= r.state.Reserved+1 {
		l.last, l.previous = r.state.Reserved, max(r.state.Previous, newest)
		l.next, l.syncer.reserved = max(l.last, base)+1, r.state.Reserved // base is the name of a file that is there
		return
	}
	reserved := max(r.state.Reserved, newest, base)
	if !r.known && len(l.segments) > 0 {
		reserved += unknownJump
	}
	l.last, l.previous, l.syncer.reserved = reserved, newest, reserved
	l.next = reserved + 1
	boot := l.j.fs.Boot()
	same := boot != "" && boot == r.state.Boot
	older := boot != "" && r.state.Boot != "" && !same // the machine has started since: what can be read is durable
	if !older && !r.state.Synced && len(l.segments) > 0 {
		r.syncAll()
	}
	if reserved > 0 && (r.damaged || !r.known || !(r.state.Synced || same) || len(l.segments) == 0) {
		l.previous = reserved
	}
}

// goOnBehind makes the next offset one behind those that this process has given already, reserved or not.
func (r *recovery) goOnBehind(given uint64) {
	if l := r.Log; given > l.last {
		l.last, l.next = given, max(l.next, given+1)
	}
}

// syncAll makes durable what a process had written that was killed: what comes next must not outlive it. Which segments
// that one had synced is not known.
func (r *recovery) syncAll() {
	var err error
	for _, s := range r.segments {
		if s.beside > 0 {
			continue // it was complete and synced before it had an index
		}
		f, e := r.j.fs.Append(path.Join(r.dir, s.name))
		if e == nil {
			e = errors.Join(f.Sync(), f.Close())
		}
		err = errors.Join(err, e)
	}
	if err = errors.Join(err, r.j.fs.SyncDir(r.dir)); err != nil {
		r.report(Incident{Kind: Unsynced, File: r.dir, Err: err, Text: "what an earlier process has written cannot be synced"})
	}
}
