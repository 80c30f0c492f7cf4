package weir

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/nodes"
	"github.com/streamweir/weir/internal/sharedlog"
	"github.com/streamweir/weir/internal/topiclog"
)

// ClusterOptions join servers, each a node: what is published on one reaches the subscribers on all, and so do the emits, rooms and
// disconnections of a Broadcast. All nodes must declare the same namespaces and topics.
//
// A topic that is AT_LEAST_ONCE or has a History has its log at the broker, which gives all nodes one order and one numbering;
// offsets have holes there. All else is best effort between nodes: it reaches the sockets of this node at once, those of others
// once, if they can be reached at that moment.
//
// While the broker is away, clients stay connected. What is published to an AT_LEAST_ONCE topic fails with
// ErrUnavailable; everything else reaches the sockets of this node only, and weir_cluster_unsent_total counts it.
type ClusterOptions struct {
	// Broker is what joins them, for instance redis.New of the package cluster/redis; nil: this server is alone.
	Broker cluster.Broker

	// Node names this one to the broker and in the log: default the host's name. It need not be unique.
	Node string

	// LogRecords is how many records the broker keeps of an AT_LEAST_ONCE topic: a node that cannot hear the broker for
	// so long that more are published misses the oldest, which its log says. Default 10,000; 1 to 1,000,000. A larger
	// History counts.
	LogRecords int

	// JoinTimeout is how long Run waits for the broker, and then fails with what that says; meanwhile /readyz and the log say it.
	// Default 10 s; Off: as long as it takes.
	JoinTimeout time.Duration
}

// What a node waits for.
const (
	openTimeout       = 5 * time.Second
	adoptTimeout      = time.Second // for room, for what another node has sent
	defaultLogRecords = 10_000
	maxLogRecords     = 1_000_000
)

func (c *ClusterOptions) validate(p *problems) {
	if c.Node != "" {
		if err := cluster.CheckName(c.Node); err != nil {
			p.add("Cluster.Node: %w", err)
		}
	}
	within(p, "Cluster.LogRecords", c.LogRecords, 0, maxLogRecords)
	within(p, "Cluster.JoinTimeout", c.JoinTimeout, Off, maxDuration)
	if c.Broker == nil && (c.Node != "" || c.LogRecords != 0 || c.JoinTimeout != 0) {
		p.add("Cluster: Node, LogRecords and JoinTimeout have no effect without a Broker")
	}
}

// validateCluster refuses what topics cannot have where a broker keeps their logs.
func (n *NamespaceOptions) validateCluster(p *problems, at string, c *ClusterOptions) {
	if c.Broker == nil {
		return
	}
	for i := range n.Topics {
		t := &n.Topics[i]
		t.validateCluster(p, fmt.Sprintf("%s.Topics[%d] (%s)", at, i, t.Name))
	}
}

func (t *TopicOptions) validateCluster(p *problems, at string) {
	if t.journaled() {
		p.add("%s: SPILL_TO_DISK and Retention are not to be had together with Cluster.Broker: the journal of a node knows nothing of the others' numbers", at)
	}
	if t.HistoryBytes != 0 && t.HistoryBytes != defaultHistoryBytes {
		p.add("%s.HistoryBytes %d: a broker's logs are bounded by History alone", at, t.HistoryBytes)
	}
}

// shares is how many records of a topic the broker keeps; 0: it has no log there.
func (c *ClusterOptions) shares(t *TopicOptions) int {
	switch {
	case c.Broker == nil:
		return 0
	case t.Mode == AtLeastOnce:
		return max(t.History, orDefault(c.LogRecords, defaultLogRecords))
	}
	return t.History
}

// fleet is a server's part in a cluster, between Run and its end.
type fleet struct {
	of     *Server
	id     string // of this server, in what it sends
	logs   *sharedlog.Logs
	member atomic.Pointer[joined] // nil: it has not joined
	nodes  atomic.Pointer[nodes.Registry]

	questions *nodes.Questions
	untold    chan struct{} // has room for one: a node may not know of a revocation
	uncut     chan struct{} // has room for one: there is something in owed
	running   sync.WaitGroup
	life      context.Context // ends with part
	end       context.CancelFunc
	unsent    [kinds]atomic.Uint64
	lacks     lacking

	refused    atomic.Uint64 // events of other nodes for handlers of this one, for want of room
	unheard    atomic.Uint64 // messages of other nodes that came and were lost, since too much waited for this one
	missed     atomic.Uint64 // gaps in topics: records, nobody knows how many, that this node never delivered
	renumbered atomic.Uint64 // logs that the broker has lost

	mu    sync.Mutex
	heard map[string]func(from string, data []byte) // by channel
	owed  []guard.Revoked                           // revoked elsewhere, and whose sockets are to be ended yet
}

// joined is a member, which no longer changes.
type joined struct {
	cluster.Member
	name string // of the node
}

// What nodes send each other, for weir_cluster_unsent_total.
const (
	kindPublish = iota
	kindOperation
	kinds
)

