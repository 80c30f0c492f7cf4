package weir

import (
	"context"
	"errors"
	"time"

	"github.com/streamweir/weir/internal/hook"
	"github.com/streamweir/weir/internal/workers"
)

// The application is asked about clients on a pool of its own, Server.outside: whether one may come in (Authenticate, the
// checks of Use), and whether it may subscribe or publish (Authenticate). Such calls may hang with what they ask; handlers
// go on meanwhile, but for those of the socket that the call is about (docs/adr/0018-two-pools.md).

// What a client is told whom nobody could be asked about.
var (
	errCrowded = &Error{Code: ErrBusy, Reason: "too many wait to be decided on"}
	errOverdue = &Error{Code: ErrUnavailable, Reason: "it could not be decided in time"}

	errUndecided = &Error{Code: codeInternal, Reason: "the request was not decided"}
)

// ask gives a call of the application to the pool for those, in order with the socket's other jobs; when too many wait, or
// the pool is closed, the job is refused: nobody may take what was not asked for granted.
//
//weir:loop
func (s *Socket) ask(job workers.Refusable, bytes int) {
	s.loop().put(s.ns.srv.outside, job, bytes)
}

// refusedCall is what a client is told in place of an answer that nobody was asked for.
func refusedCall(why error) *Error {
	if errors.Is(why, workers.ErrFull) {
		return errCrowded
	}
	return &Error{Code: ErrDraining, Reason: "the server is going away", Cause: why}
}

// until is when a call of the application that a client causes now has to have ended.
func (s *Socket) until() time.Time { return time.Now().Add(s.ns.door.opts.SocketIO.ConnectTimeout) }

// admission decides whether a client is let in. Where the hook has the word about who it is, there are two: one before it is
// asked, and, where there are checks of Use, one after it has answered.
type admission struct {
	s      *Socket
	until  time.Time
	proved bool // who the client is has been decided
}

// Run implements workers.Job.
func (a *admission) Run(ctx context.Context) {
	s, err := a.s, error(errUnfinished)
	var q *hook.Question
	defer func() {
		if q != nil {
			a.askHook(q)
			return
		}
		s.client.Shard().Post(decision{s, err})
	}()
	if !time.Now().Before(a.until) {
		err = errOverdue
		return
	}
	ctx, cancel := context.WithDeadline(ctx, a.until)
	defer cancel()
	if !s.asking(cancel) {
		return // its client has left: nobody waits for the answer
	}
	defer s.asking(nil)
	q, err = a.check(ctx)
}

// Refused implements workers.Refusable.
func (a *admission) Refused(why error) {
	a.s.client.Shard().Post(decision{a.s, refusedCall(why)})
}

// asking keeps what ends the call of the application that decides about the socket; nil: there is none any more. It
// reports false if the socket has left already.
func (s *Socket) asking(cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return false
	}
	s.ownLocked().asking = cancel
	return true
}

// inquiry is a request of a client that is not decided on the loop: the application is asked whether it may, a worker does
// what may have to wait, and the loop the rest.
type inquiry struct {
	r     *request
	until time.Time
	may   func(context.Context) error // nil: it may
	work  func(context.Context) error // nil: nothing has to wait
	then  func(error)
	err   error
}

// permission is the first half of an inquiry.
type permission struct{ *inquiry }

// Run implements workers.Job. What had arrived is decided also when its client has left, unless the application has
// disconnected it.
func (p permission) Run(ctx context.Context) {
	switch {
	case p.r.s.expelled.Load(): // Run of the inquiry counts it
	case !time.Now().Before(p.until):
		p.err = errOverdue
	default:
		ctx, cancel := context.WithDeadline(ctx, p.until)
		defer cancel()
		p.err = errUndecided // unless may returns
		p.err = p.may(ctx)
	}
}

// Refused implements workers.Refusable.
func (p permission) Refused(why error) { p.err = refusedCall(why) }

// Run implements workers.Job: the second half.
func (q *inquiry) Run(ctx context.Context) {
	defer q.end()
	switch s := q.r.s; {
	case s.expelled.Load():
		s.ns.count.skipped.Add(1)
		q.err = errUndecided
	case q.err == nil && q.work != nil:
		q.err = errUndecided // unless work returns
		q.err = q.work(ctx)
	}
}

// Refused implements workers.Refusable.
func (q *inquiry) Refused(why error) {
	q.err = refusedCall(why)
	q.r.s.post(q.decided)
}

// end goes back to the loop.
func (q *inquiry) end() {
	if q.r.name == "publish" { // takes effect in work, other requests in decided
		q.r.s.post(q.decided)
		return
	}
	q.r.s.onItsLoop(q.decided)
}

// decided is what is left for the loop.
//
//weir:loop
func (q *inquiry) decided() {
	q.r.s.deciding--
	q.r.due = true
	q.then(q.err)
}
