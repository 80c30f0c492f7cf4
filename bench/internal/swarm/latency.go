package swarm

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recorders is among how many histograms readers are spread, so that they seldom meet at a lock.
const recorders = 16

// A latency is recorded in microseconds, to three digits, up to this; what is longer counts as this long.
const longest = 10 * time.Minute

// Latency is a histogram that many readers record into.
type Latency struct{ parts [recorders]part }

type part struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

// Percentiles of a Latency, in milliseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50Ms"`
	P90   float64 `json:"p90Ms"`
	P99   float64 `json:"p99Ms"`
	P999  float64 `json:"p999Ms"`
	Max   float64 `json:"maxMs"`
}

// NewLatency returns an empty histogram.
func NewLatency() *Latency {
	l := &Latency{}
	for i := range l.parts {
		l.parts[i].h = newHistogram()
	}
	return l
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longest.Microseconds(), 3)
}

// Record adds what reader i has seen. Any goroutine may call it.
func (l *Latency) Record(i int, d time.Duration) {
	p := &l.parts[i%recorders]
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.h.RecordValue(min(max(d, 0), longest).Microseconds()) // within its bounds by construction
}

// Read merges the parts.
func (l *Latency) Read() Percentiles {
	all := newHistogram()
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		all.Merge(p.h)
		p.mu.Unlock()
	}
	ms := func(quantile float64) float64 { return float64(all.ValueAtQuantile(quantile)) / 1000 }
	return Percentiles{
		Count: all.TotalCount(), P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(all.Max()) / 1000,
	}
}
