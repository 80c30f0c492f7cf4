package weir

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/socketio"
)

// Socket is one client in one namespace. All exported methods may be called from
// any goroutine, handlers included; what one goroutine sends arrives in that order.
type Socket struct {
	ns        *Namespace
	client    *client
	id        string
	principal string
	d         *delivery.Socket // nil until the client was let in
	mailbox   guard.Mailbox

	full bool // loop: reading is held because the mailbox is full
	gone atomic.Bool
	mu   sync.Mutex
	own  *belongings // nil until there is one; an idle client has none
}

// belongings are what few sockets have, or have for long.
type belongings struct {
	auth   []byte
	ctx    context.Context
	cancel context.CancelCauseFunc
	values map[any]any
	on     map[string]Handler
	any    []Handler
	early  []string // rooms joined before the client was let in
	reason string
	rooms  []string // those it was in when it left
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
	_ guard.Drainer       = (*Socket)(nil)
)

func newSocket(n *Namespace, c *client, auth []byte) *Socket {
	s := &Socket{ns: n, client: c, id: c.out.NewSocketID()}
	if len(auth) > 0 && c.shake != nil {
		s.own = &belongings{auth: auth}
	}
	s.mailbox.Init(n.srv.workers, &n.mail, s)
	return s
}

// ID is the Socket.IO id: a public name, and the name of the socket's own room.
func (s *Socket) ID() string { return s.id }

// Principal is who the client has proved to be; "" if nobody asked.
func (s *Socket) Principal() string { return s.principal }

// Namespace is where the socket is.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Handshake is what is known of the request that opened the session. A server none
// of whose namespaces has a function of the application when the client connects
// keeps the address only.
func (s *Socket) Handshake() *Handshake {
	h := s.client.shake
	if h == nil {
		return &Handshake{Address: s.client.session.RemoteAddr()}
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

// Connected reports whether the socket is still in its namespace.
func (s *Socket) Connected() bool { return !s.gone.Load() }

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
	if err := s.sendable(); err != nil {
		return err
	}
	e, err := encodeEvent(s.ns.path, event, args, nil)
	if err != nil {
		return err
	}
	if o.verbatim {
		e.Frame.Verbatim()
	}
	s.ns.outgoing(event, args)
	ctx, cancel := context.WithTimeout(context.Background(), emitWait)
	defer cancel()
	return wrap(s.d.Emit(ctx, event, e, o.volatile), "")
}

func (s *Socket) sendable() error {
	if s.gone.Load() {
		return Errorf(ErrDisconnected, "the socket has left its namespace")
	}
	if s.d == nil {
		return Errorf(ErrDisconnected, "the client has not been let in yet")
	}
	return nil
}

// Ask sends an event and waits for the client's answer, at most until ctx ends; a
// ctx without a deadline gets 30 s. Errors: those of Emit, ErrTimeout, and
// ErrDisconnected when the client leaves first.
func (s *Socket) Ask(ctx context.Context, event string, args ...any) (*Args, error) {
	if err := s.sendable(); err != nil {
		return nil, err
	}
	a, ctx, cancel := newAsk(ctx, s.ns, 1)
	defer cancel()
	e, err := encodeEvent(s.ns.path, event, args, a)
	if err != nil {
		return nil, err
	}
	s.ns.outgoing(event, args)
	if err := s.d.Emit(ctx, event, e, false); err != nil {
		return nil, wrap(err, "")
	}
	replies, err := a.wait(ctx)
	if err != nil {
		return nil, err
	}
	return replies[0].Args, replies[0].Err
}

// Join puts the socket into rooms. It returns when that is so, or has been noted
// for a client not let in yet. Errors: ErrLimited (roomsPerSocket), ErrDisconnected.
func (s *Socket) Join(rooms ...string) error {
	s.mu.Lock()
	if s.d == nil {
		own := s.ownLocked()
		own.early = append(own.early, rooms...)
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	return s.onShard(func() error { return s.d.Join(rooms...) })
}

// Leave takes the socket out of a room.
func (s *Socket) Leave(room string) error {
	return s.onShard(func() error { s.d.Leave(room); return nil })
}

// Rooms returns the rooms the socket is in, its own id first; once it has left,
// those it was in.
func (s *Socket) Rooms() (rooms []string, err error) {
	if s.gone.Load() {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.hasLocked().rooms, nil
	}
	err = s.onShard(func() error { rooms = s.d.Rooms(); return nil })
	return rooms, err
}

// onShard runs f on the socket's shard and waits for it.
func (s *Socket) onShard(f func() error) error {
	if err := s.sendable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), emitWait)
	defer cancel()
	done := make(chan error, 1)
	err := s.d.Do(ctx, func() {
		if s.d.Closed() {
			done <- Errorf(ErrDisconnected, "the socket has left its namespace")
			return
		}
		done <- f()
	})
	if err != nil {
		return wrap(err, "")
	}
	select {
	case err := <-done:
		return wrap(err, "")
	case <-s.client.out.Shard().Done():
		return Errorf(ErrDraining, "the server has stopped")
	}
}

// Disconnect takes the client out of the namespace after everything sent before:
// official clients do not come back by themselves. With transport, the whole
// connection is closed too.
func (s *Socket) Disconnect(transport bool) error {
	if err := s.sendable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), emitWait)
	defer cancel()
	err := s.d.End(ctx, base.CauseServerDisconnect, disconnectFrame(s.ns.path))
	if err == nil && transport {
		err = s.d.Do(ctx, s.client.leave)
	}
	return wrap(err, "")
}

// open makes the socket a member. Loop.
func (s *Socket) open(d *delivery.Socket) {
	s.mu.Lock()
	s.d = d
	early := s.hasLocked().early
	if s.own != nil {
		s.own.early = nil
	}
	s.mu.Unlock()
	if err := d.Join(early...); err != nil {
		s.ns.log.Warn("room not joined", "socket", s.id, "error", err)
	}
}

// Left implements socketio.Socket: the client's DISCONNECT. Loop.
func (s *Socket) Left() { s.d.Close(base.CauseClientDisconnect, nil) }

// Gone implements delivery.SocketPeer. Loop.
func (s *Socket) Gone(cause base.Cause) {
	s.mu.Lock()
	own := s.ownLocked()
	own.reason = cause.SocketReason()
	if s.d != nil && s.ns.hears() {
		own.rooms = s.d.Rooms()
	}
	s.gone.Store(true)
	if own.cancel != nil {
		own.cancel(errors.New(own.reason))
	}
	s.mu.Unlock()
	s.client.proto.Leave(s.ns.path)
	if s.full {
		s.full = false
		s.client.resume()
	}
	if s.d != nil {
		s.ns.farewell(s, cause.SocketReason())
	}
}
