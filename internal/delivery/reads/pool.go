// Package reads has logs read for lanes that are behind and for whoever asks for history: off the loops, and a bounded
// number at a time (docs/adr/0024-spill.md).
package reads

import (
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/topiclog"
)

// Pool is reads: those that wait, those that logs are asked for, and their answers. Nothing of it waits for a log: its
// goroutines, of which there are none while nothing is to be done, ask logs and hand over what those answer, then or
// later.
//
//	Ask ──> line of the log ──> ready ──> the log ··sooner or later··> answers ──> Found
//	  └── of a log in memory ─────^
//
// What a log has not answered is bounded, for each and for all together. So one that hangs keeps its own readers waiting and
// takes a share from those of other disks; and a log in memory, which answers at once, waits for none.
type Pool struct {
	bounds  Bounds
	hold    func(bytes int)
	running sync.WaitGroup

	mu      sync.Mutex
	lines   map[topiclog.Log]*line // those with reads
	due     queue[*line]           // those of which a read may be begun as soon as Bounds.AllLogs allows it, each once
	ready   queue[begin]           // reads for which there is room: to be begun
	answers queue[answer]
	asked   int // reads that were begun, or are ready, and that their logs, which are not in memory, have not answered
	all     int // reads that Found was not called for
	busy    int // goroutines
	closed  bool
}

// Bounds are how much is done at a time.
type Bounds struct {
	Goroutines int // that ask logs and hand over answers
	EachLog    int // reads that one log has not answered
	AllLogs    int // the same of all together
}

// line is what is to be read of one log that may take a while.
type line struct {
	log   topiclog.Log
	reads queue[Read] // in the order in which they were asked for
	asked int         // see Pool.asked
	due   bool        // it is in Pool.due
	gone  int         // how many of reads nobody wants any more
}

// begin is a read for which there is room; line is nil for a log in memory.
type begin struct {
	read Read
	line *line
}

// answer is what a log has said.
type answer struct {
	to    Reader
	of    *Ticket
	batch topiclog.Batch
	bytes int
}

// Read is what somebody wants to have read.
type Read struct {
	Log   topiclog.Log
	Query topiclog.Query
	For   Reader
	As    *Ticket // by which it can be withdrawn; of this read alone

	Newest bool // the newest records are wanted, see topiclog.Newest
}

// Reader is who wants to have something read.
type Reader interface {
	// Found gets what was read, and counts it from now on, on a goroutine of the pool, which it may keep for a while.
	// It is not called once the pool is closed, and may be called of a read that is being withdrawn.
	Found(topiclog.Batch)
}

// Ticket is a read that can be withdrawn. The zero value is one that was not asked for yet.
type Ticket struct {
	gone atomic.Bool
	line *line // the one in which it waits; Pool.mu guards it
}

// Withdrawn reports whether nobody wants to know any more. Any goroutine may call it.
func (t *Ticket) Withdrawn() bool { return t.gone.Load() }

// New returns a pool without work. hold is told by how many bytes the answers have grown that wait for a goroutine.
func New(b Bounds, hold func(bytes int)) *Pool {
	return &Pool{bounds: b, hold: hold, lines: make(map[topiclog.Log]*line)}
}

// Ask has something read. It never waits. Any goroutine may call it; after Close it does nothing.
func (p *Pool) Ask(r Read) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.all++
	if _, memory := r.Log.(*topiclog.Memory); memory {
		p.readyLocked(begin{r, nil})
		return
	}
	l := p.lines[r.Log]
	if l == nil {
		l = &line{log: r.Log}
		p.lines[r.Log] = l
	}
	r.As.line = l
	l.reads.put(r)
	p.dueLocked(l)
	p.admitLocked()
}

// sweepFrom is how many reads of one log wait, at least, before those are taken out that were withdrawn.
const sweepFrom = 64

