package delivery

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/delivery/recent"
	"github.com/streamweir/weir/internal/topiclog"
)

// ErrUndecided says that the log had not told a position before the caller's context ended: the message may be published
// or not.
var ErrUndecided = fmt.Errorf("%w: the log has not said whether the message is published", ErrBusy)

// undecided is the ErrUndecided of one message: its id stays under way until the log has spoken, so that a publisher who
// tries again does not publish it twice.
type undecided struct {
	f     *fanOut
	hub   *Hub
	later *topiclog.Later
}

var _ recent.Later[*Pending] = (*undecided)(nil)

func (*undecided) Error() string { return ErrUndecided.Error() }

// Unwrap is ErrUndecided.
func (*undecided) Unwrap() error { return ErrUndecided }

// Hear implements recent.Later.
func (u *undecided) Hear(f func(*Pending, error)) {
	u.later.Hear(func(at topiclog.Position, err error) {
		if err != nil {
			f(nil, err)
			return
		}
		f(u.f.published(at, u.hub), nil)
	})
}

// awaitLocked notes a fan-out whose record was given to a late log.
func (t *Topic) awaitLocked(r *topiclog.Record, f *fanOut) {
	f.late = true
	if t.pending == nil {
		t.pending = make(map[*topiclog.Record]*fanOut)
	}
	t.pending[r] = f
}

// awaited is the fan-out of a record; nil: it is another node's. It stays noted until it is delivered: the topic must not be
// forgotten before, since its log ends when the goroutine that delivers does.
func (t *Topic) awaited(r *topiclog.Record) *fanOut {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pending[r]
}

// waitForPosition waits until the log has said where the record of a fan-out is. What was claimed for it stays claimed until then.
func (h *Hub) waitForPosition(ctx context.Context, t *Topic, r *topiclog.Record, f *fanOut, later *topiclog.Later) (*Pending, error) {
	later.Hear(func(_ topiclog.Position, err error) {
		if err != nil && t.refused(r) != nil {
			h.unclaim(f)
		}
	})
	at, err := later.Wait(ctx)
	switch {
	case err == nil:
		return f.published(at, h), nil
	case h.closed():
		return nil, ErrClosed
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil, &undecided{f, h, later}
	case errors.Is(err, topiclog.ErrClosed):
		return nil, ErrClosed
	}
	if err = fmt.Errorf("%w: %w", ErrLog, err); errors.Is(err, topiclog.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return nil, err
}

// refused takes out the fan-out of a record that its log has not taken.
func (t *Topic) refused(r *topiclog.Record) *fanOut {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.pending[r]
	delete(t.pending, r)
	t.refusesLocked()
	return f
}

// refusesLocked says that the log of a topic has not taken a record.
func (t *Topic) refusesLocked() {
	if !t.dead && t.refuses.CompareAndSwap(false, true) {
		t.Declared.Namespace.hub.refusing.Add(1)
	}
}

// taken says that the log of a topic, whose lock is held, has taken a record, or is closed.
func (h *Hub) taken(t *Topic) {
	if t.refuses.CompareAndSwap(true, false) {
		h.refusing.Add(-1)
	}
}

// Refusing is how many topics have a log that has not taken the last publication. Any goroutine may call it.
func (h *Hub) Refusing() int64 { return h.refusing.Load() }

// goUnkept decides what becomes of a publication that its topic's log has not taken: a best-effort one is published all the
// same, and there is no record of it to wait in the log. That is a nil error.
func (h *Hub) goUnkept(ctx context.Context, f *fanOut, err error) error {
	if !errors.Is(err, ErrLog) || f.unkept || f.topic.Declared.Reliable() {
		return err
	}
	if short := h.claim(ctx, f.topic.Declared, f); short != nil {
		return short
	}
	f.unkept, f.failed, f.late = true, true, false
	return nil
}

// volatile is a record that takes the place of r in the order and is not kept; readers of the log are told so.
func volatile(r *topiclog.Record) *topiclog.Record {
	v := *r
	v.Volatile, v.Missed = true, true
	return &v
}

// deliver is a topiclog.Deliver: a late log has placed a record, of this node or another. It waits for room in the inboxes.
func (t *Topic) deliver(e topiclog.Placement) {
	h := t.Declared.Namespace.hub
	if e.Breach() {
		t.breach(e.Position)
		return
	}
	f := t.awaited(e.Record)
	foreign := f == nil
	if foreign {
		if e.Volatile {
			t.skip(e.Position)
			return
		}
		f = h.fanOutOf(t, e.Record)
	}
	if made := f.place(e.Position); made != nil {
		f.ns.prepare(made)
	}
	if foreign {
		f.pub.pub.Adopt(f.msg.Frame(f.form()))
		f.weight = inbox.Cost(f.msg.Bytes())
	}
	var held reservation
	defer held.release()
	if _, err := h.lockWithRoom(h.life, f, &held); err != nil {
		h.unclaim(f)
		return // nobody is there any more
	}
	delete(t.pending, e.Record)
	if t.last = e.Position; !e.Volatile {
		h.taken(t)
	}
	h.enterLocked(t, f, &held)
	t.mu.Unlock()
	if f.pub != nil {
		h.taps.offer(f.msg, e.Payload, e.Binary) // here, since its publisher may not have waited
	}
}

// skip takes note of a place that another node has given to what only its own clients get: an emit, or a publication whose
// target a record cannot have.
func (t *Topic) skip(at topiclog.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.used = at, t.Declared.Namespace.hub.Now()
}

// fanOutOf makes what is delivered of another node's record.
func (h *Hub) fanOutOf(t *Topic, r *topiclog.Record) *fanOut {
	x := publicationOf(t, r)
	f := &fanOut{outgoing: outgoing{msg: &x.msg, ns: t.Declared.Namespace, topic: t}, pub: x, target: everybody, members: true, foreign: true}
	if !r.To.Everybody() {
		f.target = &Target{Socket: r.To.Socket, Principal: r.To.Principal}
		if r.To.Room != "" {
			f.target.Rooms = []string{r.To.Room}
		}
	}
	return f
}
