package delivery

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/topiclog"
)

// sequencer is one order (promise P4, architecture.md D2, D3, D12): of what is published to a topic, or of the plain events of a
// namespace. Under its lock a message gets its position from the log and is appended to the inbox of every shard that has
// to have it, so all shards see one order.
//
//	record ──Append──> position ──> frame ──> inboxes      at once: all under the lock
//	          └─ Later ··· deliver ──> position, frame ──> inboxes     late: the log's goroutine delivers
//
// A log that places at once and keeps later (topiclog.Prompt) is of the first kind; the Later tells only its publisher.
//
// Invariant: what has an offset up to last.Offset is in the inboxes of all shards that were to get it, or behind them;
// what has a higher one is in none.
type sequencer struct {
	log     topiclog.Log    // nil: nothing is remembered, the sequencer counts
	prompt  topiclog.Prompt // log, if it is one
	numbers bool            // nothing is kept: records are not needed
	sparse  bool            // nobody can say which offset comes next

	epoch atomic.Pointer[string] // names the numbering of the log; it changes under mu

	mu   sync.Mutex
	last topiclog.Position // of the newest message in the order; of none yet it has the epoch
}

// open begins an order: the one that a log has, or without one a new one of that epoch.
func (s *sequencer) open(log topiclog.Log, epoch string) {
	s.log, s.numbers = log, true
	if log != nil {
		s.prompt, _ = log.(topiclog.Prompt)
		span := log.Span()
		epoch, s.numbers, s.sparse, s.last.Offset = span.Epoch, !log.Keeps(), span.Sparse, span.Last
	}
	s.last.Epoch = epoch
	s.epoch.Store(&epoch)
}

// numbering is the epoch of what the log can read. Any goroutine may call it.
func (s *sequencer) numbering() string { return *s.epoch.Load() }

// numberLocked gives the next place to a record, which is nil if none is needed. A position that comes later is a Later;
// so is, of a Prompt, what becomes of the record at its place.
func (s *sequencer) numberLocked(r *topiclog.Record) (*topiclog.Later, error) {
	if s.log == nil {
		s.last.Previous = s.last.Offset
		s.last.Offset++
		return nil, nil
	}
	at, later, err := s.log.Append(r)
	if err != nil {
		return nil, refused(err)
	}
	if later == nil || s.prompt != nil {
		s.last = at
	}
	return later, nil
}

// passLocked gives the next place to a record that a Prompt does not take.
func (s *sequencer) passLocked(r *topiclog.Record) error {
	at, err := s.prompt.Pass(r)
	if err != nil {
		return refused(err)
	}
	s.last = at
	return nil
}

// naming is the epoch of a cursor that is made now: that of the newest position. A log whose disk takes nothing may
// give positions of another epoch than its own meanwhile, which only this process can tell apart from those to come
// (docs/adr/0036-disk-that-refuses.md).
func (s *sequencer) naming() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.Epoch
}

// refused is the error of a log as a publisher is told it.
func refused(err error) error {
	switch {
	case errors.Is(err, topiclog.ErrClosed):
		return ErrClosed
	case errors.Is(err, topiclog.ErrFull):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return fmt.Errorf("%w: %w", ErrLog, err)
}

// newLog makes the log of a topic; nil: it needs none.
func (h *Hub) newLog(t *Topic, epoch string) topiclog.Log {
	if h.opts.Log != nil {
		return h.opts.Log(t.Declared.Namespace.Path, t.Name, t.deliver)
	}
	if keep := t.Declared.Spec.Memory; keep.Records > 0 {
		log := topiclog.NewMemory(epoch, keep)
		log.Account(h.holdHistory)
		return log
	}
	return nil
}

// historyShare is the part of the memory budget that the logs in memory of all topics may take together.
const historyShare = 8

// holdHistory counts what logs in memory keep, and reports whether it may be more.
func (h *Hub) holdHistory(n int) bool { return h.ClaimShare(budget.History, n, historyShare) }

// newRecord is what the log is given of a message: with a publication what a reader needs to send it, of an emit only
// that there was one.
func (h *Hub) newRecord(f *fanOut, p *Publication) *topiclog.Record {
	m := f.msg
	r := &topiclog.Record{Namespace: m.Namespace, Topic: m.Topic, ID: m.ID, Key: m.Key, At: h.wall(m.At), Volatile: p == nil}
	if m.Expires != 0 {
		r.Expires = h.wall(m.Expires)
	}
	if p == nil {
		return r
	}
	r.Payload, r.Binary = f.pub.pub.Payload, p.Binary
	var ok bool
	if r.To, ok = recipient(&p.Target); !ok {
		r.Volatile = true // nobody could read it for whom it is meant
	}
	return r
}

// recipient is a target as a record has it; not every one can be.
func recipient(to *Target) (r topiclog.Recipient, ok bool) {
	r = topiclog.Recipient{Socket: to.Socket, Principal: to.Principal}
	if len(to.Rooms) > 0 {
		r.Room = to.Rooms[0]
	}
	return r, (to.Rooms == nil || len(to.Rooms) == 1) && to.Except == nil
}

// wall is a moment of the hub's clock in nanoseconds since 1970.
func (h *Hub) wall(at int64) int64 { return h.start.UnixNano() + at }

// moment is the moment of the hub's clock at a wall-clock time; never 0, which would mean none.
func (h *Hub) moment(wall int64) int64 {
	if at := wall - h.start.UnixNano(); at != 0 {
		return at
	}
	return 1
}

// form is the one in which most subscribers want a publication.
func (f *fanOut) form() base.Form {
	d := f.topic.Declared
	return d.form(d.Spec.Shape)
}

// place gives the message, which is not shared yet, its position, and makes the frame that tells it, unless there is none or
// it was made for this position already.
func (f *fanOut) place(at topiclog.Position) (made *base.Frame) {
	if f.pub == nil {
		f.msg.Offset = at.Offset
		return nil
	}
	x := f.pub
	if x.pub.Placed(&x.msg, at.Epoch, at.Offset) {
		return nil
	}
	x.pub.Place(&x.msg, at.Epoch, at.Offset)
	form := f.form()
	if !x.pub.Tells(form) {
		return nil
	}
	return x.msg.Frame(form)
}

// foretell makes the frame that tells its position for the place that comes next, and compresses it, so that this need not
// be done under the lock, nor on a loop. If another message takes that place it was in vain.
func (f *fanOut) foretell(last topiclog.Position) {
	x := f.pub
	x.pub.Place(&x.msg, last.Epoch, last.Offset+1)
	f.ns.prepare(x.msg.Frame(f.form()))
}

// foretells is how often foretell is tried for a message.
const foretells = 3

// foretold reports whether the message need not be compressed before it is placed, or is for the place that comes next, or
// nobody knows which that is.
func (f *fanOut) foretold(last topiclog.Position) bool {
	x := f.pub
	return x == nil || f.topic.sparse || !f.ns.spec.Deflate || !x.pub.Tells(f.form()) || x.pub.Placed(&x.msg, last.Epoch, last.Offset+1)
}
