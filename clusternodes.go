package weir

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
			f.questions.Gone(n)
			if goodbye {
				f.of.log.Info("a node has left the cluster", "node", n.Name, "id", n.ID)
				return
			}
			f.of.log.Warn("a node of the cluster is not heard any more", "node", n.Name, "id", n.ID, "seconds", nodes.Lease.Seconds())
		},
	}))
	f.running.Go(f.agree)
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
	f.end()
	f.running.Wait()
	if r := f.nodes.Load(); r != nil {
		r.Close()
	}
	f.questions.Close()
}

// nodesThere is how many nodes there are, as far as this one, which counts, has heard lately.
func (f *fleet) nodesThere() int {
	r := f.nodes.Load()
	if r == nil {
		return 1
	}
	return len(r.Others()) + 1
}

// answersFor is the channel of the answers to a node's questions.
func answersFor(id string) string { return "answers:" + id }

// sendAnswer gives an answer to the node that has asked: this one has joined by then.
func (f *fleet) sendAnswer(ctx context.Context, to string, data []byte) error {
	return f.member.Load().Publish(ctx, answersFor(to), data)
}

// listen has the node answer what others ask, and hear what they answer.
func (f *fleet) listen(ctx context.Context) error {
	for channel, hear := range map[string]func([]byte){
		channelOfRevocations: func(data []byte) { f.questions.Hear(data, f.beginRevocations) },
		channelOfViews:       func(data []byte) { f.questions.Hear(data, f.beginView) },
		answersFor(f.id):     f.questions.HearAnswer,
	} {
		if err := f.subscribe(ctx, channel, func(_ string, data []byte) { hear(data) }); err != nil {
			return fmt.Errorf("hear what other nodes ask: %w", err)
		}
	}
	return nil
}

// missing are the nodes that have not answered, or not in full, by their names.
type missing []string

// err says which; nil: all have answered.
func (m missing) err() error {
	if len(m) == 0 {
		return nil
	}
	slices.Sort(m)
	return coded(ErrTimeout, "not all nodes have answered: "+strings.Join(slices.Compact(m), ", "))
}

// ask asks all other nodes that are there, once that is known, for nodes.Patience at most, and gives use the answer of
// each: what that does not understand wholly makes a node missing.
//
// Errors: ErrUnavailable, nobody could be asked; ErrTimeout; ErrBusy.
func (f *fleet) ask(ctx context.Context, channel string, asked []byte, use func(n nodes.Node, answer []byte) (whole bool)) (missing, error) {
	if f.of.opts.Cluster.Broker == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, nodes.Patience)
	defer cancel()
	r, m := f.nodes.Load(), f.member.Load()
	if r == nil {
		return nil, coded(ErrUnavailable, "other nodes cannot be asked: this one has not joined its cluster")
	}
	if s := m.State(); !s.Up { // whoever is there is not known
		return nil, coded(ErrUnavailable, "other nodes cannot be asked: the broker is away")
	}
	if !r.Whole(ctx) {
		return nil, coded(ErrTimeout, "not all nodes have answered: this one has not heard yet which there are")
	}
	var unheard missing
	silent, err := f.questions.Ask(ctx, nodes.Question{
		Of: r.Others(), Data: asked,
		Send: func(ctx context.Context, data []byte) error { return m.Publish(ctx, channel, data) },
		Use: func(answers []nodes.Answer) {
			for _, a := range answers {
				if !use(a.Node, a.Data) {
					unheard = append(unheard, a.Node.Name)
				}
			}
		},
	})
	switch {
	case errors.Is(err, nodes.ErrBusy):
		return nil, &Error{Code: ErrBusy, Reason: err.Error(), Cause: err}
	case err != nil:
		return nil, &Error{Code: ErrUnavailable, Reason: "other nodes cannot be asked", Cause: err}
	}
	for _, n := range silent {
		unheard = append(unheard, n.Name)
	}
	return unheard, nil
}

// nodeName is what this node is called; "": it is in no cluster.
func (f *fleet) nodeName() string {
	if m := f.member.Load(); m != nil {
		return m.name
	}
	return ""
}
