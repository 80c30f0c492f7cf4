package swarm_test

import (
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func feed(url string) swarm.Spec {
	return swarm.Spec{URL: url, Namespace: "/feed", Subscribe: []string{"load"}, Event: "load", Timeout: patience}
}

// soon is a way to come back that tests need not wait for.
var soon = &swarm.Reconnect{Delay: time.Millisecond, DelayMax: 5 * time.Millisecond, Jitter: 0.5}

func has(deliveries int64) func(*swarm.Snapshot) bool {
	return func(s *swarm.Snapshot) bool { return s.Deliveries == deliveries }
}

// awaitDelivered waits until Delivered says n, and fails if it says more.
func awaitDelivered(t *testing.T, h *herd, n int64) {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case got := <-h.Delivered():
			if got == n {
				return
			}
			if got > n {
				t.Fatalf("everybody is said to have %d, want %d", got, n)
			}
		case <-timeout:
			t.Fatalf("nobody says that everybody has %d", n)
		}
	}
}

func TestEveryClientGetsEveryMessage(t *testing.T) {
	srv := serve(t, weir.TopicOptions{Name: "load", Max: weir.Limits{Messages: 1000}})
	h := gather(t, feed(url(srv)), swarm.Group{Name: "fast", Clients: 100})
	if s := h.allReady("fast"); s.Connects != 100 || s.ConnectTime.TotalCount() != 100 || len(s.Failures) != 0 || s.Newest != -1 {
		t.Fatalf("connected: %+v", *s)
	}
	publish(t, srv, 0, 500)
	awaitDelivered(t, h, 499)
	s := h.until("fast", "all have all", has(100*500))
	if s.Gaps != 0 || s.Disorder != 0 || s.Duplicates != 0 || s.Newest != 499 || s.Bytes == 0 || s.Loop.Busy == 0 {
		t.Errorf("deliveries: %+v", *s)
	}
	if n := s.Latency.TotalCount(); n != 100*500 {
		t.Errorf("%d latencies", n)
	}
	if longest := s.Latency.Max(); longest > 2*patience.Microseconds() {
		t.Errorf("a latency of %v", time.Duration(longest)*time.Microsecond)
	}
	s.Deliveries = 0
	if h.look(); s.Deliveries != 0 {
		t.Errorf("a second snapshot counts %d again", s.Deliveries)
	}
}

func TestReliableDeliveriesAreAcknowledged(t *testing.T) {
	srv := serve(t, weir.TopicOptions{
		Name: "load", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, MaxInFlight: 4, AckTimeout: patience,
		Max: weir.Limits{Messages: 1000},
	})
	spec := feed(url(srv))
	spec.Ack = true
	h := gather(t, spec, swarm.Group{Name: "fast", Clients: 10})
	h.allReady("fast")
	publish(t, srv, 0, 200) // in flight are 4: without acks there is no fifth
	if s := h.until("fast", "all have all", has(10*200)); s.Gaps != 0 || s.Duplicates != 0 || s.Disorder != 0 {
		t.Errorf("%+v", *s)
	}
}

func TestAcksOfOneReadGoInOneWrite(t *testing.T) {
	f := listen(t).serve()
	spec := feed(f.url())
	spec.Ack = true
	h := gather(t, spec, swarm.Group{Name: "one", Clients: 1})
	h.allReady("one")
	f.each(func(c *fakeConn) {
		c.say(`42/feed,["load",{"n":0,"t":1},{"messageId":"a","topic":"load"}]`, `42/feed,["load",{"n":1,"t":1}]`,
			`42/feed,["load",{"n":2,"t":1},{"topic":"load","messageId":"b"}]`)
	})
	want := []string{`42/feed,["ack",{"topic":"load","messageId":"a"}]`, `42/feed,["ack",{"topic":"load","messageId":"b"}]`}
	h.until("one", "both are acknowledged", func(*swarm.Snapshot) bool {
		said, _ := f.said()
		return slices.Equal(said, want)
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most != 2 {
		t.Errorf("at most %d came at once", f.most)
	}
}

func TestWhatAServerLosesSwapsAndRepeatsIsCounted(t *testing.T) {
	const clients = 20
	f := listen(t).serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "fast", Clients: clients})
	h.allReady("fast")
	for n := range 5001 {
		if n%1000 != 999 { // it drops every 1000th
			f.deliver(n)
		}
	}
	awaitDelivered(t, h, 5000)
	s := h.until("fast", "all have what was sent", has(clients*4996))
	if s.Gaps != clients*5 || s.Late != 0 || s.Disorder != 0 || s.Duplicates != 0 {
		t.Errorf("after losses: %+v", *s)
	}
	f.deliver(5002, 5001, 5003, 5003, 5001)
	awaitDelivered(t, h, 5003)
	s = h.until("fast", "all have what was sent", has(clients*5001))
	if s.Gaps != clients*6 || s.Late != clients || s.Disorder != clients || s.Duplicates != 2*clients || s.Newest != 5003 {
		t.Errorf("after a swap and two repetitions: %+v", *s)
	}
}

