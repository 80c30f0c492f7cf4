package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"
)

// Somebody removes, moves or replaces files of a journal that is in use. What is written to such a file succeeds, and
// nobody can read it. So whoever writes a file looks whether its name still stands for it:
//
//   - before a portion, if nobody has looked for lookEvery, and under Always after each sync, before anything is confirmed;
//   - runProbe, while nothing is written.
//
// A file that was removed is given up, and a segment begun whose header says up to where there were records: whoever
// reads past the gap is told. If it is the whole directory of the journal, everything is refused until it is back: it may
// be on a disk that is away.

// lookEvery is how often the file that is written is looked at: so much of what is confirmed may go into one that nobody can read.
const lookEvery = 50 * time.Millisecond

// errRemoved is why a file is given up.
var errRemoved = errors.New("the file was removed by somebody else")

// astray says why what is written to a file would be lost: errRemoved, errGone, or nil. Any goroutine may call it. A
// file that cannot be looked at is not known to be gone: whoever writes it learns what is wrong.
func (l *Log) astray(f *output) error {
	if named, err := f.Named(); named || err != nil {
		return nil
	}
	if !l.j.present() {
		l.j.vanish(fs.ErrNotExist)
		return errGone
	}
	if named, err := f.Named(); named || err != nil {
		return nil // the directory was away, and came back between the two looks
	}
	l.give(f)
	return errRemoved
}

// lookAfter is astray for the file that is written, if it is time.
func (l *Log) lookAfter() error {
	now := time.Now()
	if l.file == nil || l.parked || now.Sub(l.looked) < lookEvery {
		return nil
	}
	l.looked = now
	err := l.astray(l.file)
	l.missing = l.missing || errors.Is(err, errRemoved)
	return err
}

// inPlace makes sure, before a portion is numbered, that nothing is appended to what somebody has removed.
func (l *Log) inPlace() error {
	if !l.j.health.gone.Load() {
		_ = l.lookAfter() // it has said so
	}
	if l.j.health.gone.Load() {
		l.seal() // what is appended when the directory is back begins a file that is there
		return errGone
	}
	if l.missing {
		return l.takeStock()
	}
	return nil
}

// patrol looks at the file that is written, and has the writer see to it if it was removed. The probe calls it.
func (l *Log) patrol() {
	l.syncer.mu.Lock()
	f := l.syncer.active
	l.syncer.mu.Unlock()
	if f == nil || l.isGiven(f) || !errors.Is(l.astray(f), errRemoved) {
		return
	}
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed { // else finish looks
		i.missing = true
		l.startLocked()
	}
}

// takeStock takes segments whose files are not there any more from the list, and begins another if the last one was among
// them. The writer calls it, with no portion under way.
func (l *Log) takeStock() error {
	if l.file != nil && l.isGiven(l.file) {
		l.seal()
	}
	there, err := l.list()
	if err != nil {
		return err
	}
	l.missing = false
	l.mu.Lock()
	last := len(l.segments) - 1
	ended := last >= 0 && !there[l.segments[last].name]
	var lost []*segment
	l.segments = slices.DeleteFunc(l.segments, func(s *segment) bool {
		if there[s.name] {
			return false
		}
		lost = append(lost, s)
		l.j.used.Add(-s.bytes())
		return true
	})
	l.mu.Unlock()
	if len(lost) == 0 {
		return nil
	}
	for _, s := range lost {
		l.remove(s)
	}
	l.j.stats.damaged.Add(1)
	l.j.lost(Incident{
		Namespace: l.namespace, Topic: l.topic, File: path.Join(l.dir, lost[len(lost)-1].name),
		Err: fmt.Errorf("%d segments, offsets %d to %d: %w", len(lost), firstOf(lost), lost[len(lost)-1].last(), errRemoved),
	})
	if !ended {
		return nil
	}
	if l.file != nil {
		l.seal()
	}
	l.behind = true // the next header is durable before anything else is confirmed
	return l.begin()
}

// firstOf is the offset of the oldest record in segments, 0 if there is none.
func firstOf(all []*segment) uint64 {
	for _, s := range all {
		if first := s.first(); first > 0 {
			return first
		}
	}
	return 0
}

// list is the names in the directory of the log, which is made anew if it is not there. errGone says that the journal's is not.
func (l *Log) list() (there map[string]bool, err error) {
	infos, err := l.j.fs.List(l.dir)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case !l.j.present():
		l.j.vanish(fs.ErrNotExist)
		return nil, errGone
	case missing:
		err = l.remakeDirectory()
	}
	if err != nil {
		return nil, err
	}
	there = make(map[string]bool, len(infos))
	for _, f := range infos {
		there[f.Name] = true
	}
	if !there[stateName] {
		l.restate()
	}
	return there, nil
}

// remakeDirectory makes the directory that somebody has removed.
func (l *Log) remakeDirectory() error {
	if err := l.j.fs.MkdirAll(l.dir); err != nil {
		return err
	}
	return l.j.fs.SyncDir(".")
}

// lost notes that somebody has removed what was confirmed.
func (j *Journal) lost(e Incident) {
	h := &j.health
	e.Kind, e.What = Removed, RemovedFiles
	e.Text = e.What.Sentence() + ": what was in them is lost, and whoever reads past it is told"
	h.mu.Lock()
	tell := h.removed.see(e.What, e.Err, time.Now(), &j.options.pace)
	h.mu.Unlock()
	if tell {
		j.report(e)
	}
}
