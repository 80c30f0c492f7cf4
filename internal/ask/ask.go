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
	Err    error     // ErrDisconnected if the client left without an answer, ErrBusy or ErrTooLarge if its lane refused the event
}

// Question collects the answers to one question. It implements delivery.AckSink; its methods may be called from any
// goroutine.
type Question struct {
	id      uint64
	stopped <-chan struct{}
	done    chan struct{} // closed when all answers are there

	mu      sync.Mutex
	shards  int // have not said yet whom they asked
	open    map[*delivery.Socket]struct{}
	asked   int
	replies []Reply
	over    bool
}

var _ delivery.AckSink = (*Question)(nil)

// New begins a question that goes out with the ack id and through that many shards; stopped is closed when the server
// has stopped. The context is ctx, with a deadline in 30 s if it has none.
func New(ctx context.Context, id uint64, shards int, stopped <-chan struct{}) (*Question, context.Context, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, patience)
	}
	q := &Question{id: id, stopped: stopped, done: make(chan struct{}), shards: shards, open: make(map[*delivery.Socket]struct{})}
	return q, ctx, cancel
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
	if answer.Err != nil {
		r.Err = failure(answer.Err)
	} else {
		r.Args = args.New(bytes.Clone(answer.Args), 0, answer.Attachments)
	}
	q.replies = append(q.replies, r)
	q.checkLocked()
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
	var err error
	select {
	case <-q.done:
	case <-ctx.Done():
		err = &base.Error{Code: base.CodeTimeout, Reason: "no answer in time", Cause: ctx.Err()}
	case <-q.stopped:
		err = &base.Error{Code: base.CodeDraining, Reason: "the server has stopped"}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	for s := range q.open {
		delete(q.open, s)
		s.Conn().Shard().Post(forgetting{s, q.id})
	}
	return q.replies, err
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

// Do asks what an operation asks and waits for the answers of this node's sockets: at most until ctx
// ends, o.Wait is over or the server has stopped, as Wait does. Then the outcome is partial: it has
// the answers that came.
//
// Errors: op.ErrInvalid, delivery.ErrUnknownNamespace, those of delivery.Hub.Emit and of Wait.
func Do(ctx context.Context, h *delivery.Hub, o *op.Op, stopped <-chan struct{}) (out op.Outcome, err error) {
	n := h.Namespace(o.Namespace)
	switch err := o.Valid(); {
	case err != nil:
		return out, err
	case o.Kind != op.Ask:
		return out, fmt.Errorf("%w: %s is no question", op.ErrInvalid, o.Kind)
	case n == nil:
		return out, delivery.ErrUnknownNamespace
	}
	shards := h.Receivers(&o.Target)
	if shards == 0 {
		return out, nil // a socket of another node
	}
	if o.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Wait)
		defer cancel()
	}
	q, ctx, cancel := New(ctx, n.NextAckID(), shards, stopped)
	defer cancel()
	event, e, err := n.Emission(&o.Event, q, q.ID())
	if err != nil {
		return out, err
	}
	if err := h.Emit(ctx, n, event, e, o.Target); err != nil {
		return out, err
	}
	replies, err := q.Wait(ctx)
	for i := range replies {
		out.Answers = append(out.Answers, replies[i].Answer())
	}
	out.Done, out.Partial = q.asked, err != nil
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
