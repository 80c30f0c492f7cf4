package delivery_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/survey"
)

// growth is one thing that grows, and the account that must say so. What it needs to live
// on is what the function returns, which may be called to let go of a loop.
type growth struct {
	account accounts.Account
	what    string
	grow    func(r *rig, c *client, s *delivery.Socket) (keep func())
}

func nothing() {}

func sub(r *rig, s *delivery.Socket, name string, o delivery.SubscribeOptions) {
	if err := s.Subscribe(name, o, func(delivery.Subscription) {}); err != nil {
		r.t.Error(err)
	}
}

// each opens so many sockets on connections that take nothing, subscribed to a topic.
func (r *rig) each(n int, topic string, o delivery.SubscribeOptions) (keep func()) {
	clients, sockets := r.crowd(n)
	for i, c := range clients {
		c.do(func() { sub(r, sockets[i], topic, o) })
	}
	return func() { runtime.KeepAlive(clients); runtime.KeepAlive(sockets) }
}

// growths are what clients and publishers can make grow.
var growths = []growth{
	{accounts.Topics, "names", func(r *rig, _ *client, _ *delivery.Socket) func() {
		for i := range 20_000 {
			r.publish(fmt.Sprint("user:", i), "1")
		}
		return nothing
	}},
	{accounts.Lanes, "subscriptions", func(r *rig, c *client, s *delivery.Socket) func() {
		c.do(func() {
			for i := range 20_000 {
				sub(r, s, fmt.Sprint("user:", i), delivery.SubscribeOptions{})
			}
		})
		return nothing
	}},
	{accounts.Rooms, "rooms", func(_ *rig, c *client, s *delivery.Socket) func() {
		c.do(func() {
			for i := range 5000 {
				_ = s.Join(fmt.Sprint("room", i))
			}
		})
		return nothing
	}},
	{accounts.IDs, "ids", func(r *rig, _ *client, _ *delivery.Socket) func() {
		for i := range 20_000 {
			r.publishWith("a", delivery.Publication{Payload: []byte("1"), ID: fmt.Sprint("id", i)})
		}
		return nothing
	}},
	{accounts.Frames, "large messages", func(r *rig, c *client, s *delivery.Socket) func() {
		c.do(func() { sub(r, s, "a", delivery.SubscribeOptions{}); c.window = 0 })
		for range 1000 {
			r.publish("a", `"`+strings.Repeat("x", 4000)+`"`)
		}
		return nothing
	}},
	{accounts.Frames, "small messages", func(r *rig, c *client, s *delivery.Socket) func() {
		c.do(func() { sub(r, s, "a", delivery.SubscribeOptions{}); c.window = 0 })
		for range 20_000 {
			r.publish("a", "1")
		}
		return nothing
	}},
	{accounts.Queues, "COALESCE", func(r *rig, c *client, s *delivery.Socket) func() {
		c.do(func() { sub(r, s, "keys", delivery.SubscribeOptions{}); c.window = 0 })
		for i := range 20_000 {
			r.publishWith("keys", delivery.Publication{Payload: []byte("1"), Key: fmt.Sprint("key", i)})
		}
		return nothing
	}},
	{accounts.Queues, "queues of many lanes that get all of a topic", func(r *rig, _ *client, _ *delivery.Socket) func() {
		keep := r.each(2000, "a", delivery.SubscribeOptions{})
		for range 65 {
			r.publish("a", "1")
		}
		return keep
	}},
	{accounts.Queues, "reliable", func(r *rig, _ *client, _ *delivery.Socket) func() {
		clients, sockets := r.crowd(200)
		for i, c := range clients {
			c.do(func() { sub(r, sockets[i], "orders", delivery.SubscribeOptions{}); c.window = wide })
		}
		r.publish("orders", "1")
		r.settle()
		for _, c := range clients {
			c.do(func() { c.wire, c.batches = nil, nil })
		}
		return func() { runtime.KeepAlive(sockets) }
	}},
	{accounts.Queues, "losses, and a look at them", func(r *rig, _ *client, _ *delivery.Socket) func() {
		keep := r.each(5000, "few", delivery.SubscribeOptions{})
		for range 3 {
			r.publish("few", "1")
		}
		r.survey(survey.Query{Limit: 1})
		return keep
	}},
	{accounts.Lanes, "times to live", func(r *rig, _ *client, _ *delivery.Socket) func() {
		keep := r.each(5000, "a", delivery.SubscribeOptions{})
		r.publishWith("a", delivery.Publication{Payload: []byte("1"), TTL: time.Hour})
		return keep
	}},
	{accounts.Lanes, "lanes of plain events", func(r *rig, _ *client, _ *delivery.Socket) func() {
		clients, sockets := r.crowd(5000)
		if err := r.Emit(context.Background(), r.ns, "news", delivery.Emission{Frame: event("news", "1")}, delivery.Target{}); err != nil {
			r.t.Error(err)
		}
		return func() { runtime.KeepAlive(clients); runtime.KeepAlive(sockets) }
	}},
	{accounts.Lanes, "snapshots half read", func(r *rig, _ *client, _ *delivery.Socket) func() {
		for i := range 100 {
			r.publishWith("kept", delivery.Publication{Payload: []byte("1"), Key: fmt.Sprint("key", i)})
		}
		return r.each(5000, "kept", delivery.SubscribeOptions{Snapshot: true})
	}},
	{accounts.Kept, "values", func(r *rig, _ *client, _ *delivery.Socket) func() {
		for i := range 20_000 {
			r.publishWith("kept", delivery.Publication{Payload: []byte("1"), Key: fmt.Sprint("key", i)})
		}
		return nothing
	}},
	{accounts.Kept, "values that were sent", func(r *rig, c *client, s *delivery.Socket) func() {
		for i := range 20_000 {
			r.publishWith("kept", delivery.Publication{Payload: []byte("1"), Key: fmt.Sprint("key", i)})
		}
		c.do(func() { sub(r, s, "kept", delivery.SubscribeOptions{Snapshot: true}) })
		return nothing
	}},
	{accounts.Inboxes, "publications for a loop that is held up", func(r *rig, c *client, s *delivery.Socket) func() {
		c.do(func() { sub(r, s, "a", delivery.SubscribeOptions{}) })
		release := r.block(c.shard)
		for range 1000 {
			r.publish("a", `"`+strings.Repeat("x", 4000)+`"`)
		}
		return release
	}},
	{accounts.Inboxes, "small events for a loop that is held up", func(r *rig, c *client, s *delivery.Socket) func() {
		release := r.block(c.shard)
		for range 1900 {
			if err := s.Emit(context.Background(), "news", delivery.Emission{Frame: event("news", "1")}, false); err != nil {
				r.t.Error(err)
			}
		}
		return release
	}},
	{accounts.Cut, "cut clients", func(r *rig, c *client, s *delivery.Socket) func() {
		c.do(func() {
			for i := range 100 {
				sub(r, s, fmt.Sprint("user:", i), delivery.SubscribeOptions{})
			}
			for range 1000 {
				c.conn.RecordCut(base.CauseSlowConsumer)
			}
		})
		return nothing
	}},
}

