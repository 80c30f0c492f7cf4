package loadtest

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// gauge is something the server, or the machine under it, can be asked for.
type gauge string

// The gauges. What is not to be had is missing from a reading.
const (
	gaugeRSS        gauge = "RSS"                    // bytes
	gaugeCPU        gauge = "CPU time"               // seconds since the start
	gaugeThreads    gauge = "threads"                //
	gaugeFDs        gauge = "descriptors"            //
	gaugeKernelTCP  gauge = "kernel TCP memory"      // bytes, of all sockets of the machine: both ends on loopback
	gaugeGoroutines gauge = "goroutines"             //
	gaugeHeap       gauge = "heap in use"            // bytes
	cutPrefix             = `weir_cut_total{cause="` // and the cause: clients cut so far
	dropPrefix            = "weir dropped "          // and the reason: messages dropped so far, all topics
)

// fromMetrics are the series of /metrics that are gauges, under the names of client_golang and of npm's prom-client.
var fromMetrics = map[string]gauge{
	"go_goroutines":                 gaugeGoroutines,
	"go_memstats_heap_inuse_bytes":  gaugeHeap,
	"nodejs_heap_size_used_bytes":   gaugeHeap,
	"process_open_fds":              gaugeFDs,
	"process_resident_memory_bytes": gaugeRSS,
	"process_cpu_seconds_total":     gaugeCPU,
}

// reading is what the server answered at one time.
type reading map[gauge]float64

// grown is how much a gauge has grown since an earlier reading; false if one of them lacks it.
func (r reading) grown(since reading, g gauge) (float64, bool) {
	now, ok := r[g]
	before, had := since[g]
	return now - before, ok && had
}

const (
	metricsTimeout = 5 * time.Second
	maxMetrics     = 16 << 20 // bytes
)

func (s Server) metricsURL() string {
	if s.Metrics == "" && s.Management != "" {
		return strings.TrimSuffix(s.Management, "/") + "/metrics"
	}
	return s.Metrics
}

func (s Server) problems() (problems []Problem) {
	for name, raw := range map[string]string{"metrics": s.Metrics, "management": s.Management} {
		u, err := url.Parse(raw)
		if raw != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
			problems = append(problems, Problem{name, fmt.Sprintf("%q: want http://HOST:PORT", raw)})
		}
	}
	if s.PID != 0 {
		if _, err := os.Stat(procFile(s.PID, "stat")); err != nil {
			problems = append(problems, Problem{"pid", fmt.Sprintf("there is no process %d in /proc", s.PID)})
		}
	}
	return problems
}

// read asks all sources there are. The error is of the first that failed; the reading has what the others gave.
func (s Server) read(ctx context.Context) (reading, error) {
	r := reading{}
	var failed error
	if u := s.metricsURL(); u != "" {
		failed = s.scrape(ctx, u, r)
	}
	if s.PID != 0 { // after the metrics: what the system says of a process counts more
		failed = cmp.Or(failed, r.process(s.PID))
	}
	if pages, ok := kernelTCPPages(); ok {
		r[gaugeKernelTCP] = float64(pages) * float64(os.Getpagesize())
	}
	return r, failed
}

// scrape reads Prometheus' text format.
func (s Server) scrape(ctx context.Context, from string, into reading) error {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	a, err := s.get(ctx, from)
	if err != nil {
		return fmt.Errorf("read the metrics: %w", err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(io.LimitReader(a.Body, maxMetrics)); lines.Scan(); {
		into.observe(lines.Text())
	}
	return nil
}

// observe takes one line of /metrics.
func (r reading) observe(line string) {
	if line == "" || line[0] == '#' {
		return
	}
	end := strings.LastIndexByte(line, '}') + 1 // label values may hold spaces
	name, number, _ := strings.Cut(line[end:], " ")
	name = line[:end] + name
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return
	}
	if g, ok := fromMetrics[name]; ok {
		r[g] = v
	}
	if strings.HasPrefix(name, cutPrefix) {
		r[gauge(name)] = v
	}
	if rest, ok := strings.CutPrefix(name, "weir_dropped_total{"); ok {
		if _, reason, ok := strings.Cut(rest, `reason="`); ok {
			reason, _, _ = strings.Cut(reason, `"`)
			r[gauge(dropPrefix+reason)] += v
		}
	}
}

func procFile(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// ticksPerSecond is the unit of CPU time in /proc: USER_HZ, 100 on every system Go runs on.
const ticksPerSecond = 100

// process reads what the system says of a process.
func (r reading) process(pid int) error {
	raw, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return fmt.Errorf("read the usage of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ") // its name may hold anything
	fields := strings.Fields(rest)               // from field 3, the state, of proc(5)
	const utime, stime, threads, rss = 14 - 3, 15 - 3, 20 - 3, 24 - 3
	if len(fields) <= rss {
		return fmt.Errorf("read the usage of process %d: /proc says %q", pid, raw)
	}
	number := func(i int) float64 {
		n, _ := strconv.ParseFloat(fields[i], 64) // the kernel wrote it
		return n
	}
	r[gaugeCPU] = (number(utime) + number(stime)) / ticksPerSecond
	r[gaugeThreads] = number(threads)
	r[gaugeRSS] = number(rss) * float64(os.Getpagesize())
	if n, err := entries(procFile(pid, "fd")); err == nil { // another user's process hides them
		r[gaugeFDs] = float64(n)
	}
	return nil
}

// entries counts what is in a directory.
func entries(path string) (int, error) {
	d, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer d.Close() //nolint:errcheck // read only
	names, err := d.Readdirnames(-1)
	return len(names), err
}

// kernelTCPPages is the memory of all TCP sockets of the machine, from /proc/net/sockstat; false where there is none.
func kernelTCPPages() (int64, bool) {
	raw, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(raw)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(words); i += 2 {
			if words[i] == "mem" {
				n, err := strconv.ParseInt(words[i+1], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}
