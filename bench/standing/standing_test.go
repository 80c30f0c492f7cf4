package main

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// build makes the programs of a lab without the peer.
func build(t *testing.T) lab {
	t.Helper()
	dir := t.TempDir()
	for at, what := range map[string][]string{"../..": {"./cmd/weir"}, "..": {"./floor", "./app"}} {
		cmd := exec.Command("go", append([]string{"build", "-o", dir + "/"}, what...)...)
		cmd.Dir = at
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", what, err, said)
		}
	}
	return lab{
		weir: filepath.Join(dir, "weir"), app: filepath.Join(dir, "app"), floor: filepath.Join(dir, "floor"),
		config: "weir.yaml", driver: "auto", serverCPU: "0", loadCPU: "1",
	}
}

func TestAQuickRowLeavesTextPageAndRuns(t *testing.T) {
	dir := t.TempDir()
	s := settings{lab: build(t), results: dir, quick: 50, only: []string{"fanout-1000", "connect", "publish", "publish-batch", "catchup-1000"}}
	var said strings.Builder
	if err := run(t.Context(), s, &said); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	for pattern, wants := range map[string][]string{
		"standing-*.txt":                        {"== fanout-1000", "deliveries/s: ", "times socket.io's deliveries/s: - (must >= 7 x)", "CPU over raw accept + 101 at the same rate: ", "(must >= 0.600 x)", "(must >= 9 x)", "== summary"},
		"standing-*.html":                       {"<iframe", "fanout-1000", "connect-10000", "deliveries/s", "weir bench"},
		"standing-*/fanout-1000-weir-1.json":    {`"scenario": "fanout"`, `"load tool, share of its core"`},
		"standing-*/connect-10000-floor-1.json": {`"CPU per connect"`},
		"standing-*/publish-weir-1.json":        {`"scenario": "post"`, `"requests/s"`, `"bytes of an answer"`, `"server CPU per request"`},
		"standing-*/publish-bare*-1.json":       {`"scenario": "post"`, `"requests/s"`, `"bytes of an answer"`, `"server CPU per request"`},
		"standing-*/catchup-1000-weir-1.json":   {`"scenario": "catchup"`, `"bytes on disk"`, `"server memory grown while they stalled"`},
		"standing-*/publish-batch-weir-1.json":  {`"scenario": "batch"`, `"messages/s"`, `"server CPU per message"`},
	} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v (%v)", pattern, found, err)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(strings.ReplaceAll(string(text), `":"`, `": "`), want) {
				t.Errorf("%s has no %q", pattern, want)
			}
		}
	}
	if strings.Contains(said.String(), "complaint") {
		t.Errorf("a run did not do what it has to:\n%s", said.String())
	}
}

// TestRowsOfRedisSayHowTheyStand also where there is no Redis.
func TestRowsOfRedisSayHowTheyStand(t *testing.T) {
	dir := t.TempDir()
	s := settings{lab: build(t), results: dir, quick: 50, only: []string{"redis-publish", "redis-append"}}
	var said strings.Builder
	if err := run(t.Context(), s, &said); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	want := []string{"messages/s, of redis-benchmark's: ", "(must >= 0.700 x)", "records/s, of redis-benchmark's: ", "(must >= 0.500 x)", "until heard: "}
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		want = []string{"make deps installs it"}
	}
	for _, w := range want {
		if !strings.Contains(said.String(), w) {
			t.Errorf("there is no %q in:\n%s", w, said.String())
		}
	}
	if strings.Contains(said.String(), "complaint") {
		t.Errorf("a run did not do what it has to:\n%s", said.String())
	}
}

func TestRowsAreChosenByNameOrHowItBegins(t *testing.T) {
	for asked, want := range map[string]string{
		"fanout-1000 idle": "idle-19000 fanout-1000", // exactly so, though another begins like it
		"fanout":           "fanout-1000 fanout-10000",
		"loop loop":        "loop",
		"publish":          "publish", // exactly so, though another begins like it
		"publish-b":        "publish-batch",
	} {
		chosen, err := choose(rows(full), strings.Fields(asked))
		var names []string
		for _, r := range chosen {
			names = append(names, r.name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%s: chose %s (%v), want %s", asked, got, err, want)
		}
	}
	if _, err := choose(rows(full), []string{"nonsense"}); err == nil {
		t.Error("a row that does not exist is chosen")
	}
}

func TestVerdictOfARow(t *testing.T) {
	for _, c := range []struct {
		want   string
		checks []check
	}{
		{"not measured", nil},
		{"not measured", []check{{got: 1}}},
		{"reached", []check{{got: 9, bound: atLeast, limit: 9}, {got: 9, bound: atMost, limit: 9}, {got: math.NaN()}}},
		{"NOT reached", []check{{got: 9, bound: atLeast, limit: 9}, {got: 9.1, bound: atMost, limit: 9}}},
		{"NOT reached", []check{{got: 8.9, bound: atLeast, limit: 9}, {got: math.NaN(), bound: atMost, limit: 9}}},
		{"not measured", []check{{got: 9, bound: atLeast, limit: 9}, {got: math.NaN(), bound: atMost, limit: 9}}},
	} {
		if got := (&finding{checks: c.checks}).verdict(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.checks, got, c.want)
		}
	}
}

