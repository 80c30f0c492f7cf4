package loadtest

import (
	"fmt"
	"math"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// fleet is the clients of a run, in this process or in others. One goroutine calls it; Delivered is for another.
type fleet interface {
	Do(order) error
	Snapshot() ([]swarm.Snapshot, error) // one for each group, in order of being added; since the last Snapshot
	Delivered() <-chan int64             // as swarm.Swarm's, over the whole fleet
	Close() error
}

// order is one thing for a fleet to do: exactly one field is set. It is JSON because agents get it over a pipe.
type order struct {
	Add   *swarm.Group `json:"add,omitempty"`
	Cut   *cutOrder    `json:"cut,omitempty"`
	Leave string       `json:"leave,omitempty"` // a group
	Begin string       `json:"begin,omitempty"` // a group whose events were held
	Read  *readOrder   `json:"read,omitempty"`
}

// group is what an order other than Add is about.
func (o order) group() string {
	switch {
	case o.Cut != nil:
		return o.Cut.Group
	case o.Read != nil:
		return o.Read.Group
	case o.Begin != "":
		return o.Begin
	}
	return o.Leave
}

type cutOrder struct {
	Group string  `json:"group"`
	Share float64 `json:"share"`
}

// readOrder changes how fast a group reads. Who did not read as fast as it could when it was added is still not waited for
// by Delivered.
type readOrder struct {
	Group string `json:"group"`
	Rate  int    `json:"rate"` // of each client, as swarm.Group.ReadRate
}

// local is a fleet in this process.
type local struct{ swarm *swarm.Swarm }

func newLocal(spec swarm.Spec) (*local, error) {
	s, err := swarm.Start(spec)
	if err != nil {
		return nil, err
	}
	return &local{s}, nil
}

func (l *local) Do(o order) error {
	switch {
	case o.Add != nil:
		return l.swarm.Add(*o.Add)
	case o.Cut != nil:
		return l.swarm.Cut(o.Cut.Group, o.Cut.Share)
	case o.Read != nil:
		return l.swarm.Read(o.Read.Group, o.Read.Rate)
	case o.Leave != "":
		return l.swarm.Leave(o.Leave)
	case o.Begin != "":
		return l.swarm.Begin(o.Begin)
	}
	return nil
}

func (l *local) Snapshot() ([]swarm.Snapshot, error) { return l.swarm.Snapshot(), nil }
func (l *local) Delivered() <-chan int64             { return l.swarm.Delivered() }
func (l *local) Close() error                        { return l.swarm.Close() }

// clientsPerSource is how many connections one source address makes: it has ports for ten times as many, but the kernel
// looks longer for one the more are taken. Of sources there are maxSources.
const (
	clientsPerSource = 2_000
	maxSources       = 250
)

// spec is what the clients of these options have in common. total is how many there are in all groups.
func (o *Options) spec(total int) swarm.Spec {
	s := swarm.Spec{
		URL: o.Target.URL, Namespace: o.Target.Namespace, Auth: o.Target.Auth, Header: o.Target.Header,
		Timeout: o.Target.Timeout, Ack: o.Feed.Ack,
		Sources: min((total+clientsPerSource-1)/clientsPerSource, maxSources), // the same in every agent, so that they share the ports
	}
	if o.fed() {
		s.Event = o.Feed.Topic
	}
	if topic := o.subscribed(); topic != "" {
		s.Subscribe = []string{topic}
	}
	return s
}

// subscribed is the topic each client subscribes to, "" for none.
func (o *Options) subscribed() string {
	if o.Feed.NoSubscribe || o.Scenario == Events {
		return ""
	}
	return o.Feed.Topic
}

// muster makes the fleet for so many clients: in this process if its descriptors suffice and nobody wants agents.
func (o *Options) muster(total int) (fleet, error) {
	limit, err := raiseDescriptors()
	if err != nil {
		return nil, err
	}
	agents, err := o.agentsFor(total, limit)
	if err != nil {
		return nil, err
	}
	if agents == 0 {
		return newLocal(o.spec(total))
	}
	return startAgents(agents, o.spec(total))
}

// agentsFor is how many other processes the clients need, 0 for none, if each may have limit descriptors.
func (o *Options) agentsFor(total, limit int) (int, error) {
	each := int(float64(limit) * descriptorShare)
	if each < 1 {
		return 0, fmt.Errorf("%d descriptors are too few for any client: raise ulimit -n", limit)
	}
	switch {
	case o.Agents == 0 && total <= each:
		return 0, nil
	case o.Agents == 0:
		return (total + each - 1) / each, nil
	case (total+o.Agents-1)/o.Agents > each:
		return 0, fmt.Errorf("%d clients in %d agents are more than their descriptors allow, %d each: want --agents %d or 0",
			total, o.Agents, each, (total+each-1)/each)
	}
	return o.Agents, nil
}

// descriptorShare is how much of its descriptors a process gives to clients.
const descriptorShare = 0.9

// part is the i-th of n parts of a group: clients and rates are divided, the first parts get what is left over.
func part(g swarm.Group, i, n int) swarm.Group {
	whole := g.Clients
	g.Clients = share(whole, i, n)
	if whole > 0 {
		g.Rate *= float64(g.Clients) / float64(whole)
	}
	return g
}

func share(whole, i, n int) int {
	of := whole / n
	if i < whole%n {
		of++
	}
	return of
}

// lowest is the least of what several agents have delivered, and false while one has not said.
func lowest(delivered []int64) (int64, bool) {
	least := int64(math.MaxInt64)
	for _, n := range delivered {
		least = min(least, n)
	}
	return least, least > unheard && len(delivered) > 0
}

// unheard is before an agent has said how far its clients are.
const unheard = -1

// offer leaves the newest value in a channel of capacity 1. One goroutine sends.
func offer(to chan int64, n int64) {
	select {
	case <-to:
	default:
	}
	to <- n
}
