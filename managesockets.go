package weir

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/op"
)

// Emit implements admin.Publisher. The event goes to other nodes when it has its place here.
func (p publisher) Emit(ctx context.Context, r *admin.EmitRequest) (wait func(context.Context) admin.Emitted, err error) {
	n := p.s.byPath.Find(r.Namespace)
	switch {
	case n == nil:
		return nil, inward(coded(ErrUnknown, "unknown namespace "+r.Namespace))
	case p.s.state.Load() == stateStopped:
		return nil, inward(coded(ErrDraining, "the server has stopped"))
	}
	b := n.All()
	if r.Rooms != nil {
		b = b.To(r.Rooms...)
	}
	b = b.Except(r.Except...)
	b.to.Socket, b.to.Principal = r.Socket, r.Principal
	args := make([]any, len(r.Args))
	for i, a := range r.Args {
		args[i] = json.RawMessage(a)
	}
	err = b.emit(r.Event, args, func(e delivery.Emission) error {
		pending, err := p.s.hub.EmitWithReceipt(ctx, n.d, r.Event, e, b.to)
		if err != nil {
			return err
		}
		v, err := e.Value()
		wait = func(ctx context.Context) admin.Emitted { return p.emitted(ctx, pending, n, &v, &b.to) }
		return err
	})
	return wait, inward(err)
}

// emitted has the other nodes emit an event, and waits for what it meets here and there.
func (p publisher) emitted(ctx context.Context, pending *delivery.Pending, n *Namespace, v *op.Event, to *delivery.Target) admin.Emitted {
	o := &op.Op{Kind: op.Emit, Namespace: n.path, Target: *to, Event: *v, Wait: p.s.opts.Management.ReceiptTimeout}
	there, of := p.s.fleet.order(context.WithoutCancel(ctx), o)
	out := admin.Emitted{Receipt: pending.Receipt(ctx), Nodes: of}
	out.Subscribers += there.Done
	out.Queued += there.Met.Queued
	out.Coalesced += there.Met.Coalesced
	out.Dropped += there.Met.Dropped
	out.Rejected += there.Met.Rejected
	return out
}

// sockets implements admin.Sockets.
type sockets struct{ s *Server }

// Join implements admin.Sockets.
func (a sockets) Join(ctx context.Context, f admin.Filter, rooms []string) (admin.Reached, error) {
	_, out, of, err := a.do(ctx, f, &op.Op{Kind: op.Join, Rooms: rooms})
	skipped := out.Skipped + out.Short
	return admin.Reached{Sockets: out.Done + skipped, Skipped: skipped, Nodes: of}, inward(err)
}

// Leave implements admin.Sockets.
func (a sockets) Leave(ctx context.Context, f admin.Filter, rooms []string) (admin.Reached, error) {
	_, out, of, err := a.do(ctx, f, &op.Op{Kind: op.Leave, Rooms: rooms})
	return admin.Reached{Sockets: out.Done, Nodes: of}, inward(err)
}

// do has an operation done to every socket that a filter means, on all nodes, and returns what came of it here and everywhere.
// With an error too it may have been done.
func (a sockets) do(ctx context.Context, f admin.Filter, o *op.Op) (here, all op.Outcome, of *admin.Nodes, err error) {
	ns := a.s.byPath.Find(f.Namespace)
	if ns == nil {
		return here, all, nil, coded(ErrUnknown, "unknown namespace "+f.Namespace)
	}
	b := ns.All()
	b.to.Socket, b.to.Principal = f.ID, f.Principal
	if f.Room != "" {
		b = b.To(f.Room)
	}
	o.Only = op.Only{Topic: f.Topic, Address: f.Address}
	var there op.Outcome
	_, here, err = b.doWith(ctx, o, func() { there, of = a.s.fleet.order(ctx, o) })
	all = here
	all.Sockets = slices.Clone(here.Sockets)
	all.Add(&there)
	return here, all, of, err
}

// Disconnect implements admin.Sockets: the sockets are found now and sent away by
// a goroutine of the server's.
func (a sockets) Disconnect(ctx context.Context, r admin.DisconnectRequest) (admin.Reached, error) {
	here, out, of, err := a.do(ctx, r.Filter, &op.Op{Kind: op.Fetch})
	reached := admin.Reached{Sockets: out.Done, Nodes: of}
	if err != nil || r.DryRun || out.Done == 0 {
		return reached, inward(err)
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if a.s.state.Load() == stateStopped {
		return admin.Reached{}, inward(coded(ErrDraining, "the server has stopped"))
	}
	o := op.Op{Kind: op.Disconnect, Namespace: r.Filter.Namespace, Cause: base.CauseAdmin}
	if !r.Reconnect {
		o.Cause, o.Reason = base.CauseForbidden, "disconnected by an operator"
	}
	a.s.wg.Add(1)
	go a.s.expel(out.Sockets, len(here.Sockets), r.Rate, o)
	return reached, nil
}

// expel does an operation to sockets one by one, rate a second or all as fast as the loops take it; of those found so many
// are this node's own and come first. It ends early when the server stops.
func (s *Server) expel(found []op.Description, own, rate int, o op.Op) {
	defer s.wg.Done()
	var pause <-chan time.Time
	if rate > 0 {
		t := time.NewTicker(time.Second / time.Duration(rate))
		defer t.Stop()
		pause = t.C
	}
	unsent := 0
	for i, d := range found {
		one := o
		one.Target.Socket = d.ID
		if i < own {
			if _, err := s.hub.Begin(context.Background(), &one); err != nil {
				return // the loops have ended
			}
		} else if !s.fleet.do(context.Background(), &one) {
			unsent++
		}
		select {
		case <-s.closing:
			return
		default:
		}
		if pause == nil {
			continue
		}
		select {
		case <-pause:
		case <-s.closing:
			return
		}
	}
	if unsent > 0 {
		s.log.Error("sockets of other nodes were not sent away: the broker did not take it", "namespace", o.Namespace, "sockets", unsent)
	}
}
