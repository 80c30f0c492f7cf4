package report

import "math"

// quantiles are the percentiles every form shows.
var quantiles = []struct {
	name    string
	percent float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}}

const perMillisecond = 1000 // microseconds, the unit of the histograms

func (l Latency) count() int64 {
	if l.Histogram == nil {
		return 0
	}
	return l.Histogram.TotalCount()
}

// mean, at and max are in milliseconds; a Latency without a value has none.
func (l Latency) mean() float64 {
	if l.count() == 0 {
		return math.NaN()
	}
	return l.Histogram.Mean() / perMillisecond
}

func (l Latency) at(percent float64) float64 {
	if l.count() == 0 {
		return math.NaN()
	}
	return float64(l.Histogram.ValueAtQuantile(percent)) / perMillisecond
}

func (l Latency) max() float64 {
	if l.count() == 0 {
		return math.NaN()
	}
	return float64(l.Histogram.Max()) / perMillisecond
}

// durations are what the tables show of a Latency, in the order of durationNames.
func (l Latency) durations() []float64 {
	all := []float64{l.mean()}
	for _, q := range quantiles {
		all = append(all, l.at(q.percent))
	}
	return append(all, l.max())
}

func durationNames() []string {
	names := []string{"mean"}
	for _, q := range quantiles {
		names = append(names, q.name)
	}
	return append(names, "max")
}

// places is how many digits behind the point the milliseconds of a table need: as many as its smallest median does,
// one to three, the same in each line so that the points stand below each other.
func places(list []Latency) int {
	smallest := math.Inf(1)
	for _, l := range list {
		if m := l.at(50); m > 0 {
			smallest = min(smallest, m)
		}
	}
	switch {
	case smallest < 1:
		return 3
	case smallest < 10:
		return 2
	default:
		return 1
	}
}

func milliseconds(v float64, places int) string {
	if math.IsNaN(v) {
		return missing
	}
	return decimal(v, places)
}

// curve is the percentiles of l for a plot on which each further nine is as wide as the one before: x = 1/(1-q),
// ascending from 1 (the smallest value) to the number of values (the largest), y in milliseconds.
func (l Latency) curve() [][2]float64 {
	const perDecade = 20
	n := float64(l.count())
	if n == 0 {
		return nil
	}
	points := [][2]float64{}
	for i := 0; ; i++ {
		x := math.Pow(10, float64(i)/perDecade)
		if x >= n {
			break
		}
		points = append(points, [2]float64{x, l.at(100 * (1 - 1/x))})
	}
	return append(points, [2]float64{n, l.max()})
}
