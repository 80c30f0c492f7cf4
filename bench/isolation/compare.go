package main

import (
	"context"
	"fmt"
	"io"

	"github.com/streamweir/weir/bench/internal/rig"
)

// The limits of promise P3: what stalled clients may add to the p99 of the others, whichever allows more.
const (
	ratioLimit = 1.2
	extraLimit = 3.0 // ms
)

const mib = 1 << 20

// compareStalled runs the feed without and with stalled clients, in turn, and judges by P3.
func (s *settings) compareStalled(ctx context.Context, w io.Writer) error {
	if s.pairs <= 0 {
		return nil
	}
	j := s.stalled
	fmt.Fprintf(w, "stalled clients: %d of %d, feed of %d B at %v/s in a DROP_OLDEST lane of 16, %v measured after %v, server on CPU %q, load on CPU %q\n\n",
		j.Aside, j.Clients, j.Size, j.Rate, j.Measure, j.Warm, s.serverCPU, s.loadCPU)
	var without, with []stalledResult
	for i := range s.pairs {
		for _, v := range []struct {
			name  string
			stall bool
			into  *[]stalledResult
		}{{"without", false, &without}, {"with", true, &with}} {
			r, err := s.runStalled(ctx, v.stall)
			if err != nil {
				return fmt.Errorf("run %d %s stalled clients: %w", i+1, v.name, err)
			}
			*v.into = append(*v.into, r)
			if err := rig.Raw(w, i+1, v.name, r); err != nil {
				return err
			}
		}
	}
	reportStalled(w, without, with)
	return nil
}

func (s *settings) runStalled(ctx context.Context, stall bool) (stalledResult, error) {
	j := s.stalled
	a, counts, err := s.once(ctx, j.Warm+j.Measure+grace, func(address string, pid int) job {
		j.Address, j.PID, j.Stall = address, pid, stall
		return job{Stalled: &j}
	})
	if err != nil {
		return stalledResult{}, err
	}
	a.Stalled.Server = counts
	return *a.Stalled, nil
}

func p99(r stalledResult) float64 { return r.P99 }

func reportStalled(w io.Writer, without, with []stalledResult) {
	fmt.Fprintf(w, "\n%-34s %12s %12s\n", fmt.Sprintf("healthy clients, median of %d pairs", len(with)), "without", "with")
	for _, row := range []struct {
		name   string
		figure func(stalledResult) float64
	}{
		{"p50 ms", func(r stalledResult) float64 { return r.P50 }},
		{"p99 ms", p99},
		{"p99.9 ms", func(r stalledResult) float64 { return r.P999 }},
		{"messages lost to healthy clients", func(r stalledResult) float64 { return float64(r.Lost) }},
		{"dropped for full lanes", func(r stalledResult) float64 { return r.Server.Dropped }},
		{"cut by the server", func(r stalledResult) float64 { return r.Server.Cut }},
		{"server resident grown MiB", func(r stalledResult) float64 { return float64(r.Grown) / mib }},
		{"server peak grown MiB", func(r stalledResult) float64 { return float64(r.PeakGrown) / mib }},
		{"server CPUs used", func(r stalledResult) float64 { return r.ServerCPU }},
		{"load CPUs used", func(r stalledResult) float64 { return r.LoadCPU }},
		{"publisher late at most ms", func(r stalledResult) float64 { return r.Late.Seconds() * 1000 }},
	} {
		fmt.Fprintf(w, "%-34s %12.2f %12.2f\n", row.name, rig.Median(rig.Column(without, row.figure)), rig.Median(rig.Column(with, row.figure)))
	}
	fmt.Fprintln(w, "\n"+judge(without, with))
}

// judge holds p99 within each pair against P3; the median of what is left to the limit counts. A run that proves
// nothing (nobody was stalled) or whose latencies are not all there (healthy clients lost messages) makes it void.
func judge(without, with []stalledResult) string {
	ratio := rig.Median(rig.Pairwise(without, with, func(a, b stalledResult) float64 { return b.P99 / a.P99 }))
	extra := rig.Median(rig.Pairwise(without, with, func(a, b stalledResult) float64 { return b.P99 - a.P99 }))
	over := rig.Median(rig.Pairwise(without, with, func(a, b stalledResult) float64 {
		return b.P99 - max(ratioLimit*a.P99, a.P99+extraLimit)
	}))
	verdict := "P3 holds"
	if over > 0 {
		verdict = "P3 FAILS"
	}
	for i := range with {
		switch {
		case with[i].Server.Dropped == 0:
			verdict = fmt.Sprintf("VOID: in pair %d no lane overflowed, so nobody was stalled; more -warm or -rate", i+1)
		case with[i].Lost+without[i].Lost > 0:
			verdict = fmt.Sprintf("VOID: in pair %d healthy clients lost messages: this machine is too slow for the load", i+1)
		}
	}
	return fmt.Sprintf("p99 with/without: ratio %.2f, difference %+.2f ms; %+.2f ms to the limit of max(%.1fx, +%.0f ms); medians of pairs. %s",
		ratio, extra, over, ratioLimit, extraLimit, verdict)
}

