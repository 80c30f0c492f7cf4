package weir

import (
	"context"
	"errors"
	"slices"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/op"
)

// Broadcast is a choice of sockets of one namespace, made by To, Except and so on; each returns a new one. Its
// operations reach every socket that the choice means at that moment, each once, whichever node it is on, unless Local
// narrows it; but Sockets is of this node, as are the counts of Join. What goes to other nodes
// (ClusterOptions) is sent once and, but for Ask and Fetch, not waited for: an operation has no error for it, and reaches those
// that can be reached then. A Broadcast is a value; any goroutine may use it.
type Broadcast struct {
	ns       *Namespace
	to       delivery.Target
	volatile bool
	verbatim bool
	local    bool
	wrong    string // why nobody can be meant; operations fail with it
}

// To chooses the sockets in any of the rooms; a socket's id is a room of its own.
func (n *Namespace) To(rooms ...string) Broadcast { return Broadcast{ns: n}.To(rooms...) }

// Except chooses all sockets but those in any of the rooms.
func (n *Namespace) Except(rooms ...string) Broadcast { return Broadcast{ns: n}.Except(rooms...) }

// All chooses all sockets of the namespace.
func (n *Namespace) All() Broadcast { return Broadcast{ns: n} }

// Local chooses the sockets of the namespace that are on this node.
func (n *Namespace) Local() Broadcast { return n.All().Local() }

// Emit sends an event to all sockets of the namespace: see Broadcast.Emit.
func (n *Namespace) Emit(ctx context.Context, event string, args ...any) error {
	return n.All().Emit(ctx, event, args...)
}

// To chooses the sockets in any of the rooms, but not this one.
func (s *Socket) To(rooms ...string) Broadcast { return s.ns.To(rooms...).Except(s.ID()) }

// Broadcast chooses all sockets of the namespace but this one.
func (s *Socket) Broadcast() Broadcast { return s.ns.Except(s.ID()) }

// To adds rooms to the choice.
func (b Broadcast) To(rooms ...string) Broadcast {
	// Never nil: no rooms named means nobody, not everybody.
	b.to.Rooms = append(append([]string{}, b.to.Rooms...), rooms...)
	return b
}

// Except takes the sockets in these rooms out of the choice.
func (b Broadcast) Except(rooms ...string) Broadcast {
	b.to.Except = append(slices.Clone(b.to.Except), rooms...)
	return b
}

// Local narrows the choice to the sockets of this node.
func (b Broadcast) Local() Broadcast {
	b.local = true
	return b
}

// Principal narrows the choice to the sockets of one principal: with To, to those of
// them that are in a room. Operations on a choice of principal "", which is everybody who
// has not proved to be somebody, or of two, fail with ErrInvalid.
func (b Broadcast) Principal(p string) Broadcast {
	switch {
	case p == "":
		b.wrong = `Principal of ""`
	case b.to.Principal != "" && b.to.Principal != p:
		b.wrong = "Principal given twice"
	}
	b.to.Principal = p
	return b
}

// Volatile drops what is emitted, and counts it, wherever the connection does not
// take it at once.
func (b Broadcast) Volatile() Broadcast {
	b.volatile = true
	return b
}

// Uncompressed keeps what is emitted from being compressed on the way: Socket.IO's
// compress(false), for data that is compressed already.
func (b Broadcast) Uncompressed() Broadcast {
	b.verbatim = true
	return b
}

// Emit sends an event; arguments, waiting and errors as for Socket.Emit, and ErrLimited
// where the event's name makes a topic too many (ServerLimits.TopicsPerNamespace). All sockets
// of a node see the events of a namespace's broadcasts in one order.
func (b Broadcast) Emit(ctx context.Context, event string, args ...any) error {
	return b.emit(event, args, func(e delivery.Emission) error {
		err := patiently(ctx, func(ctx context.Context) error { return b.ns.srv.hub.Emit(ctx, b.ns.d, event, e, b.to) })
		if err == nil && !b.local {
			b.ns.srv.fleet.emit(ctx, b.ns, &e, &b.to)
		}
		return err
	})
}

