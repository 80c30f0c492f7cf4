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

	"github.com/streamweir/weir/internal/topiclog"
)

// reserveBlock is how many offsets are reserved together.
const reserveBlock = 1 << 20

// unknownJump is how far a log goes on whose state is lost: further than any block that may have been reserved.
const unknownJump = 1 << 40

// recovery makes a log of what is in its directory.
type recovery struct {
	*Log
	names   map[string]bool
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
	r := &recovery{Log: l, names: map[string]bool{}}
	var segments []string
	for _, info := range infos {
		r.names[info.Name] = true
		if _, ok := segmentBase(info.Name); ok {
			segments = append(segments, info.Name)
		}
		if strings.HasSuffix(info.Name, newSuffix) {
			_ = l.j.fs.Remove(path.Join(l.dir, info.Name)) // it was never completed
		}
	}
	if err := r.readState(len(segments) > 0); err != nil {
		return err
	}
	if err := r.readSegments(segments); err != nil {
		return err
	}
	r.goOn()
	return nil
}

// readState reads the state, if it is there and sound.
func (r *recovery) readState(used bool) error {
	b, err := readFile(r.j.fs, path.Join(r.dir, stateName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		var half bool
		r.state, half, err = decodeState(b)
		if errors.Is(err, errVersion) {
			return fmt.Errorf("read the state in %s: %w", r.dir, err)
		}
		if err == nil && half {
			r.j.damage("one of the two copies of a log's state is damaged; the other is used", r.dir, stateName)
		}
		used = true
	}
	r.known = err == nil
	if !r.known && used {
		r.j.damage("the state of a log is lost; its offsets go on far beyond those it may have given", r.dir, stateName)
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
		f, err := r.readHeader(name)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if r.epoch == "" {
			r.epoch = f.header.Epoch
		}
		s := r.readSegment(f, limit)
		r.segments = append(r.segments, s)
		limit = min(limit, s.previous)
	}
	slices.Reverse(r.segments)
	if r.epoch == "" {
		r.epoch = rand.Text()
	}
	return nil
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
	case err == nil && f.header.Base == base && f.header.Namespace == r.namespace && f.header.Topic == r.topic && (r.epoch == "" || f.header.Epoch == r.epoch):
		return f, nil
	}
	guess := header{Base: base, Epoch: r.epoch, Namespace: r.namespace, Topic: r.topic}
	f.size = len(guess.encode())
	if len(b) < f.size {
		r.j.log.Warn("a segment that was never used is removed", "file", full, "bytes", len(b))
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
	r.j.damage("a segment has no header and no record that can be read; it is set aside", r.dir, name)
	if _, err := setAside(r.j.fs, full, b, r.taken); err == nil {
		_ = r.j.fs.Remove(full)
	}
	return nil, nil
}

func (r *recovery) taken(name string) bool { return r.names[path.Base(name)] }

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
		r.j.log.Warn("the end of a segment was never completed; it is cut", "file", full, "bytes", len(f.bytes)-int(s.end))
		r.j.stats.torn.Add(1)
		if err := truncate(r.j.fs, full, s.end); err != nil {
			r.j.log.Error("a segment cannot be cut; its end is not read", "file", full, "error", err)
		}
	}
	return s
}

// index makes the index of a file.
func (f *file) index(limit uint64) (*segment, found) {
	h := &f.header
	s := &segment{name: f.name, base: h.Base, previous: h.Previous, mark: h.Mark, end: int64(f.size)}
	return s, scan(f.bytes, f.size, h, limit, func(e topiclog.Placement, at, n int) { s.add(e, int64(at), n) })
}

// repair sets a copy of the file aside, and leaves what is sound in its place: either is complete whenever the machine ends.
func (r *recovery) repair(f *file, sound []span) bool {
	full := path.Join(r.dir, f.name)
	r.j.damage("a segment is damaged; a copy is set aside, and what is sound is used", r.dir, f.name)
	b := f.header.encode()
	size := len(b)
	for _, s := range sound {
		b = append(b, f.bytes[s.from:s.to]...)
	}
	aside, err := setAside(r.j.fs, full, f.bytes, r.taken)
	if err == nil {
		r.names[path.Base(aside)] = true
		err = writeFile(r.j.fs, full, b)
	}
	if err != nil {
		r.j.log.Error("a damaged segment cannot be set aside; what is sound in it is read", "file", full, "error", err)
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
		l.next, l.reserved = max(l.last, base)+1, r.state.Reserved // base is the name of a file that is there
		return
	}
	reserved := max(r.state.Reserved, newest, base)
	if !r.known && len(l.segments) > 0 {
		reserved += unknownJump
	}
	l.last, l.previous, l.reserved = reserved, newest, reserved
	l.next = reserved + 1
	boot := l.j.fs.Boot()
	same := boot != "" && boot == r.state.Boot
	if n := len(l.segments); same && !r.state.Synced && n > 0 {
		r.syncLast()
	}
	if reserved > 0 && (r.damaged || !r.known || !(r.state.Synced || same) || len(l.segments) == 0) {
		l.previous = reserved
	}
}

// syncLast makes durable what a process had written that was killed: what comes next must not outlive it.
func (r *recovery) syncLast() {
	name := path.Join(r.dir, r.segments[len(r.segments)-1].name)
	f, err := r.j.fs.Append(name)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		r.j.log.Error("journal: what an earlier process has written cannot be synced", "file", name, "error", err)
	}
}
