package weir

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/schema"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Event is an event a client has sent. It may be kept after its handler has returned, and
// used by any goroutine.
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
// called after the handler has returned, and by any goroutine. While the handler runs, the
// answer waits for others to go out with, a millisecond or so at most. Reply waits for room in
// a busy server as Emit does. Errors are those of Emit; nil where nobody waits for the answer.
func (e *Event) Reply(ctx context.Context, args ...any) error {
	if !e.asks || e.replied.Swap(true) {
		return nil
	}
	f, err := packet.Ack(sio.EventHeader{Namespace: e.socket.ns.path, ID: e.id}, args)
	if err != nil {
		return wrap(err, "")
	}
	err = e.socket.reply(ctx, f)
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
func (s *Socket) reply(ctx context.Context, f *base.Frame) error {
	d, err := s.sendable()
	if err != nil {
		return err
	}
	return patiently(ctx, func(ctx context.Context) error { return d.Reply(ctx, f) })
}

// refusalBody is how a refusal looks to a client (protocol.md 4).
type refusalBody = packet.Refusal

// refusalOf turns an error into what a client may know of it.
func refusalOf(err error) refusalBody {
	if e := known(err); e != nil {
		body := refusalBody{Code: string(e.Code), Reason: e.Reason, Retryable: e.Code.Retryable()}
		if v, ok := errors.AsType[*schema.Violation](e.Cause); ok {
			body.Path, body.Rule = &v.Path, v.Rule
		}
		return body
	}
	return refusalBody{Code: string(codeInternal), Reason: "the handler failed"}
}

// answer sends an ack of the loop's own making.
//
//weir:loop
func (s *Socket) answer(id uint64, args ...any) {
	f, err := packet.Ack(sio.EventHeader{Namespace: s.ns.path, ID: id}, args)
	if err != nil {
		s.ns.log.Error("answer not encoded", "error", err)
		return
	}
	s.out().Send(f)
}

// tell sends weir:error.
//
//weir:loop
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

// eventJob runs the handlers of one event on a worker. What the event means is decided
// there, when its turn comes: OnConnect, which sets handlers, and the events before it
// have been dealt with. So is whether its client has left meanwhile, which changes
// nothing: what had arrived is handled, and only its answers have nowhere to go.
type eventJob struct {
	Event
	stint stint
}

// Run implements workers.Job.
func (j *eventJob) Run(ctx context.Context) {
	if j.socket.expelled.Load() {
		j.socket.ns.count.skipped.Add(1)
		return
	}
	j.running.Store(true)
	j.stint.event, j.stint.of, j.stint.socket = j.Name, j.socket.ns, j.socket
	running, end := j.socket.ns.srv.handling.begin(ctx, &j.stint)
	err := error(errUnfinished) // unless run returns: a handler may end its goroutine
	defer func() {
		j.socket.ns.observe(j.Name, j.socket.ns.srv.handling.end(&j.stint))
		err = overdueError(running, err)
		end()
		if err != nil {
			j.failed(ctx, err)
		}
		j.running.Store(false)
	}()
	err = j.run(running)
}

func (j *eventJob) run(ctx context.Context) (err error) {
	s := j.socket
	defer s.ns.caught("handler", j.Name, s, &err)
	if err := s.ns.checkEvent(s, &j.Event); err != nil {
		return err
	}
	chain, handled := s.ns.handlers(s, j.Name)
	for _, h := range chain {
		if err := h(ctx, s, &j.Event); err != nil {
			return err
		}
	}
	if !handled {
		j.unhandled(ctx)
	}
	return nil
}

// failed answers an event whose handler has failed, if its client waits for an answer.
func (j *eventJob) failed(ctx context.Context, err error) {
	s := j.socket
	switch {
	case known(err) != nil:
	case s.gone.Load() && errors.Is(err, context.Canceled): // it has noticed that nobody is there any more
		s.ns.log.Debug("handler ended with its client", "event", j.Name, "socket", s.ID(), "error", err)
	default:
		s.ns.log.Error("handler failed", "event", j.Name, "socket", s.ID(), "error", err)
	}
	body := refusalOf(err)
	if j.asks {
		_ = j.Reply(ctx, body) // the client may be gone; then nobody waits
		return
	}
	body.Event = clipped(j.Name)
	if f, err := s.errorFrame(body); err == nil {
		_ = s.reply(ctx, f)
	}
}

// unhandled tells the client of an event that nothing handles. Its callback is not
// called, as in Socket.IO: to most applications a callback that runs means success.
func (j *eventJob) unhandled(ctx context.Context) {
	s := j.socket
	body := refusalBody{Event: clipped(j.Name), Code: string(codeNoHandler), Reason: "nothing handles the event " + clipped(j.Name)}
	if err := s.misshapen(j.Name); err != nil { // a request in another shape; those are answered
		body = refusalOf(err)
		s.ns.srv.count.requests.Add(body.Code)
		if j.asks {
			_ = j.Reply(ctx, body)
			return
		}
	} else {
		s.ns.noHandler(j.Name)
	}
	if j.replied.Load() {
		return // by an observer
	}
	if f, err := s.errorFrame(body); err == nil {
		_ = s.reply(ctx, f) // it may be gone
	}
}

// Handle sets a typed handler: the event's first argument is decoded into In by
// encoding/json, binary parts into []byte, and what f returns answers the client's
// ack callback. For more arguments, or none, make In a struct{} and use
// Namespace.On. A decoding error is answered with the code "invalid". WithSchema has the argument held to a JSON Schema before
// anybody sees it. It panics as On does, and for a schema that Options.Validate would refuse.
func Handle[In, Out any](n *Namespace, event string, f func(ctx context.Context, s *Socket, in In) (Out, error), opts ...HandleOption) {
	for _, o := range opts {
		o(n, event)
	}
	n.On(event, func(ctx context.Context, s *Socket, e *Event) error {
		var in In
		if err := e.Decode(&in); err != nil {
			return err
		}
		out, err := f(ctx, s, in)
		if err != nil {
			return err
		}
		return e.Reply(ctx, out)
	})
}

// On sets a handler of this socket alone; it takes the place of the namespace's. It
// panics for an event that no client can send, as Namespace.On does.
func (s *Socket) On(event string, h Handler) {
	mustArrive(event)
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
