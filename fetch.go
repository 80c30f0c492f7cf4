package weir

import (
	"context"
	"time"

	"github.com/streamweir/weir/internal/nodes"
	"github.com/streamweir/weir/internal/op"
)

// SocketInfo describes a socket of any node, as it was a moment ago.
type SocketInfo struct {
	ID        string
	Principal string
	Address   string   // of its client, as far as its node knows it
	Rooms     []string // its own first
	Node      string   // the name of the node that has it (ClusterOptions.Node); "" where there is no cluster
}

// fetchPatience is how long other nodes are waited for, unless the context says so.
const fetchPatience = 5 * time.Second

// Fetch describes the sockets chosen, on all nodes unless Local narrows the choice. It waits for every loop of this
// node, and for the other nodes that are there, as long as ctx allows, 5 s if it has no deadline: which those are is known
// two seconds after the broker was reached. Errors are those of Sockets. With ErrTimeout, whose text names the nodes that
// have not answered, or not in full (4 MiB of descriptions each), and with ErrUnavailable, if the broker is away and nobody
// else could be asked, it returns those found.
func (b Broadcast) Fetch(ctx context.Context) ([]SocketInfo, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, fetchPatience)
		defer cancel()
	}
	_, out, err := b.do(ctx, &op.Op{Kind: op.Fetch, Describe: true})
	f := b.ns.srv.fleet
	list := describe(nil, f.nodeName(), out.Sockets)
	if err != nil || b.local {
		return list, err
	}
	asked, err := op.Append(nil, &op.Op{Kind: op.Fetch, Namespace: b.ns.path, Target: b.to, Describe: true})
	if err != nil {
		return list, wrap(err, "")
	}
	missing, err := f.ask(ctx, operations(b.ns.path), asked, func(n nodes.Node, answer []byte) bool {
		kind, out, err := op.ParseOutcome(answer)
		if err != nil || kind != op.Fetch {
			return false
		}
		list = describe(list, n.Name, out.Sockets)
		return !out.Partial
	})
	if err != nil {
		return list, err
	}
	return list, missing.err()
}

func describe(list []SocketInfo, node string, found []op.Description) []SocketInfo {
	for _, d := range found {
		list = append(list, SocketInfo{ID: d.ID, Principal: d.Principal, Address: d.Address, Rooms: d.Rooms, Node: node})
	}
	return list
}
