package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/vfs"
)

// What is wrong with the disk.
type What uint8

// All of them but SlowDisk and RemovedFiles refuse appends.
const (
	FailingDisk  What = iota // an error of the file system that is none of the others
	FullDisk                 // there is no space left on it
	ReadOnlyDisk             // it takes nothing
	GoneDisk                 // the directory, or what it is on, is not there
	NoRoom                   // the journal has Options.MaxBytes
	SlowDisk                 // something has been under way for long, or more waits than may
	RemovedFiles             // somebody has removed files of logs that are in use
	Whats                    // how many there are
)

func (w What) String() string {
	names := [...]string{"failing", "full", "read_only", "gone", "no_room", "slow", "removed"}
	if int(w) < len(names) {
		return names[w]
	}
	return "unknown"
}

// Sentence says it without a full stop.
func (w What) Sentence() string {
	sentences := [...]string{
		"the disk of the journal fails", "the disk of the journal is full", "the disk of the journal is read-only",
		"the journal's directory, or its disk, is gone", "the journal has as many bytes as it may (journal.maxBytes)", "the disk of the journal is slow",
		"somebody else has removed files of the journal",
	}
	if int(w) < len(sentences) {
		return sentences[w]
	}
	return "something is wrong with the disk of the journal"
}

// Trouble is something that is wrong with the disk at the moment.
type Trouble struct {
	What  What
	Since time.Time
	Err   error // why appends are refused, the newest reason; what makes the disk slow; what was removed
}

// Detail is why, without the names of topics and files: who asks whether the server is ready need not know them.
func (t *Trouble) Detail() string {
	var p *fs.PathError
	var full limitError
	switch {
	case errors.Is(t.Err, errRemoved):
		return "what was in them is lost"
	case errors.As(t.Err, &p):
		return p.Op + ": " + p.Err.Error()
	case errors.As(t.Err, &full):
		return fmt.Sprintf("%d: older records have to go first", int64(full))
	}
	return t.Err.Error()
}

// pace is how often the disk is looked after.
type pace struct {
	look     time.Duration // between two looks at what is under way; 500 ms
	probe    time.Duration // between two attempts to use the disk; 1 s
	late     time.Duration // nobody waits for what is under way for longer, see Prompt; 500 ms
	slow     time.Duration // what is under way for longer is slow; 2 s
	recovers time.Duration // for how long nothing may have been wrong before it is well again; 5 s
}

func (p *pace) defaults() {
	set(&p.look, 500*time.Millisecond)
	set(&p.probe, time.Second)
	set(&p.late, 500*time.Millisecond)
	set(&p.slow, 2*time.Second)
	set(&p.recovers, 5*time.Second)
}

// health is what is wrong with the disk. Three things come and go by themselves: appends are refused, the disk is slow, and
// somebody removes files. Each is told when it begins and when it has been over for a while, so that what fails now and
// then fills no log.
//
//	well ──refused──> refusing ──nothing refused for pace.recovers, and an append or a probe has succeeded since──> well
//	well ──something hangs, too much waits──> slow ──neither for pace.recovers──> well
//	well ──a file is missing──> removed ──none for pace.recovers──> well
type health struct {
	ill  atomic.Bool // refusing is on
	gone atomic.Bool // the directory is not there: nothing is appended

	mu       sync.Mutex
	refusing spell
	slow     spell
	removed  spell
	good     time.Time // when the disk took something last, while appends are refused
	size     int       // bytes that were refused last
	busy     uint64    // appends refused with ErrBusy, at the last look
}

// spell is a time in which something is wrong; without an error nothing is.
type spell struct {
	Trouble
	last   time.Time // when it was seen last
	told   What
	toldAt time.Time
}

func (s *spell) on() bool { return s.Err != nil }

// see notes that something is wrong, and reports whether that is to be told: that it begins, or that it is something else now.
func (s *spell) see(what What, err error, now time.Time, pace *pace) (tell bool) {
	if tell = !s.on(); tell {
		s.Since = now
	}
	tell = tell || (what != s.told && now.Sub(s.toldAt) > pace.recovers)
	if tell {
		s.told, s.toldAt = what, now
	}
	s.What, s.Err, s.last = what, err, now
	return tell
}

// Troubles is what is wrong with the disk: that appends are refused, that it is slow, that files were removed, or
// nothing. The disk is not asked.
func (j *Journal) Troubles() (all []Trouble) {
	h := &j.health
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range [...]*spell{&h.refusing, &h.slow, &h.removed} {
		if s.on() {
			all = append(all, s.Trouble)
		}
	}
	return all
}

// errGone is why nothing is appended while the directory is not there: nobody could read it.
var errGone = fmt.Errorf("the journal's directory is gone: %w", &fs.PathError{Op: "look", Path: lockName, Err: fs.ErrNotExist})

// whatOf tells what is wrong by why appends are refused.
func whatOf(err error) What {
	switch {
	case errors.Is(err, errGone):
		return GoneDisk
	case errors.Is(err, ErrNoRoom):
		return NoRoom
	}
	return [...]What{vfs.Failing: FailingDisk, vfs.Full: FullDisk, vfs.ReadOnly: ReadOnlyDisk, vfs.Gone: GoneDisk}[vfs.FaultOf(err)]
}

// ofOneLog is an error of opening a log that does not pass for the end of the journal: that something of a log is not there, or
// is a file where a directory has to be, is not that the journal's directory is gone, which is looked after apart.
func (j *Journal) ofOneLog(err error) error {
	var p *fs.PathError
	if whatOf(err) != GoneDisk || j.health.gone.Load() || !errors.As(err, &p) {
		return err
	}
	return &fs.PathError{Op: p.Op, Path: p.Path, Err: errors.New(p.Err.Error())}
}

