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
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/workers"
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
	f, err := packet.Ack(sio.EventHeader{Namespace: e.socket.ns.path, ID: e.id}, args)
	if err != nil {
		return err
	}
	err = e.socket.reply(f)
	if err != nil && e.socket.gone.Load() {
		e.socket.ns.count.unheard.Add(1)
	}
	if !e.running.Load() { // asked after the reply has its place, so that one of the two nudges sees it
		e.socket.ns.srv.hub.Nudge()
	}
	return wrap(err, "")
}

// reply sends a packet that is never dropped. The worker, or who has it sent, wakes the
// loop for it: see Reply.
func (s *Socket) reply(f *base.Frame) error {
	d, err := s.sendable()
	if err != nil {
		return err
	}
	return patiently(func(ctx context.Context) error { return d.Reply(ctx, f) })
}

// refusalBody is how a refusal looks to a client (protocol.md 4).
type refusalBody = packet.Refusal

// refusalOf turns an error into what a client may know of it.
func refusalOf(err error) refusalBody {
	var e *Error
	if errors.As(err, &e) {
		return refusalBody{Code: e.Code.Name, Reason: e.Reason, Retryable: e.Code.Retryable}
	}
	return refusalBody{Code: base.CodeInternal.Name, Reason: "the handler failed"}
}

// jobFunc is a function as a job of a mailbox.
type jobFunc = workers.JobFunc

// enqueue gives a job to the socket's mailbox; when that is full the client is
// not read until it has room again. The budget counts its bytes until then. Loop.
func (s *Socket) enqueue(job workers.Job, bytes int) {
	switch s.box().Push(job, bytes) {
	case workers.AcceptedFull:
		s.holdReading()
	case workers.Refused: // the server has stopped
		if _, event := job.(*eventJob); event {
			s.ns.count.skipped.Add(1)
		}
	}
}

// box is the socket's mailbox. Loop.
func (s *Socket) box() *workers.Mailbox {
	if s.mailbox == nil {
		s.mailbox = new(workers.Mailbox)
		s.mailbox.Init(s.ns.srv.workers, &s.ns.mail, s)
	}
	return s.mailbox
}

// holdReading stops reading from the client until the mailbox, which is full, has room again. Loop.
func (s *Socket) holdReading() {
	if !s.full && !s.gone.Load() {
		s.full = true
		s.client.hold()
	}
}

// Drained implements workers.Drainer; it is called on a worker.
func (s *Socket) Drained(m *workers.Mailbox) { s.client.out.Shard().Post(resumption{s, m}) }

// resumption is the task that reads a socket on whose mailbox has room again.
type resumption struct {
	s *Socket
	m *workers.Mailbox
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
	raw := in.Args
	if !in.Owned {
		raw = bytes.Clone(raw)
	}
	j := new(eventJob)
	j.Name, j.Args, j.socket, j.id, j.asks = in.Name, args.New(raw, 1, in.Attachments), s, in.ID, in.HasID
	s.enqueue(j, in.Bytes())
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
	if f, err := s.errorFrame(why); err == nil {
		s.out().Send(f)
	}
}

func (s *Socket) errorFrame(why refusalBody) (*base.Frame, error) {
	f, err := packet.Refused(s.ns.path, &why)
	if err != nil {
		s.ns.log.Error("weir:error not encoded", "error", err)
	}
	return f, err
}

// Answered implements socketio.Socket: a client's ack. Loop.
func (s *Socket) Answered(id uint64, args []byte, attachments [][]byte) {
	s.out().Answer(id, delivery.Answer{Args: args, Attachments: attachments})
}

// eventJob runs the handlers of one event on a worker. What the event means is decided
// there, when its turn comes: OnConnect, which sets handlers, and the events before it
// have been dealt with. So is whether its client has left meanwhile, which changes
// nothing: what had arrived is handled, and only its answers have nowhere to go.
type eventJob struct{ Event }

// Run implements workers.Job.
func (j *eventJob) Run(ctx context.Context) {
	if j.socket.expelled.Load() {
		j.socket.ns.count.skipped.Add(1)
		return
	}
	j.running.Store(true)
	start, err := time.Now(), error(errUnfinished) // unless run returns: a handler may end its goroutine
	defer func() {
		j.socket.ns.srv.count.handlers.Observe(int64(time.Since(start)))
		if err != nil {
			j.failed(err)
		}
		j.running.Store(false)
	}()
	err = j.run(ctx)
}

func (j *eventJob) run(ctx context.Context) (err error) {
	s := j.socket
	defer s.ns.caught("handler", j.Name, s, &err)
	chain, handled := s.ns.handlers(s, j.Name)
	for _, h := range chain {
		if err := h(ctx, s, &j.Event); err != nil {
			return err
		}
	}
	if !handled {
		j.unhandled()
	}
	return nil
}

// failed answers an event whose handler has failed, if its client waits for an answer.
func (j *eventJob) failed(err error) {
	s := j.socket
	var known *Error
	switch {
	case errors.As(err, &known):
	case s.gone.Load() && errors.Is(err, context.Canceled): // it has noticed that nobody is there any more
		s.ns.log.Debug("handler ended with its client", "event", j.Name, "socket", s.ID(), "error", err)
	default:
		s.ns.log.Error("handler failed", "event", j.Name, "socket", s.ID(), "error", err)
	}
	body := refusalOf(err)
	if j.asks {
		_ = j.Reply(body) // the client may be gone; then nobody waits
		return
	}
	body.Event = brief(j.Name)
	if f, err := s.errorFrame(body); err == nil {
		_ = s.reply(f)
	}
}

// unhandled tells the client of an event that nothing handles. Its callback is not
// called, as in Socket.IO: to most applications a callback that runs means success.
func (j *eventJob) unhandled() {
	s := j.socket
	body := refusalBody{Event: brief(j.Name), Code: base.CodeNoHandler.Name, Reason: "nothing handles the event " + brief(j.Name)}
	if err := s.misshapen(j.Name); err != nil { // a request in another shape; those are answered
		body = refusalOf(err)
		s.ns.srv.count.requests.Add(body.Code)
		if j.asks {
			_ = j.Reply(body)
			return
		}
	} else {
		s.ns.noHandler(j.Name)
	}
	if j.replied.Load() {
		return // by an observer
	}
	if f, err := s.errorFrame(body); err == nil {
		_ = s.reply(f) // it may be gone
	}
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
	s.ns.unreachable(event)
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
