package journal

import (
	"cmp"
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

// LogView is what the directory of a journal says of one log, without a lock and without changing anything: a server
// may be writing it.
type LogView struct {
	Directory        string
	Namespace, Topic string // both "" = nothing that is left says so
	Epoch            string
	Clean            bool // it was closed in order: not so while a server has it open
	State            error
	Segments         []SegmentView // oldest first
	Aside            []vfs.Info    // copies of damaged files, the oldest first
	Bytes            int64         // of all its files

	fs vfs.FS
}

// SegmentView is one segment file.
type SegmentView struct {
	Name     string
	Bytes    int64
	Written  time.Time
	Base     uint64
	Previous uint64
	Header   error // it cannot be read, or is not this log's; then nothing is known but what is above

	First, Last    uint64 // offsets; 0: it has no record
	Records        int
	Oldest, Newest time.Time
	Torn           bool  // its end is not complete: it is being written, or was when the machine or the process ended
	Damaged        bool  // something in it is not what was written
	Missing        bool  // the next segment says that there were records behind its last one
	Gone           bool  // it was removed while it was looked at: its time was over
	Trouble        error // it cannot be read
}

// Bad reports whether a verification fails because of a segment.
func (s *SegmentView) Bad() bool {
	return !s.Gone && (s.Header != nil || s.Damaged || s.Trouble != nil)
}

// What Look says of a directory that is none of a journal.
var (
	ErrNoJournal = errors.New("it is no journal: neither its lock nor the log of a topic is in it")
	ErrOneLog    = errors.New("it is the log of one topic: name the directory above it")
)

// Look lists the logs in the directory of a journal, by namespace and topic. It reads headers and index files, and
// segments that have none. Errors: ErrNoJournal, ErrOneLog, and those of the file system.
func Look(fsys vfs.FS) ([]*LogView, error) {
	dirs, err := fsys.List(".")
	if err != nil {
		return nil, err
	}
	var all []*LogView
	none := ErrNoJournal
	for _, d := range dirs {
		if _, segment := segmentBase(d.Name); segment && !d.Dir {
			none = ErrOneLog
		}
		if d.Name == lockName && !d.Dir {
			none = nil
		}
		if !d.Dir || !isDirectory(d.Name) {
			continue
		}
		none = nil
		v, err := look(fsys, d.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", d.Name, err)
		}
		all = append(all, v)
	}
	if none != nil {
		return nil, none
	}
	slices.SortFunc(all, func(a, b *LogView) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Topic, b.Topic), strings.Compare(a.Directory, b.Directory))
	})
	return all, nil
}

func look(fsys vfs.FS, dir string) (*LogView, error) {
	files, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	v := &LogView{Directory: dir, fs: fsys}
	for _, f := range files {
		v.Bytes += f.Size
		base, ok := segmentBase(f.Name)
		switch {
		case ok:
			v.Segments = append(v.Segments, SegmentView{Name: f.Name, Base: base, Bytes: f.Size, Written: f.Time})
		case isAside(f.Name) && !strings.HasSuffix(f.Name, newSuffix):
			v.Aside = append(v.Aside, f)
		}
	}
	slices.SortStableFunc(v.Aside, func(a, b vfs.Info) int { return a.Time.Compare(b.Time) })
	v.readState()
	v.readHeaders()
	for i := range v.Segments {
		if !v.fromIndex(i) {
			v.Walk(i, 0, func(topiclog.Placement) bool { return true })
		}
	}
	return v, nil
}

func (v *LogView) readState() {
	b, err := readFile(v.fs, path.Join(v.Directory, stateName))
	if err != nil {
		v.State = err
		return
	}
	s, half, err := decodeState(b)
	if v.State = err; err != nil {
		return
	}
	if half {
		v.State = errHalf
	}
	v.Namespace, v.Topic, v.Epoch, v.Clean = s.Namespace, s.Topic, s.Epoch, s.Clean
}

// errHalf says that one of the two copies of a state is damaged.
var errHalf = errors.New("one of its two copies is damaged")

