package loadtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// collectTimeout bounds a collection of the server's garbage: it walks all that the server holds.
const collectTimeout = 30 * time.Second

// heapPath has a Weir collect its garbage, and say what its heap and its stacks take then.
const heapPath = "/debug/pprof/heap?gc=1&debug=1"

// collected is how many bytes of memory the server uses once it has collected its garbage: its heap's spans in use, and
// stacks. Unlike RSS it does not depend on when the last collection was. Only Weir tells, over its management API, where
// management.pprof is on or the key has the right admin.
func (s Server) collected(ctx context.Context) (float64, error) {
	if s.Management == "" {
		return 0, errors.New("what the server holds without garbage only its management API tells: want --management")
	}
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	a, err := s.get(ctx, strings.TrimSuffix(s.Management, "/")+heapPath)
	if err != nil {
		return 0, fmt.Errorf("have the server collect its garbage: %w", err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	used := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(a.Body, maxMetrics))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "# "), " = ")
		value, _, _ = strings.Cut(value, " ") // stacks: in use / of the system
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			used[name] = n
		}
	}
	heap, ok := used["HeapInuse"]
	stack, also := used["Stack"]
	if !ok || !also {
		return 0, fmt.Errorf("have the server collect its garbage: %s does not tell HeapInuse and Stack", heapPath)
	}
	return heap + stack, nil
}

// get asks for a page of the server, which answers 200 or it is an error.
func (s Server) get(ctx context.Context, url string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept-Encoding", "identity") // compressing would be a megabyte of the server's memory, measured along
	if s.Key != "" {
		q.Header.Set("Authorization", "Bearer "+s.Key)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	if a.StatusCode != http.StatusOK {
		_ = a.Body.Close() // the status says it all
		return nil, fmt.Errorf("%s: %s", url, a.Status)
	}
	return a, nil
}
