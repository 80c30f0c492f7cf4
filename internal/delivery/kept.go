package delivery

import (
	"context"
	"errors"

	"github.com/streamweir/weir/internal/topiclog"
)

// A topic whose log is a topiclog.Prompt, a journal under a best-effort topic, delivers before the disk has what it delivers
// (docs/adr/0044-placed-before-written.md). What the disk does concerns the publisher, who waits for a second at most, and lanes
// that are behind:
//
//	commitLocked ──> position, inboxes ──> awaitKept: written, or Unkept
//	     └─ no room ──> awaitRoom ──> commitLocked once more, or passes: a place, and no record

// awaitRoom decides what becomes of a publication or emit that the topic's log has not taken, for the reason in why: nil says
// that it is tried once more, with the record that is returned.
func (h *Hub) awaitRoom(ctx context.Context, t *Topic, r *topiclog.Record, f *fanOut, why error) (*topiclog.Record, error) {
	if t.prompt == nil || f.passes || errors.Is(why, ErrClosed) {
		return r, why
	}
	if errors.Is(why, topiclog.ErrFull) {
		switch err := t.prompt.Room(ctx, r); {
		case err == nil:
			return r, nil
		case errors.Is(err, topiclog.ErrClosed):
			return r, ErrClosed
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return r, ErrBusy
		}
	}
	f.passes = true
	if r.Volatile {
		return r, nil
	}
	f.unkept, f.failed = true, true
	return volatile(r), nil
}

// awaitKept waits until the log of a topic has a publication that was delivered, or says that it has not, or not yet: that is soon,
// whatever its disk does. It has no error: what was delivered was published.
func (h *Hub) awaitKept(ctx context.Context, t *Topic, p *Pending) {
	if later := p.later; later != nil {
		p.later = nil
		_, err := later.Wait(ctx)
		p.Unkept = err != nil
		p.failed = p.Unkept && !errors.Is(err, topiclog.ErrLate) && (ctx.Err() == nil || !errors.Is(err, ctx.Err()))
	}
	if t.prompt == nil || p.failed == t.refuses.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.failed {
		t.refusesLocked()
	} else if !p.Unkept {
		h.taken(t)
	}
}
