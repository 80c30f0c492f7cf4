package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/op"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
)

// ErrAsk says that a question was handed to Begin: whoever asks waits for answers, see the room ask.
var ErrAsk = errors.New("a question is not begun here")

// Doing is an operation under way on this node.
type Doing struct {
	hub *Hub
	job *operation // nil: there is nothing to wait for but emitted
	// wait is how long Wait waits at most; 0: as long as its context allows.
	wait time.Duration
	// emitted is the event of an Emit whose outcome is wanted.
	emitted *Pending
	// Sockets are those that a Fetch has found, once Wait has returned: what the outcome names, as
	// this node's own.
	Sockets []*Socket
}

// Begin gives an operation its place in the order of the namespace's emits, and has it done to
// every socket of this node that it means, each once, on the sockets' shards. A socket that leaves
// the namespace meanwhile may be left out. It waits for room in the inboxes as long as ctx allows.
// o must not be changed any more.
//
// Errors: op.ErrInvalid, ErrUnknownNamespace, ErrAsk, ErrBusy, ErrClosed; for Emit those of Emit.
func (h *Hub) Begin(ctx context.Context, o *op.Op) (*Doing, error) {
	if err := o.Valid(); err != nil {
		return nil, err
	}
	n := h.namespaces.Find(o.Namespace)
	switch {
	case n == nil:
		return nil, ErrUnknownNamespace
	case o.Kind == op.Ask:
		return nil, ErrAsk
	case o.Kind == op.Emit:
		event, e, err := n.Emission(&o.Event, nil, 0)
		if err != nil {
			return nil, err
		}
		d := &Doing{hub: h, wait: o.Wait}
		pending, err := h.emit(ctx, n, event, e, o.Target, o.Wait > 0)
		if o.Wait > 0 {
			d.emitted = pending
		}
		return d, err
	}
	j := &operation{ns: n, op: o, load: load{weight: inbox.Cost(0)}, tally: newTally(h.Receivers(&o.Target))}
	if err := h.put(ctx, j); err != nil {
		return nil, err
	}
	return &Doing{hub: h, job: j, wait: o.Wait}, nil
}

// Wait waits until all shards have done their part, and returns what came of it. When ctx ends
// first, or o.Wait is over, or the hub is closed, that is what there is by then, as an outcome that
// is partial, with the context's error or ErrClosed: what was begun goes on. It is called once.
func (d *Doing) Wait(ctx context.Context) (out op.Outcome, err error) {
	if d.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.wait)
		defer cancel()
	}
	if d.job == nil {
		return d.emission(ctx), nil
	}
	select {
	case <-d.job.tally.done:
	case <-ctx.Done():
		err = ctx.Err()
	case <-d.hub.done:
		err = ErrClosed
	}
	if d.job.tally.waiting.Load() <= 0 {
		err = nil // all is done, whatever else has ended
	}
	out, d.Sockets = d.job.found.take()
	out.Partial = err != nil
	return out, err
}

// emission waits for what an event has met, at most until ctx ends.
func (d *Doing) emission(ctx context.Context) (out op.Outcome) {
	if d.emitted == nil {
		return out
	}
	r := d.emitted.Receipt(ctx)
	met := op.Met{Queued: r.Queued, Coalesced: r.Coalesced, Dropped: r.Dropped, Rejected: r.Rejected}
	return op.Outcome{Done: r.Subscribers, Met: met, Partial: !r.Complete}
}

// Do is Begin and Wait with the same context.
func (h *Hub) Do(ctx context.Context, o *op.Op) (op.Outcome, error) {
	d, err := h.Begin(ctx, o)
	if err != nil {
		return op.Outcome{}, err
	}
	return d.Wait(ctx)
}

// put appends an operation to the inboxes of all shards, or of the one its target
// names, at one place in the namespace's order.
func (h *Hub) put(ctx context.Context, j *operation) error {
	if h.closed() {
		return ErrClosed
	}
	var held reservation
	defer held.release()
	if err := held.reserveAll(ctx, h, &j.op.Target, j.weight); err != nil {
		return err
	}
	j.ns.mu.Lock()
	defer j.ns.mu.Unlock()
	held.put(j)
	return nil
}

// Emission is the event of an operation, encoded, and its name. With a sink the client is to
// answer it under the ack id.
func (n *Namespace) Emission(v *op.Event, acks AckSink, id uint64) (event string, e Emission, err error) {
	h := sio.EventHeader{Namespace: n.Path, ID: id, HasID: acks != nil}
	e = Emission{AckID: id, Acks: acks, Volatile: v.Volatile}
	if e.Frame, event, e.First, err = packet.Raw(h, v.Data, v.Attachments); err != nil {
		return "", e, err
	}
	if v.Verbatim {
		e.Frame.Verbatim()
	}
	return event, e, nil
}

// Value is the event of an emission as other nodes get it; its bytes are views into the frame.
func (e *Emission) Value() (v op.Event, err error) {
	v = op.Event{Volatile: e.Volatile, Verbatim: e.Frame.Packing() == base.Verbatim}
	v.Data, v.Attachments, err = packet.Split(e.Frame)
	return v, err
}

