package main

import (
	"context"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
)

// sampleEvery is how often a watched server is asked for its metrics.
const sampleEvery = 500 * time.Millisecond

// course is what a server was seen to do during a trial.
type course struct {
	samples     []sample
	collections []collection
}

// sample is one look at the server.
type sample struct {
	at      time.Time
	metrics rig.Metrics
	used    rig.Usage
}

// collection is one cycle of the garbage collector, as GODEBUG=gctrace=1 tells of it.
type collection struct {
	at  time.Time
	cpu time.Duration // of all threads, what was done in idle time too
}

// watcher gathers a course. The zero value is ready.
type watcher struct {
	mu     sync.Mutex
	course course
}

// begin looks at the server again and again until stop, which waits.
func (w *watcher) begin(ctx context.Context, s *rig.Server) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx, s) })
	return func() { cancel(); wg.Wait() }
}

// run ends with ctx. A look that fails is left out.
func (w *watcher) run(ctx context.Context, s *rig.Server) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		m, err := rig.ReadMetrics(ctx, s)
		used, gone := rig.ReadUsage(s.PID())
		if err == nil && gone == nil {
			w.mu.Lock()
			w.course.samples = append(w.course.samples, sample{time.Now(), m, used})
			w.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// cycle is a line of gctrace: the CPU times of sweep termination, of assists, of the background and of idle marking, and
// of mark termination, in ms.
var cycle = regexp.MustCompile(`^gc \d+ @.* ms clock, ([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu`)

// line takes a line of the server's log.
func (w *watcher) line(text string) {
	found := cycle.FindStringSubmatch(text)
	if found == nil {
		return
	}
	var ms float64
	for _, number := range found[1:] {
		v, _ := strconv.ParseFloat(number, 64) // matched as one
		ms += v
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.course.collections = append(w.course.collections, collection{time.Now(), time.Duration(ms * float64(time.Millisecond))})
}

// seen is what was gathered so far.
func (w *watcher) seen() course {
	w.mu.Lock()
	defer w.mu.Unlock()
	return course{append([]sample(nil), w.course.samples...), append([]collection(nil), w.course.collections...)}
}

// between are the first and the last sample of which hold is true; false if there are no two.
func (c course) between(hold func(rig.Metrics) bool) (first, last sample, ok bool) {
	n := 0
	for _, s := range c.samples {
		if !hold(s.metrics) {
			continue
		}
		if n++; n == 1 {
			first = s
		}
		last = s
	}
	return first, last, n > 1
}
