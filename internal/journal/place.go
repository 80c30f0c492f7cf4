package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

// giveTries is how often a topic ends its segment to make room: others may take the room before it does.
const giveTries = 4

// portion is a part of what waits: what is written with one call, into one segment.
//
//	numbered ──> written ──> shown to readers ──> delivered
type portion struct {
	batch  []waiting // a part of a queue that was taken
	buffer []byte
	file   *output // nil: it has volatile records only, and there is none
	at     int64   // where in it the first record is
	first  uint64  // the offset of the first, volatile or not
	last   uint64  // of the last
	kept   int     // records that are in the file
	ends   uint64  // the offset of the last of them
	newest uint64  // what the next record names as the one before it
	index  index   // a draft of the segment's
	blocks []block

	beside   bool          // another goroutine writes it
	took     time.Duration // the write, and the sync if one was made
	chain    int           // those of one chain are written in turn until one of them cannot be
	err      error         // of the write, or the sync
	unsynced bool          // it was written, and could not be synced
}

// ahead is how many portions may be numbered and not written: the disk has the next one as soon as it is done with one.
const ahead = 2

// scratch is what a writer needs only while it writes: idle topics hold none.
type scratch struct {
	portions [ahead + 2]portion // besides those one is numbered, and one is delivered
	turn     int                // the portion that was used last
	chain    int
	under    []*portion           // numbered, and not known to be written, the oldest first
	pen      *pen                 // nil: nothing was written beside
	taken    [ahead + 2][]waiting // queues: one is numbered, and of the others as many are in use as there are other portions
	take     int                  // the one that was taken last
	telling  time.Duration        // how long it took to deliver the last portion
	writing  time.Duration        // and to write it
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// next is an empty portion, the one that was used longest ago, with the buffer of the last one if that is written.
func (c *scratch) next() *portion {
	last := &c.portions[c.turn]
	c.turn = (c.turn + 1) % len(c.portions)
	s := &c.portions[c.turn]
	if !last.beside {
		s.buffer, last.buffer = last.buffer, s.buffer // which the processor's cache has
	}
	buffer := s.buffer[:0]
	if cap(buffer) > 4<<20 {
		buffer = nil // of one large record
	}
	*s = portion{blocks: s.blocks, buffer: buffer}
	return s
}

// swap takes a queue, and returns an empty one: the one that was taken longest ago. idle says that no portion is in use, so that it
// is the one taken last, which the processor's cache has.
func (c *scratch) swap(queue []waiting, idle bool) []waiting {
	if !idle {
		c.take = (c.take + 1) % len(c.taken)
	}
	empty := c.taken[c.take]
	c.taken[c.take] = queue
	if cap(empty) > spareMost {
		return nil
	}
	return empty[:0]
}

// pen is a goroutine that writes beside the writer's.
type pen struct {
	log     *Log
	work    chan *portion
	written chan *portion
}

// run writes until there is no work any more: the end of Log.run. What comes behind a portion that could not be written
// is not written either.
func (p *pen) run() {
	broken := -1
	for s := range p.work {
		if s.chain != broken {
			p.log.put(s)
		}
		if s.err != nil {
			broken = s.chain
		}
		p.written <- s
	}
}

// rest is the end of a writer's work: nothing of its log is kept but memory, for the next writer. It returns an empty queue for
// the log to keep, or nil.
func (c *scratch) rest(queue []waiting) []waiting {
	if c.pen != nil {
		close(c.pen.work)
		c.pen = nil
	}
	for i := range c.portions {
		s := &c.portions[i]
		clear(s.blocks[:cap(s.blocks)])
		*s = portion{blocks: s.blocks, buffer: s.buffer}
	}
	if smallest := c.smallest(); cap(queue) > cap(*smallest) {
		*smallest, queue = queue, *smallest
	}
	scratches.Put(c)
	if cap(queue) > spareIdle {
		return nil
	}
	return queue[:0]
}

// smallest is the queue with the least room.
func (c *scratch) smallest() *[]waiting {
	s := &c.taken[0]
	for i := range c.taken {
		if cap(c.taken[i]) < cap(*s) {
			s = &c.taken[i]
		}
	}
	return s
}

// place writes and delivers a batch, in portions. When one is refused the rest is too: nobody waits for the same disk once
// more, unless it is the file that somebody has removed, and another can be written.
func (l *Log) place(batch []waiting) {
	batch, err := l.write(batch)
	if errors.Is(err, errRemoved) {
		batch, err = l.write(batch)
	}
	if err == nil {
		return
	}
	if rest := l.refuse(batch, err); len(rest) > 0 {
		l.place(rest)
	}
}

// write writes and delivers as much of a batch as it can, and of what is appended meanwhile. It returns the rest with the reason.
func (l *Log) write(batch []waiting) ([]waiting, error) {
	var done *portion // written and shown, and not delivered
	for {
		if len(l.under) == 0 {
			l.tell(done)
			if done = nil; len(batch) == 0 {
				return nil, nil
			}
			s, err := l.prepare(batch)
			if err != nil {
				return batch, err
			}
			batch = batch[len(s.batch):]
			l.start(s, len(batch) > 0)
		}
		batch = l.fill(batch)
		l.tell(done)
		s := l.under[0]
		if err := l.await(s); err != nil {
			return l.giveBack(batch), err
		}
		l.under = append(l.under[:0], l.under[1:]...)
		l.commit(s)
		l.retain(0)
		if s.kept > 0 {
			l.j.took()
		}
		done = s
	}
}

// fill numbers what comes behind those portions that are being written, and has it written, as long as it goes into the
// same file. It returns the rest.
func (l *Log) fill(batch []waiting) []waiting {
	for len(l.under) < ahead {
		last := l.under[len(l.under)-1]
		if !last.beside {
			break
		}
		if len(batch) == 0 {
			batch = l.more()
		}
		if len(batch) == 0 || last.file == nil || l.rolls(&last.index, &batch[0]) {
			break
		}
		s := l.encode(batch, &last.index, last.newest)
		if !l.admitted(s) {
			break
		}
		batch = batch[len(s.batch):]
		l.start(s, true)
	}
	return batch
}

// giveBack takes out what is numbered and has not been written, because what comes before it could not be: its offsets
// were never given to anybody. It returns all that has no place, in order.
func (l *Log) giveBack(batch []waiting) []waiting {
	var all []waiting
	for i, s := range l.under {
		if i > 0 {
			if s.beside {
				<-l.pen.written
			}
			l.j.used.Add(-int64(len(s.buffer)))
		}
		all = append(all, s.batch...)
		clear(s.batch)
	}
	l.under = l.under[:0]
	l.chain++
	all = append(all, batch...)
	clear(batch) // the queue it is a part of is kept
	return all
}

// prepare numbers the first records of a batch, in another segment if it has to be, and takes the room they need.
func (l *Log) prepare(batch []waiting) (*portion, error) {
	s, err := l.number(batch)
	for n := 0; n < giveTries && errors.Is(err, ErrNoRoom) && l.j.options.WhenFull == DropOldest; n++ {
		l.seal() // so that there is a segment that can be removed
		s, err = l.number(batch)
	}
	return s, err
}

func (l *Log) number(batch []waiting) (*portion, error) {
	if l.prompt {
		l.next = batch[0].Offset
	}
	if !allVolatile(batch) {
		if err := l.inPlace(); err != nil {
			return nil, err
		}
	}
	if l.parked && !allVolatile(batch) {
		if err := l.reopen(); err != nil {
			return nil, err
		}
	}
	switch {
	case l.file == nil:
	case l.isGiven(l.file):
		l.seal()
	case l.rolls(&l.file.segment.index, &batch[0]):
		l.seal()
	}
	if l.file == nil && !allVolatile(batch) {
		if err := l.begin(); err != nil {
			return nil, err
		}
	}
	var x *index
	if l.file != nil {
		x = &l.file.segment.index
	}
	s := l.encode(batch, x, l.previous)
	return s, l.admit(s)
}

func allVolatile(batch []waiting) bool {
	for _, w := range batch {
		if !w.Volatile {
			return false
		}
	}
	return true
}

// admit reserves the offsets of a portion, and takes room for it. What is volatile needs no disk: where offsets cannot
// be reserved it gets them all the same, and they are of an epoch that ends with this log, as the process after this
// one may give them once more.
func (l *Log) admit(s *portion) error {
	if s.kept == 0 && l.j.health.gone.Load() {
		s.disown(l.passing())
		return nil
	}
	var err error
	if !l.prompt { // else they were when they were given
		err = l.reserve(s.last)
	}
	switch {
	case err != nil && s.kept == 0:
		s.disown(l.passing())
		return nil
	case err == nil && len(s.buffer) > 0:
		err = l.j.charge(int64(len(s.buffer)))
	}
	return err
}

// passing is the epoch of offsets that are not reserved.
func (l *Log) passing() string {
	if l.briefly == "" {
		l.briefly = rand.Text() // as long as any: frames are made to measure
	}
	return l.briefly
}

// disown puts all of a portion into another epoch.
func (s *portion) disown(epoch string) {
	for i := range s.batch {
		s.batch[i].Epoch = epoch
	}
}

// admitted reports whether a portion that was numbered ahead may be written. If not, its offsets were never given to anybody.
func (l *Log) admitted(s *portion) bool {
	if s.file == l.file && l.lookAfter() == nil && !l.isGiven(s.file) && l.admit(s) == nil {
		return true
	}
	l.next = s.first
	return false
}

// start writes a portion, or has it written: beside if there is something to be done meanwhile, and that is worth it.
func (l *Log) start(s *portion, beside bool) {
	s.chain = l.chain
	switch {
	case len(s.buffer) == 0:
	case len(l.under) > 0 || (beside && l.worthBeside(s)):
		if l.pen == nil {
			l.pen = &pen{l, make(chan *portion, ahead), make(chan *portion, ahead)}
			l.running.Go(l.pen.run)
		}
		s.beside = true
		l.pen.work <- s
	default:
		l.put(s)
	}
	l.under = append(l.under, s)
}

// worthBeside reports whether another goroutine is to write a portion. Where delivering is little beside the write it costs more
// than it saves: what it writes is in the other processor's cache.
func (l *Log) worthBeside(s *portion) bool {
	o := &l.j.options
	return len(s.buffer) >= o.besideBytes && (o.beside || l.telling > l.writing/2)
}

// await waits until a portion is written, the oldest that is not known to be. What is refused leaves no record behind, if
// the disk lets it.
func (l *Log) await(s *portion) error {
	if s.beside {
		<-l.pen.written
	}
	if s.err != nil {
		l.undo(s)
	}
	return s.err
}

// refuse tells those of a batch that need the disk why they have no place, and returns the others, if there is any that does.
func (l *Log) refuse(batch []waiting, err error) (rest []waiting) {
	err = fmt.Errorf("append to the log of %q %q: %w", l.namespace, l.topic, err)
	if l.prompt {
		l.passed(len(batch))
	}
	lapsed := l.claim(batch[len(batch)-1].Offset)
	all := allVolatile(batch)
	bytes := 0
	for _, w := range batch {
		if all || !w.Volatile {
			bytes += w.size
		}
	}
	l.j.refused(Incident{Namespace: l.namespace, Topic: l.topic, Err: err}, bytes)
	for _, w := range batch {
		if w.Volatile && !all {
			rest = append(rest, w)
			continue
		}
		l.j.stats.failed.Add(1)
		l.release(w.size)
		if w.later != nil && (!l.prompt || w.Offset > lapsed) {
			w.later.Fail(err)
		}
	}
	clear(batch)
	return rest
}

// release gives room in the queue back.
func (l *Log) release(bytes int) {
	i := &l.backlog
	i.lock()
	i.bytes -= bytes
	i.moved, i.late = true, false
	i.mu.Unlock()
	if l.prompt {
		l.j.holds(queued, -bytes)
		l.j.stir.tell()
	}
}

// tell delivers what has its place; nil: nothing.
func (l *Log) tell(s *portion) {
	if s == nil {
		return
	}
	began := time.Now()
	lapsed := l.claim(s.last)
	bytes := 0
	for i := range s.batch {
		w := &s.batch[i]
		if !l.prompt {
			l.deliver(w.Placement)
		}
		bytes += w.size
		if i == len(s.batch)-1 {
			l.release(bytes) // before the last one knows: then there is room again
		}
		if w.later != nil && (!l.prompt || w.Offset > lapsed) {
			w.later.Place(w.Position)
		}
	}
	clear(s.batch)
	l.telling, l.writing = time.Since(began), s.took
}
