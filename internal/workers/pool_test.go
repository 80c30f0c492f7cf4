package workers_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/workers"
)

// pool is one that the test closes, waiting for every job.
func pool(t testing.TB, o workers.Options) *workers.Pool {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w, err := workers.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePool(t, w) })
	return w
}

func closePool(t testing.TB, w *workers.Pool) {
	t.Helper()
	if err := w.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func submit(t testing.TB, w *workers.Pool, f func(context.Context)) {
	t.Helper()
	if err := w.Submit(workers.JobFunc(f)); err != nil {
		t.Errorf("Submit: %v", err)
	}
}

// block occupies one worker until the returned function is called, and returns when it does.
func block(t testing.TB, w *workers.Pool) (release func()) {
	t.Helper()
	started, hold := make(chan struct{}), make(chan struct{})
	submit(t, w, func(context.Context) { close(started); <-hold })
	<-started
	return sync.OnceFunc(func() { close(hold) })
}

func TestWorkersReportEveryBadOption(t *testing.T) {
	_, err := workers.New(workers.Options{Max: -1, Idle: -time.Second, Nice: 20})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"max -1", "idle -1s", "nice 20"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
}

func TestWorkersRunAtMostMaxAtOnce(t *testing.T) {
	const limit, jobs = 4, 400
	w := pool(t, workers.Options{Max: limit})
	var now, peak, done atomic.Int64
	for range jobs {
		submit(t, w, func(context.Context) {
			n := now.Add(1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
			runtime.Gosched()
			now.Add(-1)
			done.Add(1)
		})
	}
	closePool(t, w)
	if done.Load() != jobs || peak.Load() > limit {
		t.Errorf("%d of %d jobs ran, %d at once; want at most %d", done.Load(), jobs, peak.Load(), limit)
	}
}

func TestWorkersRunSideBySide(t *testing.T) {
	w := pool(t, workers.Options{Max: 3})
	var all sync.WaitGroup
	all.Add(3)
	for range 3 { // each waits for the others: only three workers get through
		submit(t, w, func(context.Context) { all.Done(); all.Wait() })
	}
	closePool(t, w)
}

func TestWorkersStartJobsInOrder(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	var order []int
	release := block(t, w)
	for i := range 5000 { // grows the ring several times
		submit(t, w, func(context.Context) { order = append(order, i) })
	}
	if s := w.Stats(); s.Running != 1 || s.Queued != 5000 {
		t.Errorf("stats %+v, want 1 running and 5000 queued", s)
	}
	release()
	closePool(t, w)
	for i, got := range order {
		if got != i {
			t.Fatalf("job %d ran at place %d", got, i)
		}
	}
	if len(order) != 5000 {
		t.Errorf("%d jobs ran, want 5000", len(order))
	}
}

func TestQueueKeepsItsOrderWhileItGrows(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	var order []int
	proceed, done := make(chan struct{}), make(chan struct{})
	next := 0
	add := func(n int) {
		for range n {
			i := next
			next++
			submit(t, w, func(context.Context) { <-proceed; order = append(order, i); done <- struct{}{} })
		}
	}
	run := func(n int) {
		for range n {
			proceed <- struct{}{}
			<-done
		}
	}
	for range 4 { // grows with its head at a different place each time
		add(13)
		run(7)
		add(29)
		run(5)
	}
	run(next - len(order))
	for i, got := range order {
		if got != i {
			t.Fatalf("job %d ran at place %d", got, i)
		}
	}
}

func TestWorkersComeOnDemandAndLeaveWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := workers.New(workers.Options{Max: 8})
		if err != nil {
			t.Fatal(err)
		}
		live := func(want int, when string) {
			t.Helper()
			synctest.Wait()
			if s := w.Stats(); s.Live != want {
				t.Errorf("%d workers %s, want %d", s.Live, when, want)
			}
		}
		live(0, "before the first job")
		for range 3 {
			submit(t, w, func(context.Context) { time.Sleep(time.Second) })
		}
		time.Sleep(10 * time.Millisecond)
		live(3, "for three jobs that take long")
		time.Sleep(2 * time.Second)
		submit(t, w, func(context.Context) {})
		live(3, "when one of three idle workers has taken a job")
		for range 3 {
			time.Sleep(4 * time.Second)
			submit(t, w, func(context.Context) {})
		}
		live(1, "when one has done the little work of 10 s")
		time.Sleep(10 * time.Second)
		live(0, "10 s after the last job")
		ran := false
		submit(t, w, func(context.Context) { ran = true })
		live(1, "for a job after the pause")
		if !ran {
			t.Error("the job after the pause did not run")
		}
		closePool(t, w)
		live(0, "after Close")
	})
}