// findings are what shards have done and found, and nobody has taken yet. Whoever takes it shares
// nothing with those who still add to it.
type findings struct {
	mu      sync.Mutex
	out     op.Outcome
	sockets []*Socket
}

func (f *findings) take() (out op.Outcome, sockets []*Socket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out, sockets = f.out, f.sockets
	f.out, f.sockets = op.Outcome{}, nil
	return out, sockets
}

// add notes what was done to a socket, or why it was not.
func (f *findings) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.out.Done++
	case errors.Is(err, ErrBudget):
		f.out.Short++
	default:
		f.out.Skipped++
	}
}

// fetch notes a socket that was found.
func (f *findings) fetch(s *Socket, d op.Description) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.Done++
	f.out.Sockets, f.sockets = append(f.out.Sockets, d), append(f.sockets, s)
}

// home implements job.
//
//weir:loop
func (j *operation) home(sh *Shard) **stream { return &j.ns.on(sh).orders }

// begin implements job.
//
//weir:loop
func (j *operation) begin(sh *Shard, u *underWay) { u.choose(sh, j.ns, &j.op.Target) }

// goOn implements job.
//
//weir:loop
func (j *operation) goOn(sh *Shard, u *underWay, most int) (done bool) {
	if u.choosing && !sh.choose(j.ns, &j.op.Target, u, most) {
		return false
	}
	for ; u.left > 0 && sh.spent < most; u.left-- {
		sh.spent++
		if s := u.chosen[u.left-1]; !s.closed && s.is(&j.op.Only) {
			j.apply(sh, s)
		}
	}
	return u.left == 0
}

// end implements job.
//
//weir:loop
func (j *operation) end(sh *Shard, _ *underWay) {
	j.tally.finished()
	j.lift(sh)
}

// apply does to one socket what the operation asks for.
//
//weir:loop
func (j *operation) apply(sh *Shard, s *Socket) {
	var err error
	switch o := j.op; o.Kind {
	case op.Join:
		err = s.Join(o.Rooms...)
	case op.Leave:
		for _, name := range o.Rooms {
			s.Leave(name)
		}
	case op.Disconnect:
		sh.spent += writeCost // what waits is written first
		s.sendAway(o)
	case op.Fetch:
		d := op.Description{ID: s.ID, Principal: s.Principal}
		if o.Describe {
			d.Address, d.Rooms = s.conn.address(), s.Rooms()
		}
		j.found.fetch(s, d)
		return
	case op.Emit, op.Ask, op.ServerSide: // are fanned out as messages, see Hub.Begin, or not for sockets
	}
	j.found.add(err)
}

// is reports whether an operation that is only for some is for the socket.
func (s *Socket) is(only *op.Only) bool {
	return (only.Topic == "" || s.Subscribed(only.Topic)) && (only.Address == "" || s.conn.address() == only.Address) &&
		(only.Token == "" || s.token() == only.Token)
}

// Tokened says by which token a socket's client has proved who it is. A SocketPeer may implement it.
//
//weir:loop
type Tokened interface{ TokenID() string }

// token is the id of that token, "" if the socket's peer does not say.
func (s *Socket) token() string {
	if p, ok := s.Peer.(Tokened); ok {
		return p.TokenID()
	}
	return ""
}

// Addressed says where a connection comes from. A Peer may implement it.
//
//weir:loop
type Addressed interface{ Address() string }

// address is where the connection comes from, "" if its peer does not say.
func (c *Conn) address() string {
	if p, ok := c.peer.(Addressed); ok {
		return p.Address()
	}
	return ""
}

// sendAway ends a socket as a Disconnect asks for.
func (s *Socket) sendAway(o *op.Op) {
	switch o.Cause {
	case base.CauseAdmin:
		s.conn.RecordCut(o.Cause)
		s.conn.Finish(o.Cause)
	case base.CauseForbidden:
		s.conn.RecordCut(base.CauseAdmin)
		s.Expel(o.Cause, base.CodeForbidden, o.Reason)
	case base.CauseTokenExpired:
		s.conn.RecordCut(o.Cause)
		s.Expel(o.Cause, base.CodeTokenExpired, o.Reason)
	default:
		s.Close(o.Cause, packet.Disconnect(s.Namespace.Path))
		if o.Transport {
			s.conn.Leave()
		}
	}
}

// Expel ends a socket and tells its client why: official ones do not come back by themselves then.
func (s *Socket) Expel(cause base.Cause, code *base.Code, reason string) {
	why := packet.Refusal{Code: code.Name, Reason: reason}
	if f, err := packet.Refused(s.Namespace.Path, &why); err == nil { // texts always are encoded
		s.Send(f)
	}
	s.Close(cause, packet.Disconnect(s.Namespace.Path))
}

// Leave ends all namespaces of the connection with a DISCONNECT, then the connection.
func (c *Conn) Leave() {
	for _, s := range slices.Clone(c.sockets) {
		s.Close(base.CauseServerDisconnect, packet.Disconnect(s.Namespace.Path))
	}
	c.Finish(base.CauseServerDisconnect)
}