func TestWhatIsNoDeliveryIsSkipped(t *testing.T) {
	f := listen(t).serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "one", Clients: 1})
	h.allReady("one")
	f.each(func(c *fakeConn) {
		c.say(`42/feed,["other",{"n":1,"t":1}]`, `42/feed,["load",7]`, `42/feed,["load",{"n":"1","t":1}]`,
			`42/feed,["load",{"n":9999999999999999999,"t":1}]`, `43/feed,99[]`, `42/feed,["load",{"n":3,"t":1}]`)
	})
	s := h.until("one", "the last is there", has(1))
	if s.Newest != 3 || s.Skipped != 5 || s.Ready != 1 {
		t.Errorf("%+v", *s)
	}
}

func TestDeliveredWaitsForTheLastButNotForWhoIsLostOrSlow(t *testing.T) {
	f := listen(t).serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "fast", Clients: 2})
	h.allReady("fast")
	if err := h.Add(swarm.Group{Name: "stalled", Clients: 1, ReadRate: swarm.Stalled}); err != nil {
		t.Fatal(err)
	}
	h.until("fast", "both groups are known", func(*swarm.Snapshot) bool { return h.total["stalled"] != nil })
	h.allReady("stalled")
	f.mu.Lock()
	behind, ahead := f.members[0], f.members[1]
	f.mu.Unlock()
	text := func(n int) string { return `42/feed,["load",` + string(message(n)) + `]` }
	ahead.say(text(0))
	h.until("fast", "one is ahead", has(1))
	if err := h.Add(swarm.Group{Name: "late", Clients: 1}); err != nil {
		t.Fatal(err)
	}
	h.until("fast", "one more is known", func(*swarm.Snapshot) bool { return h.total["late"] != nil })
	h.allReady("late") // and waits for nothing it was too late for
	behind.say(text(0))
	awaitDelivered(t, h, 0)

	ahead.say(text(1), text(2))
	h.until("fast", "one is ahead", has(4))
	behind.say(text(1))
	awaitDelivered(t, h, 1)
	_ = behind.conn.Close()
	awaitDelivered(t, h, 2)
}

func TestClientsThatAreCutComeBack(t *testing.T) {
	srv := serve(t, weir.TopicOptions{Name: "load", Max: weir.Limits{Messages: 1000}})
	h := gather(t, feed(url(srv)), swarm.Group{Name: "storm", Clients: 200, Reconnect: soon}, swarm.Group{Name: "calm", Clients: 10})
	h.allReady("storm")
	h.allReady("calm")
	publish(t, srv, 0, 10)
	awaitDelivered(t, h, 9)
	if err := h.Cut("storm", 0.5); err != nil {
		t.Fatal(err)
	}
	s := h.until("storm", "half was cut and is back", func(s *swarm.Snapshot) bool { return s.Lost["cut"] == 100 && s.Ready == 200 })
	if s.Connects != 300 || len(s.Lost) != 1 {
		t.Errorf("%+v", *s)
	}
	publish(t, srv, 10, 20) // a closed loop goes on, and what was missed while away is no gap
	awaitDelivered(t, h, 19)
	h.look()
	if s := h.of("storm"); s.Gaps != 0 || s.Disorder != 0 {
		t.Errorf("after the storm: %+v", *s)
	}
	if s := h.of("calm"); s.Ready != 10 || len(s.Lost) != 0 || s.Deliveries != 200 {
		t.Errorf("who was left alone: %+v", *s)
	}
}

func TestACutIsAReset(t *testing.T) {
	f := listen(t).serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 5})
	h.allReady("g")
	if err := h.Cut("g", 1); err != nil {
		t.Fatal(err)
	}
	h.until("g", "the server has seen all resets", func(s *swarm.Snapshot) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return s.Gone == 5 && f.resets == 5
	})
}

