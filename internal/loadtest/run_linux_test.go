package loadtest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// options are those of a short run against s.
func options(scenario string, s *server) loadtest.Options {
	o := loadtest.Defaults(scenario)
	o.Target.URL, o.Target.Timeout = s.url, patience
	o.Clients = 5
	o.Phases = loadtest.Phases{Warmup: 100 * time.Millisecond, Duration: time.Second, Hold: 100 * time.Millisecond, Settle: 50 * time.Millisecond}
	return o
}

func run(t *testing.T, o loadtest.Options) *report.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r, err := loadtest.Run(ctx, o, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	if r.Interrupted {
		t.Fatal("the run took longer than the test has")
	}
	for _, v := range r.Verdicts {
		t.Log(v.OK, v.Text)
	}
	return r
}

func count(r *report.Run, name string) int64 {
	for _, c := range r.Counts {
		if c.Name == name {
			return c.Value
		}
	}
	return 0
}

func figure(t *testing.T, r *report.Run, name string) float64 {
	t.Helper()
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	t.Fatalf("no figure %q among %+v", name, r.Figures)
	return 0
}

func latency(t *testing.T, r *report.Run, name string) report.Latency {
	t.Helper()
	i := slices.IndexFunc(r.Latencies, func(l report.Latency) bool { return l.Name == name })
	if i < 0 || r.Latencies[i].Histogram.TotalCount() == 0 {
		t.Fatalf("no latency %q", name)
	}
	return r.Latencies[i]
}

// failed reports whether a verdict that speaks of something is bad.
func failed(r *report.Run, of string) bool {
	return slices.ContainsFunc(r.Verdicts, func(v report.Verdict) bool { return !v.OK && strings.Contains(v.Text, of) })
}

func TestAnHonestServerPassesInBothLoops(t *testing.T) {
	t.Parallel()
	for _, feed := range []loadtest.Feed{{Rate: 500}, {Window: 8}} {
		s := serve(t, faults{})
		o := options(loadtest.Fanout, s)
		o.Feed.Rate, o.Feed.Window = feed.Rate, feed.Window
		r := run(t, o)
		if !r.OK() {
			t.Errorf("verdicts %+v", r.Verdicts)
		}
		if n := count(r, "deliveries, all"); n == 0 || n%int64(o.Clients) != 0 {
			t.Errorf("%d deliveries to %d clients", n, o.Clients)
		}
		if got := figure(t, r, "deliveries/s"); got <= 0 {
			t.Errorf("%v deliveries/s", got)
		}
		latency(t, r, "delivery")
	}
}

func TestDroppedMessagesAreReportedAsGaps(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{dropEvery: 1000})
	o := options(loadtest.Fanout, s)
	o.Feed.Rate = 1500
	r := run(t, o)
	if got := count(r, "gaps"); got < int64(o.Clients) || got%int64(o.Clients) != 0 {
		t.Errorf("%d gaps for %d clients, want some, the same for each", got, o.Clients)
	}
	if !failed(r, "gaps") || r.OK() {
		t.Errorf("verdicts %+v, want one about gaps", r.Verdicts)
	}
}

func TestTheLastMessagesAreWaitedForWithThePublisherConnected(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{forgets: 20 * time.Millisecond})
	o := options(loadtest.Fanout, s)
	o.Feed.Window = 8
	if r := run(t, o); !r.OK() {
		t.Errorf("verdicts %+v", r.Verdicts)
	}
}

func TestExpectedDropsAreNoFailure(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{dropEvery: 50})
	o := options(loadtest.Fanout, s)
	o.Feed.Rate, o.Feed.DropsExpected = 500, true
	r := run(t, o)
	if count(r, "gaps") == 0 || !r.OK() {
		t.Errorf("%d gaps, verdicts %+v, want gaps that are no failure", count(r, "gaps"), r.Verdicts)
	}
}

func TestSwappedMessagesAreReportedAsDisorder(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{swap: 300})
	o := options(loadtest.Fanout, s)
	o.Feed.Rate = 500
	r := run(t, o)
	if got := count(r, "disorder"); got != int64(o.Clients) {
		t.Errorf("%d out of order for %d clients, want one each", got, o.Clients)
	}
	if got := count(r, "gaps"); got != 0 {
		t.Errorf("%d gaps: what came late after all is not missing", got)
	}
	if !failed(r, "disorder") {
		t.Errorf("verdicts %+v, want one about disorder", r.Verdicts)
	}
}

func TestRepeatedMessagesAreReportedAsDuplicates(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{twice: 300})
	o := options(loadtest.Fanout, s)
	o.Feed.Rate = 500
	r := run(t, o)
	if got := count(r, "duplicates"); got != int64(o.Clients) || !failed(r, "duplicates") {
		t.Errorf("%d duplicates for %d clients, verdicts %+v", got, o.Clients, r.Verdicts)
	}
}

