package metrics_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/metrics"
)

// withTraffic runs do in a bubble on a hub where a reader and a stalled client
// have been sent six prices, and the reader an order which it has acknowledged.
func withTraffic(t *testing.T, streamFence bool, do func(*delivery.Hub, *metrics.Collector)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.Start()
		defer h.Close()
		reader, stalled := &client{open: true}, &client{}
		connect(t, h, reader, "prices", "orders", "user:7")
		connect(t, h, stalled, "prices")
		for range 6 {
			publish(t, h, "prices", "")
			synctest.Wait()
		}
		publish(t, h, "user:7", "")
		publish(t, h, "orders", "o1")
		time.Sleep(3 * time.Second)
		on(h.Shards()[0], func() {
			reader.socket.Ack("orders", "o1")
			reader.conn.RecordCut(base.CauseAdmin)
		})
		refused, cancel := context.WithCancel(context.Background())
		cancel()
		big := &delivery.Publication{Payload: []byte(`"` + strings.Repeat("x", 64<<10) + `"`)}
		if _, err := h.Publish(refused, h.Namespace("/feed"), "prices", big, false); !errors.Is(err, delivery.ErrTooLarge) {
			t.Fatalf("a message over the limit: %v", err)
		}
		synctest.Wait()
		do(h, metrics.New(metrics.Options{Hub: h, Extra: extra, StreamFence: streamFence}))
	})
}

// unsteady are the metrics whose figures depend on how the loops ran.
var unsteady = []string{"weir_loop_seconds", "weir_loop_longest_seconds", "weir_loop_stalls_total", "weir_memory_held_bytes", "weir_memory_budget_ratio", "weir_held_bytes"}

func steady(t *testing.T, c *metrics.Collector, prefix ...string) (names []string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name := f.GetName()
		if !slices.Contains(unsteady, name) && slices.ContainsFunc(prefix, func(p string) bool { return strings.HasPrefix(name, p) }) {
			names = append(names, name)
		}
	}
	return names
}

func TestExpositionIsGolden(t *testing.T) {
	withTraffic(t, false, func(_ *delivery.Hub, c *metrics.Collector) {
		golden(t, c, "testdata/weir.txt", steady(t, c, "weir_"))
	})
}

func TestStreamFenceExpositionIsGolden(t *testing.T) {
	withTraffic(t, true, func(_ *delivery.Hub, c *metrics.Collector) {
		golden(t, c, "testdata/streamfence.txt", steady(t, c, "streamfence_", "wsserver_"))
	})
}

func golden(t *testing.T, c prometheus.Collector, file string, names []string) {
	t.Helper()
	want, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = want.Close() }()
	if err := testutil.CollectAndCompare(c, want, names...); err != nil {
		t.Error(err)
	}
}

func TestNamesFollowPrometheusRules(t *testing.T) {
	withTraffic(t, true, func(_ *delivery.Hub, c *metrics.Collector) {
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(c)
		problems, err := testutil.GatherAndLint(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	})
}

// However many clients there are, there are no more series: no label names one,
// and a pattern is one topic.
func TestSeriesDoNotGrowWithClients(t *testing.T) {
	withTraffic(t, true, func(h *delivery.Hub, c *metrics.Collector) {
		before := testutil.CollectAndCount(c)
		for i := range 50 {
			topic := "user:" + string(rune('A'+i))
			connect(t, h, &client{}, topic)
			publish(t, h, topic, "")
		}
		time.Sleep(2 * time.Second)
		if after := testutil.CollectAndCount(c); after != before {
			t.Errorf("%d series, then %d", before, after)
		}
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(c)
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		allowed := []string{"namespace", "topic", "reason", "cause", "transport", "queue", "what", "event", "from", "version", "revision", "goversion", "server", "action", "dry_run", "schema", "result", "hook"}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if !slices.Contains(allowed, l.GetName()) || l.GetName() == "topic" && !slices.Contains([]string{"", "prices", "user:*", "orders", "kept"}, l.GetValue()) {
						t.Errorf("%s has %s=%q", f.GetName(), l.GetName(), l.GetValue())
					}
				}
			}
		}
	})
}

// A hub that does not answer costs the two gauges that need it, not the scrape.
func TestScrapeDoesNotWaitForStuckShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub() // its shards do not run
		c := metrics.New(metrics.Options{Hub: h})
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(c)
		begun := time.Now()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("the scrape took %s", took)
		}
		for _, f := range families {
			if name := f.GetName(); name == "weir_clients_lagging" || name == "weir_oldest_age_seconds" {
				t.Errorf("%s without a walk", name)
			}
		}
		if len(families) < 30 {
			t.Errorf("only %d families", len(families))
		}
		h.Start() // ends the walk that was given up
		synctest.Wait()
		h.Close()
	})
}

func TestLagGaugesAreWalkedForOnceASecond(t *testing.T) {
	withTraffic(t, false, func(h *delivery.Hub, c *metrics.Collector) {
		lagging := func() float64 {
			r := prometheus.NewPedanticRegistry()
			r.MustRegister(c)
			families, err := r.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "weir_clients_lagging" {
					return f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			return -1
		}
		connect(t, h, &client{}, "user:9")
		publish(t, h, "user:9", "")
		time.Sleep(500 * time.Millisecond)
		if n := lagging(); n != 1 {
			t.Errorf("%v lag, want the stalled one", n)
		}
		time.Sleep(900 * time.Millisecond)
		if n := lagging(); n != 1 {
			t.Errorf("walked again within a second: %v", n)
		}
		time.Sleep(200 * time.Millisecond)
		if n := lagging(); n != 2 {
			t.Errorf("%v lag after a second, want 2", n)
		}
	})
}

func TestRegistryHasRuntimeAndProcess(t *testing.T) {
	withTraffic(t, false, func(_ *delivery.Hub, c *metrics.Collector) {
		r, err := c.Registry()
		if err != nil {
			t.Fatal(err)
		}
		n, err := testutil.GatherAndCount(r, "go_goroutines", "process_cpu_seconds_total", "weir_build_info")
		if err != nil || n < 2 {
			t.Errorf("%d of the three, %v", n, err)
		}
	})
}

// Every metric is in docs/metrics.md, and docs/metrics.md invents none.
func TestDocumentListsEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.Contains(cells[1], "not offered") {
			continue
		}
		for _, word := range strings.Fields(strings.ReplaceAll(cells[1], "`", "")) {
			if name, _, _ := strings.Cut(word, "{"); strings.Contains(name, "_") {
				documented = append(documented, strings.Trim(name, ","))
			}
		}
	}
	ch := make(chan *prometheus.Desc, 200)
	metrics.New(metrics.Options{Hub: newHub(), StreamFence: true}).Describe(ch)
	close(ch)
	var described []string
	for d := range ch {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		described = append(described, name)
		if !slices.Contains(documented, name) {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(described, name) {
			t.Errorf("docs/metrics.md has %s, which does not exist", name)
		}
	}
}