func TestWorkersSurviveAPanic(t *testing.T) {
	var logged strings.Builder
	w := pool(t, workers.Options{Max: 1, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	submit(t, w, func(context.Context) { explode() })
	ran := false
	submit(t, w, func(context.Context) { ran = true })
	closePool(t, w)
	if s := w.Stats(); !ran || s.Panics != 1 || s.Running != 0 || s.Queued != 0 {
		t.Errorf("the job after the panic ran: %v; stats %+v", ran, s)
	}
	for _, want := range []string{"kaboom", "workers_test.explode"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log does not hold %q: %s", want, logged.String())
		}
	}
}

func explode() { panic("kaboom") }

func TestWorkersSurviveAJobThatEndsItsGoroutine(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	release := block(t, w)
	ran := 0
	for range 3 {
		submit(t, w, func(context.Context) { ran++; runtime.Goexit() })
	}
	release()
	closePool(t, w)
	if s := w.Stats(); ran != 3 || s != (workers.Stats{}) {
		t.Errorf("%d of 3 jobs ran, stats %+v", ran, s)
	}
}

func TestCloseWaitsForWhatWasAccepted(t *testing.T) {
	w := pool(t, workers.Options{Max: 2})
	var ran atomic.Int64
	release := block(t, w)
	for range 50 {
		submit(t, w, func(ctx context.Context) {
			if ctx.Err() == nil {
				ran.Add(1)
			}
		})
	}
	go release()
	closePool(t, w)
	if ran.Load() != 50 {
		t.Errorf("%d of 50 jobs ran to their end", ran.Load())
	}
	if err := w.Submit(workers.JobFunc(func(context.Context) {})); !errors.Is(err, workers.ErrClosed) {
		t.Errorf("Submit after Close = %v, want %v", err, workers.ErrClosed)
	}
	if s := w.Stats(); s != (workers.Stats{}) {
		t.Errorf("stats after Close: %+v", s)
	}
}

func TestCloseThatGivesUpSaysWhatIsLost(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	started, sawEnd := make(chan struct{}), make(chan struct{})
	submit(t, w, func(ctx context.Context) { close(started); <-ctx.Done(); close(sawEnd) })
	<-started
	for range 3 {
		submit(t, w, func(context.Context) { t.Error("a dropped job ran") })
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := w.Close(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 jobs running, 3 queued jobs dropped") {
		t.Errorf("Close = %v, want 1 running, 3 dropped", err)
	}
	<-sawEnd
	closePool(t, w) // a second call waits for the job that was left
	if s := w.Stats(); s != (workers.Stats{}) {
		t.Errorf("stats after Close: %+v", s)
	}
}

func TestCloseOfAnIdlePoolNeverFails(t *testing.T) {
	w := pool(t, workers.Options{Max: 4})
	for range 4 {
		block(t, w)()
	}
	for w.Stats().Running > 0 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Close(ctx); err != nil {
		t.Errorf("Close = %v with nothing to wait for", err)
	}
}

func TestSubmitRacingCloseRunsOrRefuses(t *testing.T) {
	for range 50 {
		w := pool(t, workers.Options{Max: 3})
		var accepted, ran atomic.Int64
		var submitters sync.WaitGroup
		for range 4 {
			submitters.Go(func() {
				for range 50 {
					if w.Submit(workers.JobFunc(func(context.Context) { ran.Add(1) })) == nil {
						accepted.Add(1)
					}
				}
			})
		}
		closePool(t, w)
		submitters.Wait()
		if accepted.Load() != ran.Load() {
			t.Fatalf("%d jobs accepted, %d ran", accepted.Load(), ran.Load())
		}
	}
}

func BenchmarkSubmit(b *testing.B) {
	w := pool(b, workers.Options{Max: 2})
	job := workers.JobFunc(func(context.Context) {})
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Submit(job); err != nil {
			b.Fatal(err)
		}
	}
}

// Short jobs are worked off by as many workers as there are CPUs, however many wait.
func TestWorkersForShortJobsAreAsManyAsCPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := workers.New(workers.Options{Max: 256})
		if err != nil {
			t.Fatal(err)
		}
		var ran atomic.Int64
		for range 10_000 {
			submit(t, w, func(context.Context) { ran.Add(1) })
		}
		synctest.Wait()
		if n := w.Stats().Live; n > runtime.NumCPU() || ran.Load() != 10_000 {
			t.Errorf("%d workers ran %d jobs; there are %d CPUs", n, ran.Load(), runtime.NumCPU())
		}
		closePool(t, w)
	})
}

