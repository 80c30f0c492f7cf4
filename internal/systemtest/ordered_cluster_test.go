package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/redis"
	"github.com/streamweir/weir/internal/enginetest"
	"github.com/streamweir/weir/internal/redistest"
)

// clustered are the topics of these tests: without a log at the broker, with one, and reliable.
func clustered(b cluster.Broker) weir.Options {
	o := feed(
		weir.TopicOptions{Name: "plain", Max: weir.Limits{Messages: 10_000, Bytes: 1 << 24}},
		weir.TopicOptions{Name: "user:*", History: 5},
		weir.TopicOptions{Name: "kept", History: 5000, Max: weir.Limits{Messages: 10_000, Bytes: 1 << 24}},
		weir.TopicOptions{
			Name: "sure", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, Max: weir.Limits{Messages: 10_000, Bytes: 1 << 24}, MaxInFlight: 10_000,
		},
	)
	o.Cluster = weir.ClusterOptions{Broker: b}
	return o
}

func onRedis(t *testing.T, addr string) cluster.Broker {
	t.Helper()
	b, err := redis.New(redis.Options{URL: "redis://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// gathering is a client that notes what it gets of topics, in a goroutine of its own.
type gathering struct {
	*peer
	mu   sync.Mutex
	got  map[string][]string
	done chan struct{}
}

// gather subscribes to topics and notes their messages until the connection ends.
func gather(t *testing.T, srv *weir.Server, topics ...string) *gathering {
	t.Helper()
	g := &gathering{peer: dial(t, addr(srv), "/feed", nil, dialOptions{}), got: make(map[string][]string), done: make(chan struct{})}
	for _, topic := range topics {
		if a := g.subscribe("/feed", topic); a["ok"] != true {
			t.Fatalf("subscribe to %s: %v", topic, a)
		}
	}
	go g.run()
	return g
}

// run ends with the connection.
func (g *gathering) run() {
	defer close(g.done)
	for {
		text, err := g.receive()
		if err != nil {
			return
		}
		if len(text) < 2 || (text[1] != '2' && text[1] != '5') {
			continue
		}
		if pk := decode(g.t, text); len(pk.args) > 0 {
			g.mu.Lock()
			g.got[pk.name] = append(g.got[pk.name], string(pk.args[0]))
			g.mu.Unlock()
		}
	}
}

func (g *gathering) of(name string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.got[name])
}

// TestClusterHasOneOrder: what is published on any node reaches the clients of all. With a log at the broker all see one order,
// without one that of each publisher.
func TestClusterHasOneOrder(t *testing.T) {
	for name, broker := range map[string]func(*testing.T) cluster.Broker{
		"memory": func(*testing.T) cluster.Broker { return cluster.NewMemory() },
		"redis":  func(t *testing.T) cluster.Broker { return onRedis(t, redistest.Start(t).Addr()) },
	} {
		t.Run(name, func(t *testing.T) { testOneOrder(t, broker(t)) })
	}
}

func testOneOrder(t *testing.T, b cluster.Broker) {
	const each = 200
	topics := []string{"plain", "kept", "sure"}
	var nodes []*weir.Server
	var clients []*gathering
	for range 3 {
		nodes = append(nodes, start(t, clustered(b)))
	}
	for _, n := range nodes {
		clients = append(clients, gather(t, n, topics...))
	}
	var publishers sync.WaitGroup
	for i, n := range nodes {
		publishers.Go(func() {
			for k := range each {
				for _, topic := range topics {
					publish(t, n, topic, fmt.Sprintf("%d %d", i, k))
				}
			}
		})
	}
	publishers.Wait()
	for _, topic := range topics {
		for _, c := range clients {
			eventually(t, "all of "+topic+" came", func() bool { return len(c.of(topic)) >= len(nodes)*each })
		}
		want := clients[0].of(topic)
		for i, c := range clients {
			got := c.of(topic)
			if topic != "plain" && !slices.Equal(got, want) {
				t.Errorf("%s: the client of node %d sees another order", topic, i)
			}
			for from := range nodes {
				inOrder(t, got, from, each)
			}
		}
	}
	if s := metric(t, nodes[0], "weir_published_total", `topic="plain"`) + metric(t, nodes[1], "weir_published_total", `topic="plain"`); s != 2*each {
		t.Errorf("two nodes say that they have accepted %v publications of %d", s, 2*each)
	}
}

// inOrder checks that all of one publisher came once, in its order.
func inOrder(t *testing.T, got []string, from, each int) {
	t.Helper()
	k := 0
	for _, s := range got {
		if !strings.HasPrefix(s, fmt.Sprintf(`"%d `, from)) {
			continue
		}
		if s != fmt.Sprintf(`"%d %d"`, from, k) {
			t.Errorf("%s of node %d came instead of %d", s, from, k)
			return
		}
		k++
	}
	if k != each {
		t.Errorf("%d of %d messages of node %d came", k, each, from)
	}
}

// TestClusterOperationsReachAllNodes: rooms, emits and disconnections, and what is narrowed to this node.
func TestClusterOperationsReachAllNodes(t *testing.T) {
	b := cluster.NewMemory()
	one, two := start(t, clustered(b)), start(t, clustered(b))
	c1, c2 := gather(t, one), gather(t, two)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n := one.Lookup("/feed")
	if joined, _, err := n.All().Join(ctx, "red"); err != nil || joined != 1 {
		t.Fatalf("%d joined, %v", joined, err)
	}
	eventually(t, "the socket of the other node is in the room", func() bool {
		found, err := two.Lookup("/feed").To("red").Sockets(ctx)
		return err == nil && len(found) == 1
	})
	for i, emit := range []func() error{
		func() error { return n.To("red").Emit(ctx, "e", 0) },
		func() error { return n.Local().Emit(ctx, "e", 1) },
		func() error { return n.To("red").Except("none").Emit(ctx, "e", 2, []byte{7}) },
		func() error { return two.Lookup("/feed").To("blue").Emit(ctx, "e", 3) },
		func() error { return two.Lookup("/feed").Emit(ctx, "e", 4) },
	} {
		if err := emit(); err != nil {
			t.Fatalf("emit %d: %v", i, err)
		}
	}
	for c, want := range map[*gathering][]string{c1: {"0", "1", "2", "4"}, c2: {"0", "2", "4"}} {
		eventually(t, "all events came", func() bool { return len(c.of("e")) >= len(want) }) // those of two nodes in any order
		if got := slices.Sorted(slices.Values(c.of("e"))); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := n.To("red").CloseConnections(ctx); err != nil {
		t.Fatal(err)
	}
	<-c1.done
	<-c2.done
}

// TestClusterWithoutItsBroker: clients stay, reliable publishes are refused, all else is delivered here; it is told, counted, and
// over when the broker is back.
func TestClusterWithoutItsBroker(t *testing.T) {
	b := cluster.NewMemory()
	one, two := start(t, clustered(b)), start(t, clustered(b))
	c1, c2 := gather(t, one, "plain", "kept", "sure"), gather(t, two, "plain", "kept", "sure")
	publish(t, one, "sure", "before")
	b.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := one.Publish(ctx, "/feed", "sure", "refused"); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("a reliable publish: %v", err)
	}
	stranger := dial(t, addr(one), "/feed", nil, dialOptions{})
	if a := stranger.subscribe("/feed", "user:1"); a["code"] != "unavailable" || !strings.HasSuffix(fmt.Sprint(a["reason"]), cluster.ErrAway.Error()) {
		t.Errorf("a topic that is not open: %v", a)
	}
	publish(t, one, "plain", "here")
	publish(t, one, "kept", "here")
	if err := one.Lookup("/feed").Emit(ctx, "e", 1); err != nil {
		t.Error(err)
	}
	eventually(t, "all came", func() bool { return len(c1.of("plain")) == 1 && len(c1.of("kept")) == 1 && len(c1.of("e")) == 1 })
	if body := ready(t, one); !strings.Contains(body, "the broker is away since") {
		t.Errorf("/readyz says %q", body)
	}
	if n := metric(t, one, "weir_cluster_unsent_total"); n != 2 || metric(t, one, "weir_cluster_up") != 0 {
		t.Errorf("%v unsent", n)
	}
	b.Start()
	publish(t, one, "sure", "after")
	publish(t, one, "plain", "there")
	for _, c := range []*gathering{c1, c2} {
		eventually(t, "the last came", func() bool { return slices.Contains(c.of("plain"), `"there"`) && len(c.of("sure")) >= 2 })
		if got := strings.Join(c.of("sure"), " "); got != `"before" "after"` {
			t.Errorf("sure: %s", got)
		}
	}
	if body := ready(t, one); body != "ready\n" {
		t.Errorf("/readyz says %q", body)
	}
}

func ready(t *testing.T, srv *weir.Server) string {
	t.Helper()
	w := httptest.NewRecorder()
	srv.Management().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Errorf("/readyz: %d, %v", w.Code, err)
	}
	return string(body)
}

// TestPartitionLosesNothingThatWasAnswered: three nodes on a real Redis, each behind a network with faults, and the
// engine killed, while a reliable topic is published to on all: what was answered with success arrives everywhere,
// once, in one order.
func TestPartitionLosesNothingThatWasAnswered(t *testing.T) {
	s := redistest.Start(t)
	var nodes []*weir.Server
	var networks []*enginetest.Proxy
	var clients []*gathering
	for range 3 {
		p := enginetest.NewProxy(t, s.Addr())
		n := start(t, clustered(onRedis(t, p.Addr())))
		networks, nodes, clients = append(networks, p), append(nodes, n), append(clients, gather(t, n, "sure"))
	}
	over := make(chan struct{})
	answered := make([][]string, len(nodes))
	var publishers sync.WaitGroup
	for i, n := range nodes {
		publishers.Go(func() {
			pace := time.NewTicker(time.Second / 70) // of three: 200 a second
			defer pace.Stop()
			for k := 0; ; k++ {
				select {
				case <-over:
					return
				case <-pace.C:
				}
				id := fmt.Sprintf("%d %d", i, k)
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				if _, err := n.Publish(ctx, "/feed", "sure", id); err == nil {
					answered[i] = append(answered[i], `"`+id+`"`)
				} else if !errors.Is(err, weir.ErrUnavailable) && !errors.Is(err, weir.ErrBusy) {
					t.Errorf("publish: %v", err)
				}
				cancel()
			}
		})
	}
	more := func() { // until all nodes deliver again
		t.Helper()
		for i, c := range clients {
			had := len(c.of("sure"))
			eventually(t, fmt.Sprintf("node %d delivers", i), func() bool { return len(c.of("sure")) > had+20 })
		}
	}
	more()
	networks[0].Cut()
	more()
	networks[1].Refuse(true)
	networks[1].Cut()
	eventually(t, "the node knows that the broker is away", func() bool { return strings.Contains(ready(t, nodes[1]), "away") })
	networks[1].Refuse(false)
	more()
	networks[2].Hold(true)
	eventually(t, "the node knows that the broker is away", func() bool { return strings.Contains(ready(t, nodes[2]), "away") })
	networks[2].Hold(false)
	more()
	networks[0].Deafen()
	more()
	networks[1].Delay(20 * time.Millisecond)
	more()
	networks[1].Delay(0)
	s.Kill()
	eventually(t, "the node knows that the broker is away", func() bool { return strings.Contains(ready(t, nodes[0]), "away") })
	s.Restart(false)
	more()
	close(over)
	publishers.Wait()
	publish(t, nodes[0], "sure", "end")
	want := append(slices.Concat(answered...), `"end"`)
	for i, c := range clients {
		eventually(t, "the last came", func() bool { return slices.Contains(c.of("sure"), `"end"`) })
		got := c.of("sure")
		if !slices.Equal(got, clients[0].of("sure")) {
			t.Errorf("the client of node %d sees another order", i)
		}
		times := make(map[string]int, len(got))
		for _, x := range got {
			times[x]++
		}
		for _, x := range want {
			if times[x] != 1 {
				t.Errorf("node %d: %s was answered and came %d times", i, x, times[x])
			}
		}
	}
	t.Logf("%d answered, %d delivered", len(want), len(clients[0].of("sure")))
}

// TestSubscribersAreToldWhatTheirNodeHasMissed: a node that cannot hear the broker until it has let records go tells its
// clients that some are gone, of which nobody knows how many, and goes on in order.
func TestSubscribersAreToldWhatTheirNodeHasMissed(t *testing.T) {
	s := redistest.Start(t)
	network := enginetest.NewProxy(t, s.Addr())
	o := clustered(onRedis(t, s.Addr()))
	o.Cluster.LogRecords = 10
	there := start(t, o)
	o = clustered(onRedis(t, network.Addr()))
	o.Cluster.LogRecords = 10
	here := start(t, o)
	c := gather(t, here, "sure")
	publish(t, there, "sure", "before")
	eventually(t, "the first came", func() bool { return len(c.of("sure")) == 1 })
	network.Refuse(true)
	network.Cut()
	eventually(t, "the node knows that the broker is away", func() bool { return strings.Contains(ready(t, here), "away") })
	for i := range 50 {
		publish(t, there, "sure", i)
	}
	network.Refuse(false)
	eventually(t, "the last came", func() bool { return slices.Contains(c.of("sure"), "49") })
	want := []string{`"before"`}
	for i := 40; i < 50; i++ {
		want = append(want, fmt.Sprint(i))
	}
	if got := c.of("sure"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.of("weir:lost"); len(got) != 1 || !strings.Contains(got[0], `"count":1`) || !strings.Contains(got[0], `"reason":"retention"`) {
		t.Errorf("its client is told %q", got)
	}
	if n := metric(t, here, "weir_cluster_missed_total"); n != 1 || metric(t, there, "weir_cluster_missed_total") != 0 {
		t.Errorf("%v gaps", n)
	}
	if n := metric(t, here, "weir_unbalanced_total"); n != 0 {
		t.Errorf("%v books are unbalanced", n)
	}
}

// TestTopicGoesOnInANewEpoch: a broker that comes back empty numbers anew. Subscribers go on, history is that of the new
// epoch, and the old one is known to be gone.
func TestTopicGoesOnInANewEpoch(t *testing.T) {
	b := cluster.NewMemory()
	one, two := start(t, clustered(b)), start(t, clustered(b))
	c := gather(t, two, "kept", "sure")
	was := publish(t, one, "kept", "old")
	publish(t, one, "sure", "old")
	eventually(t, "the old ones came", func() bool { return len(c.of("kept")) == 1 && len(c.of("sure")) == 1 })
	b.Forget()
	is := publish(t, one, "kept", "new")
	publish(t, one, "sure", "new")
	if is.Epoch == was.Epoch || is.Offset <= was.Offset {
		t.Errorf("%+v after %+v", is, was)
	}
	eventually(t, "the new ones came", func() bool { return len(c.of("kept")) == 2 && len(c.of("sure")) == 2 })
	late := dial(t, addr(two), "/feed", nil, dialOptions{})
	if a := late.subscribe("/feed", "kept", map[string]any{"last": 10}); a["ok"] != true || fmt.Sprint(a["history"]) != "map[messages:1]" {
		t.Errorf("who subscribes later is answered %v", a)
	}
	eventually(t, "both nodes have seen it", func() bool {
		return metric(t, one, "weir_cluster_renumbered_total") == 2 && metric(t, two, "weir_cluster_renumbered_total") == 2
	})
}

// tallying is a broker that counts what its members wish for and hear.
type tallying struct {
	cluster.Broker
	mu    sync.Mutex
	names []string       // of channels and logs
	bytes map[string]int // of messages and entries, by where they came from
}

// talliedMember is one of its members.
type talliedMember struct {
	cluster.Member
	of *tallying
}

// talliedListener is what that one tells.
type talliedListener struct {
	cluster.Listener
	of *tallying
}

func (c *tallying) Join(ctx context.Context, node string, l cluster.Listener) (cluster.Member, error) {
	m, err := c.Broker.Join(ctx, node, &talliedListener{l, c})
	return &talliedMember{m, c}, err
}

func (c *tallying) count(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = append(c.names, names...)
}

func (c *tallying) hear(name string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes == nil {
		c.bytes = make(map[string]int)
	}
	c.bytes[name] += len(data)
}

// about is how many of the names have a text in them, and the bytes heard so far of those that do. What nodes say of themselves
// has another name.
func (c *tallying) about(text string) (names, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.names {
		if strings.Contains(n, text) {
			names++
		}
	}
	for n, heard := range c.bytes {
		if strings.Contains(n, text) {
			bytes += heard
		}
	}
	return names, bytes
}

func (m *talliedMember) Subscribe(ctx context.Context, channels ...string) error {
	m.of.count(channels...)
	return m.Member.Subscribe(ctx, channels...)
}

func (m *talliedMember) Follow(ctx context.Context, logs ...string) error {
	m.of.count(logs...)
	return m.Member.Follow(ctx, logs...)
}

func (l *talliedListener) Message(channel string, data []byte) {
	l.of.hear(channel, data)
	l.Listener.Message(channel, data)
}

func (l *talliedListener) Entries(log string, entries []cluster.Entry) {
	for _, e := range entries {
		l.of.hear(log, e.Data)
	}
	l.Listener.Entries(log, entries)
}

// TestTopicNobodyFollowsCostsANodeNothing: neither a subscription at the broker nor a byte from it, though it is published to on
// all nodes, until somebody subscribes there, who gets what is published from then on.
func TestTopicNobodyFollowsCostsANodeNothing(t *testing.T) {
	b := cluster.NewMemory()
	idle := &tallying{Broker: b}
	there, here := start(t, clustered(b)), start(t, clustered(idle))
	listener := gather(t, there, "plain", "kept", "sure")
	for i := range 50 {
		for _, topic := range []string{"plain", "kept", "sure", "user:1"} {
			publish(t, there, topic, i)
		}
		if got := publish(t, here, "sure", "from here"); got.Offset == 0 {
			t.Fatal("what is published here has no place")
		}
	}
	eventually(t, "all came where somebody listens", func() bool { return len(listener.of("sure")) == 100 })
	if names, bytes := idle.about("/feed:"); names != 0 || bytes != 0 {
		t.Errorf("it costs %d subscriptions and %d bytes", names, bytes)
	}
	c := gather(t, here, "plain", "sure")
	for _, topic := range []string{"plain", "sure"} {
		publish(t, there, topic, "now")
		eventually(t, "it hears", func() bool { return len(c.of(topic)) > 0 })
		if got := c.of(topic); !slices.Equal(got, []string{`"now"`}) {
			t.Errorf("%s: got %q", topic, got)
		}
	}
	if names, bytes := idle.about("/feed:"); names != 2 || bytes == 0 {
		t.Errorf("two topics that are followed are %d subscriptions and %d bytes", names, bytes)
	}
}

// TestNodesOfAClusterKnowOneAnother: those that come, and those that leave.
func TestNodesOfAClusterKnowOneAnother(t *testing.T) {
	b := cluster.NewMemory()
	var all []*weir.Server
	for range 3 {
		all = append(all, start(t, clustered(b)))
	}
	know := func(n float64, who ...*weir.Server) {
		t.Helper()
		for _, srv := range who {
			eventually(t, "the nodes know one another", func() bool { return metric(t, srv, "weir_cluster_nodes") == n })
		}
	}
	know(3, all...)
	if err := all[2].Close(); err != nil {
		t.Error(err)
	}
	know(2, all[:2]...)
	start(t, clustered(b))
	know(3, all[:2]...)
}

// TestFetchDescribesTheSocketsOfAllNodes: also in a room, and those of this node only; a node that does not answer is named.
func TestFetchDescribesTheSocketsOfAllNodes(t *testing.T) {
	b := cluster.NewMemory()
	var all []*weir.Server
	ids := make(map[string]string)
	for i := range 3 {
		o := clustered(b)
		o.Cluster.Node = fmt.Sprint("node", i)
		srv := start(t, o)
		all = append(all, srv)
		gather(t, srv)
		eventually(t, "the socket is there", func() bool { return metric(t, srv, "weir_sockets") == 1 })
	}
	eventually(t, "the nodes know one another", func() bool { return metric(t, all[0], "weir_cluster_nodes") == 3 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n := all[0].Lookup("/feed")
	found, err := n.All().Fetch(ctx)
	for _, s := range found {
		ids[s.Node] = s.ID
	}
	if err != nil || len(found) != 3 || len(ids) != 3 {
		t.Fatalf("found %+v, %v", found, err)
	}
	if joined, _, err := all[2].Lookup("/feed").To(ids["node2"]).Join(ctx, "red"); joined != 1 || err != nil {
		t.Fatalf("%d joined, %v", joined, err)
	}
	if found, err = n.To("red").Fetch(ctx); err != nil || len(found) != 1 || found[0].Node != "node2" || found[0].ID != ids["node2"] || !slices.Contains(found[0].Rooms, "red") {
		t.Errorf("in the room: %+v, %v", found, err)
	}
	if found, err = n.Local().Fetch(ctx); err != nil || len(found) != 1 || found[0].ID != ids["node0"] {
		t.Errorf("here: %+v, %v", found, err)
	}
	b.Stop()
	if found, err = n.All().Fetch(ctx); !errors.Is(err, weir.ErrUnavailable) || len(found) != 1 || found[0].ID != ids["node0"] {
		t.Errorf("without the broker: %+v, %v", found, err)
	}
}