// A fifth of the messages is due while the server stalls, so p99 is near the stall's length. A tool that counted from
// when it came to send, or from when the server came to read, would see one slow message a second.
func TestStallsOfTheServerAreInThePercentilesOfAnOpenLoop(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{stall: 200 * time.Millisecond})
	o := options(loadtest.Fanout, s)
	o.Feed.Rate, o.Phases.Duration = 200, 5*time.Second
	h := latency(t, run(t, o), "delivery").Histogram
	p50, p99 := time.Duration(h.ValueAtQuantile(50))*time.Microsecond, time.Duration(h.ValueAtQuantile(99))*time.Microsecond
	if p99 < 100*time.Millisecond || p50 > p99/2 {
		t.Errorf("p50 %v, p99 %v of a server that stalls for 200 ms each second", p50, p99)
	}
}

// The publisher itself is stalled here: what it sends late carries the time it was due.
func TestStallsOfTheWayInAreInThePercentilesOfAnOpenLoop(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	o := options(loadtest.Fanout, s)
	api := newStallingAPI(t, s)
	o.Feed.Rate, o.Phases.Duration = 200, 5*time.Second
	o.Feed.Publish, o.Server.Management, o.Server.Metrics = loadtest.PublishAPI, api.URL, api.URL+"/metrics"
	r := run(t, o)
	h := latency(t, r, "delivery").Histogram
	if p99 := time.Duration(h.ValueAtQuantile(99)) * time.Microsecond; p99 < 100*time.Millisecond {
		t.Errorf("p99 %v with a publish that takes 200 ms each second", p99)
	}
	if late := figure(t, r, "publisher late, at most"); late < 100 {
		t.Errorf("the publisher is said to be late by %v ms at most", late)
	}
	if !r.OK() {
		t.Errorf("verdicts %+v: nothing may be left out", r.Verdicts)
	}
}

func TestNothingDeliveredIsAFailureThatSaysWhatToCheck(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{deaf: true})
	o := options(loadtest.Fanout, s)
	o.Phases.Duration = 300 * time.Millisecond
	if r := run(t, o); !failed(r, "clientPublish: allow") {
		t.Errorf("verdicts %+v", r.Verdicts)
	}
}

func TestConnectHoldsEveryClient(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	o := options(loadtest.Connect, s)
	o.Clients, o.Server.PID = 40, os.Getpid()
	r := run(t, o)
	if !r.OK() || figure(t, r, "connected") != 40 || figure(t, r, "connects/s") <= 0 {
		t.Errorf("%+v %+v", r.Figures, r.Verdicts)
	}
	figure(t, r, "server RSS per connection")
	if n := s.accepted.Load(); n != 41 { // and the probe
		t.Errorf("the server has accepted %d, want 41", n)
	}
}

func TestEventsAreAcked(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	o := options(loadtest.Events, s)
	o.Phases.Duration = 500 * time.Millisecond
	r := run(t, o)
	if !r.OK() || figure(t, r, "events/s") <= 0 {
		t.Errorf("%+v %+v", r.Figures, r.Verdicts)
	}
	latency(t, r, "event until its ack")
}

func TestSlowClientsDoNotSpoilTheVerdict(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{dropEvery: 0})
	o := options(loadtest.Slow, s)
	o.Clients, o.Slow.Share, o.Slow.Read = 10, loadtest.Share{Count: 2}, 20_000
	o.Feed.Rate = 50
	o.Phases.Hold, o.Server.PID = 100*time.Millisecond, os.Getpid()
	r := run(t, o)
	figure(t, r, "server RSS idle")
	if !r.OK() || figure(t, r, "healthy deliveries/s") <= 0 || figure(t, r, "slow deliveries/s, each") <= 0 {
		t.Errorf("%+v %+v", r.Figures, r.Verdicts)
	}
	latency(t, r, "slow: age of what they read")
}

func TestStormWaitsUntilAllAreBack(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	o := options(loadtest.Storm, s)
	o.Clients, o.Storm.Stay, o.Phases.Duration = 20, 3, patience
	o.Storm.Delay, o.Storm.DelayMost = 200*time.Millisecond, time.Second
	r := run(t, o)
	if !r.OK() || figure(t, r, "time until all are back") <= 0 {
		t.Errorf("%+v %+v", r.Figures, r.Verdicts)
	}
	if n := s.accepted.Load(); n != 1+23+1+20 { // probe, all, publisher, those cut
		t.Errorf("the server has accepted %d connections, want 45", n)
	}
	latency(t, r, "stayed: delivery")
	latency(t, r, "stayed: delivery before the cut")
}

func TestClientsThatAreCutAreAFailure(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	o := options(loadtest.Fanout, s)
	o.Feed.Rate, o.Feed.Publish = 100, loadtest.PublishNone
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shown := 0
	r, err := loadtest.Run(ctx, o, func(string) {
		if shown++; shown == 2 {
			s.cutAll()
		}
	})
	if err != nil || !failed(r, "lost its connection") {
		t.Errorf("%v, %+v, want a verdict about lost connections", err, r)
	}
}

