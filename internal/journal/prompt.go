package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sort"
	"sync/atomic"

	"github.com/streamweir/weir/internal/topiclog"
)

// Prompt is a Log that places at once and writes later (docs/adr/0044-placed-before-written.md): a disk that hangs holds up nobody
// who needs nothing of it.
//
//	Append ──place──> queue ──> writer ──> segment ──> Later
//	                    └──────────┴─ read from memory until then
//
// What could not be written is forgotten. The record behind names it as the one before, so whoever reads past it is told.
type Prompt struct{ *Log }

var _ topiclog.Prompt = Prompt{}

// places are what a log has given that places at once. backlog.mu guards them.
type places struct {
	next      uint64 // the offset of the next record
	previous  uint64 // that of the newest record, or of one that was missed
	unwritten        // in the order of their offsets
	claimed   uint64 // whoever waits for a record up to this offset is being told by the writer
	lapsed    uint64 // and up to this one by lapse, unless the writer was faster
	reserved  uint64 // offsets up to this may be given in the log's own epoch
	soon      uint64 // from here on more are to be reserved
	asked     bool   // the syncer is to reserve more, and has not said whether it has
	failures  int    // how often it could not
	why       error  // the last time; nil: it could
	briefly   string // the epoch of offsets that are not reserved; "" = it was not needed
	moved     bool   // something was written, or begun to wait, since the last look
	late      bool   // nothing has for so long that nobody waits for it
}

// Prompt is Topic of a log that places at once: nobody is called to deliver what has its place. Options.Fsync must not be
// Always: what is read may not be written yet.
func (j *Journal) Prompt(namespace, topic string, limits topiclog.Limits) (Prompt, error) {
	l, err := j.openTopic(&Log{j: j, namespace: namespace, topic: topic, limits: limits, prompt: true})
	return Prompt{l}, err
}

// Append implements topiclog.Prompt. Besides its errors: ErrBusy, which is ErrFull, and why the directory is not written.
func (p Prompt) Append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	l := p.Log
	n, err := l.mayAppend(r)
	if err != nil {
		return topiclog.Position{}, nil, err
	}
	s := l.summer.sum(r)
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := l.mayPlaceLocked(r, n); err != nil {
		if errors.Is(err, errGone) {
			l.j.stats.failed.Add(1)
		}
		return topiclog.Position{}, nil, err
	}
	if i.next >= i.soon {
		l.reserveSoonLocked()
	}
	at := topiclog.Position{Epoch: l.epoch, Offset: i.next, Previous: i.previous}
	i.next++
	if r.Volatile {
		return at, nil, nil
	}
	i.previous = at.Offset
	i.moved = i.moved || i.bytes == 0
	later := keptLater
	w := l.queueLocked(n)
	if !i.late {
		later = i.laterLocked()
		w.later = later
	}
	w.Record, w.Position, w.bodySum = r, at, s
	i.push(*w)
	l.j.holds(queued, n)
	return at, later, nil
}

// keptLater is that of a record which nobody waits for.
var keptLater = func() *topiclog.Later {
	l := topiclog.NewLater()
	l.Fail(topiclog.ErrLate)
	return l
}()

// mayPlaceLocked reports whether a record of that size can have its place now; nil: it can.
func (l *Log) mayPlaceLocked(r *topiclog.Record, size int) error {
	i, o := &l.backlog, &l.j.options
	switch {
	case i.closed:
		return topiclog.ErrClosed
	case r.Volatile && i.next <= i.reserved:
		return nil
	case l.j.health.gone.Load():
		return errGone
	case i.next > i.reserved:
		l.reserveSoonLocked()
		return errUnreserved
	case i.bytes > 0 && i.bytes+size > o.QueueBytes, l.j.memory[queued].Load()+int64(size) > max(int64(o.QueuesBytes), int64(size)):
		return ErrBusy
	}
	return nil
}

// errUnreserved says that offsets have to be reserved first.
var errUnreserved = fmt.Errorf("offsets are not reserved yet: %w", topiclog.ErrFull)

// reserveSoonLocked has more offsets reserved.
func (l *Log) reserveSoonLocked() {
	i, y := &l.backlog, &l.syncer
	if i.asked {
		return
	}
	i.asked, i.moved = true, true
	y.mu.Lock()
	defer y.mu.Unlock()
	if !y.ahead {
		y.ahead = true
		l.doLocked(task{job: reserving})
	}
}

// reservePlaces is reserveAhead of a log that places at once: beyond what it has given as well.
func (l *Log) reservePlaces() error {
	l.backlog.mu.Lock()
	given := l.backlog.next - 1
	l.backlog.mu.Unlock()
	l.syncer.mu.Lock()
	upTo := max(l.syncer.reserved, given) + l.j.options.reserveBlock
	l.syncer.mu.Unlock()
	err := l.makeDirectory()
	if err == nil {
		err = l.writeReserved(upTo)
	}
	return err
}

// haveReserved says whether reservePlaces could.
func (l *Log) haveReserved(err error) {
	l.syncer.mu.Lock()
	reserved := l.syncer.reserved
	l.syncer.mu.Unlock()
	i := &l.backlog
	i.mu.Lock()
	i.reserved, i.asked, i.why = reserved, false, err
	i.moved, i.late = true, false
	step := l.j.options.reserveBlock / 2
	if i.soon = reserved - min(step, reserved) + 1; err != nil {
		i.failures++
		i.soon = i.next + step/4 // else each append would try
	}
	needed := i.next > reserved
	i.mu.Unlock()
	if err != nil && needed {
		l.j.refused(Incident{Namespace: l.namespace, Topic: l.topic, Err: fmt.Errorf("append to the log of %q %q: %w", l.namespace, l.topic, err)}, 0)
	}
	l.j.stir.tell()
}

