package rig

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
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
