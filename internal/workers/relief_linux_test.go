package workers_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/workers"
)

// Workers that wait must be relieved also when the process has no descriptor left: that is when clients are many.
func TestNicedWorkersThatWaitAreRelievedWithoutDescriptors(t *testing.T) {
	w := pool(t, workers.Options{Max: 40, Nice: 1})
	warm := make(chan struct{})
	submit(t, w, func(context.Context) { close(warm) })
	<-warm
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	var ended sync.WaitGroup
	var began atomic.Int64
	for range 40 {
		ended.Add(1)
		submit(t, w, func(context.Context) {
			defer ended.Done()
			began.Add(1)
			<-gate
		})
	}
	deadline := time.After(time.Minute)
wait:
	for began.Load() < 40 {
		select {
		case <-deadline:
			t.Errorf("after a minute %d of 40 jobs have begun: nobody sees that the others wait", began.Load())
			break wait
		case <-time.After(time.Millisecond):
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	close(gate)
	ended.Wait()
}

// Whatever jobs do, each is run once and the pool ends.
func TestEveryJobRunsWhateverTheOthersDo(t *testing.T) {
	for _, o := range []workers.Options{{}, {Nice: 1}, {Nice: 1, Compute: 1}, {Nice: 1, Compute: 3}} {
		for _, most := range []int{1, 2, 3, 40} {
			t.Run(fmt.Sprintf("nice %d compute %d max %d", o.Nice, o.Compute, most), func(t *testing.T) {
				var rests, late atomic.Int64
				w, err := workers.New(workers.Options{Max: most, Nice: o.Nice, Compute: o.Compute, Idle: 2 * time.Millisecond, Logger: discard(), Upkeep: func() { rests.Add(1); late.Store(0) }})
				if err != nil {
					t.Fatal(err)
				}
				var left sync.WaitGroup
				job := func(r uint64) func(context.Context) {
					left.Add(1)
					return func(context.Context) {
						defer left.Done()
						late.Add(1)
						switch r % 40 {
						case 0:
							runtime.Goexit()
						case 1:
							panic("as planned")
						case 2, 3:
							<-time.After(time.Duration(r%3000) * time.Microsecond)
						case 4, 5, 6:
							for end := time.Now().Add(time.Duration(r%2000) * time.Microsecond); time.Now().Before(end); {
							}
						case 7:
							runtime.Gosched()
						}
					}
				}
				var boxes [20]workers.Mailbox
				for i := range boxes {
					boxes[i].Init(w, &workers.MailboxLimits{}, nil)
				}
				rounds := 150
				if testing.Short() {
					rounds = 30
				}
				for round := range rounds {
					for range rand.IntN(60) {
						if rand.IntN(2) == 0 {
							submit(t, w, job(rand.Uint64()))
						} else {
							boxes[rand.IntN(len(boxes))].Push(workers.JobFunc(job(rand.Uint64())), 1)
						}
					}
					if round%3 == 0 {
						done := make(chan struct{})
						go func() { left.Wait(); close(done) }()
						select {
						case <-done:
						case <-time.After(time.Minute):
							t.Fatalf("round %d: jobs are left: %+v", round, w.Stats())
						}
					}
				}
				closePool(t, w)
				left.Wait()
				if s := w.Stats(); s.Live+s.Running+s.Queued != 0 {
					t.Errorf("%+v after Close", s)
				}
				if n := late.Load(); n != 0 {
					t.Errorf("%d jobs were never followed by a Rest", n)
				}
			})
		}
	}
}

// spin computes for so much time of its thread.
func spin(d time.Duration) {
	for from := workers.ThreadTime(workers.ThreadID()); workers.ThreadTime(workers.ThreadID()) < from+d; {
	}
}

// TestJobsThatComputeLeaveAPlaceToTheOthers: mailboxes whose jobs compute wait for one another, and not others for them.
func TestJobsThatComputeLeaveAPlaceToTheOthers(t *testing.T) {
	w := pool(t, workers.Options{Max: 64, Nice: 1, Compute: 3})
	var ending atomic.Bool
	var burnt atomic.Int64
	var boxes [20]workers.Mailbox
	var again func(i int) workers.JobFunc
	again = func(i int) workers.JobFunc {
		return func(context.Context) {
			spin(5 * time.Millisecond)
			burnt.Add(1)
			if !ending.Load() {
				boxes[i].Push(again(i), 0)
			}
		}
	}
	for i := range boxes {
		boxes[i].Init(w, &workers.MailboxLimits{}, nil)
		boxes[i].Push(again(i), 0)
	}
	for burnt.Load() < 3*int64(len(boxes)) { // all are known
		runtime.Gosched()
	}
	var waited []int64
	for range 50 {
		before, ran := burnt.Load(), make(chan int64, 1)
		submit(t, w, func(context.Context) { ran <- burnt.Load() })
		waited = append(waited, <-ran-before)
	}
	ending.Store(true)
	slices.Sort(waited)
	if n := waited[len(waited)/2]; n > 4 {
		t.Errorf("a short job waits for %d of those that compute, of %v", n, waited)
	}
	closePool(t, w)
}

// TestJobsThatNeverEndHoldTheirOwnWorkers, also where no more may compute.
func TestJobsThatNeverEndHoldTheirOwnWorkers(t *testing.T) {
	w := pool(t, workers.Options{Max: 64, Nice: 1, Compute: 2})
	var ending atomic.Bool
	for range 5 {
		submit(t, w, func(context.Context) {
			for !ending.Load() {
				spin(time.Millisecond)
			}
		})
	}
	ran := make(chan struct{})
	submit(t, w, func(context.Context) { close(ran) })
	select {
	case <-ran:
	case <-time.After(time.Minute):
		t.Error("behind five that never end, nobody has run the sixth")
	}
	ending.Store(true)
	closePool(t, w)
}

// benched are plain goroutines, threads, and threads as the binary has them.
var benched = []workers.Options{{}, {Nice: 1}, {Nice: 1, Compute: 3}}

// BenchmarkBehindWaiting: short jobs while others wait, as handlers of slow databases do.
func BenchmarkBehindWaiting(b *testing.B) {
	for _, o := range benched {
		for _, waiting := range []int{0, 4, 30, 100} {
			b.Run(fmt.Sprintf("nice %d compute %d waiting %d", o.Nice, o.Compute, waiting), func(b *testing.B) {
				w := pool(b, workers.Options{Max: 256, Nice: o.Nice, Compute: o.Compute})
				gate := make(chan struct{})
				var began sync.WaitGroup
				began.Add(waiting)
				for range waiting {
					submit(b, w, func(context.Context) { began.Done(); <-gate })
				}
				began.Wait()
				<-time.After(20 * time.Millisecond)
				b.ResetTimer()
				var left sync.WaitGroup
				window := make(chan struct{}, 200)
				spin := 0
				for range b.N {
					window <- struct{}{}
					left.Add(1)
					submit(b, w, func(context.Context) {
						for i := range 3000 {
							spin += i & 1
						}
						<-window
						left.Done()
					})
				}
				left.Wait()
				b.StopTimer()
				b.ReportMetric(float64(w.Stats().Live), "live")
				close(gate)
			})
		}
	}
}

// BenchmarkWaitingCost: what it costs for a second that n handlers wait and nothing else happens.
func BenchmarkWaitingCost(b *testing.B) {
	for _, nice := range []int{0, 1} {
		for _, waiting := range []int{1, 8, 60} {
			b.Run(fmt.Sprintf("nice %d waiting %d", nice, waiting), func(b *testing.B) {
				w := pool(b, workers.Options{Max: 256, Nice: nice})
				gate := make(chan struct{})
				var began sync.WaitGroup
				began.Add(waiting)
				for range waiting {
					submit(b, w, func(context.Context) { began.Done(); <-gate })
				}
				began.Wait()
				var r0, r1 unix.Rusage
				_ = unix.Getrusage(unix.RUSAGE_SELF, &r0)
				t0 := time.Now()
				<-time.After(time.Second)
				_ = unix.Getrusage(unix.RUSAGE_SELF, &r1)
				cpu := time.Duration(r1.Utime.Nano() + r1.Stime.Nano() - r0.Utime.Nano() - r0.Stime.Nano())
				b.ReportMetric(100*cpu.Seconds()/time.Since(t0).Seconds(), "%cpu")
				close(gate)
			})
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// BenchmarkRunnableLooksWaiting: of locked threads that all compute, how many the watch takes for waiting because
// they wait for one of Go's processors, asleep in a futex.
func BenchmarkRunnableLooksWaiting(b *testing.B) {
	for _, n := range []int{2, 4, 8, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ids := make(chan int, n)
			var end atomic.Bool
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					runtime.LockOSThread()
					ids <- workers.ThreadID()
					for !end.Load() {
					}
				})
			}
			var threads []int
			for range n {
				threads = append(threads, <-ids)
			}
			waits := 0
			for i := range 500 {
				<-time.After(time.Millisecond)
				if sleeps(threads[i%n]) {
					waits++
				}
			}
			end.Store(true)
			all.Wait()
			b.ReportMetric(float64(waits)/5, "%waits")
		})
	}
}

// BenchmarkShortWaits: every job waits for 2 ms, as handlers do that ask a cache. More of them must be under way than there
// are CPUs.
func BenchmarkShortWaits(b *testing.B) {
	for _, o := range benched {
		b.Run(fmt.Sprintf("nice %d compute %d", o.Nice, o.Compute), func(b *testing.B) {
			w := pool(b, workers.Options{Max: 256, Nice: o.Nice, Compute: o.Compute})
			var left sync.WaitGroup
			for range b.N {
				left.Add(1)
				submit(b, w, func(context.Context) {
					defer left.Done()
					<-time.After(2 * time.Millisecond)
				})
			}
			left.Wait()
			b.ReportMetric(float64(w.Stats().Live), "workers")
		})
	}
}
