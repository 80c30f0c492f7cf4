package weir

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/streamweir/weir/internal/ask"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/nodes"
	"github.com/streamweir/weir/internal/op"
)

// How many bytes of answers to one question are kept: of the clients of this node for the application, and for another node.
const (
	maxAnswers      = 64 << 20
	maxAnswersThere = 4 << 20
)

// answersRoom is room for the answers to a question, which an account of the budget counts until they are taken.
func (s *Server) answersRoom(a budget.Account, most int) ask.Keep {
	return ask.Keep{Most: most, Claim: func(n int) bool { return s.hub.ClaimShare(a, n, clusterShare) }, Hold: func(n int) { s.hub.Hold(a, n) }}
}

// Ask sends an event that every socket chosen is to answer, and waits for the answers, at most until ctx ends (30 s if it has
// no deadline); for those of other nodes a minute at most. No sockets: no answers, at once. What went wrong with one socket is
// the Err of its Reply. Answers have room for 64 MiB on this node, and as much for all others, 4 MiB for each, and together for
// an eighth of the memory budget: the Err of a socket whose answer had none is ErrTooLarge.
//
// Errors are those of Emit, ErrTimeout and, before Run and after it, ErrDraining; and ErrUnavailable or ErrBusy, if other nodes
// cannot be asked. But for those of Emit it still returns the answers that came. The text of ErrTimeout says how many clients of
// which node have not answered, and which nodes have said nothing: how many of theirs were asked is not known.
func (b Broadcast) Ask(ctx context.Context, event string, args ...any) ([]Reply, error) {
	if b.wrong != "" {
		return nil, coded(ErrInvalid, b.wrong)
	}
	if err := b.runs(); err != nil {
		return nil, err
	}
	q, ctx, cancel := b.ns.question(ctx, len(b.ns.srv.hub.Shards()))
	defer cancel()
	e, err := b.ns.emission(event, args, q)
	if err != nil {
		return nil, err
	}
	if e.Volatile = b.volatile; b.verbatim {
		e.Frame.Verbatim()
	}
	b.ns.outgoing(event, args)
	if err := b.ns.srv.hub.Emit(ctx, b.ns.d, event, e, b.to); err != nil {
		return nil, wrap(err, "")
	}
	f := b.ns.srv.fleet
	if b.local || b.ns.srv.opts.Cluster.Broker == nil {
		replies, err := q.Wait(ctx)
		return repliesOf(replies, f.nodeName()), wrap(err, "")
	}
	there, lack, thereErr := f.askClients(ctx, b, &e)
	replies, err := q.Wait(ctx) // meanwhile they have come, or still do
	all := append(repliesOf(replies, f.nodeName()), there...)
	switch {
	case errors.Is(err, &base.Error{Code: base.CodeTimeout}):
		lack = append(lack, silence(q.Asked()-len(replies), q.Asked(), f.nodeName()))
	case err != nil:
		return all, wrap(err, "")
	}
	if len(lack) == 0 {
		return all, thereErr
	}
	slices.Sort(lack)
	err = coded(ErrTimeout, "not all have answered: "+strings.Join(lack, ", "))
	if thereErr != nil {
		err = errors.Join(thereErr, err)
	}
	return all, err
}

// silence says how many of a node's clients have not answered.
func silence(n, of int, node string) string {
	return fmt.Sprintf("%d of %d clients of node %s", n, of, node)
}

// askClients has the clients of other nodes asked, and returns their answers, and who has not answered.
func (f *fleet) askClients(ctx context.Context, b Broadcast, e *delivery.Emission) (there []Reply, lack []string, err error) {
	v, err := e.Value()
	if err != nil {
		return nil, nil, wrap(err, "")
	}
	asked, err := op.Append(nil, &op.Op{Kind: op.Ask, Namespace: b.ns.path, Target: b.to, Event: v})
	if err != nil {
		return nil, nil, wrap(err, "")
	}
	silent, err := f.ask(ctx, operations(b.ns.path), asked, func(n nodes.Node, answer []byte) bool {
		kind, out, err := op.ParseOutcome(answer)
		if err != nil || kind != op.Ask {
			return false
		}
		found := make([]ask.Reply, len(out.Answers))
		for i := range out.Answers {
			found[i] = ask.ReplyOf(&out.Answers[i])
		}
		there = append(there, repliesOf(found, n.Name)...)
		if out.Partial {
			lack = append(lack, silence(out.Done-len(found), out.Done, n.Name))
		}
		return true
	})
	for _, name := range silent {
		lack = append(lack, "node "+name)
	}
	return there, lack, err
}

// beginAsk asks the clients of this node for another one, and returns how their answers are told.
func (f *fleet) beginAsk(ctx context.Context, o *op.Op) (answer func(ctx context.Context, most int) []byte) {
	a, err := ask.Begin(ctx, f.of.hub, o, f.of.stopped, f.of.answersRoom(budget.Cluster, maxAnswersThere))
	if err != nil {
		if !errors.Is(err, delivery.ErrClosed) {
			f.of.log.Warn("clients were not asked for another node", "namespace", o.Namespace, "error", err)
		}
		return nil
	}
	return func(ctx context.Context, most int) []byte {
		ctx, cancel := early(ctx)
		defer cancel()
		out, _ := a.Wait(ctx) // it is partial then
		data, err := op.AppendPart(nil, op.Ask, &out, most)
		if err != nil {
			return nil
		}
		return data
	}
}
