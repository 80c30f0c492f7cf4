package report_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/loadtest/report"
)

var update = flag.Bool("update", false, "write the golden files")

// histogram has count values spread so that the p-th percentile is median*exp(2p'), p' from 0 around the middle: a
// smooth curve with a tail, in microseconds.
func histogram(median float64, count int64) *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
	const steps = 1000
	for i := range int64(steps) {
		tail := math.Pow(float64(i)/steps, 20) * 4
		if err := h.RecordValues(int64(median*math.Exp(tail+float64(i)/steps-0.5)), count/steps); err != nil {
			panic(err) // not reached: the values are small
		}
	}
	return h
}

// wave is a series of one point a second.
func wave(seconds int, level, swing float64) (points [][2]float64) {
	for i := range seconds {
		points = append(points, [2]float64{float64(i + 1), level + swing*math.Round(100*math.Sin(float64(i)))/100})
	}
	return points
}

func machine() report.Machine {
	return report.Machine{
		Cores: 2, UsableCores: 1, CPU: "Intel(R) Xeon(R) Processor", MemoryBytes: 24 << 30, System: "linux/amd64",
		Kernel: "6.18.5", Go: "go1.26.1", Weir: "v0.1.0", Revision: "6afc2fa0000000000000000000000000000000000",
		Load: [3]float64{0.31, 0.15, 0.05},
	}
}

// fanout is a good run with something of everything.
func fanout() *report.Run {
	p99 := wave(30, 3.2, 0.4)
	p99[11][1] = math.NaN() // a second in which nothing arrived
	return &report.Run{
		Scenario: "fanout", Title: "1,000 clients, closed loop of 16, 128 B", Label: "weir",
		Started: time.Date(2026, 11, 22, 8, 53, 53, 0, time.UTC), Seconds: 30,
		Target: "http://127.0.0.1:3000/socket.io/", Machine: machine(),
		Settings: []report.Setting{{Name: "clients", Value: "1,000"}, {Name: "window", Value: "16"}, {Name: "size", Value: "128 B"}},
		Figures: []report.Figure{
			{Name: "messages", Value: 42_113.4, Unit: "messages/s"},
			{Name: "fan-out", Value: 1_263_417, Unit: "deliveries/s", Main: true},
			{Name: "server CPU", Value: 0.8213, Unit: "s per million deliveries", Note: "user and system time of --pid 4711", Main: true},
			{Name: "server memory", Value: 39_426_000, Unit: "B", Note: "RSS, largest"},
			{Name: "load tool, share of its core", Value: 41.25, Unit: "%"},
			{Name: "kernel memory", Value: math.NaN(), Unit: "B", Note: "no /proc/net/sockstat here, and this note is so long that " +
				"it has to go below its figure rather than behind it"},
		},
		Latencies: []report.Latency{
			{Name: "publish to client", Histogram: histogram(1800, 37_902_000)},
			{Name: "connect to ready", Histogram: histogram(41_000, 1000)},
			{Name: "reconnect", Histogram: nil},
		},
		Series: []report.Series{
			{Name: "p50", Unit: "ms", Chart: "latency", Points: wave(30, 1.8, 0.1)},
			{Name: "p99", Unit: "ms", Chart: "latency", Points: p99},
			{Name: "max", Unit: "ms", Chart: "latency", Points: wave(30, 12, 6)},
			{Name: "deliveries", Unit: "/s", Chart: "rate", Points: wave(30, 1.26e6, 4e4)},
			{Name: "server RSS", Unit: "B", Chart: "memory", Points: wave(30, 38e6, 1e6)},
			{Name: "goroutines", Unit: "", Chart: "server", Points: wave(30, 12, 1)},
			{Name: "ready", Unit: "", Chart: "clients", Points: wave(30, 1000, 0)},
		},
		Counts:   []report.Count{{Name: "deliveries", Value: 37_902_000}, {Name: "gaps", Value: 0}, {Name: "attempts refused: http_503", Value: 12}},
		Verdicts: []report.Verdict{{OK: true, Text: "no gaps in 37,902,000 deliveries"}, {OK: true, Text: "in order, none twice"}},
	}
}

// fanoutOfNpm is the same against another server: slower, interrupted, and not good.
func fanoutOfNpm() *report.Run {
	r := fanout()
	r.Title, r.Label, r.Target, r.Interrupted, r.Seconds = "npm socket.io, the same load", "npm", "http://127.0.0.1:3001/socket.io/", true, 12.34
	r.Figures = []report.Figure{
		{Name: "fan-out", Value: 72_104.2, Unit: "deliveries/s", Main: true},
		{Name: "server CPU", Value: 13.8, Unit: "s per million deliveries", Main: true},
		{Name: "server memory", Value: 369_098_752, Unit: "B"},
	}
	r.Latencies = []report.Latency{{Name: "publish to client", Histogram: histogram(31_000, 865_000)}}
	r.Series = []report.Series{
		{Name: "p50", Unit: "ms", Chart: "latency", Points: wave(12, 31, 2)},
		{Name: "p99", Unit: "ms", Chart: "latency", Points: wave(12, 158, 20)},
		{Name: "deliveries", Unit: "/s", Chart: "rate", Points: wave(12, 72e3, 3e3)},
		{Name: "server RSS", Unit: "B", Chart: "memory", Points: wave(12, 352e6, 20e6)},
	}
	r.Counts = []report.Count{{Name: "deliveries", Value: 865_000}, {Name: "gaps", Value: 3}}
	r.Verdicts = []report.Verdict{{OK: false, Text: "3 gaps in 865,000 deliveries: a message that others got never reached the client"}}
	return r
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte, masked func([]byte) []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(masked(want)), string(masked(got))); diff != "" {
		t.Errorf("%s (run with -update to accept; -want +got):\n%s", path, diff)
	}
}

func unmasked(b []byte) []byte { return b }

// written is what a run is in one of its forms.
func written(t *testing.T, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