func TestLossesAreToldApart(t *testing.T) {
	for reason, end := range map[string]func(*fakeConn){
		"eof":          func(c *fakeConn) { _ = c.conn.CloseWrite() },
		"reset":        func(c *fakeConn) { _ = c.conn.SetLinger(0); _ = c.conn.Close() },
		"close_1001":   func(c *fakeConn) { c.write([]byte{0x88, 2, 0x03, 0xe9}) },
		"close_packet": func(c *fakeConn) { c.say("1") },
		"disconnect":   func(c *fakeConn) { c.say("41/feed,") },
		"bad_message":  func(c *fakeConn) { c.say("42/feed,nonsense") },
	} {
		f := listen(t).serve()
		h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 3, Reconnect: soon}, swarm.Group{Name: "once", Clients: 3})
		h.allReady("g")
		h.allReady("once")
		f.each(end)
		s := h.until("g", reason, func(s *swarm.Snapshot) bool { return s.Lost[reason] == 3 && s.Ready+s.Gone == 3 })
		if back := reason != "disconnect"; back != (s.Ready == 3) {
			t.Errorf("%s: %d are back, %d gone for good", reason, s.Ready, s.Gone)
		}
		h.until("once", reason, func(s *swarm.Snapshot) bool { return s.Lost[reason] == 3 && s.Gone == 3 })
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	silent := func(f *fake) {
		f.answer = func(*fakeConn, string, string) {}
	}
	for reason, set := range map[string]func(*fake){
		"http_503": func(f *fake) {
			f.refuse = func(*fakeConn) string {
				return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nRetry-After: 60\r\n\r\nno"
			}
		},
		"http_502": func(f *fake) { f.refuse = func(*fakeConn) string { return "HTTP/1.0 502 Bad Gateway\r\n\r\nno" } },
		"closed":   func(f *fake) { f.refuse = func(*fakeConn) string { return "HTTP/1.1 " } },
		"reset": func(f *fake) {
			f.refuse = func(c *fakeConn) string {
				_ = c.conn.SetLinger(0)
				return "HTTP/1.1 101 Switching Proto"
			}
		},
		"bad_handshake":            func(f *fake) { f.refuse = func(*fakeConn) string { return "SSH-2.0-x\r\n" } },
		"connect_error: forbidden": func(f *fake) { f.connect = `44/feed,{"message":"forbidden"}` },
		"timeout":                  silent,
		"subscribe: unknown_topic": func(f *fake) {
			f.answer = func(c *fakeConn, id, _ string) {
				c.say("43/feed," + id + `[{"ok":false,"code":"unknown_topic"}]`)
			}
		},
		"subscribe: unreadable": func(f *fake) {
			f.answer = func(c *fakeConn, id, _ string) { c.say("43/feed," + id + `[]`) }
		},
	} {
		f := listen(t)
		set(f)
		f.serve()
		spec := feed(f.url())
		if reason == "timeout" {
			spec.Timeout = 20 * time.Millisecond
		}
		h := gather(t, spec, swarm.Group{Name: "g", Clients: 5})
		s := h.until("g", reason, func(s *swarm.Snapshot) bool { return s.Gone == 5 })
		if len(s.Failures) != 1 || s.Failures[reason] != 5 || s.Connects != 0 || len(s.Lost) != 0 {
			t.Errorf("want %s: %+v", reason, *s)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyThereIsRefused(t *testing.T) {
	somebody := listen(t)
	client, err := net.Dial("tcp", somebody.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	// Nobody can listen on a client's port.
	h := gather(t, feed("http://"+client.LocalAddr().String()), swarm.Group{Name: "g", Clients: 5})
	if s := h.until("g", "all have failed", func(s *swarm.Snapshot) bool { return s.Gone == 5 }); s.Failures["refused"] != 5 {
		t.Errorf("%v", s.Failures)
	}
}

func TestClientsTryAgainUntilTheyAreLetIn(t *testing.T) {
	const clients, refusals = 10, 30
	f := listen(t)
	f.refuse = func(c *fakeConn) string {
		if c.attempt < refusals {
			return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
		}
		return ""
	}
	f.serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: clients, Reconnect: soon})
	s := h.allReady("g")
	if s.Failures["http_503"] != refusals || s.Connects != clients || s.ConnectTime.TotalCount() != clients {
		t.Errorf("%+v", *s)
	}
}

func TestARateSpacesConnections(t *testing.T) {
	f := listen(t).serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 10, Rate: 0.001}) // the second comes after 1,000 s
	h.until("g", "the first is ready", func(s *swarm.Snapshot) bool { return s.Ready == 1 })
	if _, attempts := f.said(); attempts != 1 {
		t.Errorf("%d connections", attempts)
	}
}