func TestTheEndOfTheContextEndsARunWithTheResultSoFar(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	o := options(loadtest.Fanout, s)
	o.Phases.Duration = 24 * time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shown := 0
	r, err := loadtest.Run(ctx, o, func(string) {
		if shown++; shown == 3 {
			cancel()
		}
	})
	if err != nil || !r.Interrupted || !r.OK() || figure(t, r, "deliveries/s") <= 0 {
		t.Errorf("%v, %+v, want an interrupted run with a result", err, r)
	}
}

func TestAServerThatDoesNotServeIsOneClearSentence(t *testing.T) {
	t.Parallel()
	silent := listen(t)
	defer silent.Close() //nolint:errcheck // nothing was accepted
	client, err := net.Dial("tcp", silent.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // it has said nothing
	web := newStallingAPI(t, nil)
	mute := listen(t)
	defer mute.Close() //nolint:errcheck // see below
	go hangUp(mute)
	for url, want := range map[string]string{
		"http://" + client.LocalAddr().String(): "is the server running", // nobody can listen there
		"http://" + silent.Addr().String():      "does not answer as a Socket.IO server within",
		"http://" + mute.Addr().String():        "is this the address of a Socket.IO server?",
		web.URL:                                 "is the path that of Socket.IO",
	} {
		o := loadtest.Defaults(loadtest.Connect)
		if o.Target.URL = url; strings.HasSuffix(url, silent.Addr().String()) {
			o.Target.Timeout = 500 * time.Millisecond // it would be waited for as long as there is
		}
		r, err := loadtest.Run(t.Context(), o, nil)
		if err == nil || r != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one sentence with %q", url, err, want)
		}
	}
}

// hangUp takes connections, reads something and closes; it ends with the listener.
func hangUp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.ReadAtLeast(c, make([]byte, 16), 1)
		_ = c.Close()
	}
}

func TestARefusedSubscribeIsSaidBeforeTheLoad(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{answers: `{"ok":false,"code":"unknown","reason":"no such topic"}`})
	_, err := loadtest.Run(t.Context(), options(loadtest.Fanout, s), nil)
	if err == nil || !strings.Contains(err.Error(), "no such topic (unknown)") {
		t.Errorf("%v, want the server's reason", err)
	}
	if n := s.accepted.Load(); n != 1 {
		t.Errorf("%d connections were made, want one", n)
	}
}

func TestAFleetOfTwoAgentsIsOneResult(t *testing.T) {
	t.Parallel()
	for _, feed := range []loadtest.Feed{{Rate: 300}, {Window: 4}} {
		s := serve(t, faults{dropEvery: 0})
		o := options(loadtest.Fanout, s)
		o.Agents, o.Feed.Rate, o.Feed.Window = 2, feed.Rate, feed.Window
		r := run(t, o)
		if !r.OK() {
			t.Errorf("verdicts %+v", r.Verdicts)
		}
		n := count(r, "deliveries, all")
		if n == 0 || n%int64(o.Clients) != 0 || latency(t, r, "delivery").Histogram.TotalCount() >= n {
			t.Errorf("%d deliveries to %d clients", n, o.Clients)
		}
		if n := s.accepted.Load(); n != int64(o.Clients)+2 { // probe and publisher
			t.Errorf("the server has accepted %d connections, want %d", n, o.Clients+2)
		}
	}
}

func TestAFleetOfTwoAgentsSeesGaps(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{dropEvery: 100})
	o := options(loadtest.Fanout, s)
	o.Agents, o.Feed.Rate = 2, 500
	if r := run(t, o); count(r, "gaps")%int64(o.Clients) != 0 || !failed(r, "gaps") {
		t.Errorf("%+v %+v", r.Counts, r.Verdicts)
	}
}

func TestAStormOfTwoAgentsReachesBoth(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	o := options(loadtest.Storm, s)
	o.Agents, o.Clients, o.Storm.Stay, o.Phases.Duration = 2, 10, 1, patience // one stays, in one of the agents
	o.Storm.Delay, o.Storm.DelayMost = 200*time.Millisecond, time.Second
	r := run(t, o)
	if n := s.accepted.Load(); !r.OK() || n != 1+11+1+10 { // probe, all, publisher, those cut
		t.Errorf("the server has accepted %d connections, want 23; %+v", n, r.Verdicts)
	}
}

func TestLeakComparesWaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		perScrape int
		ok        bool
	}{{0, true}, {500, false}} {
		s := serve(t, faults{})
		o := options(loadtest.Leak, s)
		o.Phases.Duration, o.Feed.Rate = 300*time.Millisecond, 50
		o.Server.Metrics = newMetrics(t, c.perScrape)
		r := run(t, o)
		if r.OK() != c.ok || failed(r, "leak: goroutines") == c.ok {
			t.Errorf("with %d more goroutines a scrape: %+v, want ok %v", c.perScrape, r.Verdicts, c.ok)
		}
		if got := count(r, "wave 3: deliveries, all"); got == 0 {
			t.Errorf("the last wave received nothing: %+v", r.Counts)
		}
		for i := range o.Waves {
			figure(t, r, fmt.Sprintf("goroutines after wave %d", i+1))
		}
	}
}
