package rig_test

import (
	"context"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/streamweir/weir/bench/internal/rig"
)

func TestMedianIsTheMiddle(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := rig.Median(c.of); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.of, got, c.want)
		}
	}
}

func TestPairwiseComparesRunsOfOnePair(t *testing.T) {
	got := rig.Pairwise([]float64{1, 2}, []float64{3, 8}, func(a, b float64) float64 { return b / a })
	if len(got) != 2 || got[0] != 3 || got[1] != 4 {
		t.Errorf("got %v, want [3 4]", got)
	}
}

func TestMetricsSumNeedsEveryLabel(t *testing.T) {
	m := rig.Metrics{
		`weir_dropped_total{reason="overflow",topic="feed"}`:    5,
		`weir_dropped_total{reason="overflow",topic="orders"}`:  3,
		`weir_dropped_total{reason="disconnect",topic="feed"}`:  7,
		`weir_dropped_totals{reason="overflow",topic="feed"}`:   100,
		`weir_dropped_total_x{reason="overflow",topic="feed"}`:  100,
		`weir_retries_total{namespace="/feed",topic="orders"}`:  1,
		`weir_retries_total{namespace="/other",topic="orders"}`: 1,
	}
	if got := m.Sum("weir_dropped_total", `topic="feed"`, `reason="overflow"`); got != 5 {
		t.Errorf("one series: %v, want 5", got)
	}
	if got := m.Sum("weir_retries_total", `topic="orders"`); got != 2 {
		t.Errorf("two series: %v, want 2", got)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := rig.ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.Resident <= 0 || u.Peak < u.Resident/2 || u.CPU < 0 {
		t.Errorf("implausible: %+v", u)
	}
}

func TestQuantileIsOfWhatWasCountedSince(t *testing.T) {
	since := rig.Metrics{`weir_loop_seconds_bucket{le="1"}`: 100, `weir_loop_seconds_bucket{le="2"}`: 100, `weir_loop_seconds_bucket{le="4"}`: 100, `weir_loop_seconds_bucket{le="+Inf"}`: 100}
	now := rig.Metrics{`weir_loop_seconds_bucket{le="1"}`: 150, `weir_loop_seconds_bucket{le="2"}`: 190, `weir_loop_seconds_bucket{le="4"}`: 199, `weir_loop_seconds_bucket{le="+Inf"}`: 200}
	for q, want := range map[float64]float64{0.25: 0.5, 0.5: 1, 0.7: 1.5, 0.9: 2, 1: 4} {
		if got := now.Quantile(since, "weir_loop_seconds", q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := now.Quantile(now, "weir_loop_seconds", 0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing is %v", got)
	}
}

func TestACommandThatFailsShowsWhatItSaid(t *testing.T) {
	err := rig.Run(t.Context(), shell(`echo 'no such flag' >&2; exit 2`))
	if err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("got %v, want what it said", err)
	}
	if rig.ExitCode(err) != 2 || rig.ExitCode(nil) != 0 {
		t.Errorf("exit codes %d and %d, want 2 and 0", rig.ExitCode(err), rig.ExitCode(nil))
	}
}

// shell stands in for a server.
func shell(script string) rig.Command { return rig.Command{Args: []string{"sh", "-c", script}} }

const listening = `echo '{"msg":"listening","server":"bench","address":"127.0.0.1:4242"}' >&2; `

func TestServerIsReadyWhenItSaysSo(t *testing.T) {
	s, err := rig.StartServer(t.Context(), shell(`echo noise >&2; `+listening+`echo '{"msg":"ready"}' >&2; exec sleep 60`))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Addr("bench"); got != "127.0.0.1:4242" {
		t.Errorf("address %q", got)
	}
	if _, err := rig.ReadUsage(s.PID()); err != nil {
		t.Errorf("its process is not there: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := rig.ReadUsage(s.PID()); err == nil {
		t.Error("its process is still there")
	}
}

func TestServerThatDiesShowsItsLog(t *testing.T) {
	_, err := rig.StartServer(context.Background(), shell(`echo 'port taken' >&2; exit 3`))
	if err == nil || !strings.Contains(err.Error(), "port taken") {
		t.Errorf("got %v, want the server's log", err)
	}
}
