// Package ask keeps the books of a question to clients: who was asked, who has answered, and when nobody is left to
// wait for (Socket.IO's acks of broadcasts, protocol.md 2.7).
package ask

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/op"
)

// patience is how long answers are waited for when the caller set no deadline.
const patience = 30 * time.Second

// Reply is one client's answer to a broadcast that asked for one.
type Reply struct {
	Socket string    // Socket.IO id
	Args   args.Args // empty where there is an Err
	Err    error     // ErrDisconnected if the client left without an answer, ErrBusy or ErrTooLarge if its lane refused the event, ErrTooLarge if there was no room for its answer
}

// Keep is where the answers to one question are kept until they are taken. Its functions are called with a lock held, and
// wait for nothing.
type Keep struct {
	Most  int              // bytes
	Claim func(n int) bool // counts bytes that are not there yet, and reports whether they may be
	Hold  func(n int)      // counts bytes more, or less
}

// answerBytes is what is counted of an answer besides its arguments.
const answerBytes = 128

// Question collects the answers to one question. It implements delivery.AckSink; its methods may be called from any
// goroutine.
type Question struct {
	id      uint64
	stopped <-chan struct{}
	room    Keep
	done    chan struct{} // closed when all answers are there

	mu      sync.Mutex
	shards  int // have not said yet whom they asked
	open    map[*delivery.Socket]struct{}
	asked   int
	replies []Reply
	bytes   int // of the replies, which the room counts
	over    bool
}

var _ delivery.AckSink = (*Question)(nil)

// New begins a question that goes out with the ack id and through that many shards; stopped is closed when the server
// has stopped. The context is ctx, with a deadline in 30 s if it has none.
func New(ctx context.Context, id uint64, shards int, stopped <-chan struct{}, room Keep) (*Question, context.Context, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, patience)
	}
	return newQuestion(id, shards, stopped, room), ctx, cancel
}

func newQuestion(id uint64, shards int, stopped <-chan struct{}, room Keep) *Question {
	return &Question{id: id, stopped: stopped, room: room, done: make(chan struct{}), shards: shards, open: make(map[*delivery.Socket]struct{})}
}

// ID is the ack id.
func (q *Question) ID() uint64 { return q.id }

// Sent implements delivery.AckSink.
func (q *Question) Sent(s *delivery.Socket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.over {
		q.open[s] = struct{}{}
		q.asked++
	}
	return !q.over
}

// Answered implements delivery.AckSink.
func (q *Question) Answered(s *delivery.Socket, answer delivery.Answer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, asked := q.open[s]; !asked {
		return
	}
	delete(q.open, s)
	r := Reply{Socket: s.ID}
	switch {
	case answer.Err != nil:
		r.Err = failure(answer.Err)
	case !q.fitsLocked(&answer):
		r.Err = &base.Error{Code: base.CodeTooLarge, Reason: "the client has answered, and there was no room for it beside the answers of others"}
	default:
		r.Args = args.New(bytes.Clone(answer.Args), 0, answer.Attachments)
	}
	q.replies = append(q.replies, r)
	q.checkLocked()
}

// fitsLocked reports whether there is room for an answer, which then counts. What clients answer is as large as they like.
func (q *Question) fitsLocked(a *delivery.Answer) bool {
	n := answerBytes + len(a.Args)
	for _, part := range a.Attachments {
		n += len(part)
	}
	if q.over || q.bytes+n > q.room.Most || !q.room.Claim(n) {
		return false
	}
	q.bytes += n
	return true
}

// failure is why there is no answer from a client.
func failure(err error) *base.Error {
	switch {
	case errors.Is(err, delivery.ErrBusy):
		return &base.Error{Code: base.CodeBusy, Reason: "the client's connection takes nothing and its events lane is full: the event was not sent", Cause: err}
	case errors.Is(err, delivery.ErrTooLarge):
		return &base.Error{Code: base.CodeTooLarge, Reason: "the event is larger than the client's events lane: it was not sent", Cause: err}
	}
	return &base.Error{Code: base.CodeDisconnected, Reason: "the client left before it answered", Cause: err}
}

// Shard implements delivery.AckSink.
func (q *Question) Shard() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shards--
	q.checkLocked()
}

func (q *Question) checkLocked() {
	if q.shards <= 0 && len(q.open) == 0 && !q.over {
		q.over = true
		close(q.done)
	}
}