// Withdraw says that nobody wants to know what a read has found. It never waits; any goroutine may call it, once for a
// read. The line of a log that does not answer so grows with those who wait, and not with those who have gone.
func (p *Pool) Withdraw(t *Ticket) {
	t.gone.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	l := t.line
	if l == nil || p.closed {
		return
	}
	l.gone++
	if n := l.reads.len(); n >= sweepFrom && 2*l.gone > n {
		l.reads.keep(func(r Read) bool { return !r.As.Withdrawn() })
		p.all -= n - l.reads.len()
		l.gone = 0
	}
}

// dueLocked puts a line among those whose turn comes, if it is to have one.
func (p *Pool) dueLocked(l *line) {
	if !l.due && l.reads.len() > 0 && l.asked < p.bounds.EachLog {
		l.due = true
		p.due.put(l)
	}
}

// admitLocked has reads begun as far as the bounds allow it, of one log after the other.
func (p *Pool) admitLocked() {
	for p.asked < p.bounds.AllLogs && p.due.len() > 0 {
		l := p.due.take()
		l.due = false
		if l.reads.len() == 0 {
			continue // all were withdrawn meanwhile
		}
		r := l.reads.take()
		if r.As.line = nil; r.As.Withdrawn() {
			l.gone--
		}
		l.asked++
		p.asked++
		p.dueLocked(l)
		p.readyLocked(begin{r, l})
	}
}

func (p *Pool) readyLocked(b begin) {
	p.ready.put(b)
	p.workLocked()
}

// workLocked has a goroutine more work, if there may be one.
func (p *Pool) workLocked() {
	if p.busy < p.bounds.Goroutines {
		p.busy++
		p.running.Go(p.run)
	}
}

// run ends when there is nothing to be done, or the pool is closed.
func (p *Pool) run() {
	for {
		a, b, what := p.next()
		switch what {
		case nothing:
			return
		case anAnswer:
			p.hold(-a.bytes)
			if !a.of.Withdrawn() {
				a.to.Found(a.batch)
			}
			p.found()
		case aRead:
			p.ask(b)
		}
	}
}

// work is what next has found.
type work uint8

const (
	nothing work = iota
	anAnswer
	aRead
)

// next is what is to be done now; answers, which take memory, come first.
func (p *Pool) next() (a answer, b begin, what work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
	case p.answers.len() > 0:
		return p.answers.take(), b, anAnswer
	case p.ready.len() > 0:
		return a, p.ready.take(), aRead
	}
	p.busy--
	return a, b, nothing
}

// ask asks the log, unless nobody wants to know any more.
func (p *Pool) ask(b begin) {
	r := &b.read
	if r.As.Withdrawn() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		p.answeredLocked(b.line)
		return
	}
	done := func(batch topiclog.Batch) { p.answered(b.line, answer{to: r.For, of: r.As, batch: batch}) }
	if r.Newest {
		topiclog.Newest(r.Log, r.Query, done)
		return
	}
	r.Log.Read(r.Query, done)
}

// answered takes what a log has answered, on whichever goroutine.
func (p *Pool) answered(l *line, a answer) {
	for i := range a.batch.Placements {
		a.bytes += a.batch.Placements[i].Size()
	}
	p.hold(a.bytes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return // nobody counts any more
	}
	p.answers.put(a)
	p.answeredLocked(l)
	p.workLocked()
}

// answeredLocked has more of a line begun, of which a read has ended; nil is that of a log in memory.
func (p *Pool) answeredLocked(l *line) {
	if l == nil {
		return
	}
	l.asked--
	p.asked--
	if l.asked == 0 && l.reads.len() == 0 {
		delete(p.lines, l.log)
	}
	p.dueLocked(l)
	p.admitLocked()
}

func (p *Pool) found() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
}

// Waiting is how many reads Found was not called for.
func (p *Pool) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// Close forgets what waits, and what logs have not answered, and returns when no goroutine is at work. It may be called twice.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.answers = queue[answer]{}
	p.lines, p.due, p.ready = nil, queue[*line]{}, queue[begin]{}
	p.mu.Unlock()
	p.running.Wait()
}
