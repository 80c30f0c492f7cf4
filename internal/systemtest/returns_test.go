package systemtest_test

import (
	"context"
	"os"
	"runtime"
	"testing"

	"github.com/streamweir/weir"
)

// left is what a wave of clients may leave behind.
type left struct {
	heap        int64
	goroutines  int
	descriptors int
}

func leftBehind(t testing.TB) (l left) {
	t.Helper()
	l.heap, l.goroutines = measure(t).heap, runtime.NumGoroutine()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("descriptors are not counted here: %v", err)
	}
	l.descriptors = len(open)
	return l
}

// TestEverythingReturnsAfterAWaveOfClients is promise P10: connect, subscribe,
// receive and leave, three times; what the first wave needed is the baseline.
func TestEverythingReturnsAfterAWaveOfClients(t *testing.T) {
	const slack = 512 << 10 // of heap: maps and pools keep their size, not their content
	clients := 5000 / heavy
	o := feed(weir.TopicOptions{Name: "prices"},
		weir.TopicOptions{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew})
	o.Workers.Max = 4 // idle workers stay for a while: as many after each wave
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/feed").OnDisconnect(func(context.Context, *weir.Socket, string) {})
	})
	wave(t, srv, clients)
	eventually(t, "the first wave has gone", func() bool { return gone(srv, t) })
	baseline := leftBehind(t)
	for range 2 {
		wave(t, srv, clients)
		eventually(t, "the wave has gone", func() bool { return gone(srv, t) })
		var now left
		eventually(t, "heap, goroutines and descriptors are back", func() bool {
			now = leftBehind(t)
			return now.goroutines <= baseline.goroutines && now.descriptors <= baseline.descriptors && now.heap <= baseline.heap+slack
		})
		t.Logf("baseline %+v, now %+v", baseline, now)
	}
	settledTotals(t, srv, "prices", "written_total")
	settledTotals(t, srv, "orders", "acked_total")
	eventually(t, "nothing is held for nobody", func() bool { held, _ := srv.HeldBytes(); return held == 0 }) // a loop accounts once a millisecond
}

// gone reports whether no client is left, and all that ran for them has ended.
func gone(srv *weir.Server, t testing.TB) bool {
	return metric(t, srv, "weir_connections") == 0 && metric(t, srv, "weir_sessions") == 0 &&
		metric(t, srv, "weir_sockets") == 0 && metric(t, srv, "weir_subscriptions") == 0
}

// wave is n clients who come, subscribe, receive one message of each topic and
// leave, every other one without acknowledging, every third by hanging up.
func wave(t *testing.T, srv *weir.Server, n int) {
	t.Helper()
	clients, err := dialCrowd(addr(srv), "prices", n, leanOptions{})
	defer hangUp(clients)
	each := func(f func(i int, c *lean) error) {
		if err == nil {
			err = inParallel(n, func(i int) error { return f(i, clients[i]) })
		}
	}
	each(func(_ int, c *lean) error { return c.subscribe("/feed", "orders") })
	publish(t, srv, "prices", numbered(1, 100))
	each(func(_ int, c *lean) error {
		_, err := c.number("prices")
		return err
	})
	receipt := publish(t, srv, "orders", numbered(2, 100))
	each(func(i int, c *lean) error {
		if _, err := c.number("orders"); err != nil || i%2 == 0 {
			return err
		}
		return c.send(`42/feed,["ack",{"topic":"orders","messageId":"` + receipt.MessageID + `"}]`)
	})
	each(func(i int, c *lean) error {
		if i%3 == 0 {
			return nil
		}
		return c.send("41/feed,")
	})
	if err != nil {
		t.Fatal(err)
	}
}
