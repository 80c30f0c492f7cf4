package weir

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/link"
	"github.com/streamweir/weir/internal/op"
)

// Socket is one client in one namespace. All exported methods may be called from
// any goroutine, handlers included; what one goroutine sends arrives in that order.
type Socket struct {
	ns     *Namespace
	client *link.Client
	member atomic.Pointer[delivery.Socket] // nil until the client was let in

	desk atomic.Pointer[desk] // the loop's to change; nil while no job waits or runs, see Trim
	full bool                 // loop: reading is held because the mailbox is full
	gone atomic.Bool
	mu   sync.Mutex
	own  *belongings // nil until there is one; an idle client has none

	deciding int32       // loop: requests that wait for a worker, see decide
	expelled atomic.Bool // disconnected by the application: what it had sent and waits is not handled
}

// belongings are what few sockets have, or have for long.
type belongings struct {
	id        string // until the client was let in, as principal and early
	principal string
	early     []string // rooms joined
	auth      []byte
	proof     *proof
	ctx       context.Context
	cancel    context.CancelCauseFunc
	values    map[any]any
	on        map[string]Handler
	any       []Handler
	reason    string
	rooms     []string           // those it was in when it left
	asking    context.CancelFunc // ends the call of the application that decides about it; nil: there is none
}

// bare reports whether there is nothing an open socket needs to keep.
func (b *belongings) bare() bool {
	return b.auth == nil && b.proof == nil && b.ctx == nil && b.values == nil && b.on == nil && b.any == nil
}

// ownLocked returns the socket's belongings to be changed.
func (s *Socket) ownLocked() *belongings {
	if s.own == nil {
		s.own = new(belongings)
	}
	return s.own
}

// nothing is what a socket without belongings has.
var nothing belongings

// hasLocked returns the socket's belongings to be read.
func (s *Socket) hasLocked() *belongings {
	if s.own == nil {
		return &nothing
	}
	return s.own
}

func newSocket(n *Namespace, c *link.Client, auth []byte) *Socket {
	s := &Socket{ns: n, client: c}
	if len(auth) > 0 && c.Handshake() != nil {
		s.own = &belongings{auth: auth}
	}
	return s
}

// ID is the Socket.IO id: a public name, and the name of the socket's own room. It does not
// change, and is not used again.
func (s *Socket) ID() string {
	id, _ := s.identity()
	return id
}

// Principal is who the client has proved to be; "" if nobody asked.
func (s *Socket) Principal() string {
	_, principal := s.identity()
	return principal
}

// identity is the id, "" before enter, and the principal: delivery's socket has them
// once there is one.
func (s *Socket) identity() (id, principal string) {
	d := s.out()
	if d == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if d = s.out(); d == nil {
			own := s.hasLocked()
			return own.id, own.principal
		}
	}
	return d.ID, d.Principal
}

// out is the socket's sending half, nil until the client was let in.
func (s *Socket) out() *delivery.Socket { return s.member.Load() }

// Namespace is where the socket is.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Handshake is what is known of the request that opened the session. A server none
// of whose namespaces has a function of the application when the client connects
// keeps the address only: Header and URL are empty then, never nil.
func (s *Socket) Handshake() *Handshake {
	h := s.client.Handshake()
	if h == nil {
		return &Handshake{Header: http.Header{}, URL: new(url.URL), Address: s.client.RemoteAddr()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Handshake{Header: h.Header, Host: h.Host, URL: h.URL, Address: h.RemoteAddr, TLS: h.TLS, Time: h.Time, Auth: s.hasLocked().auth}
}

// Context ends when the socket leaves its namespace; context.Cause tells Socket.IO's reason,
// such as "transport close". It has no deadline.
func (s *Socket) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.ownLocked()
	if own.ctx == nil {
		own.ctx, own.cancel = context.WithCancelCause(context.Background())
		if s.gone.Load() {
			own.cancel(errors.New(own.reason))
		}
	}
	return own.ctx
}

// Connected reports whether the socket is in its namespace: not while checks set with Use or Authenticate still decide,
// and not once it has left.
func (s *Socket) Connected() bool { return s.out() != nil && !s.gone.Load() }

// Set keeps a value with the socket, until that is gone from memory; Value returns it. The key must be comparable, or Set
// panics. What is kept is the application's: the memory budget does not count it.
func (s *Socket) Set(key, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.ownLocked()
	if own.values == nil {
		own.values = make(map[any]any)
	}
	own.values[key] = value
}

// Value returns what Set kept under key, nil if nothing.
func (s *Socket) Value(key any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasLocked().values[key]
}

// emitWait bounds how long who has no deadline waits for a busy shard.
const emitWait = 5 * time.Second

// bounded is ctx with a deadline: its own, or emitWait.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, emitWait)
}

