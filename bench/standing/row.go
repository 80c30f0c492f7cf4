package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// row is one line of the comparison: variants that are run in turn, A B A B …, each time with a fresh server, and what
// is judged of them.
type row struct {
	name     string
	shows    string // in a line
	pairs    int
	variants []variant
	judge    func(*finding)
}

// variant is one of the things a row compares.
type variant struct {
	name string
	peer bool // npm's: run only where there is one, and its faults are its own
	run  trial
}

// trial is one run; it leaves its result in the file too.
type trial func(ctx context.Context, l *lab, file string) (*report.Run, error)

// errNotMeasured is why a row could not be measured here, which is no failure.
type errNotMeasured string

func (e errNotMeasured) Error() string { return "not measured: " + string(e) }

// rows are all of them, in the order of the table in bench/README.md.
func rows(s size) []row {
	return slices.Concat(idleRows(s), comingRows(s), fanoutRows(s), slowRows(s), eventRows(s), protectRows(s), strangerRows(s), tlsRows(s), shardRows(s), publishRows(s), journalRows(s), diskRows(s), redisRows(s))
}

// measure runs a row.
func (r row) measure(ctx context.Context, l *lab, out *output) (*finding, error) {
	f := &finding{row: r, runs: map[string][]*report.Run{}}
	out.begin(r)
	for i := range r.pairs {
		for _, v := range r.variants {
			if v.peer && l.npm == "" {
				continue
			}
			file := out.file(r.name, v.name, i+1)
			run, err := v.run(ctx, l, file)
			var not errNotMeasured
			if errors.As(err, &not) {
				f.problem = err.Error()
				return f, nil
			}
			if err != nil {
				return f, fmt.Errorf("run %d of %s: %w", i+1, v.name, err)
			}
			run.Label = v.name
			f.runs[v.name] = append(f.runs[v.name], run)
			out.raw(i+1, v.name, run)
			f.complain(v, i+1, run)
		}
	}
	r.judge(f)
	return f, nil
}

// finding is what a row has shown.
type finding struct {
	row        row
	runs       map[string][]*report.Run // by variant, in the order of the pairs
	checks     []check
	complaints []string // of runs that did not do what they had to
	problem    string   // why there is no finding
}

// complain notes the verdicts against a run. A peer's are shown, and are no fault of ours.
func (f *finding) complain(v variant, n int, run *report.Run) {
	for _, verdict := range run.Verdicts {
		if verdict.OK {
			continue
		}
		f.complaints = append(f.complaints, fmt.Sprintf("run %d of %s: %s", n, v.name, verdict.Text))
		if !v.peer {
			f.expect(fmt.Sprintf("run %d of %s does what it has to", n, v.name), 0, "", atLeast, 1)
		}
	}
}

// bound says how a value is held against a limit.
type bound int

const (
	shown bound = iota // not at all
	atMost
	atLeast
)

// check is one figure that has to be reached, or is shown beside those.
type check struct {
	what  string
	got   float64 // NaN: not measured
	unit  string
	bound bound
	limit float64
}

func (c check) reached() bool {
	switch c.bound {
	case atMost:
		return c.got <= c.limit
	case atLeast:
		return c.got >= c.limit
	case shown:
	}
	return true
}

func (f *finding) expect(what string, got float64, unit string, b bound, limit float64) {
	f.checks = append(f.checks, check{what, got, unit, b, limit})
}

func (f *finding) show(what string, got float64, unit string) { f.expect(what, got, unit, shown, 0) }

// verdict of the row in a word or two.
func (f *finding) verdict() string {
	judged, missing := false, f.problem != ""
	for _, c := range f.checks {
		if c.bound == shown {
			continue
		}
		judged, missing = true, missing || math.IsNaN(c.got)
		if !c.reached() && !math.IsNaN(c.got) {
			return "NOT reached"
		}
	}
	if missing || !judged {
		return "not measured"
	}
	return "reached"
}

// figures are those of a name of a variant's runs; NaN where a run lacks it.
func (f *finding) figures(variant, name string) []float64 {
	return f.column(variant, func(r *report.Run) float64 { return figure(r, name) })
}

// figure of a run by its name; NaN without one.
func figure(r *report.Run, name string) float64 {
	i := slices.IndexFunc(r.Figures, func(g report.Figure) bool { return g.Name == name })
	if i < 0 {
		return math.NaN()
	}
	return r.Figures[i].Value
}

// p99s are those of a latency, in milliseconds.
func (f *finding) p99s(variant, latency string) []float64 { return f.percentiles(variant, latency, 99) }

// percentiles of a latency of a variant's runs, in milliseconds.
func (f *finding) percentiles(variant, latency string, percent float64) []float64 {
	return f.column(variant, func(r *report.Run) float64 { return percentile(r, latency, percent) })
}

// percentile of a latency of a run in milliseconds; NaN without one.
func percentile(r *report.Run, latency string, percent float64) float64 {
	i := slices.IndexFunc(r.Latencies, func(l report.Latency) bool { return l.Name == latency })
	if i < 0 || r.Latencies[i].Histogram == nil || r.Latencies[i].Histogram.TotalCount() == 0 {
		return math.NaN()
	}
	return float64(r.Latencies[i].Histogram.ValueAtQuantile(percent)) / 1000
}

// counts add up the counts of a run by what they begin with.
func (f *finding) counts(variant string, prefixes ...string) []float64 {
	return f.column(variant, func(r *report.Run) (sum float64) {
		for _, c := range r.Counts {
			for _, p := range prefixes {
				if len(c.Name) >= len(p) && c.Name[:len(p)] == p {
					sum += float64(c.Value)
				}
			}
		}
		return sum
	})
}

func (f *finding) column(variant string, of func(*report.Run) float64) []float64 {
	var list []float64
	for _, r := range f.runs[variant] {
		list = append(list, of(r))
	}
	return list
}

// median of a figure of a variant.
func (f *finding) median(variant, name string) float64 { return median(f.figures(variant, name)) }

// median is NaN of nothing, and if any of the values is.
func median(values []float64) float64 {
	if len(values) == 0 || slices.ContainsFunc(values, math.IsNaN) {
		return math.NaN()
	}
	return rig.Median(values)
}

// ratio is the median of the quotients within the pairs.
func ratio(a, b []float64) float64 {
	return median(rig.Pairwise(a, b, func(a, b float64) float64 { return a / b }))
}

// difference is the median of the differences within the pairs.
func difference(a, b []float64) float64 {
	return median(rig.Pairwise(a, b, func(a, b float64) float64 { return a - b }))
}