// Jobs that wait do not hold others up for long: others take their workers' places, up to the maximum, and no further.
func TestWorkersWhoseJobsTakeLongAreRelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := workers.New(workers.Options{Max: 40})
		if err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		for range 60 {
			submit(t, w, func(context.Context) { <-gate })
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if s := w.Stats(); s.Live != 40 || s.Running != 40 || s.Queued != 20 {
			t.Errorf("%+v with 60 jobs that wait, of which 40 may at a time", s)
		}
		close(gate)
		synctest.Wait()
		if s := w.Stats(); s.Running != 0 || s.Queued != 0 {
			t.Errorf("%+v when all may go on", s)
		}
		closePool(t, w)
	})
}

// What jobs put off is done when a worker has nothing more to do, and while a job goes on.
func TestWorkersRestBeforeTheyWaitAndBesideLongJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var put, done atomic.Bool
		w, err := workers.New(workers.Options{Upkeep: func() {
			if put.Load() {
				done.Store(true)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		submit(t, w, func(context.Context) { put.Store(true) })
		synctest.Wait()
		if !done.Load() {
			t.Error("a worker waits without its upkeep")
		}
		put.Store(false)
		done.Store(false)
		gate := make(chan struct{})
		submit(t, w, func(context.Context) {
			put.Store(true)
			<-gate
		})
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if !done.Load() {
			t.Error("nobody has done upkeep beside a job that goes on")
		}
		put.Store(false)
		done.Store(false)
		close(gate)
		submit(t, w, func(context.Context) {
			put.Store(true)
			runtime.Goexit()
		})
		synctest.Wait()
		if !done.Load() {
			t.Error("a worker whose job ended it has left without its upkeep")
		}
		closePool(t, w)
	})
}

// A backlog is the mailboxes that wait, and grows less with each that a worker comes to; who finds a worker idle never waits.
func TestBacklogIsWhatWaitsForAWorker(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	wants := func(wantWaiting, wantServed int64) {
		t.Helper()
		if waiting, served := w.Backlog(); waiting != wantWaiting || served != wantServed {
			t.Errorf("%d wait, %d were served; want %d, %d", waiting, served, wantWaiting, wantServed)
		}
	}
	gates := []gate{newGate(), newGate(), newGate()}
	for _, g := range gates {
		submit(t, w, func(context.Context) { g.run() })
	}
	<-gates[0].entered
	wants(2, 0)
	for i, g := range gates[:2] {
		g.release()
		<-gates[i+1].entered
		wants(int64(1-i), int64(1+i))
	}
	gates[2].release()
	closePool(t, w)
	wants(0, 2)
}