// compareReliable runs the reliable topic alone and beside the feed, in turn.
func (s *settings) compareReliable(ctx context.Context, w io.Writer) error {
	if s.reliablePairs <= 0 {
		return nil
	}
	j := s.reliable
	fmt.Fprintf(w, "\nreliable beside a feed: %d clients that read %d B/s; reliable topic of %d B at %v/s; feed of %d B at %.1f/s, %v times what they read, in a DROP_OLDEST lane of 16\n\n",
		j.Clients, j.ReadRate, j.Size, j.Rate, j.FeedSize, j.FeedRate, s.overload)
	var alone, beside []reliableResult
	for i := range s.reliablePairs {
		for _, v := range []struct {
			name string
			rate float64
			into *[]reliableResult
		}{{"alone", 0, &alone}, {"beside", j.FeedRate, &beside}} {
			r, err := s.runReliable(ctx, v.rate)
			if err != nil {
				return fmt.Errorf("run %d of the reliable topic %s: %w", i+1, v.name, err)
			}
			*v.into = append(*v.into, r)
			if err := rig.Raw(w, i+1, v.name, r); err != nil {
				return err
			}
		}
	}
	reportReliable(w, alone, beside)
	return nil
}

func (s *settings) runReliable(ctx context.Context, feedRate float64) (reliableResult, error) {
	j := s.reliable
	a, counts, err := s.once(ctx, j.Warm+j.Measure+reliableGrace, func(address string, pid int) job {
		j.Address, j.PID, j.FeedRate = address, pid, feedRate
		return job{Reliable: &j}
	})
	if err != nil {
		return reliableResult{}, err
	}
	a.Reliable.Server = counts
	return *a.Reliable, nil
}

func reportReliable(w io.Writer, alone, beside []reliableResult) {
	fmt.Fprintf(w, "\n%-34s %12s %12s\n", fmt.Sprintf("reliable topic, median of %d pairs", len(beside)), "alone", "beside")
	for _, row := range []struct {
		name   string
		figure func(reliableResult) float64
	}{
		{"p50 ms", func(r reliableResult) float64 { return r.P50 }},
		{"p99 ms", func(r reliableResult) float64 { return r.P99 }},
		{"max ms", func(r reliableResult) float64 { return r.Max }},
		{"missing", func(r reliableResult) float64 { return float64(r.Missing) }},
		{"rejected, lane full", func(r reliableResult) float64 { return r.Server.Rejected }},
		{"duplicates", func(r reliableResult) float64 { return float64(r.Duplicates) }},
		{"retries", func(r reliableResult) float64 { return r.Server.Retries }},
		{"retries exhausted", func(r reliableResult) float64 { return r.Server.Exhausted }},
		{"feed received", func(r reliableResult) float64 { return float64(r.FeedGot) }},
		{"feed dropped for full lanes", func(r reliableResult) float64 { return r.Server.Dropped }},
		{"cut by the server", func(r reliableResult) float64 { return r.Server.Cut }},
		{"server resident grown MiB", func(r reliableResult) float64 { return float64(r.Grown) / mib }},
	} {
		fmt.Fprintf(w, "%-34s %12.2f %12.2f\n", row.name, rig.Median(rig.Column(alone, row.figure)), rig.Median(rig.Column(beside, row.figure)))
	}
	fmt.Fprintln(w, "\n"+judgeReliable(beside))
}

// judgeReliable says whether the reliable topic kept its promise beside the feed (P6, design D10). Duplicates are
// allowed by it, and reported.
func judgeReliable(beside []reliableResult) string {
	var missing, duplicates, retries, ended float64
	for i, r := range beside {
		if r.Server.Dropped == 0 {
			return fmt.Sprintf("VOID: in pair %d no lane of the feed overflowed: its clients read all of it", i+1)
		}
		missing += float64(r.Missing)
		duplicates += float64(r.Duplicates)
		retries += r.Server.Retries
		ended += r.Server.Exhausted + r.Server.Rejected + r.Server.Cut
	}
	verdict := "P6 holds"
	if missing+ended > 0 {
		verdict = "P6 FAILS"
	}
	return fmt.Sprintf("beside the feed, all runs: %.0f missing, %.0f exhausted, rejected or cut, %.0f retries, %.0f duplicates. %s",
		missing, ended, retries, duplicates, verdict)
}