// Pass implements topiclog.Prompt. Offsets that are not reserved are of an epoch that ends with this log, as the process after
// this one may give them once more (docs/adr/0036-disk-that-refuses.md).
func (p Prompt) Pass(r *topiclog.Record) (topiclog.Position, error) {
	l := p.Log
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return topiclog.Position{}, topiclog.ErrClosed
	}
	at := topiclog.Position{Epoch: l.epoch, Offset: i.next, Previous: i.previous}
	if at.Offset > i.reserved {
		if i.briefly == "" {
			i.briefly = rand.Text() // as long as any: frames are made to measure
		}
		at.Epoch = i.briefly
	}
	i.next++
	if r.Missed {
		i.previous = at.Offset
	}
	return at, nil
}

// Room implements topiclog.Prompt.
func (p Prompt) Room(ctx context.Context, r *topiclog.Record) error {
	l := p.Log
	failures := -1
	for {
		stirred := l.j.stir.next()
		wait, err := l.room(r, &failures)
		if !wait {
			return err
		}
		select {
		case <-stirred:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// room is a look at whether there is room for a record, and if there is none whether it is worth waiting for.
func (l *Log) room(r *topiclog.Record, failures *int) (wait bool, err error) {
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	if *failures < 0 {
		*failures = i.failures
	}
	err = l.mayPlaceLocked(r, r.Size())
	switch {
	case errors.Is(err, errUnreserved):
		if i.why != nil && i.failures != *failures {
			l.j.stats.failed.Add(1)
			return false, i.why
		}
	case errors.Is(err, ErrBusy):
	default:
		return false, err
	}
	if i.late {
		l.j.stats.busy.Add(1)
		return false, ErrBusy
	}
	return true, nil
}

// passed says that so many of the oldest records which were not written are in the index, or refused.
func (l *Log) passed(n int) {
	i := &l.backlog
	i.lock()
	i.pop(n)
	i.mu.Unlock()
}

// claim says that the writer tells whoever waits for records up to an offset, and returns up to where that is done already.
func (l *Log) claim(upTo uint64) (lapsed uint64) {
	if !l.prompt {
		return 0
	}
	i := &l.backlog
	i.lock()
	defer i.mu.Unlock()
	i.claimed = upTo
	return i.lapsed
}

// unwritten is records that have a place and are not in the index yet: readers find them here.
type unwritten struct {
	list []waiting
	head int // those before it are gone
}

func (u *unwritten) all() []waiting { return u.list[u.head:] }

func (u *unwritten) push(w waiting) {
	if len(u.list) == cap(u.list) && u.head > len(u.list)/2 {
		n := copy(u.list, u.list[u.head:])
		clear(u.list[n:])
		u.list, u.head = u.list[:n], 0
	}
	u.list = append(u.list, w)
}

// pop lets the oldest n go.
func (u *unwritten) pop(n int) {
	clear(u.list[u.head : u.head+n])
	if u.head += n; u.head < len(u.list) {
		return
	}
	if u.list, u.head = u.list[:0], 0; cap(u.list) > spareIdle {
		u.list = nil
	}
}

// settlePlaces leaves what was given to the end of the log.
func (l *Log) settlePlaces() {
	if !l.prompt {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := &l.backlog
	i.mu.Lock()
	defer i.mu.Unlock()
	l.next, l.previous, l.last = i.next, i.previous, i.next-1
}

// beginPlaces is where a log goes on that was recovered.
func (l *Log) beginPlaces() {
	i := &l.backlog
	i.next, i.previous, i.reserved = l.next, l.previous, l.syncer.reserved
	i.soon = i.reserved + 1
}

// span makes the span of what is in segments one with what waits for the writer; kept says that there is something in segments.
func (i *backlog) span(s *topiclog.Span, kept bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s.Last = i.next - 1
	if all := i.all(); !kept && len(all) > 0 {
		s.First = all[0].Offset
	}
}

// takePlacedLocked is take of what is not written yet; backlog.mu is held.
func (r *read) takePlacedLocked(list []waiting) bool {
	from := sort.Search(len(list), func(k int) bool { return list[k].Offset > r.batch.Next })
	for k := from; k < len(list); k++ {
		if !r.takeOne(&list[k].Placement) {
			return false
		}
	}
	return true
}

// lapse is called where something has been under way on the disk for long: if nothing of the log has moved since the last time,
// nobody waits any more for what it has not written, until something moves.
func (l *Log) lapse() {
	if !l.prompt {
		return
	}
	i := &l.backlog
	i.mu.Lock()
	stuck := !i.moved && (i.bytes > 0 || i.asked)
	i.moved = false
	var all []*topiclog.Later
	if stuck && !i.late {
		i.late = true
		for _, w := range i.all() {
			if w.later != nil && w.Offset > max(i.claimed, i.lapsed) {
				all = append(all, w.later)
			}
		}
		i.lapsed = i.next - 1
	}
	i.mu.Unlock()
	for _, later := range all {
		later.Fail(topiclog.ErrLate)
	}
	if stuck {
		l.j.stir.tell()
	}
}

// stir wakes whoever waits for room, or for offsets, of any log. It costs nothing while nobody does.
type stir struct{ c atomic.Pointer[chan struct{}] }

// next is closed by the next tell.
func (s *stir) next() <-chan struct{} {
	for {
		if c := s.c.Load(); c != nil {
			return *c
		}
		c := make(chan struct{})
		if s.c.CompareAndSwap(nil, &c) {
			return c
		}
	}
}

func (s *stir) tell() {
	if c := s.c.Swap(nil); c != nil {
		close(*c)
	}
}
