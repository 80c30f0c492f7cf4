package metrics_test

import (
	"context"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/survey"
)

// newHub returns a hub with namespace /feed: prices (4 messages, drops the
// oldest), user:* (the same) and orders (at least once).
func newHub() *delivery.Hub {
	topic := func(name string, mode base.Mode, overflow base.Overflow) delivery.TopicSpec {
		return delivery.TopicSpec{Name: name, Policy: lane.Policy{
			Mode: mode, Overflow: overflow, MaxMessages: 4, MaxBytes: 64 << 10, MaxInFlight: 2,
			AckTimeout: time.Minute, MaxRetries: 1, Backoff: 1, Weight: 1,
		}}
	}
	return delivery.New(delivery.Options{
		Shards: 2, FinishTimeout: time.Second, BudgetBytes: 1 << 20,
		Namespaces: []delivery.NamespaceSpec{{
			Path:   "/feed",
			Events: lane.Policy{Overflow: base.Disconnect, MaxMessages: 64, MaxBytes: 1 << 20, Weight: 1},
			Topics: []delivery.TopicSpec{
				topic("prices", base.BestEffort, base.DropOldest), topic("user:*", base.BestEffort, base.DropOldest),
				topic("orders", base.AtLeastOnce, base.RejectNew), journaled(topic("kept", base.BestEffort, base.SpillToDisk)),
			},
		}},
	})
}

// journaled is a topic with a journal, which nobody names: it is not opened.
func journaled(t delivery.TopicSpec) delivery.TopicSpec {
	t.Journal = true
	return t
}

// extra are figures such as the root would give.
func extra() metrics.Extra {
	return metrics.Extra{
		Sessions: map[string]int{"websocket": 3, "polling": 1}, Refused: map[string]uint64{"origin": 2},
		Namespaces: map[string]metrics.NamespaceFigures{
			"/feed":       {Opened: 5, Closed: 1, Received: 10, ReceivedBytes: 1000, AuthRejected: 6, AuthUnavailable: 4, NoHandler: 7, EventsSkipped: 8, AnswersUnheard: 9, Schemas: []metrics.SchemaFigures{{Name: "prices*", Violations: 3, Dry: 2}}},
			"/undeclared": {Opened: 99},
		},
		AuthRateLimited: 8, AuthRevoked: 17, Revocations: 18, Reconnects: 11, Strays: map[string]uint64{"pong": 21},
		Handlers: []metrics.HandlerTime{{Namespace: "/feed", Event: "order"}}, Overdue: 22, Late: 23, RequestsRunning: 24, RequestsQueued: 25, Workers: metrics.Workers{Running: 1, Queued: 2, Panics: 3}, Outside: metrics.Outside{Running: 14, Queued: 15, Refused: 16},
		Inbound:    []metrics.Inbound{{Server: "door", Throttled: 19, Senders: 20, Beyond: []metrics.Beyond{{Action: "drop", Events: 9}, {Action: "drop", DryRun: true, Events: 10}}}},
		Cluster:    &metrics.Cluster{Up: true, Nodes: 3, Unsent: map[string]uint64{"publish": 3, "operation": 0}, Missed: 2, Refused: 4, Unheard: 5, Renumbered: 1},
		Reloads:    &metrics.Reloads{Applied: 41, Refused: 42},
		LogDropped: 12, EventsDropped: map[string]uint64{"cut": 13, "room": 0}, EventsPanics: map[string]uint64{"cut": 1, "room": 0},
		Journal: &metrics.Journal{
			Appended: 21, AppendedBytes: 22, Failed: 23, Busy: 24, SyncsFailed: 25, TailReads: 26, DiskReads: 27, Blocks: 28, ReadsFailed: 29,
			Damaged: 30, Torn: 31, GaveWay: 32, Used: 33, Limit: 34, Resting: 35, Aside: 36, OpenFiles: 40,
			Troubles: []metrics.Trouble{{What: "full"}, {What: "slow"}},
			Topics:   []metrics.Kept{{Namespace: "/feed", Topic: "kept", Bytes: 37, Segments: 38, Unsynced: 39}},
		},
		Hooks: []metrics.Hook{{Hook: "connect", Running: 43, Waiting: 44, Open: true, Calls: map[string]uint64{"answered": 45, "timeout": 46}}},
		Build: metrics.Build{Version: "1.2.3", Revision: "abc", GoVersion: "go1.26"},
	}
}

// client is a connected client whose connection takes bytes only while open.
type client struct {
	conn   *delivery.Conn
	socket *delivery.Socket
	open   bool
}

func (c *client) Window() int {
	if c.open {
		return 1 << 20
	}
	return 0
}

func (c *client) Write(p []byte, _ base.Packing) (int, error) { return len(p), nil }
func (c *client) Deflates() bool                              { return false }
func (c *client) Control(dst []byte) []byte                   { return dst }
func (c *client) Unsent() int                                 { return 0 }
func (c *client) Cut(cause base.Cause)                        { c.conn.Close(cause) }
func (c *client) Reading(bool)                                {}
func (c *client) Gone(base.Cause)                             {}
func (c *client) Unread() *delivery.Unread                    { return nil }
func (c *client) Taken()                                      {}
func (c *client) Describe(v *survey.Client)                   { v.Address = "203.0.113.9" }

func connect(t testing.TB, h *delivery.Hub, c *client, topics ...string) {
	t.Helper()
	sh := h.Shards()[0]
	on(sh, func() {
		c.conn = sh.Open(c, c)
		c.socket = c.conn.OpenSocket(h.Namespace("/feed"), c.conn.NewSocketID(), "alice", c)
		for _, topic := range topics {
			if err := c.socket.Subscribe(topic, delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
				t.Errorf("subscribe %s: %v", topic, err)
			}
		}
	})
}

// on runs f on the shard's loop and waits for it.
func on(sh *delivery.Shard, f func()) {
	done := make(chan struct{})
	sh.Post(task(func() { defer close(done); f() }))
	<-done
}

type task func()

func (t task) Run() { t() }

// publish publishes one message and waits until the shards have it.
func publish(t testing.TB, h *delivery.Hub, topic, id string) {
	t.Helper()
	p, err := h.Publish(context.Background(), h.Namespace("/feed"), topic, &delivery.Publication{Payload: []byte(`"x"`), ID: id}, true)
	if err != nil {
		t.Fatalf("publish %s: %v", topic, err)
	}
	p.Receipt(context.Background())
}
