package weir

import (
	"context"
	"runtime/debug"
)

// What a client is told when the application's code has panicked, or has ended its
// goroutine.
var (
	errPanicked   = &Error{Code: codeInternal, Reason: "the handler failed"}
	errUnfinished = &Error{Code: codeInternal, Reason: "the handler failed"}
)

// caught is deferred by whatever calls the application: a panic is counted, logged once
// with its stack, and becomes the error that the client is answered with. Every call of
// the application's code has one: handlers, checks, observers, Authenticate. name is that of the event, "" for none; s may
// be nil.
func (n *Namespace) caught(what, name string, s *Socket, err *error) {
	p := recover() //nolint:revive // this is the deferred function
	if p == nil {
		return
	}
	n.srv.count.panics.Add(1)
	args := []any{"in", what, "panic", p, "stack", string(debug.Stack())}
	if name != "" {
		args = append(args, "event", name)
	}
	if s != nil {
		args = append(args, "socket", s.ID())
	}
	n.log.Error("the application panicked", args...)
	*err = errPanicked
}

// asked calls a check or a hook of a namespace.
func (n *Namespace) asked(ctx context.Context, what string, s *Socket, f ConnectFunc) (err error) {
	defer n.caught(what, "", s, &err)
	return f(ctx, s)
}

// told tells a hook that a client has left.
func (n *Namespace) told(ctx context.Context, s *Socket, reason string, f DisconnectFunc) {
	var err error // it has been logged
	defer n.caught("OnDisconnect", "", s, &err)
	f(ctx, s, reason)
}

// observed shows an observer what is emitted: its panic is not the emitter's.
func (n *Namespace) observed(event string, args []any, f func(string, []any)) {
	var err error // it has been logged
	defer n.caught("OnAnyOutgoing", event, nil, &err)
	f(event, args)
}

// authenticate asks Options.Authenticate. Where there is none, the hook alone decides.
func (s *Socket) authenticate(ctx context.Context, r AuthRequest) (id Identity, err error) {
	defer s.ns.caught("Authenticate", "", s, &err)
	f := *s.ns.srv.authenticate.Load()
	if f == nil {
		return id, coded(ErrUnauthorized, "tokens are asked for at connect alone")
	}
	return f(ctx, r)
}
