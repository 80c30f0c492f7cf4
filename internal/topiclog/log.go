package topiclog

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// The errors of a request to a log.
var (
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("the log is closed")

	// ErrEpoch says that an offset belongs to another numbering than the log's: nothing is known about what is
	// between it and now.
	ErrEpoch = errors.New("the offset is of another epoch")

	// ErrFull says that the keeper takes no more for now.
	ErrFull = errors.New("the log is full")

	// ErrLate says that a record has its place, and that the keeper has not kept it yet: it may do so later, or fail.
	ErrLate = errors.New("the log has not kept the record yet")
)

// Log is the order of one topic, and the records that are remembered of it.
//
// A keeper places records at once, or late, and all of them the same way:
//
//   - at once (memory, and any that keeps nothing): Append returns the position. Its caller holds the lock of the order
//     (see Append) and delivers the record before it lets go of that lock.
//   - late (a journal that syncs, a broker): Append returns a Later. The keeper calls the Deliver it was made with for
//     every record, its own and those of other nodes, and resolves the Later when that call has returned: who is told
//     a position knows that the record was delivered.
//
// Either way records are delivered one at a time, in the order of their offsets, and each once. A keeper that places at once
// and keeps later is a Prompt.
//
// All methods may be called by any goroutine.
type Log interface {
	// Append gives r a place behind all others. It does not wait, for a disk, a peer or room: ErrFull says that it would
	// have to. Appends of one order come one at a time, under the lock of the order, so that the state at an
	// offset (the subscribers, the values kept for snapshots) is known under that lock too. A log that keeps nothing takes
	// nil for any record.
	//
	// Errors: ErrFull, ErrClosed, or the keeper's: then r has no place and never will.
	Append(r *Record) (Position, *Later, error)

	// Read looks for records as q says and calls done with them once, before it returns or later, on any goroutine and
	// with no lock of the log held. done must not block, and must not close the log.
	Read(q Query, done func(Batch))

	// Span is the part of the order that the log has at this moment.
	Span() Span

	// Keeps reports whether anything that is appended can be read again. It never changes.
	Keeps() bool

	// TellsMissed reports whether whoever reads past a record that was Missed is told. It never changes.
	TellsMissed() bool

	// Close ends the log. Reads and appends under way end with ErrClosed or with their result; when Close has returned
	// Deliver is not called any more. It may be called twice.
	Close()
}

// Follower is a log whose records come from elsewhere, at a cost: what others append it delivers only while it is followed. What is
// appended here has its place, and is delivered, either way.
type Follower interface {
	Log

	// Follow returns when whatever is appended from now on will be delivered. What was appended before, and was not delivered,
	// will not be: where there is any, a volatile record that was not appended here is delivered in the last of its places. One
	// call at a time.
	//
	// Errors: ErrClosed, the keeper's, ctx's: Unfollow is called then.
	Follow(ctx context.Context) error

	// Unfollow ends that. It does not wait, and may be called without a Follow.
	Unfollow()
}

// Prompt is a Log that places at once what it keeps later: a journal whose disk may hang. What has its place can be read at
// once, whether it is kept or not. Append returns both a position and a Later: its caller delivers as of any keeper that
// places at once, and the Later says when the record is kept. Its Fail says that it is not (readers are told as of one that
// was Missed) or, with ErrLate, that this is not known yet: a Later is told within a second or so, whatever the disk does.
//
// Where Append fails, but for ErrClosed, r has no place yet: Room says whether waiting helps, and Pass gives it one all the same.
type Prompt interface {
	Log

	// Room waits until there is room for r, with no lock held, and then returns nil. ErrFull says that nothing has moved for
	// so long that it is not worth waiting for. Other errors: that of ctx, ErrClosed, or why the keeper takes nothing.
	Room(ctx context.Context, r *Record) error

	// Pass gives a volatile record a place at once, whatever state the keeper is in. It is called like Append. Its error is
	// ErrClosed.
	Pass(r *Record) (Position, error)
}

// Deliver takes over a record that has its place: the topic's owner gives it to a late keeper, which calls it for one
// record at a time and in the order of the offsets, with no lock held: it may wait for room. A record that was appended
// here comes as the pointer that was given to Append. A placement may be a breach.
type Deliver func(Placement)

// Span is the part of an order that can be read.
type Span struct {
	Epoch string
	First uint64 // the offset of the oldest record kept; if there is none, the one behind the last that gave way
	Last  uint64 // the highest offset given; 0: none was
	Gave  uint64 // what is up to this offset has given way to the limits; what is missing behind it is lost in another way

	// Sparse says that offsets are an order and no count: they follow a clock, as a broker's do, and there are many more of them
	// than records.
	Sparse bool
}

