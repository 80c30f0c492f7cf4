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
	"github.com/streamweir/weir/internal/op"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/workers"
)

// Socket is one client in one namespace. All exported methods may be called from
// any goroutine, handlers included; what one goroutine sends arrives in that order.
type Socket struct {
	ns     *Namespace
	client *client
	member atomic.Pointer[delivery.Socket] // nil until the client was let in

	mailbox *workers.Mailbox // loop: nil while no job waits or runs, see trim
	full    bool             // loop: reading is held because the mailbox is full
	gone    atomic.Bool
	mu      sync.Mutex
	own     *belongings // nil until there is one; an idle client has none

	deciding int32       // loop: requests that wait for a worker, see decide
	expelled atomic.Bool // disconnected by the application: what it had sent and waits is not handled
}

// belongings are what few sockets have, or have for long.
type belongings struct {
	id        string // until the client was let in, as principal and early
	principal string
	early     []string // rooms joined
	auth      []byte
	ctx       context.Context
	cancel    context.CancelCauseFunc
	values    map[any]any
	on        map[string]Handler
	any       []Handler
	reason    string
	rooms     []string           // those it was in when it left
	asking    context.CancelFunc // ends the call of the application that decides about it; nil: there is none
}

// few reports whether there is nothing an open socket needs to keep.
func (b *belongings) few() bool {
	return b.auth == nil && b.ctx == nil && b.values == nil && b.on == nil && b.any == nil
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

var (
	_ socketio.Socket     = (*Socket)(nil)
	_ delivery.SocketPeer = (*Socket)(nil)
	_ workers.Drainer     = (*Socket)(nil)
)

func newSocket(n *Namespace, c *client, auth []byte) *Socket {
	s := &Socket{ns: n, client: c}
	if len(auth) > 0 && c.handshake() != nil {
		s.own = &belongings{auth: auth}
	}
	return s
}

// ID is the Socket.IO id: a public name, and the name of the socket's own room.
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
	h := s.client.handshake()
	if h == nil {
		return &Handshake{Header: http.Header{}, URL: new(url.URL), Address: s.client.session.RemoteAddr()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Handshake{Header: h.Header, Host: h.Host, URL: h.URL, Address: h.RemoteAddr, TLS: h.TLS, Time: h.Time, Auth: s.hasLocked().auth}
}

// Context ends when the socket leaves its namespace; its cause is the reason.
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

// Set keeps a value with the socket; Value returns it.
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

// emitWait bounds how long Emit waits for room in a busy shard's inbox.
const emitWait = 5 * time.Second

// hasty is a context that has ended: who is given it does not wait.
var hasty = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// patiently calls f, and once more with a context of emitWait if there was no room:
// there nearly always is, and a timer for every answer would cost as much as the
// answer (bench row events-1000).
func patiently(f func(context.Context) error) error {
	err := f(hasty)
	if !errors.Is(err, delivery.ErrBusy) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), emitWait)
	defer cancel()
	return f(ctx)
}

// Emit sends an event. Arguments: json.RawMessage goes out verbatim, []byte as a
// binary part (also inside map[string]any and []any), anything else as
// encoding/json makes it. Under the name of a declared best-effort topic the event
// takes that topic's lane and policy.
//
// It returns once the event has its place in the socket's order; that it is
// delivered is not known. Errors: ErrDisconnected, ErrInvalid, ErrTooLarge,
// ErrBusy after 5 s without room.
func (s *Socket) Emit(event string, args ...any) error { return s.emit(event, args, emitOptions{}) }

// EmitVolatile is Emit for an event worth nothing later: it is dropped, and
// counted, unless the connection takes it at once (protocol.md 2.6).
func (s *Socket) EmitVolatile(event string, args ...any) error {
	return s.emit(event, args, emitOptions{volatile: true})
}

// EmitUncompressed is Emit for data that is compressed already: no transport tries
// again (Socket.IO's compress(false)).
func (s *Socket) EmitUncompressed(event string, args ...any) error {
	return s.emit(event, args, emitOptions{verbatim: true})
}

type emitOptions struct{ volatile, verbatim bool }

func (s *Socket) emit(event string, args []any, o emitOptions) error {
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
	return wrap(patiently(func(ctx context.Context) error { return d.Emit(ctx, event, e, o.volatile) }), "")
}

// sendable returns the sending half for those who may send.
func (s *Socket) sendable() (*delivery.Socket, error) {
	if s.gone.Load() {
		return nil, Errorf(ErrDisconnected, "the socket has left its namespace")
	}
	d := s.out()
	if d == nil {
		return nil, Errorf(ErrDisconnected, "the client has not been let in yet")
	}
	return d, nil
}

// Ask sends an event and waits for the client's answer, at most until ctx ends; a
// ctx without a deadline gets 30 s. Errors: those of Emit, ErrTimeout, and
// ErrDisconnected when the client leaves first.
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
	replies, err := q.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return replies[0].Args, replies[0].Err
}

