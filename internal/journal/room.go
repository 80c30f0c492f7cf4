package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/streamweir/weir/internal/vfs"
)

// asideParts is the part of the budget that files which were set aside may have: the oldest give way to newer ones.
const asideParts = 16

// resting is what is known of a log that nobody has opened.
type resting struct {
	namespace, topic string // "" = not read yet
	bytes            int64  // of all its files, but for those set aside
	given            uint64 // no offset up to it is free, whatever the files say
	segments         []part // oldest first
}

// part is a segment of such a log.
type part struct {
	base  uint64
	bytes int64 // of its files
	at    int64 // about when its newest record was appended, nanoseconds since 1970
}

// aside is a copy of a damaged file.
type aside struct {
	dir, name string
	bytes     int64
	at        int64 // when it was written, nanoseconds since 1970
}

// count adds up what is there.
func (j *Journal) count() error {
	dirs, err := j.fs.List(".")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !d.Dir || !isDirectory(d.Name) {
			continue
		}
		files, err := j.fs.List(d.Name)
		if err != nil {
			return err
		}
		r := &resting{}
		for _, f := range files {
			if isAside(f.Name) {
				j.setAside(aside{d.Name, f.Name, f.Size, f.Time.UnixNano()})
				continue
			}
			r.add(f)
		}
		j.resting[d.Name] = r
		j.used.Add(r.bytes)
	}
	return nil
}

// floor is up to which offset this process has given those of a log.
func (j *Journal) floor(dir string) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r := j.resting[dir]; r != nil {
		return r.given
	}
	return 0
}

// add counts a file. Files come in the order of their names: an index before its segment.
func (r *resting) add(f vfs.Info) {
	r.bytes += f.Size
	if base, ok := segmentBase(f.Name); ok {
		p := part{base, f.Size, f.Time.UnixNano()}
		if n := len(r.segments); n > 0 && r.segments[n-1].base == base {
			p.bytes += r.segments[n-1].bytes
			r.segments = r.segments[:n-1]
		}
		r.segments = append(r.segments, p)
	} else if base, ok := indexBase(f.Name); ok {
		r.segments = append(r.segments, part{base, f.Size, 0})
	}
}

// account counts what a log has instead of what its directory had.
func (j *Journal) account(l *Log) {
	held := 0
	j.mu.Lock()
	if r := j.resting[l.dir]; r != nil {
		j.used.Add(-r.bytes)
		delete(j.resting, l.dir)
	}
	j.used.Add(l.stateBytes.Load())
	for _, s := range l.segments {
		j.used.Add(s.bytes())
		held += s.held
	}
	j.mu.Unlock()
	j.holds(indexes, held)
}

// limitError is ErrNoRoom with how many bytes the journal may have.
type limitError int64

func (e limitError) Error() string {
	return fmt.Sprintf("journal.maxBytes is %d: %v", int64(e), ErrNoRoom)
}

func (limitError) Unwrap() error { return ErrNoRoom }

// charge takes bytes from the budget, and makes room for them if it may. No lock may be held.
func (j *Journal) charge(bytes int64) error {
	for {
		used := j.used.Load()
		switch {
		case used+bytes <= j.options.MaxBytes:
			if j.used.CompareAndSwap(used, used+bytes) {
				return nil
			}
		case j.options.WhenFull == Refuse:
			return limitError(j.options.MaxBytes)
		case !j.dropOldest() && j.used.Load() == used:
			return limitError(j.options.MaxBytes)
		}
	}
}

// tryCharge is charge that makes no room.
func (j *Journal) tryCharge(bytes int64) bool {
	for {
		used := j.used.Load()
		if used+bytes > j.options.MaxBytes {
			return false
		}
		if j.used.CompareAndSwap(used, used+bytes) {
			return true
		}
	}
}

// dropOldest removes the segment with the oldest records of those that are not written any more, and reports whether there was one.
func (j *Journal) dropOldest() bool {
	l, at := j.oldest()
	if dir, p := j.oldestResting(at, l == nil); dir != "" {
		return j.dropResting(dir, p)
	}
	return l != nil && l.dropSealed()
}

// oldest is the open log that has it.
func (j *Journal) oldest() (oldest *Log, at int64) {
	for _, l := range j.open() {
		if t, ok := l.oldest(); ok && (oldest == nil || t < at) {
			oldest, at = l, t
		}
	}
	return oldest, at
}

// oldestResting is the directory of a log that nobody has opened with one from before that, or if there is no other
// with any; "" if there is none.
func (j *Journal) oldestResting(before int64, none bool) (dir string, oldest part) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for d, r := range j.resting {
		if j.busy[d] || len(r.segments) == 0 {
			continue
		}
		if p := r.segments[0]; none || p.at < before {
			dir, oldest, before, none = d, p, p.at, false
		}
	}
	return dir, oldest
}

// dropResting removes the oldest segment of a log that nobody has opened. It reports whether it was removed, by this or
// by somebody else.
func (j *Journal) dropResting(dir string, p part) bool {
	if err := j.hold(dir); err != nil {
		return errors.Is(err, errOpen) // somebody opens it: look again
	}
	defer j.release(dir)
	_ = j.fs.Remove(path.Join(dir, indexName(p.base))) // if there is one
	err := j.fs.Remove(path.Join(dir, segmentName(p.base)))
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.resting[dir]
	if r == nil || len(r.segments) == 0 || r.segments[0].base != p.base {
		return true
	}
	r.segments = r.segments[1:]
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true // it is looked at no more
	}
	r.bytes -= p.bytes
	j.used.Add(-p.bytes)
	j.stats.dropped.Add(1)
	return true
}

// setAside counts a file that was set aside.
func (j *Journal) setAside(a aside) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used.Add(a.bytes)
	j.aside = append(j.aside, a)
	slices.SortStableFunc(j.aside, func(a, b aside) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.name, b.name)) })
}

// prune removes the oldest of the files set aside while they have more than their part of the budget. The newest stays.
func (j *Journal) prune() {
	for {
		j.mu.Lock()
		bytes := int64(0)
		for _, a := range j.aside {
			bytes += a.bytes
		}
		if len(j.aside) < 2 || bytes <= j.options.MaxBytes/asideParts {
			j.mu.Unlock()
			return
		}
		a := j.aside[0]
		j.aside = j.aside[1:]
		j.used.Add(-a.bytes)
		j.mu.Unlock()
		name := path.Join(a.dir, a.name)
		if err := j.fs.Remove(name); err != nil {
			j.report(Incident{Kind: Leftover, File: name, Err: err, Text: "a file that was set aside cannot be removed"})
			continue
		}
		j.stats.pruned.Add(1)
		j.report(Incident{Kind: Pruned, File: name, Text: "the oldest file that was set aside is removed: together they have more than their part of maxBytes"})
	}
}
