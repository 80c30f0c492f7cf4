package rig

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Metrics are a server's figures at one moment, by series: name and labels as /metrics writes them.
type Metrics map[string]float64

// ReadMetrics asks a server's management port.
func ReadMetrics(ctx context.Context, s *Server) (Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr("management")+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: %s", a.Status)
	}
	m := Metrics{}
	lines := bufio.NewScanner(a.Body)
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || series == "#" {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			m[series] = v
		}
	}
	return m, lines.Err()
}

// Quantile estimates a quantile, from 0 to 1, of what a histogram without labels has counted since an earlier reading:
// between the bounds of its bucket the values are taken to be spread evenly. NaN if nothing was counted.
func (m Metrics) Quantile(since Metrics, histogram string, q float64) float64 {
	type bucket struct{ bound, n float64 }
	var buckets []bucket
	for series, n := range m {
		if le, ok := strings.CutPrefix(series, histogram+`_bucket{le="`); ok {
			if bound, err := strconv.ParseFloat(strings.TrimSuffix(le, `"}`), 64); err == nil {
				buckets = append(buckets, bucket{bound, n - since[series]})
			}
		}
	}
	slices.SortFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.bound, b.bound) })
	if len(buckets) == 0 || buckets[len(buckets)-1].n == 0 {
		return math.NaN()
	}
	rank := q * buckets[len(buckets)-1].n
	below := bucket{}
	for _, b := range buckets {
		if b.n >= rank && !math.IsInf(b.bound, 1) {
			return below.bound + (b.bound-below.bound)*(rank-below.n)/max(b.n-below.n, 1)
		}
		if b.n >= rank {
			break
		}
		below = b
	}
	return below.bound // all there is to say of what is beyond the last bound
}

// Sum adds the series of a name that have all of the labels, each written name="value".
func (m Metrics) Sum(name string, labels ...string) (sum float64) {
series:
	for series, v := range m {
		if rest, ok := strings.CutPrefix(series, name+"{"); ok {
			for _, l := range labels {
				if !strings.Contains(rest, l) {
					continue series
				}
			}
			sum += v
		}
	}
	return sum
}