func TestARunThatFailsSpoilsItsRowUnlessItIsThePeers(t *testing.T) {
	bad := &report.Run{Verdicts: []report.Verdict{{OK: true, Text: "all came"}, {OK: false, Text: "3 messages missing"}}}
	var f finding
	f.complain(variant{name: socketio, peer: true}, 1, bad)
	f.expect("figure", 1, "", atLeast, 1)
	if f.verdict() != "reached" || len(f.complaints) != 1 {
		t.Errorf("the peer's fault: %s, %v", f.verdict(), f.complaints)
	}
	f.complain(variant{name: weir}, 1, bad)
	if f.verdict() != "NOT reached" {
		t.Errorf("our fault: %s", f.verdict())
	}
}

func TestRatiosAreTakenWithinPairs(t *testing.T) {
	if got := ratio([]float64{2, 9, 4}, []float64{1, 3, 4}); got != 2 {
		t.Errorf("ratio %v, want 2", got)
	}
	if got := ratio([]float64{2, math.NaN()}, []float64{1, 1}); !math.IsNaN(got) {
		t.Errorf("ratio %v with a figure missing", got)
	}
}

func TestGrowthTellsAFlatAgeFromOneThatRises(t *testing.T) {
	age := func(at func(second int) float64) *report.Run {
		s := report.Series{Name: "p99", Unit: "ms", Chart: "latency"}
		for i := range 30 {
			s.Points = append(s.Points, [2]float64{float64(i), at(i)})
		}
		return &report.Run{Series: []report.Series{s}}
	}
	if got := growth(age(func(int) float64 { return 2000 })); got != 1 {
		t.Errorf("flat: %v", got)
	}
	if got := growth(age(func(second int) float64 { return float64(second) * 1000 })); got < 1.4 {
		t.Errorf("rising: %v", got)
	}
	if got := growth(&report.Run{}); !math.IsNaN(got) {
		t.Errorf("unknown: %v", got)
	}
}

func TestCollectorShareIsOfTheTimeAllWereThere(t *testing.T) {
	var w watcher
	w.line(`{"msg":"gc is not this"}`)
	w.line("gc 7 @12.304s 0%: 0.017+2.0+0.002 ms clock, 0.5+1.0/2.0/3.0+0.5 ms cpu, 8->9->4 MB, 9 MB goal, 0 MB stacks, 0 MB globals, 2 P")
	c := w.seen()
	if len(c.collections) != 1 || c.collections[0].cpu != 7*time.Millisecond {
		t.Fatalf("collections %+v, want one of 7 ms", c.collections)
	}
	at := c.collections[0].at
	look := func(after time.Duration, connections float64) sample {
		return sample{at: at.Add(after), metrics: rig.Metrics{"weir_connections": connections}}
	}
	c.collections = append(c.collections, collection{at.Add(-3 * time.Second), time.Second}) // while they came
	c.samples = []sample{look(-4*time.Second, 10), look(-time.Second/2, 50), look(time.Second/2, 50), look(time.Second, 3)}
	figures := collecting(50)(c)
	if got := figures[0].Value; math.Abs(got-0.7) > 1e-9 {
		t.Errorf("share %v %%, want 0.7 %%", got)
	}
	if got := collecting(51)(c)[0].Value; !math.IsNaN(got) {
		t.Errorf("share %v of a time that never was", got)
	}
}

func TestQuantityIsReadable(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{812345.6, "/s", "812,346 /s"}, {1200, "B", "1,200 B"}, {16 << 20, "B", "16 MiB"}, {1.234, "x", "1.23 x"}, {0.01234, "s", "0.012 s"},
		{math.NaN(), "s", "-"}, {0, "", "0"}, {-3.29, "ms", "-3.29 ms"}, {-123456, "", "-123,456"},
	} {
		if got := quantity(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

// TestTheEndOfTheContextEndsAllProcesses is Ctrl-C.
func TestTheEndOfTheContextEndsAllProcesses(t *testing.T) {
	l := build(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := load{scenario: "connect", clients: 10, hold: time.Hour, flags: []string{"--topic", "tick"}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = bench(server{}, o, func(course) []report.Figure { return nil })(ctx, &l, filepath.Join(t.TempDir(), "run.json"))
	}()
	var pids []string
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(pids) < 2 { // server and load
		select {
		case <-tick.C:
			pids = children(t)
		case <-ended:
			t.Fatal("the trial has ended by itself")
		}
	}
	cancel()
	<-ended
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("process %s is still there", pid)
		}
	}
}

// children are the processes this one has started.
func children(t *testing.T) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil { // else a thread that has ended
			pids = append(pids, strings.Fields(string(text))...)
		}
	}
	return pids
}
