package weir

import (
	"context"
	"fmt"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/nodes"
	"github.com/streamweir/weir/internal/op"
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
	if f.questions != nil {
		f.questions.Close()
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

// The channels of questions: all nodes hear the first, one the other.
const channelOfQuestions = "ask"

func answersFor(id string) string { return "answers:" + id }

// listen has the node answer what others ask, and hear what they answer.
func (f *fleet) listen(ctx context.Context) error {
	f.questions = nodes.NewQuestions(f.id, nodes.QuestionOptions{Send: f.say, Answer: f.answer, Hold: f.Hold})
	for channel, hear := range map[string]func([]byte){channelOfQuestions: f.questions.HearQuestion, answersFor(f.id): f.questions.HearAnswer} {
		if err := f.subscribe(ctx, channel, func(_ string, data []byte) { hear(data) }); err != nil {
			return fmt.Errorf("hear what other nodes ask: %w", err)
		}
	}
	return nil
}

// say sends a question to all nodes, or an answer to the one that has asked.
func (f *fleet) say(ctx context.Context, to string, data []byte) error {
	channel := channelOfQuestions
	if to != "" {
		channel = answersFor(to)
	}
	return f.member.Load().Publish(ctx, channel, data)
}

// answer is what another node is answered: of what is asked of sockets, what was found on this one.
func (f *fleet) answer(ctx context.Context, asked []byte) []byte {
	o, err := op.Parse(asked)
	if err != nil || o.Kind != op.Fetch {
		return nil // of a newer node
	}
	out, err := f.of.hub.Do(ctx, o)
	if err != nil && len(out.Sockets) == 0 {
		return nil
	}
	data, err := op.AppendOutcome(nil, o.Kind, &out)
	if err != nil {
		return nil
	}
	return data
}

// ask asks all other nodes that are there. The names are those of nodes that have not answered, or not in full.
func (f *fleet) ask(ctx context.Context, o *op.Op) (found map[string][]op.Description, missing []string, err error) {
	r := f.nodes.Load()
	if r == nil {
		return nil, nil, nil
	}
	if s := f.member.Load().State(); !s.Up { // whoever is there is not known
		return nil, nil, cluster.ErrAway
	}
	asked, err := op.Append(nil, o)
	if err != nil {
		return nil, nil, err
	}
	answers, silent, err := f.questions.Ask(ctx, r.Others(), asked)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range silent {
		missing = append(missing, n.Name)
	}
	found = make(map[string][]op.Description)
	for _, a := range answers {
		_, out, err := op.ParseOutcome(a.Data)
		if err != nil || out.Partial {
			missing = append(missing, a.Node.Name)
		}
		if err == nil {
			found[a.Node.Name] = append(found[a.Node.Name], out.Sockets...)
		}
	}
	return found, missing, nil
}

// nodeName is what this node is called; "": it is in no cluster.
func (f *fleet) nodeName() string {
	if m := f.member.Load(); m != nil {
		return m.name
	}
	return ""
}
