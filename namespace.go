package weir

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/workers"
)

// Handler handles one event of one client. Handlers of one socket run one after
// another in the order of its events; those of different sockets run side by side
// on the server's workers. Which handler an event has is decided when its turn comes,
// after OnConnect and the events before it. What had arrived is handled also when its
// client has left meanwhile, unless the application disconnected it: ctx does not end
// with the client, but when a server that is closing no longer waits for handlers. For
// work that is worth nothing without the client use Socket.Context.
//
// An error is answered, if the client asked for an answer and has none yet, with
// {ok:false, code, reason, retryable}: the text of a *weir.Error, of any other
// error, and of a panic, only the code "internal".
type Handler func(ctx context.Context, s *Socket, e *Event) error

// ConnectFunc is told about a client that wants in, or is in. ctx ends with the client; that of a check (Use) also when
// the client has not been let in SocketIO.ConnectTimeout after it asked, and when all checks have returned.
type ConnectFunc func(ctx context.Context, s *Socket) error

// DisconnectFunc is told about a client that has left; reason is Socket.IO's, such as
// "transport close": docs/errors.md lists them. ctx is that of a handler.
type DisconnectFunc func(ctx context.Context, s *Socket, reason string)

// Namespace is one namespace of the server: its handlers and its sockets. All
// methods may be called at any time from any goroutine; handlers registered late
// see later events only.
type Namespace struct {
	srv  *Server
	door *door
	path string
	opts NamespaceOptions
	d    *delivery.Namespace
	log  *slog.Logger

	topics  map[*delivery.Declared]*TopicOptions
	request int                   // the longest delivery event of a client that is looked into
	mail    workers.MailboxLimits // of each socket's mailbox
	count   figures
	schemas atomic.Pointer[schemaSet] // nil: nothing is held to one

	backstage backstage // what waits for handlers of other nodes' events

	mu         sync.RWMutex
	serverSide map[string]ServerSideHandler
	admit      []ConnectFunc
	filter     []Handler
	connect    []ConnectFunc
	disconnect []DisconnectFunc
	on         map[string]Handler
	chains     map[string][]Handler          // of on, for sockets without handlers of their own
	times      map[string]*latency.Histogram // of handlers, by their events: see running.go
	otherTimes latency.Histogram
	any        []Handler
	sent       []func(event string, args []any)
	unhandled  map[string]struct{} // names logged once
	declared   []SchemaOptions     // of the options, or of those that a reload has brought
	coded      []SchemaOptions     // of WithSchema
}

// maxUnhandledNames bounds what is remembered of events nobody handles.
const maxUnhandledNames = 1000

// mailboxLimits bound the events that wait for one socket's handlers. Their
// answers must fit into what reading leaves free of the events lane (architecture.md D1).
func (n *Namespace) mailboxLimits() workers.MailboxLimits {
	w := n.srv.opts.Workers
	return workers.MailboxLimits{
		Jobs:  min(orDefault(w.MailboxEvents, 128), max(n.opts.eventsPolicy().MaxMessages/2, 1)),
		Bytes: orDefault(w.MailboxBytes, 1<<20),
		Hold:  n.srv.hub.Holder(budget.Mailboxes),
	}
}

// Path is the namespace's name.
func (n *Namespace) Path() string { return n.path }

// Use adds a check that runs before a client is let in, in the order of Use, on the pool OutsideOptions describes. Its
// error is the client's connect_error: the text of a *weir.Error, else "forbidden";
// a *ConnectError carries data too. The socket can be given values and rooms, but
// not yet be written to.
func (n *Namespace) Use(f ConnectFunc) { n.locked(func() { n.admit = append(n.admit, f) }) }

// UseEvents adds a check of every event, in the order of UseEvents. An error keeps
// the event from its handlers and is answered as theirs would be.
func (n *Namespace) UseEvents(f Handler) { n.locked(func() { n.filter = append(n.filter, f) }) }

// OnConnect is called for every client let in, after the answer to its CONNECT:
// what f emits comes after that. An error ends the socket with a DISCONNECT.
func (n *Namespace) OnConnect(f ConnectFunc) { n.locked(func() { n.connect = append(n.connect, f) }) }

