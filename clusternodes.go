package weir

import (
	"context"
	"fmt"
	"time"

	"github.com/streamweir/weir/internal/nodes"
)

// channelOfNodes is where nodes say that they live. It is no namespace's.
const channelOfNodes = "nodes"

// greetTime is how long a heartbeat may take to the broker: the next one comes soon.
const greetTime = time.Second

// greet makes the node known to the others, and them to it.
func (f *fleet) greet(ctx context.Context, name string) error {
	err := f.subscribe(ctx, channelOfNodes, func(_ string, data []byte) {
		if r := f.nodes.Load(); r != nil {
			r.Hear(data)
		}
	})
	if err != nil {
		return fmt.Errorf("hear of other nodes: %w", err)
	}
	f.nodes.Store(nodes.New(nodes.Node{ID: f.id, Name: name, Started: time.Now()}, nodes.Options{
		Send: f.sayHello,
		Came: func(n nodes.Node) { f.of.log.Info("a node has joined the cluster", "node", n.Name, "id", n.ID) },
		Left: func(n nodes.Node, goodbye bool) {
			if goodbye {
				f.of.log.Info("a node has left the cluster", "node", n.Name, "id", n.ID)
				return
			}
			f.of.log.Warn("a node of the cluster is not heard any more", "node", n.Name, "id", n.ID, "seconds", nodes.Lease.Seconds())
		},
	}))
	return nil
}

// sayHello sends a heartbeat. While the broker is away nobody can hear it.
func (f *fleet) sayHello(data []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), greetTime)
	defer cancel()
	_ = f.member.Load().Publish(ctx, channelOfNodes, data)
}

// part says goodbye.
func (f *fleet) part() {
	if r := f.nodes.Load(); r != nil {
		r.Close()
	}
}

// nodesThere is how many nodes there are, as far as this one, which counts, has heard lately.
func (f *fleet) nodesThere() int {
	r := f.nodes.Load()
	if r == nil {
		return 1
	}
	return len(r.Others()) + 1
}