// readHeaders reads the header of each segment.
func (v *LogView) readHeaders() {
	for i := range v.Segments {
		s := &v.Segments[i]
		h, err := v.header(s.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.Gone = true
			continue
		case errors.Is(err, errTorn) && i == len(v.Segments)-1 && s.Bytes < v.headerBytes():
			s.Torn = true // it was just made
			continue
		case err == nil && (h.Base != s.Base || directory(h.Namespace, h.Topic) != v.Directory):
			err = errors.New("its header is of another file")
		}
		s.Header, s.Previous = err, h.Previous
		if err == nil && v.Namespace == "" && v.Topic == "" {
			v.Namespace, v.Topic, v.Epoch = h.Namespace, h.Topic, h.Epoch
		}
	}
}

// headerBytes is how long the header of a segment is.
func (v *LogView) headerBytes() int64 {
	h := header{Epoch: v.Epoch, Namespace: v.Namespace, Topic: v.Topic}
	return int64(len(h.encode()))
}

func (v *LogView) header(name string) (*header, error) {
	f, err := v.fs.Open(path.Join(v.Directory, name))
	if err != nil {
		return &header{}, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return headOf(f)
}

// fromIndex fills in what the index file of a segment says, if there is one that is about it.
func (v *LogView) fromIndex(i int) bool {
	s := &v.Segments[i]
	p, err := readFile(v.fs, path.Join(v.Directory, indexName(s.Base)))
	if err != nil {
		return false
	}
	h, err := v.header(s.Name)
	if err != nil {
		return false
	}
	x, err := decodeIndex(p, h)
	if err != nil || x.end != s.Bytes || x.records == 0 {
		return false
	}
	s.First, s.Last, s.Records = x.blocks[0].first, x.blocks[len(x.blocks)-1].last, x.records
	s.Oldest, s.Newest = time.Unix(0, x.firstAt), time.Unix(0, x.lastAt)
	v.compare(i)
	return true
}

// compare notes what the next segment says that is missing at the end of this one.
func (v *LogView) compare(i int) {
	s := &v.Segments[i]
	if i+1 < len(v.Segments) {
		next := &v.Segments[i+1]
		s.Missing = next.Header == nil && !next.Torn && !next.Gone && next.Previous > max(s.Last, s.Previous)
	}
}

// Walk reads a segment, checks every sum in it, and calls do for the sound records behind an offset until that returns
// false. It fills in what the view did not know, and reports whether it came to the end.
func (v *LogView) Walk(i int, after uint64, do func(topiclog.Placement) bool) bool {
	s := &v.Segments[i]
	if s.Header != nil || s.Gone {
		return true
	}
	b, err := readFile(v.fs, path.Join(v.Directory, s.Name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Gone = true
		return true
	case err != nil:
		s.Trouble = err
		return true
	}
	h, size, err := decodeHeader(b)
	if err != nil {
		return true // readHeaders has said so
	}
	limit := uint64(math.MaxUint64)
	if i+1 < len(v.Segments) && v.Segments[i+1].Header == nil && !v.Segments[i+1].Torn && !v.Segments[i+1].Gone {
		limit = v.Segments[i+1].Previous
	}
	seen := SegmentView{}
	wants := true
	found := scan(b, size, &h, limit, func(e topiclog.Placement, _, _ int) {
		seen.count(e)
		if wants && e.Offset > after {
			wants = do(e)
		}
	})
	s.First, s.Last, s.Records, s.Oldest, s.Newest = seen.First, seen.Last, seen.Records, seen.Oldest, seen.Newest
	s.Torn, s.Damaged, s.Bytes = found.torn, found.damaged, int64(len(b))
	v.compare(i)
	return wants
}

func (s *SegmentView) count(e topiclog.Placement) {
	if s.Records == 0 {
		s.First, s.Oldest = e.Offset, time.Unix(0, e.At)
	}
	s.Records++
	s.Last = e.Offset
	if at := time.Unix(0, e.At); at.After(s.Newest) {
		s.Newest = at
	}
}