// OnDisconnect is called for every client that leaves, after the handlers of all its
// events that had arrived.
func (n *Namespace) OnDisconnect(f DisconnectFunc) {
	n.locked(func() { n.disconnect = append(n.disconnect, f) })
}

// On sets the handler of an event for all sockets of the namespace, in place of an
// earlier one; nil takes it away. See Handle for typed ones. It panics for an event that no
// client can send, whose handler would never be called: "connect", "connect_error",
// "disconnect", "disconnecting", "newListener", "removeListener", and names that begin with
// "weir:". For the first and the third there are OnConnect and OnDisconnect.
func (n *Namespace) On(event string, h Handler) {
	mustArrive(event)
	n.locked(func() {
		if n.on == nil {
			n.on = make(map[string]Handler)
		}
		n.on[event] = h
		n.timedLocked(event)
	})
}

// mustArrive panics for an event that is never given to handlers.
func mustArrive(event string) {
	switch {
	case event == "connect":
		panic(`weir: On("connect") would never be called: use Namespace.OnConnect`)
	case event == "disconnect" || event == "disconnecting":
		panic(`weir: On("` + event + `") would never be called: use Namespace.OnDisconnect`)
	case sio.Reserved(event):
		panic(`weir: On("` + event + `") would never be called: it is an event of the protocol`)
	case strings.HasPrefix(event, "weir:"):
		panic(`weir: On("` + event + `") would never be called: names that begin with "weir:" are Weir's own`)
	}
}

// OnAny adds an observer that sees every event before its handler does. It does
// not count as the event's handler, though it may answer it.
func (n *Namespace) OnAny(h Handler) { n.locked(func() { n.any = append(n.any, h) }) }

// OnAnyOutgoing adds an observer of every event the application emits to sockets
// of the namespace, called by the emitting goroutine.
func (n *Namespace) OnAnyOutgoing(f func(event string, args []any)) {
	n.locked(func() { n.sent = append(n.sent, f) })
}

// locked registers a function of the application.
func (n *Namespace) locked(f func()) {
	n.door.Curious.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	n.chains = make(map[string][]Handler, len(n.on))
	for event, h := range n.on {
		if h != nil {
			n.chains[event] = n.chainLocked(&nothing, h)
		}
	}
}

// ConnectError refuses a client with a message and data for its connect_error. A check of
// Use returns it.
type ConnectError struct {
	Message string
	Data    any // as an argument of Emit; left out if it is nil, or cannot be encoded
}

// Error implements error: the message.
func (e *ConnectError) Error() string { return e.Message }

// decides reports whether the application has to be asked before a client is let in.
//
//weir:loop
func (n *Namespace) decides(s *Socket) bool {
	return n.checks() || s.proves()
}

// checks reports whether there are checks of Use.
func (n *Namespace) checks() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.admit) > 0
}

// welcome does what follows a CONNECT answer.
//
//weir:loop
func (n *Namespace) welcome(s *Socket) {
	for _, topic := range n.opts.AutoSubscribe {
		err := s.subscribe(topic, n.automatic(topic), func(delivery.Subscription) {})
		if errors.Is(err, delivery.ErrOpening) {
			s.subscribeLater(topic, n.automatic(topic))
		} else if err != nil {
			n.log.Warn("not subscribed automatically", "topic", topic, "socket", s.ID(), "error", err)
		}
	}
	n.count.opened.Add(1)
	if f := n.srv.opts.Events.Connected; f != nil {
		id, principal := s.identity()
		f(ConnectedEvent{
			Server: n.door.opts.Name, Namespace: n.path, ID: id, Principal: principal,
			Transport: s.client.Transport(), Address: s.client.Remote(),
		})
	}
	n.mu.RLock()
	handlers := n.connect
	n.mu.RUnlock()
	if len(handlers) > 0 {
		s.loop().enqueue(jobFunc(func(ctx context.Context) { n.runConnect(ctx, s, handlers) }), 0)
	}
}

// automatic are the options of a subscription nobody asked for.
func (n *Namespace) automatic(topic string) delivery.SubscribeOptions {
	o := delivery.SubscribeOptions{Shape: base.Shape(n.opts.Dialect)}
	if t, err := n.topic(topic); err == nil {
		o.Snapshot = t.Snapshot
	}
	return o
}