// What each account says is what the heap has grown by: no more than by half as much
// again, and 256 KiB, is held besides (promise P1). An open connection itself has no account.
func TestAccountsSayWhatTheHeapHolds(t *testing.T) {
	for _, g := range growths {
		t.Run(g.account.String()+"/"+g.what, func(t *testing.T) {
			orders, few, keys, keeps := hoardReliable(), latest(), hoard(), keeping("kept", base.Coalesce, 64, 100_000)
			orders.MaxInFlight, few.MaxMessages, keys.Overflow = 1000, 1, base.Coalesce
			keeps.Keep.Bytes, keeps.Key = 1<<30, nil
			o := options(1, topic("user:*", latest()), topic("a", hoard()), topic("orders", orders), topic("few", few), topic("keys", keys), keeps)
			r := newRig(t, o)
			c := r.connect(0)
			s := c.join()
			r.account()
			first, _ := r.crowd(1000)
			heap := heapNow()
			second, _ := r.crowd(1000)
			connection := (heapNow() - heap) / 1000
			connections := r.connections()
			before := r.Held()
			heap = heapNow()
			keep := g.grow(r, c, s)
			if g.account != accounts.Inboxes { // whose loop is held up
				r.account()
				c.do(func() { c.wire, c.batches = nil, nil })
			}
			grown, said := heapNow()-heap-connection*(r.connections()-connections), r.Held()-before
			if r.Accounts()[g.account] == 0 {
				t.Errorf("nothing is counted: %v", r.Accounts())
			}
			if grown > said+said/2+256<<10 {
				t.Errorf("the heap has grown by %d KiB, the accounts by %d: %v", grown>>10, said>>10, r.Accounts())
			}
			t.Logf("heap +%d KiB, accounts +%d KiB", grown>>10, said>>10)
			keep()
			runtime.KeepAlive([]any{s, first, second})
		})
	}
}

func (r *rig) connections() int64 {
	all, _ := r.Here()
	return int64(all)
}

// heapNow is how many bytes live objects take.
func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