var kindNames = [kinds]string{"publish", "operation"}

func newFleet(s *Server) *fleet {
	f := &fleet{of: s, id: sharedlog.NewOrigin(), logs: sharedlog.NewLogs(), heard: make(map[string]func(string, []byte)), untold: make(chan struct{}, 1), uncut: make(chan struct{}, 1)}
	f.life, f.end = context.WithCancel(context.Background())
	f.questions = nodes.NewQuestions(f.id, nodes.QuestionOptions{Send: f.sendAnswer, Hold: f.Hold, Claim: f.Claim})
	return f
}

// openLog is delivery.Options.Open.
func (s *Server) openLog(d *delivery.Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error) {
	if s.opts.Cluster.Broker != nil {
		return s.fleet.topic(d.Namespace.Path, topic, d.Spec.Retention, deliver)
	}
	return s.disk.topic(d, topic, deliver)
}

// close leaves the cluster, when nothing is delivered any more.
func (f *fleet) close() {
	f.part()
	if m := f.member.Load(); m != nil {
		m.Close()
	}
}

// serve hears the operations of a namespace that other nodes send.
func (f *fleet) serve(ctx context.Context, n *Namespace) error {
	err := f.subscribe(ctx, operations(n.path), func(_ string, data []byte) { f.questions.Hear(data, f.begin) })
	if err != nil {
		return fmt.Errorf("hear the operations of %s: %w", n.path, err)
	}
	return nil
}

// The channels of a cluster.
func operations(namespace string) string      { return "ops:" + namespace }
func publications(namespace, t string) string { return "best:" + namespace + ":" + t }

// subscribe has a function hear a channel. Where the broker is away it will be heard when it is back.
func (f *fleet) subscribe(ctx context.Context, channel string, hear func(from string, data []byte)) error {
	m := f.member.Load()
	if m == nil {
		return errNotRunning
	}
	f.mu.Lock()
	f.heard[channel] = hear
	f.mu.Unlock()
	err := m.Subscribe(ctx, channel)
	if err == nil || errors.Is(err, cluster.ErrAway) {
		return nil
	}
	f.unsubscribe(channel)
	return err
}

func (f *fleet) unsubscribe(channel string) {
	f.mu.Lock()
	delete(f.heard, channel)
	f.mu.Unlock()
	f.member.Load().Unsubscribe(channel)
}

