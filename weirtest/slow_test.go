package weirtest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/weirtest"
)

// feed is a server with one topic, /feed prices.
func feed(t *testing.T, topic weir.TopicOptions, events weir.Events) *weirtest.Server {
	t.Helper()
	topic.Name = "prices"
	return weirtest.NewServer(t, weir.Options{
		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{topic}, SlowPenalty: time.Minute}},
		Events:     events,
	})
}

// price is about a kilobyte.
type price struct {
	N   int
	Pad string
}

func publish(t *testing.T, srv *weirtest.Server, n int) weir.Receipt {
	t.Helper()
	r, err := srv.Weir().Publish(t.Context(), "/feed", "prices", price{n, strings.Repeat("x", 1000)}, weir.WithReceipt())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func next(t *testing.T, c *weirtest.Client) int {
	t.Helper()
	args := c.Next("prices")
	var p price
	if err := json.Unmarshal(args[0], &p); err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	return p.N
}

// lane is what the server has for a client on /feed prices.
func lane(t *testing.T, srv *weirtest.Server, c *weirtest.Client) weir.ClientView {
	t.Helper()
	clients, err := srv.Weir().Clients(t.Context(), weir.ClientQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range clients {
		if v.ID == c.ID() {
			return v
		}
	}
	t.Fatalf("the server has no client %s", c.ID())
	return weir.ClientView{}
}

func TestSlowClientsLaneDropsTheOldestAndTheFastOneGetsAll(t *testing.T) {
	for name, rate := range map[string]int{"slow": 512, "stalled": weirtest.Stalled} {
		t.Run(name, func(t *testing.T) {
			const room = 8
			srv := feed(t, weir.TopicOptions{Overflow: weir.DropOldest, Max: weir.Limits{Messages: room}}, weir.Events{})
			fast, slow := weirtest.Dial(t, srv.URL(), "/feed"), weirtest.Dial(t, srv.URL(), "/feed", weirtest.Slow(rate))
			fast.Subscribe("prices")
			slow.Subscribe("prices")

			last, dropped := 0, 0
			for ; dropped < 50; last++ {
				dropped += publish(t, srv, last).Dropped
				if got := next(t, fast); got != last {
					t.Fatalf("the fast client got %d after %d", got, last-1)
				}
			}
			last--
			if v := lane(t, srv, slow); v.Drops["overflow"] < 50 || v.Depth < room {
				t.Errorf("the slow client's lane has dropped %v and holds %d, want 50 and a full lane", v.Drops, v.Depth)
			}
			if v := lane(t, srv, fast); v.Dropped != 0 {
				t.Errorf("the fast client's lane has dropped %v", v.Drops)
			}
			if got := slow.Received("prices"); rate == weirtest.Stalled && got != 0 {
				t.Errorf("a stalled client has read %d messages", got)
			}
			slow.Resume()
			before, missed := -1, 0
			for before < last {
				n := next(t, slow)
				if n <= before {
					t.Errorf("%d came after %d", n, before)
				}
				missed += n - before - 1
				before = n
			}
			if missed < 50 {
				t.Errorf("the slow client has missed %d messages, and 50 at least were dropped", missed)
			}
		})
	}
}

func TestStalledClientIsCutUnderDisconnect(t *testing.T) {
	cuts := make(chan weir.CutEvent, 1)
	srv := feed(t, weir.TopicOptions{Overflow: weir.DisconnectClient, Max: weir.Limits{Messages: 8}},
		weir.Events{Cut: func(e weir.CutEvent) { cuts <- e }})
	fast := weirtest.Dial(t, srv.URL(), "/feed")
	stalled := weirtest.Dial(t, srv.URL(), "/feed", weirtest.Slow(weirtest.Stalled), weirtest.Header("User-Agent", "sloth"))
	fast.Subscribe("prices")
	stalled.Subscribe("prices")
	var cut weir.CutEvent
	for n := 0; cut.Cause == ""; n++ {
		publish(t, srv, n)
		if got := next(t, fast); got != n {
			t.Fatalf("the fast client got %d after %d", got, n-1)
		}
		select {
		case cut = <-cuts:
		default:
		}
	}
	if cut.Cause != "slow_consumer" || len(cut.Clients) != 1 || cut.Clients[0].ID != stalled.ID() {
		t.Errorf("cut for %s: %+v", cut.Cause, cut.Clients)
	}
	// It pays for being slow; others do not.
	if _, err := weirtest.TryDial(t, srv.URL(), "/feed", weirtest.Header("User-Agent", "sloth")); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("it comes back at once: %v", err)
	}
	weirtest.Dial(t, srv.URL(), "/feed").Subscribe("prices")
}

func TestStalledClientReadsNothingButTheAnswersItWaitsFor(t *testing.T) {
	srv := feed(t, weir.TopicOptions{}, weir.Events{})
	fast, stalled := weirtest.Dial(t, srv.URL(), "/feed"), weirtest.Dial(t, srv.URL(), "/feed", weirtest.Slow(weirtest.Stalled))
	fast.Subscribe("prices")
	stalled.Subscribe("prices")
	stalled.Ask("weir:unsubscribe", map[string]string{"topic": "prices"})
	stalled.Subscribe("prices")
	for n := range 10 { // the kernels hold that much
		publish(t, srv, n)
		next(t, fast)
	}
	if n := stalled.Received("prices"); n != 0 {
		t.Errorf("a stalled client has read %d messages", n)
	}
	stalled.Resume()
	for want := range 10 {
		if got := next(t, stalled); got != want {
			t.Errorf("after the stall came %d, want %d", got, want)
		}
	}
}