func TestAbreastBoundsHandshakes(t *testing.T) {
	const clients, abreast = 40, 4
	f := listen(t)
	held := make(chan func(), clients)
	f.answer = func(c *fakeConn, id, _ string) { held <- func() { c.say("43/feed," + id + `[{"ok":true}]`) } }
	f.serve()
	spec := feed(f.url())
	spec.Abreast = abreast
	h := gather(t, spec, swarm.Group{Name: "g", Clients: clients})
	for answered := range clients {
		answer := <-held
		if h.look(); h.of("g").Connecting > abreast {
			t.Errorf("%d handshakes under way", h.of("g").Connecting)
		}
		if _, attempts := f.said(); attempts > answered+abreast {
			t.Errorf("%d connections while %d are ready", attempts, answered)
		}
		answer()
	}
	h.allReady("g")
}

func TestSlowReadersLagAndStalledOnesGetNothing(t *testing.T) {
	const sent, rate = 4000, 16 << 10
	f := listen(t).serve()
	begun := swarm.Clock()
	h := gather(t, feed(f.url()),
		swarm.Group{Name: "fast", Clients: 2},
		swarm.Group{Name: "slow", Clients: 2, ReceiveBuffer: 4 << 10, ReadRate: rate},
		swarm.Group{Name: "stalled", Clients: 2, ReceiveBuffer: 4 << 10, ReadRate: swarm.Stalled})
	for _, g := range []string{"fast", "slow", "stalled"} {
		h.allReady(g)
	}
	f.each(func(c *fakeConn) { f.serving.Go(func() { pour(c, sent) }) })
	h.until("fast", "the fast have all", has(2*sent))
	s := h.until("slow", "the slow have something", func(s *swarm.Snapshot) bool { return s.Deliveries >= 300 })
	if s.Deliveries >= 2*sent || s.Gaps != 0 || s.Disorder != 0 || s.Ready != 2 {
		t.Errorf("slow: %+v", *s)
	}
	const shaking = 1 << 10 // bytes until a client is ready, which no rate holds up; a step is a quarter of a second's
	seconds := float64(swarm.Clock()-begun) / 1e6
	if most := 2 * (rate*(seconds+0.25) + shaking); float64(s.Bytes) > most {
		t.Errorf("slow: %d bytes in %.3f s, want at most %.0f", s.Bytes, seconds, most)
	}
	if s := h.of("stalled"); s.Deliveries != 0 || s.Ready != 2 {
		t.Errorf("stalled: %+v", *s)
	}
	if err := h.Close(); err != nil { // before the server waits for its writes
		t.Error(err)
	}
}

// pour writes numbers from 0 as fast as the client takes them.
func pour(c *fakeConn, numbers int) {
	for n := range numbers {
		c.say(`42/feed,["load",` + string(message(n)) + `]`)
	}
}

func TestAStalledClientIsSeenToBeCut(t *testing.T) {
	for reason, end := range map[string]func(*fakeConn){
		"eof":   func(c *fakeConn) { _ = c.conn.CloseWrite() },
		"reset": func(c *fakeConn) { _ = c.conn.SetLinger(0); _ = c.conn.Close() },
	} {
		f := listen(t).serve()
		h := gather(t, feed(f.url()), swarm.Group{Name: "stalled", Clients: 2, ReadRate: swarm.Stalled})
		h.allReady("stalled")
		f.deliver(1)
		f.each(end)
		s := h.until("stalled", reason, func(s *swarm.Snapshot) bool { return s.Gone == 2 })
		if s.Lost[reason] != 2 || s.Deliveries != 0 {
			t.Errorf("want %s: %+v", reason, *s)
		}
	}
}

