package loadtest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// newStallingAPI is a management API that publishes to s and takes 200 ms for one publish each second.
func newStallingAPI(t *testing.T, s *server) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	second := time.NewTicker(time.Second)
	t.Cleanup(second.Stop)
	mux.HandleFunc("POST /api/publish", func(w http.ResponseWriter, r *http.Request) {
		var p struct {
			Namespace, Topic string
			Payload          json.RawMessage
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &p) != nil || p.Namespace != "/" || p.Topic != "tick" {
			http.Error(w, fmt.Sprintf("bad publish: %s (%v)", body, err), http.StatusBadRequest)
			return
		}
		select {
		case <-second.C:
			<-time.After(200 * time.Millisecond)
		default:
		}
		s.publish(p.Payload)
		_, _ = io.WriteString(w, "{}")
	})
	mux.HandleFunc("GET /metrics", func(http.ResponseWriter, *http.Request) {})
	api := httptest.NewServer(mux)
	t.Cleanup(api.Close)
	return api
}

// newMetrics are metrics of a server whose goroutines grow with each scrape.
func newMetrics(t *testing.T, perScrape int) (url string) {
	t.Helper()
	var scrapes atomic.Int64
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := 20 + int(scrapes.Add(1))*perScrape
		_, _ = fmt.Fprintf(w, "# TYPE go_goroutines gauge\ngo_goroutines %d\ngo_memstats_heap_inuse_bytes 1e+06\nprocess_open_fds 12\n", n)
	}))
	t.Cleanup(m.Close)
	return m.URL
}