// Between is how many records may be behind one offset and up to another, at most: one for each offset. known is false where
// there may be any number, see Sparse. What is counted by offsets is counted here and nowhere else (a house rule).
func (s *Span) Between(after, upto uint64) (most uint64, known bool) {
	switch {
	case upto <= after:
		return 0, true
	case s.Sparse:
		return 0, false
	}
	return upto - after, true
}

// Query says what to read.
type Query struct {
	Epoch string // of After; "" = the log's, whatever it is
	After uint64 // the offset that was read last; 0 = from the beginning
	Limit Limit
	For   *Reader // nil: all records, whomever they are for
}

// Limit bounds one read. At least one record is returned if there is one, however large.
type Limit struct {
	Records int // 0 counts as 1
	Bytes   int // of Record.Size; 0 counts as 1
}

// Batch is the records that a read has found, and how far it has looked.
type Batch struct {
	Span
	Placements []Placement // ascending
	Next       uint64      // what to read after next: all up to it was looked at. Never below Query.After
	Lost       bool        // records were there once and are not any more, or were to be kept and could not be
	LostAfter  uint64      // with Lost: they are behind this offset, in front of all Placements, or if there are none up to Next
	Err        error       // ErrEpoch, ErrClosed, or the keeper's; then there are no placements
}

// Miss notes that something is lost behind Next.
func (b *Batch) Miss() {
	if !b.Lost {
		b.Lost, b.LostAfter = true, b.Next
	}
}

// End reports whether there was nothing more to read at that moment. A reader that is ahead of the log, which knows
// its offset from elsewhere, is at the end too: Next > Last then.
func (b *Batch) End() bool { return b.Next >= b.Last }

// Later is a position that is not known yet, or of a Prompt whether the record at it is kept. Most are waited for by
// nobody who has to sleep: the channel is made by the first who has to (BenchmarkLater).
type Later struct {
	state  atomic.Uint32 // unheard, heard or told
	known  bool          // mu guards it: at and err are, and listeners are being told
	mu     sync.Mutex
	at     Position // they do not change once it is told, nor once it is known
	err    error
	others *listeners // mu guards it; nil: nobody has had to wait, nor to hear
}

// What a Later is.
const (
	unheard = iota // nobody listens, and it is not known
	heard          // somebody does
	told           // it is known, and who was to hear of it has
)

// listeners is what a Later has of which somebody did not find the position known.
type listeners struct {
	done  chan struct{}           // closed when told; nil: nobody has waited
	hears []func(Position, error) // in one, if it is enough
	one   [1]func(Position, error)
}

// NewLater returns a position that Place or Fail makes known; one of them is called, once.
func NewLater() *Later { return &Later{} }

// Place makes the position known.
func (l *Later) Place(at Position) { l.tell(at, nil) }

// Fail says that there is none: the record has no place and never will.
func (l *Later) Fail(err error) { l.tell(Position{}, err) }

func (l *Later) tell(at Position, err error) {
	l.at, l.err = at, err
	if l.state.CompareAndSwap(unheard, told) {
		return
	}
	l.mu.Lock()
	l.known = true
	hears := l.others.hears
	l.others.hears = nil
	l.mu.Unlock()
	for _, hear := range hears {
		hear(at, err)
	}
	l.mu.Lock()
	l.state.Store(told)
	done := l.others.done
	l.mu.Unlock()
	if done != nil {
		close(done)
	}
}

// listenLocked returns where it is kept who waits and who hears; nil: it was told.
func (l *Later) listenLocked() *listeners {
	if l.others == nil {
		others := new(listeners)
		others.hears = others.one[:0]
		if !l.state.CompareAndSwap(unheard, heard) {
			return nil
		}
		l.others = others // tell has to wait for mu
	}
	if l.state.Load() == told {
		return nil
	}
	return l.others
}

// Hear calls f with what Place or Fail says, before a Wait returns: by whoever calls them, or at once if that was already.
// f must not block.
func (l *Later) Hear(f func(Position, error)) {
	l.mu.Lock()
	if o := l.listenLocked(); o != nil && !l.known {
		o.hears = append(o.hears, f)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	f(l.at, l.err)
}

// Wait waits for the position until ctx ends. The error is Fail's, or that of ctx: then the record may have a place or
// not. Any number may wait.
func (l *Later) Wait(ctx context.Context) (Position, error) {
	if l.state.Load() == told {
		return l.at, l.err
	}
	select {
	case <-l.channel():
		return l.at, l.err
	case <-ctx.Done():
		return Position{}, ctx.Err()
	}
}

// channel is closed when the position is told.
func (l *Later) channel() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.listenLocked()
	if o == nil {
		return closed
	}
	if o.done == nil {
		o.done = make(chan struct{})
	}
	return o.done
}

// closed is the channel of all that were told before somebody has waited.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