func (n *Namespace) runConnect(ctx context.Context, s *Socket, handlers []ConnectFunc) {
	r := stint{event: guard.ConnectPacket, of: n, socket: s}
	_, end := n.srv.handling.begin(ctx, &r) // the contexts of its calls end with the client
	defer n.srv.handling.end(&r)
	defer end()
	for _, f := range handlers {
		if !n.runConnectOne(ctx, s, f) {
			return
		}
	}
}

// runConnectOne disconnects the client unless f returns without an error, also when f ends its goroutine.
func (n *Namespace) runConnectOne(ctx context.Context, s *Socket, f ConnectFunc) (ok bool) {
	err := error(errUnfinished)
	defer func() {
		if err != nil {
			n.log.Warn("OnConnect failed: the client is disconnected", "socket", s.ID(), "error", err)
			_ = s.Disconnect(ctx) // it may have left already; either way what it has sent is not handled
		}
	}()
	err = n.asked(s.Context(), "OnConnect", s, f)
	return err == nil
}

// hears reports whether anybody is told about clients that leave.
func (n *Namespace) hears() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.disconnect) > 0
}

// farewell does what follows a disconnect.
//
//weir:loop
func (n *Namespace) farewell(s *Socket, reason string) {
	n.count.closed.Add(1)
	if f := n.srv.opts.Events.Disconnected; f != nil {
		id, principal := s.identity()
		f(DisconnectedEvent{Server: n.door.opts.Name, Namespace: n.path, ID: id, Principal: principal, Reason: reason})
	}
	n.mu.RLock()
	handlers := n.disconnect
	n.mu.RUnlock()
	if len(handlers) == 0 {
		return
	}
	s.loop().enqueue(jobFunc(func(ctx context.Context) {
		r := stint{event: guard.DisconnectPacket, of: n, socket: s}
		ctx, end := n.srv.handling.begin(ctx, &r)
		defer n.srv.handling.end(&r)
		defer end()
		for _, f := range handlers {
			n.told(ctx, s, reason, f)
		}
	}), 0)
}

func (n *Namespace) outgoing(event string, args []any) {
	n.mu.RLock()
	observers := n.sent
	n.mu.RUnlock()
	for _, f := range observers {
		n.observed(event, args, f)
	}
}

// handlers returns what is to run for an event: the checks of UseEvents, observers, and
// its handler if there is one.
func (n *Namespace) handlers(s *Socket, event string) (chain []Handler, handled bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.hasLocked()
	if own.on == nil && own.any == nil {
		if chain := n.chains[event]; chain != nil {
			return chain, true
		}
	}
	h := n.on[event]
	if dynamic := own.on[event]; dynamic != nil {
		h = dynamic
	}
	if h == nil && len(n.filter)+len(n.any)+len(own.any) == 0 {
		return nil, false
	}
	return n.chainLocked(own, h), h != nil
}

// chainLocked is what runs for an event with that handler, if it is not nil, of a
// socket with those belongings.
func (n *Namespace) chainLocked(own *belongings, h Handler) []Handler {
	chain := make([]Handler, 0, len(n.filter)+len(n.any)+len(own.any)+1)
	chain = append(chain, n.filter...)
	chain = append(chain, n.any...)
	chain = append(chain, own.any...)
	if h != nil {
		chain = append(chain, h)
	}
	return chain
}

// clipped is a name as it is kept, logged and told: clients may send long ones.
func clipped(name string) string {
	const most = 100
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

// noHandler counts an event nobody handles and logs its name once.
func (n *Namespace) noHandler(event string) {
	n.count.noHandler.Add(1)
	event = clipped(event)
	if n.remember(event) {
		n.log.Warn("event without a handler", "event", event, "code", codeNoHandler)
	}
}

// remember reports whether the name of an event nobody handles is a new one.
func (n *Namespace) remember(event string) bool {
	n.mu.RLock()
	_, known := n.unhandled[event]
	known = known || len(n.unhandled) >= maxUnhandledNames
	n.mu.RUnlock()
	if known {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.unhandled[event]; known {
		return false // somebody was faster
	}
	if n.unhandled == nil {
		n.unhandled = make(map[string]struct{})
	}
	n.unhandled[event] = struct{}{}
	return true
}