// refused notes that appends of so many bytes were refused.
func (j *Journal) refused(e Incident, bytes int) {
	h := &j.health
	e.Kind, e.What = Refusing, whatOf(e.Err)
	e.Text = e.What.Sentence() + ": what is published is not kept until it takes appends again"
	h.mu.Lock()
	tell := h.refusing.see(e.What, e.Err, time.Now(), &j.options.pace)
	h.size = bytes
	h.ill.Store(true)
	h.mu.Unlock()
	if tell {
		j.report(e)
	}
}

// took notes that the disk has taken an append.
func (j *Journal) took() {
	h := &j.health
	if !h.ill.Load() || h.gone.Load() {
		return
	}
	now := time.Now()
	h.mu.Lock()
	h.good = now
	over := j.recoverLocked(&h.refusing, now, true)
	h.mu.Unlock()
	j.tellOver(over)
}

// recoverLocked ends a spell that is over, and returns it; else one that is not on.
func (j *Journal) recoverLocked(s *spell, now time.Time, proved bool) (over Trouble) {
	if !s.on() || !proved || now.Sub(s.last) < j.options.pace.recovers {
		return Trouble{}
	}
	over = s.Trouble
	*s = spell{}
	j.health.ill.Store(j.health.refusing.on())
	return over
}

func (j *Journal) tellOver(t Trouble) {
	switch {
	case t.Err == nil:
	case t.What == RemovedFiles:
		j.report(Incident{Kind: Healed, What: t.What, Since: t.Since, Text: "nobody has removed any more files of the journal"})
	case t.What == SlowDisk:
		j.report(Incident{Kind: Healed, What: t.What, Since: t.Since, Text: "the disk of the journal is as fast again as it has to be"})
	default:
		j.report(Incident{Kind: Healed, What: t.What, Since: t.Since, Text: "the disk of the journal takes appends again"})
	}
}

// watchLocked has the disk looked after. Close ends that.
func (j *Journal) watchLocked() {
	if j.watched {
		return
	}
	j.watched = true
	j.running.Go(j.runWatch)
	j.running.Go(j.runProbe)
}

// runWatch looks at what is under way until Close. It never uses the disk, which may hang.
func (j *Journal) runWatch() {
	tick := time.NewTicker(j.options.pace.look)
	defer tick.Stop()
	for {
		select {
		case <-j.ended:
			return
		case <-tick.C:
			j.look()
		}
	}
}

// look finds out whether the disk is slow, and whether something is over.
func (j *Journal) look() {
	h, pace, now := &j.health, &j.options.pace, time.Now()
	what, began := j.fs.Oldest()
	if what != "" && now.Sub(began) >= pace.late {
		for _, l := range j.open() {
			l.lapse()
		}
	}
	busy := j.stats.busy.Load()
	h.mu.Lock()
	var why error
	switch {
	case what != "" && now.Sub(began) >= pace.slow:
		why = fmt.Errorf("%s has not returned since %s", what, began.UTC().Format("15:04:05 UTC"))
	case busy != h.busy:
		why = fmt.Errorf("more than %d bytes of a topic wait for it", j.options.QueueBytes)
	}
	h.busy = busy
	tell := why != nil && h.slow.see(SlowDisk, why, now, pace)
	room := h.refusing.What == NoRoom && j.used.Load()+int64(h.size) <= j.options.MaxBytes
	over := [...]Trouble{
		j.recoverLocked(&h.slow, now, true),
		j.recoverLocked(&h.removed, now, true),
		j.recoverLocked(&h.refusing, now, room || h.good.After(h.refusing.last)),
	}
	h.mu.Unlock()
	if tell {
		j.report(Incident{Kind: Slow, What: SlowDisk, Err: why, Text: SlowDisk.Sentence()})
	}
	for _, t := range over {
		j.tellOver(t)
	}
}

// runProbe uses the disk now and then until Close: one that nobody uses is not known to be gone, nor to be well again.
func (j *Journal) runProbe() {
	tick := time.NewTicker(j.options.pace.probe)
	defer tick.Stop()
	for {
		select {
		case <-j.ended:
			return
		case <-tick.C:
			j.probe()
		}
	}
}

// probe looks whether the directory is there, and what is written in it, and, while appends are refused, whether the disk
// takes something.
func (j *Journal) probe() {
	h := &j.health
	named, err := j.lock.Named()
	if err == nil && !named {
		err = fs.ErrNotExist
	}
	if vfs.FaultOf(err) == vfs.Gone {
		j.vanish(err)
		return
	}
	for _, l := range j.open() {
		l.patrol()
	}
	back := err == nil && h.gone.Swap(false)
	if !h.ill.Load() {
		return
	}
	h.mu.Lock()
	what, size := h.refusing.What, h.size
	h.mu.Unlock()
	if back || (what != NoRoom && j.writeProbe(size) == nil) {
		j.took()
	}
}

// vanish notes that the directory is not there.
func (j *Journal) vanish(err error) {
	j.health.gone.Store(true)
	j.refused(Incident{Err: fmt.Errorf("%w: %w", errGone, err)}, 0)
}

// How much a probe writes: twice what was refused, but not less nor more than this. With less the disk would be well
// again by a page that somebody has left, and full at the next append.
const (
	probeLeast = 64 << 10
	probeMost  = 1 << 20
)

// writeProbe writes a file and removes it.
func (j *Journal) writeProbe(bytes int) error {
	if err := j.fs.Remove(probeName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := j.fs.Create(probeName)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, min(max(2*bytes, probeLeast), probeMost)))
	if err == nil && j.options.Fsync != Never {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), j.fs.Remove(probeName))
}