// emit gives send the event, encoded.
func (b Broadcast) emit(event string, args []any, send func(delivery.Emission) error) error {
	if b.wrong != "" {
		return coded(ErrInvalid, b.wrong)
	}
	e, err := b.ns.emission(event, args, nil)
	if err != nil {
		return err
	}
	if e.Volatile = b.volatile; b.verbatim {
		e.Frame.Verbatim()
	}
	b.ns.outgoing(event, args)
	return wrap(send(e), "")
}

// runs fails where no loop would ever answer: the server has not been Run.
func (b Broadcast) runs() error {
	if b.ns.srv.state.Load() == stateNew {
		return errNotRunning
	}
	return nil
}

// Sockets returns the sockets chosen that are on this node: with one of another nothing
// could be done. It waits for every loop, as long as ctx allows. Errors: ErrInvalid for a
// choice that cannot be, ErrDraining where the server does not run, ErrBusy, and ErrTimeout:
// with that it returns those found until then.
func (b Broadcast) Sockets(ctx context.Context) (found []*Socket, err error) {
	d, _, err := b.do(ctx, &op.Op{Kind: op.Fetch})
	if d != nil {
		found = socketsOf(d.Sockets)
	}
	return found, err
}

// socketsOf are the application's sides of sockets.
func socketsOf(list []*delivery.Socket) (out []*Socket) {
	for _, d := range list {
		if s, ok := socketOf(d); ok {
			out = append(out, s)
		}
	}
	return out
}

// Join puts the sockets chosen into rooms. A socket that has too many already
// (ServerLimits.RoomsPerSocket) is counted in skipped, which is no error. Errors are those of
// Sockets. When ctx ends first it returns ErrTimeout with what is done by then: the rest goes
// on. So do Leave, Disconnect and CloseConnections.
func (b Broadcast) Join(ctx context.Context, rooms ...string) (joined, skipped int, err error) {
	_, out, err := b.do(ctx, &op.Op{Kind: op.Join, Rooms: slices.Clone(rooms)})
	return out.Done, out.Skipped + out.Short, err
}

// Leave takes the sockets chosen out of rooms. Errors are those of Sockets.
func (b Broadcast) Leave(ctx context.Context, rooms ...string) error {
	_, _, err := b.do(ctx, &op.Op{Kind: op.Leave, Rooms: slices.Clone(rooms)})
	return err
}

// Disconnect takes the sockets chosen out of the namespace. Official clients do not come
// back by themselves. What was sent before is written first. Errors are those of Sockets.
func (b Broadcast) Disconnect(ctx context.Context) error { return b.disconnect(ctx, false) }

// CloseConnections is Disconnect, and closes the connections of the sockets chosen: they
// leave their other namespaces too. Errors are those of Sockets.
func (b Broadcast) CloseConnections(ctx context.Context) error { return b.disconnect(ctx, true) }

func (b Broadcast) disconnect(ctx context.Context, transport bool) error {
	_, _, err := b.do(ctx, &op.Op{Kind: op.Disconnect, Cause: base.CauseServerDisconnect, Transport: transport})
	return err
}

// do has an operation done to every socket chosen and waits until it is, or ctx ends: then it
// goes on. It returns nil if nothing was begun.
func (b Broadcast) do(ctx context.Context, o *op.Op) (*delivery.Doing, op.Outcome, error) {
	return b.doWith(ctx, o, func() {
		if !b.local && o.Kind != op.Fetch {
			b.ns.srv.fleet.do(ctx, o)
		}
	})
}

// doWith is do; elsewhere is called when the operation has its place here, to have it done on other nodes.
func (b Broadcast) doWith(ctx context.Context, o *op.Op, elsewhere func()) (*delivery.Doing, op.Outcome, error) {
	if b.wrong != "" {
		return nil, op.Outcome{}, coded(ErrInvalid, b.wrong)
	}
	if err := b.runs(); err != nil {
		return nil, op.Outcome{}, err
	}
	o.Namespace, o.Target = b.ns.path, b.to
	d, err := b.ns.srv.hub.Begin(ctx, o)
	if err != nil {
		return nil, op.Outcome{}, wrap(err, "")
	}
	elsewhere()
	out, err := d.Wait(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return d, out, wrap(err, "the context ended before every loop had answered; what was begun goes on")
	}
	return d, out, wrap(err, "")
}
