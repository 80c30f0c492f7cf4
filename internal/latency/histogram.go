// Package latency counts how long things take. It is pure.
package latency

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations in buckets that double from 64 us up to about 17
// minutes. One writer at a time is cheap, any goroutine may read.
type Histogram struct {
	buckets [Buckets]atomic.Uint64
	sum     atomic.Int64
}

// Buckets is how many a Histogram has, the last one unbounded.
const (
	Buckets    = 26
	firstShift = 16 // 65.536 us
)

// Observe counts one duration in nanoseconds.
func (h *Histogram) Observe(d int64) {
	h.buckets[bucket(d)].Add(1)
	h.sum.Add(d)
}

func bucket(d int64) int {
	if d < 1<<firstShift {
		return 0
	}
	return min(bits.Len64(uint64(d))-firstShift, Buckets-1)
}

// UpperBound is the largest duration bucket i counts; the last has none.
func UpperBound(i int) time.Duration { return time.Duration(int64(1)<<(firstShift+i) - 1) }

// Distribution is a histogram at one moment.
type Distribution struct {
	Counts [Buckets]uint64
	Sum    time.Duration
}

// Add adds what h has counted.
func (d *Distribution) Add(h *Histogram) {
	for i := range d.Counts {
		d.Counts[i] += h.buckets[i].Load()
	}
	d.Sum += time.Duration(h.sum.Load())
}

// Join adds what another one has counted.
func (d *Distribution) Join(o *Distribution) {
	for i, n := range o.Counts {
		d.Counts[i] += n
	}
	d.Sum += o.Sum
}

// Count is how many durations were counted.
func (d Distribution) Count() (n uint64) {
	for _, c := range d.Counts {
		n += c
	}
	return n
}

// Quantile is an upper bound of the q-quantile, 0 if nothing was counted.
func (d Distribution) Quantile(q float64) time.Duration {
	n := d.Count()
	if n == 0 {
		return 0
	}
	rank, seen := uint64(q*float64(n)), uint64(0)
	for i, c := range d.Counts {
		if seen += c; seen > rank {
			return UpperBound(i)
		}
	}
	return UpperBound(Buckets - 1)
}
