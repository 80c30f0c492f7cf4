package weir

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Event is an event a client has sent.
type Event struct {
	Name string
	Args
	socket  *Socket
	id      uint64
	asks    bool
	replied atomic.Bool
	running atomic.Bool // its handlers are; after them the worker nudges the loops
}

// Asks reports whether the client waits for an answer.
func (e *Event) Asks() bool { return e.asks }

// Reply answers the client's ack callback; arguments are those of Emit. Only the
// first answer counts, and none is sent if the client asked for none. It may be
// called after the handler has returned. While the handler runs, the answer waits for
// others to go out with, a millisecond or so at most.
func (e *Event) Reply(args ...any) error {
	if !e.asks || e.replied.Swap(true) {
		return nil
	}
	d, err := e.socket.sendable()
	if err != nil {
		return err
	}
	f, err := packet.Ack(sio.EventHeader{Namespace: e.socket.ns.path, ID: e.id}, args)
	if err != nil {
		return err
	}
	err = patiently(func(ctx context.Context) error { return d.Reply(ctx, f) })
	if !e.running.Load() { // asked after the reply has its place, so that one of the two nudges sees it
		e.socket.ns.srv.hub.Nudge()
	}
	return wrap(err, "")
}

// refusalBody is how a refusal looks to a client (design 5.4).
type refusalBody struct {
	OK        bool   `json:"ok"`
	Topic     string `json:"topic,omitempty"`
	Code      string `json:"code"`
	Reason    string `json:"reason"`
	Retryable bool   `json:"retryable"`
}

// refusalOf turns an error into what a client may know of it.
func refusalOf(err error) refusalBody {
	var e *Error
	if errors.As(err, &e) {
		return refusalBody{Code: e.Code.Name, Reason: e.Reason, Retryable: e.Code.Retryable}
	}
	return refusalBody{Code: base.CodeInternal.Name, Reason: "the handler failed"}
}

// jobFunc is a function as a job of a mailbox.
type jobFunc = guard.JobFunc

// enqueue gives a job to the socket's mailbox; when that is full the client is
// not read until it has room again. The budget counts its bytes until then. Loop.
func (s *Socket) enqueue(job guard.Job, bytes int) {
	if s.mailbox == nil {
		s.mailbox = new(guard.Mailbox)
		s.mailbox.Init(s.ns.srv.workers, &s.ns.mail, s)
	}
	if s.mailbox.Push(job, bytes) == guard.AcceptedFull && !s.full && !s.gone.Load() {
		s.full = true
		s.client.hold()
	}
}

// Drained implements guard.Drainer; it is called on a worker.
func (s *Socket) Drained(m *guard.Mailbox) { s.client.out.Shard().Post(resumption{s, m}) }

// resumption is the task that reads a socket on whose mailbox has room again.
type resumption struct {
	s *Socket
	m *guard.Mailbox
}

// Run implements base.Task.
func (r resumption) Run() {
	if r.s.full && r.s.mailbox == r.m {
		r.s.full = false
		r.s.client.resume()
	}
}

// Event implements socketio.Socket: an event has arrived. Loop.
func (s *Socket) Event(in socketio.Event) {
	s.ns.count.received.Add(1)
	s.ns.count.receivedBytes.Add(uint64(in.Bytes()))
	if s.gone.Load() || s.deliveryEvent(&in) {
		return
	}
	chain, handled := s.ns.handlers(s, in.Name)
	if err := s.misshapen(in.Name); err != nil && !handled {
		if chain == nil {
			(&request{s: s, id: in.ID, asks: in.HasID}).refuse(err)
			return
		}
		handled, chain = true, append(chain, func(context.Context, *Socket, *Event) error { return err })
	}
	if !handled {
		s.ns.noHandler(in.Name)
		if chain == nil {
			if in.HasID {
				s.answer(in.ID, refusalOf(noHandlerError(in.Name)))
			}
			return
		}
		name := in.Name // in itself must not escape: every subscription is one
		chain = append(chain, func(context.Context, *Socket, *Event) error { return noHandlerError(name) })
	}
	j := &eventJob{chain: chain}
	j.Name, j.Args, j.socket, j.id, j.asks = in.Name, args.New(bytes.Clone(in.Args), 1, in.Attachments), s, in.ID, in.HasID
	s.enqueue(j, in.Bytes())
}

func noHandlerError(event string) error {
	return &Error{Code: base.CodeNoHandler, Reason: "nothing handles the event " + brief(event)}
}

// answer sends an ack of the loop's own making. Loop.
func (s *Socket) answer(id uint64, args ...any) {
	f, err := packet.Ack(sio.EventHeader{Namespace: s.ns.path, ID: id}, args)
	if err != nil {
		s.ns.log.Error("answer not encoded", "error", err)
		return
	}
	s.out().Send(f)
}

// tell sends weir:error. Loop.
func (s *Socket) tell(why refusalBody) {
	f, _, err := packet.Event(sio.EventHeader{Namespace: s.ns.path}, "weir:error", []any{why})
	if err != nil {
		s.ns.log.Error("weir:error not encoded", "error", err)
		return
	}
	s.out().Send(f)
}

// Answered implements socketio.Socket: a client's ack. Loop.
func (s *Socket) Answered(id uint64, args []byte, attachments [][]byte) {
	s.out().Answer(id, delivery.Answer{Args: args, Attachments: attachments})
}

// eventJob runs the handlers of one event on a worker.
type eventJob struct {
	Event
	chain []Handler
}

// Run implements guard.Job.
func (j *eventJob) Run(context.Context) {
	s := j.socket
	if s.gone.Load() {
		return
	}
	j.running.Store(true)
	defer j.running.Store(false)
	start := time.Now()
	err := j.run()
	s.ns.srv.count.handlers.Observe(int64(time.Since(start)))
	if err == nil {
		return
	}
	var known *Error
	if !errors.As(err, &known) {
		s.ns.log.Error("handler failed", "event", j.Name, "socket", s.ID(), "error", err)
	}
	_ = j.Reply(refusalOf(err)) // the client may be gone; then nobody waits
}

func (j *eventJob) run() error {
	ctx := j.socket.Context()
	for _, h := range j.chain {
		if err := h(ctx, j.socket, &j.Event); err != nil {
			return err
		}
	}
	return nil
}

// Handle sets a typed handler: the event's first argument is decoded into In by
// encoding/json, binary parts into []byte, and what f returns answers the client's
// ack callback. For more arguments, or none, make In a struct{} and use
// Namespace.On. A decoding error is answered with the code "invalid".
func Handle[In, Out any](n *Namespace, event string, f func(ctx context.Context, s *Socket, in In) (Out, error)) {
	n.On(event, func(ctx context.Context, s *Socket, e *Event) error {
		var in In
		if err := e.Decode(&in); err != nil {
			return err
		}
		out, err := f(ctx, s, in)
		if err != nil {
			return err
		}
		return e.Reply(out)
	})
}

// On sets a handler of this socket alone; it takes the place of the namespace's.
func (s *Socket) On(event string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.ownLocked()
	if own.on == nil {
		own.on = make(map[string]Handler)
	}
	own.on[event] = h
}

// Off removes a handler set by On.
func (s *Socket) Off(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ownLocked().on, event)
}

// OnAny adds an observer of every event of this socket.
func (s *Socket) OnAny(h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.ownLocked()
	own.any = append(own.any, h)
}