func TestLeavingIsInOrderAndForGood(t *testing.T) {
	f := listen(t).serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 50, Reconnect: soon}, swarm.Group{Name: "later", Clients: 5, Rate: 0.001, Reconnect: soon})
	h.allReady("g")
	for _, g := range []string{"g", "later"} {
		if err := h.Leave(g); err != nil {
			t.Fatal(err)
		}
	}
	s := h.until("g", "all have left", func(s *swarm.Snapshot) bool { return s.Left == 50 })
	if s.Ready+s.Connecting+s.Waiting+s.Leaving+s.Gone != 0 || len(s.Lost) != 0 || len(s.Failures) != 0 {
		t.Errorf("%+v", *s)
	}
	h.until("later", "all have left", func(s *swarm.Snapshot) bool { return s.Left == 5 })
	said, attempts := f.said()
	if n := len(said); n < 50 || slices.ContainsFunc(said, func(text string) bool { return text != "41/feed," }) {
		t.Errorf("%d goodbyes: %q", n, said)
	}
	if attempts > 51 {
		t.Errorf("%d connections of 50 clients and one", attempts)
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	f := listen(t)
	f.answer = func(*fakeConn, string, string) {} // half-way in
	f.refuse = func(c *fakeConn) string {
		if c.attempt%2 == 0 {
			return ""
		}
		return "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"
	}
	f.serve()
	before, goroutines := descriptors(t), runtime.NumGoroutine()
	for range 5 {
		h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 100, Reconnect: soon})
		h.until("g", "some are under way", func(s *swarm.Snapshot) bool { return s.Connecting > 10 })
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Errorf("Close once more: %v", err)
		}
		if h.Add(swarm.Group{Name: "late", Clients: 1}) == nil || h.Cut("g", 1) == nil || h.Leave("g") == nil {
			t.Error("something can be asked of a closed swarm")
		}
		if s := h.Snapshot(); len(s) != 1 || s[0].Asked != 100 {
			t.Errorf("after Close: %+v", s)
		}
	}
	deadline := time.Now().Add(patience)
	for descriptors(t) > before || runtime.NumGoroutine() > goroutines {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, were %d; %d goroutines, were %d", descriptors(t), before, runtime.NumGoroutine(), goroutines)
		}
		<-time.After(time.Millisecond) // the fake's own ends of the connections
	}
}

func TestAThousandQuestionsAreAnswered(t *testing.T) {
	h := gather(t, feed("http://127.0.0.1:1"))
	for range 1000 { // a doorbell that wears out would hang here
		h.Snapshot()
	}
}

func TestClientsComeFromManyAddresses(t *testing.T) {
	f := listen(t).serve()
	spec := feed(f.url())
	spec.Sources, spec.FirstSource = 3, 250
	h := gather(t, spec, swarm.Group{Name: "g", Clients: 30})
	h.allReady("g")
	from := map[string]int{}
	f.each(func(c *fakeConn) {
		from[strings.Split(c.conn.RemoteAddr().String(), ":")[0]]++
	})
	if len(from) != 3 || from["127.0.0.250"] != 10 || from["127.0.0.251"] != 10 || from["127.0.0.2"] != 10 {
		t.Errorf("%v", from)
	}
}

func TestClockIsTheMachines(t *testing.T) {
	micros := func() int64 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			t.Fatal(err)
		}
		return now.Nano() / 1000
	}
	before := micros()
	got := swarm.Clock()
	if after := micros(); got < before-50 || got > after+50 { // it was tied once, between two system calls
		t.Errorf("Clock is %d, the machine's went from %d to %d", got, before, after)
	}
}

func TestClientsThatStalledReadOnWhenTheyAreToldTo(t *testing.T) {
	srv := serve(t, weir.TopicOptions{Name: "load", Max: weir.Limits{Messages: 1000}})
	h := gather(t, feed(url(srv)), swarm.Group{Name: "stalled", Clients: 150, ReadRate: swarm.Stalled})
	h.allReady("stalled")
	publish(t, srv, 0, 500)
	h.look()
	if s := h.of("stalled"); s.Deliveries != 0 {
		t.Fatalf("%d deliveries to clients that do not read", s.Deliveries)
	}
	if err := h.Read("stalled", 0); err != nil {
		t.Fatal(err)
	}
	if s := h.until("stalled", "all have all", has(150*500)); s.Gaps != 0 || s.Disorder != 0 || s.Duplicates != 0 {
		t.Errorf("deliveries: %+v", *s)
	}
	for name, rate := range map[string]int{"nobody": 0, "stalled": swarm.Stalled - 1} {
		if err := h.Read(name, rate); err == nil {
			t.Errorf("group %q may read at %d", name, rate)
		}
	}
}
