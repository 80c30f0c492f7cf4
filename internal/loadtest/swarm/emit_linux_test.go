package swarm_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func TestAClosedLoopKeepsItsWindowFull(t *testing.T) {
	const window = 4
	f := listen(t)
	var mu sync.Mutex
	under, most, answers := 0, 0, 0
	held := make([]func(), 0, window)
	f.answer = func(c *fakeConn, id, name string) {
		if name == "subscribe" {
			c.say("43/feed," + id + `[{"ok":true}]`)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		under++
		most = max(most, under)
		held = append(held, func() { c.say("43/feed," + id + `[{"ok":true}]`) })
		if under < window {
			return
		}
		for i := range held { // the last one first
			under--
			answers++
			held[len(held)-1-i]()
		}
		held = held[:0]
	}
	f.serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 1, Emit: &swarm.Emit{Event: "echo", Size: 64, Window: window}})
	s := h.until("g", "a thousand answers", func(s *swarm.Snapshot) bool { return s.Acked >= 1000 })
	if s.EmitLatency.TotalCount() != s.Acked || s.Refused != 0 || s.Skipped != 0 || s.Emitted < s.Acked || s.Emitted > s.Acked+window {
		t.Errorf("%+v", *s)
	}
	mu.Lock()
	defer mu.Unlock()
	if most != window {
		t.Errorf("%d events were under way at once, want %d", most, window)
	}
}

func TestAGroupThatIsHeldSendsNothingBeforeItBegins(t *testing.T) {
	srv := serve(t)
	spec := swarm.Spec{URL: url(srv), Namespace: "/feed"}
	held := func(name string) swarm.Group {
		return swarm.Group{Name: name, Clients: 20, Emit: &swarm.Emit{Event: "echo", Size: 64, Window: 2, Held: true}}
	}
	h := gather(t, spec, held("waits"), held("begins"))
	h.allReady("waits")
	h.allReady("begins")
	if err := h.Begin("begins"); err != nil {
		t.Fatal(err)
	}
	h.until("begins", "answers", func(s *swarm.Snapshot) bool { return s.Acked >= 1000 })
	if s := h.of("waits"); s.Emitted != 0 {
		t.Errorf("%d events by clients that are held", s.Emitted)
	}
	if err := h.Begin("waits"); err != nil {
		t.Fatal(err)
	}
	h.until("waits", "answers", func(s *swarm.Snapshot) bool { return s.Acked >= 1000 })
	if err := h.Begin("nobody"); err == nil {
		t.Error("a group that is not there begins")
	}
}

func TestAnEmittedEventHasItsSizeNumberAndTime(t *testing.T) {
	const size = 100
	srv := serve(t)
	spec := swarm.Spec{URL: url(srv), Namespace: "/feed"}
	h := gather(t, spec, swarm.Group{Name: "g", Clients: 5, Emit: &swarm.Emit{Event: "echo", Size: size, Window: 2}},
		swarm.Group{Name: "refused", Clients: 1, Emit: &swarm.Emit{Event: "refused", Size: size}})
	h.until("g", "answers", func(s *swarm.Snapshot) bool { return s.Acked >= 100 && s.Refused == 0 })
	h.until("refused", "refusals", func(s *swarm.Snapshot) bool { return s.Refused >= 10 && s.Refused == s.Acked })

	f := listen(t)
	texts := make(chan string, 1)
	f.answer = func(c *fakeConn, id, name string) {
		if name == "echo" {
			return // one is enough
		}
		c.say("43/feed," + id + `[{"ok":true}]`)
	}
	f.overhear = func(text string) {
		if strings.Contains(text, "echo") {
			texts <- text
		}
	}
	f.serve()
	from := swarm.Clock()
	gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 1, Emit: &swarm.Emit{Event: "echo", Size: size}})
	text := <-texts
	payload, ok := strings.CutPrefix(text, `42/feed,0["echo",`)
	payload, ok2 := strings.CutSuffix(payload, "]")
	var p struct{ N, T int64 }
	decode(t, payload, &p)
	if !ok || !ok2 || len(payload) != size || p.N != 0 || p.T < from || p.T > swarm.Clock() {
		t.Errorf("%q: %d bytes, %+v, begun at %d", text, len(payload), p, from)
	}
}

// TestAnOpenLoopCountsFromTheIntendedTime: while the server keeps the only place of the window, events become due and
// wait; their wait is the server's, although each is answered at once when it is sent at last.
func TestAnOpenLoopCountsFromTheIntendedTime(t *testing.T) {
	const rate, stall = 1000, 200 * time.Millisecond
	f := listen(t)
	events := 0
	f.answer = func(c *fakeConn, id, name string) {
		if name == "echo" {
			if events++; events == 10 {
				<-time.After(stall)
			}
		}
		c.say("43/feed," + id + `[{"ok":true}]`)
	}
	f.serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 1, Emit: &swarm.Emit{Event: "echo", Window: 1, Rate: rate}})
	s := h.until("g", "the stall and what it held up are over", func(s *swarm.Snapshot) bool { return s.Acked >= 1000 })
	held := int64(0) // answered later than half the stall after they were meant to be sent
	for _, bar := range s.EmitLatency.Distribution() {
		if bar.From >= (stall / 2).Microseconds() {
			held += bar.Count
		}
	}
	if least := int64(rate * stall.Seconds() / 2); held < least-5 {
		t.Errorf("%d events waited for half the stall, want at least %d: it is hidden", held, least)
	}
}

func TestAnOpenLoopKeepsItsRate(t *testing.T) {
	srv := serve(t)
	spec := swarm.Spec{URL: url(srv), Namespace: "/feed"}
	const clients, rate = 10, 50
	begun := swarm.Clock()
	h := gather(t, spec, swarm.Group{Name: "g", Clients: clients, Emit: &swarm.Emit{Event: "echo", Window: 100, Rate: rate}})
	s := h.until("g", "events", func(s *swarm.Snapshot) bool { return s.Acked >= 300 })
	seconds := float64(swarm.Clock()-begun) / 1e6
	if most := clients * (rate*seconds + 1); float64(s.Emitted) > most {
		t.Errorf("%d events in %.3f s, want at most %.0f", s.Emitted, seconds, most)
	}
}

// TestANearMomentIsNotMissedForAFarOne: the loop sleeps for a thousand seconds when something comes that is due at once.
func TestANearMomentIsNotMissedForAFarOne(t *testing.T) {
	const enough = 20
	f := listen(t)
	events, heard := 0, make(chan struct{})
	f.answer = func(c *fakeConn, id, name string) {
		c.say("43/feed," + id + `[{"ok":true}]`)
		if events++; events == enough {
			close(heard)
		}
	}
	f.serve()
	spec := swarm.Spec{URL: f.url(), Namespace: "/feed", Timeout: time.Hour}
	h := gather(t, spec, swarm.Group{Name: "far", Clients: 2, Rate: 0.001})
	h.until("far", "the first is there", func(s *swarm.Snapshot) bool { return s.Ready == 1 })
	if err := h.Add(swarm.Group{Name: "near", Clients: 1, Emit: &swarm.Emit{Event: "echo", Rate: 200}}); err != nil {
		t.Fatal(err)
	}
	select { // without a snapshot in between, which would wake the loop
	case <-heard:
	case <-time.After(patience):
		t.Fatalf("fewer than %d events", enough)
	}
}
