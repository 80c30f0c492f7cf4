package weir

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/latency"
)

// handling is the handlers that run now, so that one that does not end is seen, by name. A handler that ignores the end of its
// context cannot be ended: it keeps its worker and its socket's mailbox, and stands here.
type handling struct {
	deadline time.Duration // of each; 0: none
	late     atomic.Uint64 // handlers that have ended after their deadline

	mu          sync.Mutex
	first, last *stint // in the order they began, which is that of their deadlines
	count       int
}

// stint is one run of a handler.
type stint struct {
	event  string
	of     *Namespace
	socket *Socket // nil: of an event of another node
	since  time.Time
	warned bool // handling.mu guards it: that it is overdue was logged

	prev, next *stint // handling.mu guards them
}

// errLate is why the context of a handler ends that has run for as long as it may.
var errLate = &Error{Code: ErrUnavailable, Reason: "the handler did not end in time"}

// begin notes a run that begins, and returns its context.
func (h *handling) begin(ctx context.Context, r *stint) (context.Context, context.CancelFunc) {
	r.since = time.Now()
	h.mu.Lock()
	r.prev = h.last
	if h.last != nil {
		h.last.next = r
	} else {
		h.first = r
	}
	h.last = r
	h.count++
	h.mu.Unlock()
	if h.deadline <= 0 {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, r.since.Add(h.deadline), errLate)
}

// end notes that a run has ended, and returns how long it took.
func (h *handling) end(r *stint) (took time.Duration) {
	took = time.Since(r.since)
	h.mu.Lock()
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		h.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		h.last = r.prev
	}
	r.prev, r.next = nil, nil
	h.count--
	h.mu.Unlock()
	if h.deadline > 0 && took > h.deadline {
		h.late.Add(1)
	}
	return took
}

// overdue is how many run beyond their deadline.
func (h *handling) overdue(now time.Time) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := h.first; r != nil && h.isOverdue(r, now); r = r.next {
		n++
	}
	return n
}

func (h *handling) isOverdue(r *stint, now time.Time) bool {
	return h.deadline > 0 && now.Sub(r.since) > h.deadline
}

// oldest calls yield with runs, those first that have run for the longest, until it returns false. It holds the lock meanwhile.
func (h *handling) oldest(yield func(*stint) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := h.first; r != nil && yield(r); r = r.next {
	}
}

// maxLateNames is how many overdue handlers one look names in the log.
const maxLateNames = 10

// sayLate names in the log, once each, handlers that run beyond their deadline: they ignore their context.
func (s *Server) sayLate(now time.Time) {
	var names []stint
	s.handling.oldest(func(r *stint) bool {
		if !s.handling.isOverdue(r, now) || len(names) == maxLateNames {
			return false
		}
		if !r.warned {
			r.warned = true
			names = append(names, *r)
		}
		return true
	})
	for i := range names {
		r := &names[i]
		r.of.log.Warn("a handler runs beyond WorkerOptions.Deadline: it ignores the end of its context, and keeps its worker and its socket",
			"event", clipped(r.event), "socket", r.socketID(), "since", r.since.UTC().Format(time.RFC3339))
	}
}

// socketID is the id of its socket; "": it has none.
func (r *stint) socketID() string {
	if r.socket == nil {
		return ""
	}
	return r.socket.ID()
}

// Handlers implements admin.Handlers.
func (v handlers) Handlers(limit int) admin.HandlersView {
	s, now := v.s, time.Now()
	w, q := s.workers.Stats(), s.requests.Stats()
	out := admin.HandlersView{
		Running: w.Running, Waiting: w.Queued, Overdue: s.handling.overdue(now), Late: s.handling.late.Load(),
		DeadlineMs: s.handling.deadline.Milliseconds(), Requests: admin.RequestsView{Running: q.Running, Waiting: q.Queued},
		Handlers: []admin.HandlerView{},
	}
	var found []stint
	total := 0
	s.handling.oldest(func(r *stint) bool {
		if total++; len(found) < limit {
			found = append(found, *r)
		}
		return true
	})
	for i := range found { // Socket.ID takes a lock
		r := &found[i]
		out.Handlers = append(out.Handlers, admin.HandlerView{
			Namespace: r.of.path, Event: clipped(r.event), Socket: r.socketID(), Since: r.since.UTC(),
			Ms: now.Sub(r.since).Milliseconds(), Overdue: s.handling.isOverdue(r, now),
		})
	}
	out.LeftOut = total - len(found)
	return out
}

// handlers is the server as the management API asks it for its handlers.
type handlers struct{ s *Server }

var _ admin.Handlers = handlers{}

// maxTimed is of how many events of a namespace the metrics tell how long they take. Their names are the application's: those of
// Namespace.On, never what a client sends.
const maxTimed = 200

// otherEvents is what the metrics call the events without a time of their own: of a handler of one socket, of nothing but
// observers, and beyond maxTimed.
const otherEvents = "other"

// timedLocked gives an event that has a handler a time of its own.
func (n *Namespace) timedLocked(event string) {
	if n.times == nil {
		n.times = make(map[string]*latency.Histogram)
	}
	if n.times[event] == nil && len(n.times) < maxTimed {
		n.times[event] = new(latency.Histogram)
	}
}

// observe counts how long an event's handlers took.
func (n *Namespace) observe(event string, took time.Duration) {
	n.mu.RLock()
	h := n.times[event]
	n.mu.RUnlock()
	if h == nil {
		h = &n.otherTimes
	}
	h.Observe(int64(took))
}

// readTimes calls yield with how long each event's handlers took, of those that had any.
func (n *Namespace) readTimes(yield func(event string, d *latency.Distribution)) {
	read := func(event string, h *latency.Histogram) {
		var d latency.Distribution
		if d.Add(h); d.Count() > 0 {
			yield(event, &d)
		}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for event, h := range n.times {
		if event != otherEvents {
			read(event, h)
		}
	}
	var other latency.Distribution
	other.Add(&n.otherTimes)
	if h := n.times[otherEvents]; h != nil { // an event of that name
		other.Add(h)
	}
	if other.Count() > 0 {
		yield(otherEvents, &other)
	}
}

// overdueError is what a client is told whose handler has given up at its deadline; else err.
func overdueError(ctx context.Context, err error) error {
	if err != nil && known(err) == nil && errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == error(errLate) { //nolint:errorlint // this very one
		return &Error{Code: errLate.Code, Reason: errLate.Reason, Cause: err}
	}
	return err
}

// validateDeadline refuses one that no handler could keep.
func (w *WorkerOptions) validateDeadline(p *problems) {
	if w.Deadline != 0 {
		within(p, "Workers.Deadline", w.Deadline, time.Millisecond, 24*time.Hour)
	}
}
