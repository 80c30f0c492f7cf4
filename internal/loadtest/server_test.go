package loadtest_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/loadtest"
)

func TestMetricsOfWeirAndOfNodeAreKnown(t *testing.T) {
	got := loadtest.Observed(`# HELP go_goroutines Number of goroutines.
go_goroutines 17
go_memstats_heap_inuse_bytes 9.6e+06
process_open_fds 13
process_resident_memory_bytes 3.5e+07
process_cpu_seconds_total 12.5
weir_cut_total{cause="slow_consumer"} 4
weir_dropped_total{namespace="/a b",topic="x}",reason="overflow"} 2
weir_dropped_total{namespace="/c",topic="y",reason="overflow"} 3
go_goroutines_other 5
broken
go_goroutines{a="b"} 1
`)
	want := map[string]float64{
		"goroutines": 17, "heap in use": 9.6e6, "descriptors": 13, "RSS": 3.5e7, "CPU time": 12.5,
		`weir_cut_total{cause="slow_consumer"}`: 4, "weir dropped overflow": 5,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTheProcessItselfCanBeRead(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc")
	}
	got, err := loadtest.Server{PID: os.Getpid()}.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"RSS", "threads", "descriptors"} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if _, ok := got["kernel TCP memory"]; !ok {
		t.Errorf("no kernel TCP memory in %v", got)
	}
	if _, err := (loadtest.Server{PID: 1 << 30}).Read(t.Context()); err == nil {
		t.Error("a process that is not there is read")
	}
}

func TestMetricsAskForTheirKey(t *testing.T) {
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || r.Header.Get("Authorization") != "Bearer k" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte("go_goroutines 5\n"))
	}))
	defer m.Close()
	got, err := loadtest.Server{Management: m.URL, Key: "k"}.Read(t.Context())
	if err != nil || got["goroutines"] != 5 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := (loadtest.Server{Management: m.URL}).Read(t.Context()); err == nil {
		t.Error("a refusal is no error")
	}
}

// What a server uses without garbage is asked for with the key, and is no figure where it is not told.
func TestMemoryIsThatAfterACollection(t *testing.T) {
	pages := map[string]string{
		"good": "heap profile: 1: 2 [3: 4] @ heap/1048576\n# HeapAlloc = 700\n# HeapInuse = 1000\n# Stack = 24 / 4096\n",
		"half": "# HeapInuse = 1000\n",
	}
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if !ok || r.URL.Path != "/debug/pprof/heap" || r.FormValue("gc") != "1" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(page))
	}))
	defer m.Close()
	if got, err := (loadtest.Server{Management: m.URL + "/", Key: "good"}).Collected(t.Context()); err != nil || got != 1024 {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []loadtest.Server{{}, {Management: m.URL}, {Management: m.URL, Key: "half"}} {
		if got, err := s.Collected(t.Context()); err == nil {
			t.Errorf("%+v says %v", s, got)
		}
	}
}
