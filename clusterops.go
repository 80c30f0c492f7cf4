package weir

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/nodes"
	"github.com/streamweir/weir/internal/op"
)

// encode is an operation as other nodes get it; what cannot be encoded is counted and logged.
func (f *fleet) encode(o *op.Op) (data []byte, ok bool) {
	data, err := op.Append(make([]byte, 0, 256), o)
	if err != nil {
		f.unsent[kindOperation].Add(1)
		f.of.log.Error("an operation cannot be sent to other nodes", "kind", o.Kind.String(), "namespace", o.Namespace, "error", err)
	}
	return data, err == nil
}

// do tells the other nodes of an operation on sockets; it reports whether the broker has it.
func (f *fleet) do(ctx context.Context, o *op.Op) (sent bool) {
	if f.of.opts.Cluster.Broker == nil {
		return true
	}
	data, ok := f.encode(o)
	if !ok {
		return false
	}
	return f.send(ctx, kindOperation, operations(o.Namespace), f.questions.Tell(data))
}

// emit tells them of an event.
func (f *fleet) emit(ctx context.Context, n *Namespace, e *delivery.Emission, to *delivery.Target) {
	if f.of.opts.Cluster.Broker == nil {
		return
	}
	v, err := e.Value()
	if err != nil {
		f.unsent[kindOperation].Add(1)
		return
	}
	f.do(ctx, &op.Op{Kind: op.Emit, Namespace: n.path, Target: *to, Event: v})
}

// order has the other nodes do an operation, at once, and returns what comes of it. nil nodes: there is no cluster.
func (f *fleet) order(ctx context.Context, o *op.Op) (all op.Outcome, of *admin.Nodes) {
	if f.of.opts.Cluster.Broker == nil {
		return all, nil
	}
	data, ok := f.encode(o)
	if !ok {
		return all, f.nobody()
	}
	of = f.inquire(ctx, operations(o.Namespace), data, func(answer []byte) (understood, whole bool) {
		kind, out, err := op.ParseOutcome(answer)
		if err != nil || kind != o.Kind {
			return false, false
		}
		all.Add(out)
		return true, !out.Partial
	})
	return all, of
}

// inquire tells the other nodes something, at once, and waits for what each answers as long as /api/publish waits for its
// receipt. nil: there is no cluster.
func (f *fleet) inquire(ctx context.Context, channel string, data []byte, use func(answer []byte) (understood, whole bool)) *admin.Nodes {
	if f.of.opts.Cluster.Broker == nil {
		return nil
	}
	r, m := f.nodes.Load(), f.member.Load()
	if r == nil { // it has not joined yet
		f.unsent[kindOperation].Add(1)
		return f.nobody()
	}
	of := &admin.Nodes{Answered: 1, Unknown: !r.IsWhole() || !m.State().Up}
	others := r.Others()
	wait := f.of.opts.Management.ReceiptTimeout
	if at, limited := ctx.Deadline(); limited { // whoever waits has the answer before that
		wait = min(wait, time.Until(at)-min(time.Until(at)/answerShare, answerTime))
	}
	patience, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	silent, err := f.questions.Ask(patience, nodes.Question{
		Of: others, Data: data,
		Send: func(ctx context.Context, data []byte) error { return m.Publish(ctx, channel, data) },
		Use: func(answers []nodes.Answer) {
			for _, a := range answers {
				understood, whole := use(a.Data)
				if understood {
					of.Answered++
				}
				if !whole {
					of.Missing = append(of.Missing, a.Node.Name)
				}
			}
		},
	})
	if err != nil {
		f.unsent[kindOperation].Add(1)
		silent, of.Unknown = others, true
	}
	of.Missing = slices.Compact(slices.Sorted(slices.Values(append(of.Missing, namesOf(silent)...))))
	return of
}

// nobody is an answer of this node alone, though there may be others.
func (f *fleet) nobody() *admin.Nodes {
	of := &admin.Nodes{Answered: 1, Unknown: true}
	if r := f.nodes.Load(); r != nil {
		of.Missing = namesOf(r.Others())
	}
	return of
}

func namesOf(list []nodes.Node) (names []string) {
	for _, n := range list {
		names = append(names, n.Name)
	}
	return names
}

// begin begins here what another node asks of sockets, in the order in which it was asked, and returns how that is answered. It
// is the listener who calls it.
func (f *fleet) begin(from string, asked []byte) (answer func(ctx context.Context, most int) []byte) {
	o, err := op.Parse(asked)
	if err != nil {
		return nil // of a newer node
	}
	ctx, cancel := context.WithTimeout(context.Background(), adoptTimeout)
	defer cancel()
	switch o.Kind { //nolint:exhaustive // all others are done to sockets
	case op.Ask:
		return f.beginAsk(ctx, o)
	case op.ServerSide:
		return f.beginServerSide(from, o)
	}
	d, err := f.of.hub.Begin(ctx, o)
	if err != nil {
		if !errors.Is(err, delivery.ErrClosed) {
			f.of.log.Warn("an operation of another node was not done here", "kind", o.Kind.String(), "namespace", o.Namespace, "error", err)
		}
		return nil
	}
	return func(ctx context.Context, most int) []byte {
		ctx, cancel := early(ctx)
		defer cancel()
		out, _ := d.Wait(ctx) // it is partial then
		data, err := op.AppendPart(nil, o.Kind, &out, most)
		if err != nil {
			return nil
		}
		return data
	}
}

// early ends a moment before an answer would come too late, which is none.
func early(ctx context.Context) (context.Context, context.CancelFunc) {
	at, limited := ctx.Deadline()
	if !limited {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, at.Add(-min(time.Until(at)/answerShare, answerTime)))
}

// What is left of the time for an answer for its way back: a part, and no more than this.
const (
	answerShare = 4
	answerTime  = 2 * time.Second
)