// Join puts the socket into rooms. It returns when that is so, or has been noted
// for a client not let in yet. Errors: ErrLimited (roomsPerSocket) and ErrBusy (the memory
// budget is spent): those before that one are joined; ErrDisconnected, also for a client that was refused.
func (s *Socket) Join(rooms ...string) error {
	if early, err := s.joinEarly(rooms); early {
		return err
	}
	out, err := s.do(&op.Op{Kind: op.Join, Rooms: slices.Clone(rooms)})
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
		if most := s.client.door.opts.Limits.RoomsPerSocket; most > 0 && len(own.early) >= most {
			return true, Errorf(ErrLimited, delivery.ErrTooManyRooms.Error())
		}
		own.early = append(own.early, room)
	}
	return true, nil
}

// Leave takes the socket out of a room.
func (s *Socket) Leave(room string) error {
	_, err := s.do(&op.Op{Kind: op.Leave, Rooms: []string{room}})
	return err
}

// Rooms returns the rooms the socket is in, its own id first; once it has left,
// those it was in.
func (s *Socket) Rooms() (rooms []string, err error) {
	if s.gone.Load() {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.hasLocked().rooms, nil
	}
	out, err := s.do(&op.Op{Kind: op.Fetch, Describe: true})
	if err != nil {
		return nil, err
	}
	return out.Sockets[0].Rooms, nil
}

// do has an operation done to the socket, after everything sent before, and waits until it is.
func (s *Socket) do(o *op.Op) (op.Outcome, error) {
	d, err := s.begin(o)
	if err != nil {
		return op.Outcome{}, err
	}
	out, err := d.Wait(context.Background()) // ends with the server at the latest
	if err == nil && out.Done+out.Skipped+out.Short == 0 {
		err = Errorf(ErrDisconnected, "the socket has left its namespace")
	}
	return out, wrap(err, "")
}

// begin is do without the wait.
func (s *Socket) begin(o *op.Op) (*delivery.Doing, error) {
	d, err := s.sendable()
	if err != nil {
		return nil, err
	}
	o.Namespace, o.Target.Socket = s.ns.path, d.ID
	ctx, cancel := context.WithTimeout(context.Background(), emitWait)
	defer cancel()
	doing, err := s.ns.srv.hub.Begin(ctx, o)
	return doing, wrap(err, "")
}

// Disconnect takes the client out of the namespace after everything sent before:
// official clients do not come back by themselves. With transport, the whole
// connection is closed too. Events of the client that wait for their handlers are not
// handled any more, and counted (weir_events_skipped_total).
func (s *Socket) Disconnect(transport bool) error {
	if s.out() != nil {
		s.expelled.Store(true) // also if it has left by itself
	}
	_, err := s.begin(&op.Op{Kind: op.Disconnect, Cause: base.CauseServerDisconnect, Transport: transport})
	return err
}

// apply gives a socket that others decide about the id it will have. Loop.
func (s *Socket) apply() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ownLocked().id = s.client.out.NewSocketID()
}

// enter makes the socket a member and returns its sending half. Loop.
func (s *Socket) enter() *delivery.Socket {
	c := s.client
	id, principal := s.identity()
	if id == "" {
		id = c.out.NewSocketID()
	}
	d := c.out.OpenSocket(s.ns.d, id, principal, s)
	s.mu.Lock()
	s.member.Store(d)
	early := s.hasLocked().early
	if own := s.own; own != nil {
		own.id, own.principal, own.early = "", "", nil
		if own.few() {
			s.own = nil
		}
	}
	s.mu.Unlock()
	if err := d.Lodge(early...); err != nil {
		s.ns.log.Warn("room not joined", "socket", id, "error", err)
	}
	return d
}

// trim lets go of a mailbox in which nothing happens: an idle socket has none. A full
// one stays until its resumption, which would not be heard after it. Loop.
func (s *Socket) trim() {
	if s.mailbox != nil && !s.full && s.mailbox.Idle() {
		s.mailbox = nil
	}
}

// Left implements socketio.Socket: the client's DISCONNECT. Loop.
func (s *Socket) Left() { s.out().Close(base.CauseClientDisconnect, nil) }

// Gone implements delivery.SocketPeer. Loop.
func (s *Socket) Gone(cause base.Cause) {
	d := s.out()
	var rooms []string
	if d != nil && s.ns.hears() { // before the lock: Namespace.mu is taken before Socket.mu, see docs/locks.md
		rooms = d.Rooms()
	}
	s.mu.Lock()
	own := s.ownLocked()
	own.reason, own.rooms = cause.SocketReason(), rooms
	if cause.Expels() {
		s.expelled.Store(true)
	}
	s.gone.Store(true)
	if own.cancel != nil {
		own.cancel(errors.New(own.reason))
	}
	if own.asking != nil {
		own.asking()
	}
	s.mu.Unlock()
	s.client.proto.Leave(s.ns.path)
	if s.full {
		s.full = false
		s.client.resume()
	}
	if d != nil {
		s.ns.farewell(s, cause.SocketReason())
	}
}
