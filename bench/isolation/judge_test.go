package main

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/bench/internal/swarm"
)

// run99 is a run with a p99, in ms, that proves something.
func run99(ms float64) stalledResult {
	return stalledResult{Percentiles: swarm.Percentiles{P99: ms}, Server: serverCounts{Dropped: 1}}
}

func TestVerdictFollowsP3(t *testing.T) {
	lossy, idle := run99(10), run99(10)
	lossy.Lost, idle.Server.Dropped = 1, 0
	for _, c := range []struct {
		name          string
		without, with []stalledResult
		want          string
	}{
		{"a fifth more", []stalledResult{run99(100)}, []stalledResult{run99(119)}, "P3 holds"},
		{"more than a fifth", []stalledResult{run99(100)}, []stalledResult{run99(121)}, "P3 FAILS"},
		{"3 ms more of little", []stalledResult{run99(1)}, []stalledResult{run99(3.9)}, "P3 holds"},
		{"more than that", []stalledResult{run99(1)}, []stalledResult{run99(4.1)}, "P3 FAILS"},
		{"one bad pair of three", []stalledResult{run99(10), run99(10), run99(10)}, []stalledResult{run99(90), run99(9), run99(10)}, "P3 holds"},
		{"two bad pairs of three", []stalledResult{run99(10), run99(10), run99(10)}, []stalledResult{run99(90), run99(90), run99(10)}, "P3 FAILS"},
		{"nobody stalled", []stalledResult{run99(10)}, []stalledResult{idle}, "VOID"},
		{"healthy clients lost messages", []stalledResult{run99(10)}, []stalledResult{lossy}, "VOID"},
		{"also without stalled ones", []stalledResult{lossy}, []stalledResult{run99(10)}, "VOID"},
	} {
		if got := judge(c.without, c.with); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

func TestVerdictOnReliableFollowsP6(t *testing.T) {
	good := reliableResult{Duplicates: 2, Server: serverCounts{Dropped: 1, Retries: 2}}
	missing, exhausted, idle := good, good, good
	missing.Missing, exhausted.Server.Exhausted, idle.Server.Dropped = 1, 1, 0
	for want, runs := range map[string][]reliableResult{
		"P6 holds": {good, good}, "1 missing": {good, missing}, "1 exhausted, rejected or cut": {exhausted}, "VOID": {good, idle},
	} {
		if got := judgeReliable(runs); !strings.Contains(got, want) {
			t.Errorf("%s; want %s", got, want)
		}
	}
	if got := judgeReliable([]reliableResult{missing}); !strings.Contains(got, "P6 FAILS") {
		t.Errorf("%s; want P6 FAILS", got)
	}
}