// Wait returns all answers; or when ctx ends those so far and an error with CodeTimeout, when the server has stopped one
// with CodeDraining. Then nothing is kept of the question, and what is still answered is ignored.
func (q *Question) Wait(ctx context.Context) ([]Reply, error) {
	stopped := false
	select {
	case <-q.done:
	case <-ctx.Done():
	case <-q.stopped:
		stopped = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var err error
	switch {
	case q.over: // all are there, however late it is
	case stopped:
		err = &base.Error{Code: base.CodeDraining, Reason: "the server has stopped"}
	case q.shards > 0:
		err = &base.Error{Code: base.CodeTimeout, Reason: "no answer in time: not all event loops have asked their clients yet", Cause: ctx.Err()}
	default:
		err = &base.Error{Code: base.CodeTimeout, Reason: fmt.Sprintf("no answer in time from %d of %d clients", len(q.open), q.asked), Cause: ctx.Err()}
	}
	q.over = true
	q.room.Hold(-q.bytes)
	q.bytes = 0
	for s := range q.open {
		delete(q.open, s)
		s.Conn().Shard().Post(forgetting{s, q.id})
	}
	return q.replies, err
}

// Asked is how many clients were asked.
func (q *Question) Asked() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asked
}

// forgetting is the task that stops waiting for a socket's answer.
//
//weir:loop
type forgetting struct {
	s  *delivery.Socket
	id uint64
}

// Run implements base.Task.
func (f forgetting) Run() { f.s.Forget(f.id) }

// Asking is a question of another node that was begun here.
type Asking struct {
	q *Question // nil: it is not for sockets of this node
}

// Begin asks what an operation asks: its event has its place behind all that was begun before. Whoever calls it calls Wait,
// once.
//
// Errors: op.ErrInvalid, delivery.ErrUnknownNamespace, those of delivery.Hub.Emit.
func Begin(ctx context.Context, h *delivery.Hub, o *op.Op, stopped <-chan struct{}, room Keep) (*Asking, error) {
	n := h.Namespace(o.Namespace)
	switch err := o.Valid(); {
	case err != nil:
		return nil, err
	case o.Kind != op.Ask:
		return nil, fmt.Errorf("%w: %s is no question", op.ErrInvalid, o.Kind)
	case n == nil:
		return nil, delivery.ErrUnknownNamespace
	}
	shards := h.Receivers(&o.Target)
	if shards == 0 {
		return &Asking{}, nil // a socket of another node
	}
	id := n.NextAckID()
	q := newQuestion(id, shards, stopped, room)
	event, e, err := n.Emission(&o.Event, q, id)
	if err != nil {
		return nil, err
	}
	if err := h.Emit(ctx, n, event, e, o.Target); err != nil {
		return nil, err
	}
	return &Asking{q: q}, nil
}

// Wait waits for the answers of this node's sockets: at most until ctx ends or the server has stopped. Then the outcome is
// partial: it has the answers that came.
func (a *Asking) Wait(ctx context.Context) (out op.Outcome, err error) {
	if a.q == nil {
		return out, nil
	}
	replies, err := a.q.Wait(ctx)
	for i := range replies {
		out.Answers = append(out.Answers, replies[i].Answer())
	}
	out.Done, out.Partial = a.q.Asked(), err != nil
	return out, err
}

// Answer is the reply as a value.
func (r *Reply) Answer() op.Answer {
	a := op.Answer{Socket: r.Socket}
	if r.Err != nil {
		a.Code, a.Reason = base.CodeInternal.Name, r.Err.Error()
		if e := (*base.Error)(nil); errors.As(r.Err, &e) {
			a.Code, a.Reason = e.Code.Name, e.Reason
		}
		return a
	}
	a.Args, a.Attachments = r.Args.Raw(), r.Args.Attachments()
	return a
}

// ReplyOf is the reply whose Answer is a.
func ReplyOf(a *op.Answer) Reply {
	if a.Code == "" {
		return Reply{Socket: a.Socket, Args: args.New(a.Args, 0, a.Attachments)}
	}
	e := &base.Error{Code: base.CodeInternal, Reason: a.Reason}
	if i := slices.IndexFunc(base.Codes, func(c *base.Code) bool { return c.Name == a.Code }); i >= 0 {
		e.Code = base.Codes[i]
	}
	return Reply{Socket: a.Socket, Err: e}
}