// hasty is a context that has ended: who is given it does not wait.
var hasty = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// patiently calls f, and once more with as much patience as ctx has if there was no room:
// there nearly always is, and a timer for every answer would cost as much as the
// answer (bench row events-1000).
func patiently(ctx context.Context, f func(context.Context) error) error {
	err := f(hasty)
	if !errors.Is(err, delivery.ErrBusy) {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return f(ctx)
}

// Emit sends an event. Arguments: json.RawMessage goes out verbatim, []byte as a
// binary part (also inside map[string]any and []any), anything else as
// encoding/json makes it. Under the name of a declared best-effort topic the event
// takes that topic's lane and policy.
//
// It returns once the event has its place in the socket's order; that it is
// delivered is not known. It waits for room in a busy server until ctx ends, 5 s if that has
// no deadline; where there is room it does not matter that ctx has ended. Errors:
// ErrDisconnected, ErrInvalid, ErrTooLarge, ErrBusy for want of room, ErrDraining. Then the
// event is not sent.
func (s *Socket) Emit(ctx context.Context, event string, args ...any) error {
	return s.emit(ctx, event, args, emitOptions{})
}

// EmitVolatile is Emit for an event worth nothing later: it is dropped, and
// counted, unless the connection takes it at once. Errors are those of Emit; that it was
// dropped is none.
func (s *Socket) EmitVolatile(ctx context.Context, event string, args ...any) error {
	return s.emit(ctx, event, args, emitOptions{volatile: true})
}

// EmitUncompressed is Emit for data that is compressed already: no transport tries
// again (Socket.IO's compress(false)). Errors are those of Emit.
func (s *Socket) EmitUncompressed(ctx context.Context, event string, args ...any) error {
	return s.emit(ctx, event, args, emitOptions{verbatim: true})
}

type emitOptions struct{ volatile, verbatim bool }

func (s *Socket) emit(ctx context.Context, event string, args []any, o emitOptions) error {
	d, err := s.sendable()
	if err != nil {
		return err
	}
	e, err := s.ns.emission(event, args, nil)
	if err != nil {
		return err
	}
	if o.verbatim {
		e.Frame.Verbatim()
	}
	s.ns.outgoing(event, args)
	return wrap(patiently(ctx, func(ctx context.Context) error { return d.Emit(ctx, event, e, o.volatile) }), "")
}

// sendable returns the sending half for those who may send.
func (s *Socket) sendable() (*delivery.Socket, error) {
	if s.gone.Load() {
		return nil, coded(ErrDisconnected, "the socket has left its namespace")
	}
	d := s.out()
	if d == nil {
		return nil, coded(ErrDisconnected, "the client has not been let in yet")
	}
	return d, nil
}

// Ask sends an event and waits for the client's answer, at most until ctx ends; a
// ctx without a deadline gets 30 s. Errors: those of Emit, and ErrBusy or ErrTooLarge where
// the client's events lane refused the event; ErrTimeout, and ErrDisconnected when the client
// leaves first: then it may have got the event.
func (s *Socket) Ask(ctx context.Context, event string, args ...any) (*Args, error) {
	d, err := s.sendable()
	if err != nil {
		return nil, err
	}
	q, ctx, cancel := s.ns.question(ctx, 1)
	defer cancel()
	e, err := s.ns.emission(event, args, q)
	if err != nil {
		return nil, err
	}
	s.ns.outgoing(event, args)
	if err := d.Emit(ctx, event, e, false); err != nil {
		return nil, wrap(err, "")
	}
	found, err := q.Wait(ctx)
	if err != nil {
		return nil, wrap(err, "")
	}
	reply := repliesOf(found, "")[0]
	return reply.Args, reply.Err
}

// Join puts the socket into rooms. It returns when that is so, or has been noted
// for a client not let in yet. It waits until ctx ends, 5 s if that has no deadline. Errors:
// ErrLimited (ServerLimits.RoomsPerSocket) and ErrBusy (the memory budget is spent, or no room):
// those before the one that is too many are joined; ErrDisconnected, also for a client that was
// refused, ErrDraining, and ErrTimeout: then the rooms are joined all the same, later.
func (s *Socket) Join(ctx context.Context, rooms ...string) error {
	if early, err := s.joinEarly(rooms); early {
		return err
	}
	out, err := s.do(ctx, &op.Op{Kind: op.Join, Rooms: slices.Clone(rooms)})
	switch {
	case err != nil:
		return err
	case out.Skipped > 0:
		return wrap(delivery.ErrTooManyRooms, "")
	case out.Short > 0:
		return wrap(delivery.ErrBudget, "")
	}
	return nil
}

// joinEarly notes rooms for a client that is not let in yet; false: it is, or was.
func (s *Socket) joinEarly(rooms []string) (early bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out() != nil || s.gone.Load() {
		return false, nil // do tells one from the other
	}
	own := s.ownLocked()
	for _, room := range rooms {
		if room == own.id || slices.Contains(own.early, room) {
			continue
		}
		if most := s.ns.door.opts.Limits.RoomsPerSocket; most > 0 && len(own.early) >= most {
			return true, coded(ErrLimited, delivery.ErrTooManyRooms.Error())
		}
		own.early = append(own.early, room)
	}
	return true, nil
}

// Leave takes the socket out of rooms; one that it is not in is no error. It waits as Join
// does. Errors: ErrDisconnected, also for a client not let in yet, ErrDraining, ErrBusy, and
// ErrTimeout: then the rooms are left all the same, later.
func (s *Socket) Leave(ctx context.Context, rooms ...string) error {
	_, err := s.do(ctx, &op.Op{Kind: op.Leave, Rooms: slices.Clone(rooms)})
	return err
}

// Rooms returns the rooms the socket is in, its own id first; once it has left,
// those it was in, if the namespace has an OnDisconnect: nobody else is told. It waits as Join
// does. Errors: ErrDisconnected for a client not let in yet, ErrDraining, ErrBusy, ErrTimeout.
func (s *Socket) Rooms(ctx context.Context) (rooms []string, err error) {
	if s.gone.Load() {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.hasLocked().rooms, nil
	}
	out, err := s.do(ctx, &op.Op{Kind: op.Fetch, Describe: true})
	if err != nil {
		return nil, err
	}
	return out.Sockets[0].Rooms, nil
}

// do has an operation done to the socket, after everything sent before, and waits until it is, or ctx ends: then it goes
// on.
func (s *Socket) do(ctx context.Context, o *op.Op) (op.Outcome, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	d, err := s.begin(ctx, o)
	if err != nil {
		return op.Outcome{}, err
	}
	out, err := d.Wait(ctx)
	switch {
	case err == nil && out.Done+out.Skipped+out.Short == 0:
		err = coded(ErrDisconnected, "the socket has left its namespace")
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return out, wrap(err, "the context ended before the loop had answered; what was begun goes on")
	}
	return out, wrap(err, "")
}

// begin is do without the wait for its end.
func (s *Socket) begin(ctx context.Context, o *op.Op) (*delivery.Doing, error) {
	d, err := s.sendable()
	if err != nil {
		return nil, err
	}
	o.Namespace, o.Target.Socket = s.ns.path, d.ID
	ctx, cancel := bounded(ctx)
	defer cancel()
	doing, err := s.ns.srv.hub.Begin(ctx, o)
	return doing, wrap(err, "")
}

// Disconnect takes the client out of the namespace after everything sent before:
// official clients do not come back by themselves. Its connection and other namespaces stay.
// Events of the client that wait for their handlers are not handled any more, and counted
// (weir_events_skipped_total). It waits for room in a busy server as Emit does, and not for
// the client. Errors: ErrDisconnected, ErrBusy, ErrDraining.
func (s *Socket) Disconnect(ctx context.Context) error { return s.disconnect(ctx, false) }

// CloseConnection is Disconnect from all namespaces of the client, and its connection is
// closed then: Socket.IO's disconnect(true). Errors are those of Disconnect.
func (s *Socket) CloseConnection(ctx context.Context) error { return s.disconnect(ctx, true) }

func (s *Socket) disconnect(ctx context.Context, transport bool) error {
	if s.out() != nil {
		s.expelled.Store(true) // also if it has left by itself
	}
	_, err := s.begin(ctx, &op.Op{Kind: op.Disconnect, Cause: base.CauseServerDisconnect, Transport: transport})
	return err
}
