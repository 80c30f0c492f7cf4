package loadtest

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// The charts of a result (report.Series.Chart).
const (
	chartLatency = "latency"
	chartRate    = "rate"
	chartMemory  = "memory"
	chartClients = "clients"
	chartServer  = "server"
)

// series gathers lines of charts point by point, in order of first mention.
type series struct {
	list  []report.Series
	place map[string]int
}

// add appends a point to a line; at is in seconds since the run began.
func (s *series) add(chart, name, unit string, at, v float64) {
	if s.place == nil {
		s.place = map[string]int{}
	}
	key := chart + "\x00" + name
	i, ok := s.place[key]
	if !ok {
		i = len(s.list)
		s.place[key] = i
		s.list = append(s.list, report.Series{Name: name, Unit: unit, Chart: chart})
	}
	s.list[i].Points = append(s.list[i].Points, [2]float64{at, v})
}

// latency adds a point of the usual percentiles in ms; nothing recorded leaves a gap in the lines.
func (s *series) latency(prefix string, at float64, h *hdrhistogram.Histogram) {
	for _, p := range []struct {
		name    string
		percent float64
	}{{"p50", 50}, {"p99", 99}, {"max", 100}} {
		v := math.NaN()
		if h.TotalCount() > 0 {
			v = ms(h, p.percent)
		}
		s.add(chartLatency, prefix+p.name, "ms", at, v)
	}
}

// ms is a percentile of a histogram of microseconds, in milliseconds.
func ms(h *hdrhistogram.Histogram, percent float64) float64 {
	if h == nil || h.TotalCount() == 0 {
		return math.NaN()
	}
	return float64(h.ValueAtQuantile(percent)) / 1e3
}
