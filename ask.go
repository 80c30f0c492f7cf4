package weir

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// askFor is how long an answer is waited for when the caller set no deadline.
const askFor = 30 * time.Second

// Reply is one client's answer to a broadcast that asked for one.
type Reply struct {
	Socket string // Socket.IO id
	Args   *Args
	Err    error // ErrDisconnected if the client left without an answer
}

// ask collects the answers to one question. It implements delivery.AckSink.
type ask struct {
	ns   *Namespace
	id   uint64
	done chan struct{}

	mu      sync.Mutex
	shards  int // have not said yet whom they asked
	open    map[*delivery.Socket]struct{}
	replies []Reply
	over    bool
}

func newAsk(ctx context.Context, n *Namespace, shards int) (*ask, context.Context, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, askFor)
	}
	a := &ask{ns: n, id: n.d.NextAckID(), done: make(chan struct{}), shards: shards, open: make(map[*delivery.Socket]struct{})}
	return a, ctx, cancel
}

// Sent implements delivery.AckSink.
func (a *ask) Sent(s *delivery.Socket) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.open[s] = struct{}{}
	}
	return !a.over
}

// Answered implements delivery.AckSink.
func (a *ask) Answered(s *delivery.Socket, answer delivery.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, asked := a.open[s]; !asked {
		return
	}
	delete(a.open, s)
	r := Reply{Socket: s.ID}
	if answer.Err != nil {
		r.Err = &Error{Code: base.CodeDisconnected, Reason: "the client left before it answered", Cause: answer.Err}
	} else {
		r.Args = new(args.New(bytes.Clone(answer.Args), 0, answer.Attachments))
	}
	a.replies = append(a.replies, r)
	a.checkLocked()
}

// Shard implements delivery.AckSink.
func (a *ask) Shard() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shards--
	a.checkLocked()
}

func (a *ask) checkLocked() {
	if a.shards <= 0 && len(a.open) == 0 && !a.over {
		a.over = true
		close(a.done)
	}
}

// wait returns all answers, or when ctx ends those so far and ErrTimeout; then
// nothing is kept of the question.
func (a *ask) wait(ctx context.Context) ([]Reply, error) {
	var err error
	select {
	case <-a.done:
	case <-ctx.Done():
		err = &Error{Code: base.CodeTimeout, Reason: "no answer in time", Cause: ctx.Err()}
	case <-a.ns.srv.stopped:
		err = Errorf(ErrDraining, "the server has stopped")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for s := range a.open {
		delete(a.open, s)
		a.ns.srv.forget(s, a.id)
	}
	return a.replies, err
}