// topic is delivery.Options.Open where there is a broker: a topic that is open is followed. One without a log there
// counts here, and hears what others publish.
func (f *fleet) topic(namespace, topic string, l topiclog.Limits, deliver topiclog.Deliver) (topiclog.Log, error) {
	m := f.member.Load()
	if m == nil {
		return nil, errNotRunning
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if l.Records > 0 {
		return f.open(ctx, m, sharedlog.Options{
			Namespace: namespace, Topic: topic, Keep: l.Records, Deliver: deliver, Holder: f,
			Missed: func(after, upto uint64) {
				f.missed.Add(1)
				f.of.log.Error("records of a topic were not delivered here: the broker did not keep them until it was back (Cluster.LogRecords)",
					"namespace", namespace, "topic", topic, "after", after, "upto", upto)
			},
			Renumbered: func(was, is string) {
				f.renumbered.Add(1)
				f.of.log.Error("the broker has lost the log of a topic: it goes on in a new epoch",
					"namespace", namespace, "topic", topic, "was", was, "is", is)
			},
		})
	}
	return &followed{Log: topiclog.NewMemory(sharedlog.NewOrigin(), topiclog.Limits{}), of: f, namespace: namespace, topic: topic}, nil
}

// open opens a log at the broker. Whoever wants the topic is told when that is away, without its address.
func (f *fleet) open(ctx context.Context, m cluster.Member, o sharedlog.Options) (topiclog.Log, error) {
	log, err := f.logs.Open(ctx, m, o)
	switch {
	case err == nil:
		return log, nil
	case errors.Is(err, cluster.ErrAway):
		return nil, cluster.ErrAway
	}
	f.of.log.Error("the log of a topic cannot be opened at the broker", "namespace", o.Namespace, "topic", o.Topic, "error", err)
	return nil, errBroker
}

// errBroker is what is told of the broker's other errors; the log has them.
var errBroker = errors.New("the broker has failed")

// followed is the numbering of a topic without a log at the broker.
type followed struct {
	topiclog.Log
	of               *fleet
	namespace, topic string
}

var _ topiclog.Follower = (*followed)(nil)

// Follow implements topiclog.Follower. Where the broker is away the topic is heard when it is back.
func (l *followed) Follow(ctx context.Context) error {
	err := l.of.subscribe(ctx, publications(l.namespace, l.topic), func(_ string, data []byte) { l.of.adopt(l.namespace, l.topic, data) })
	if err != nil {
		l.of.of.log.Error("a topic cannot be heard", "namespace", l.namespace, "topic", l.topic, "error", err)
		return errBroker
	}
	return nil
}

// Unfollow implements topiclog.Follower.
func (l *followed) Unfollow() { l.of.unsubscribe(publications(l.namespace, l.topic)) }

// Close implements topiclog.Log.
func (l *followed) Close() {
	l.Unfollow()
	l.Log.Close()
}

// publish tells the other nodes of a publication that has no log at the broker.
func (f *fleet) publish(ctx context.Context, n *Namespace, topic, id string, p *delivery.Publication) {
	if f.of.opts.Cluster.Broker == nil || f.of.opts.Cluster.shares(n.topics[n.d.Declared(topic)]) > 0 {
		return
	}
	r := topiclog.Record{
		ID: id, Key: p.Key, At: time.Now().UnixNano(), Payload: p.Payload, Binary: p.Binary,
		To: topiclog.Recipient{Socket: p.Target.Socket, Principal: p.Target.Principal},
	}
	if len(p.Target.Rooms) > 0 {
		r.To.Room = p.Target.Rooms[0]
	}
	if p.TTL > 0 {
		r.Expires = r.At + int64(p.TTL)
	}
	f.send(ctx, kindPublish, publications(n.path, topic), sharedlog.AppendRecord(nil, f.id, &r))
}

// send gives other nodes something, at most once. What does not go is counted.
func (f *fleet) send(ctx context.Context, kind int, channel string, data []byte) (sent bool) {
	m := f.member.Load()
	if m == nil || m.Publish(ctx, channel, data) != nil {
		f.unsent[kind].Add(1)
		return false
	}
	return true
}

// adopt publishes here what another node has published.
func (f *fleet) adopt(namespace, topic string, data []byte) {
	from, r, err := sharedlog.ParseRecord(data)
	n := f.of.byPath.Find(namespace)
	if err != nil || from == f.id || n == nil {
		return
	}
	p := delivery.Publication{Payload: r.Payload, Binary: r.Binary, Key: r.Key, ID: r.ID, Target: delivery.Target{Socket: r.To.Socket, Principal: r.To.Principal}}
	if r.To.Room != "" {
		p.Target.Rooms = []string{r.To.Room}
	}
	if r.Expires != 0 {
		if p.TTL = time.Until(time.Unix(0, r.Expires)); p.TTL <= 0 {
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), adoptTimeout)
	defer cancel()
	f.of.hub.Adopt(ctx, n.d, topic, &p) // what is refused is counted there
}

// Message implements cluster.Listener.
func (f *fleet) Message(channel string, data []byte) {
	f.mu.Lock()
	hear := f.heard[channel]
	f.mu.Unlock()
	if hear != nil {
		hear(channel, data)
	}
}

// Entries implements cluster.Listener.
func (f *fleet) Entries(log string, entries []cluster.Entry) { f.logs.Entries(log, entries) }

// Lapsed implements cluster.Listener.
func (f *fleet) Lapsed() {
	f.of.log.Warn("messages of other nodes may have been missed: topics with a log at the broker read on from there")
	f.logs.Lapsed()
	if r := f.nodes.Load(); r != nil {
		r.Lapsed()
	}
}

// Changed implements cluster.Listener.
func (f *fleet) Changed(s cluster.State) {
	if s.Up {
		f.of.log.Info("the broker is back")
		return
	}
	f.of.log.Error("the broker is away: reliable publishes are refused, all else reaches the clients of this node only", "error", s.Err)
}

// ailing is what is wrong with the cluster; "": nothing.
func (f *fleet) ailing() string {
	m := f.member.Load()
	if m == nil {
		return ""
	}
	s := m.State()
	if s.Up {
		return ""
	}
	return fmt.Sprintf("the broker is away since %s: reliable publishes are refused, all else reaches the clients of this node only", s.Since.UTC().Format(time.RFC3339))
}

// clusterShare is the part of the memory budget that what waits for other nodes, and what has come from them, may take.
const clusterShare = 8

var _ cluster.Holder = (*fleet)(nil)

// Hold implements cluster.Holder.
func (f *fleet) Hold(bytes int) { f.of.hub.Hold(budget.Cluster, bytes) }

// Claim implements cluster.Holder.
func (f *fleet) Claim(bytes int) bool {
	return f.of.hub.ClaimShare(budget.Cluster, bytes, clusterShare)
}

var _ cluster.Loser = (*fleet)(nil)

// Lost implements cluster.Loser.
func (f *fleet) Lost(messages int) { f.unheard.Add(uint64(messages)) } //nolint:gosec // not negative

// figures are those of the cluster; nil: there is none.
func (f *fleet) figures() *metrics.Cluster {
	m := f.member.Load()
	if m == nil {
		return nil
	}
	c := &metrics.Cluster{Up: m.State().Up, Nodes: f.nodesThere(), Missed: f.missed.Load(), Refused: f.refused.Load(), Renumbered: f.renumbered.Load(),
		Unheard: f.unheard.Load(), Unsent: make(map[string]uint64, kinds)}
	for i, name := range kindNames {
		c.Unsent[name] = f.unsent[i].Load()
	}
	return c
}
