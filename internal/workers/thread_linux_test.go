package workers_test

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/workers"
)

// niceness is that of the calling thread; the system call answers 20 - nice.
func niceness(t *testing.T) int {
	p, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Error(err)
	}
	return 20 - p
}

func TestNicedWorkersLowerOnlyThemselves(t *testing.T) {
	before := niceness(t)
	for _, nice := range []int{max(before, 7), 0} {
		want := nice
		if nice == 0 {
			want = before // plain goroutines, on threads no niced worker has left behind
		}
		w := pool(t, workers.Options{Max: 4, Nice: nice})
		var all sync.WaitGroup
		all.Add(4)
		for range 4 { // held until each of the four workers has one
			submit(t, w, func(context.Context) {
				if got := niceness(t); got != want {
					t.Errorf("a worker with nice %d runs at %d, want %d", nice, got, want)
				}
				all.Done()
				all.Wait()
			})
		}
		closePool(t, w)
	}
	if after := niceness(t); after != before {
		t.Errorf("the niceness outside went from %d to %d", before, after)
	}
}

func sleeps(thread int) bool {
	waiting, _ := workers.Asleep(thread, nil)
	return waiting
}

// The watch tells a thread that waits from one that computes, and how long it has.
func TestWatchKnowsWhatThreadsDo(t *testing.T) {
	ids, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		ids <- workers.ThreadID()
		<-stop // waits
		runtime.UnlockOSThread()
	}()
	waiting := <-ids
	var ending atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		runtime.LockOSThread()
		ids <- workers.ThreadID()
		for !ending.Load() { // computes
		}
		runtime.UnlockOSThread()
	})
	computing := <-ids
	for !sleeps(waiting) {
		runtime.Gosched()
	}
	for before := workers.ThreadTime(computing); workers.ThreadTime(computing) < before+5*time.Millisecond; {
		runtime.Gosched()
	}
	for sleeps(computing) { // for a moment it may, for one of Go's processors
		runtime.Gosched()
	}
	if used := workers.ThreadTime(waiting); used > time.Second {
		t.Errorf("a thread that waits has used %v", used)
	}
	ending.Store(true)
	all.Wait()
	close(stop)
	<-done
	const none = 1 << 22 // the kernel numbers threads below that
	if _, known := workers.Asleep(none, nil); known || workers.ThreadTime(none) != 0 {
		t.Error("something is known of threads that are none")
	}
}

// Jobs that wait do not hold up those behind them on threads of their own either.
func TestNicedWorkersThatWaitAreRelieved(t *testing.T) {
	w := pool(t, workers.Options{Max: 40, Nice: 1})
	gate := make(chan struct{})
	var began, ended sync.WaitGroup
	began.Add(40)
	for range 40 {
		ended.Add(1)
		submit(t, w, func(context.Context) {
			defer ended.Done()
			began.Done()
			<-gate
		})
	}
	began.Wait() // for ever, if nobody is relieved
	close(gate)
	ended.Wait()
}

// A job that computes for long does not hold up those behind it.
func TestNicedWorkersThatComputeAreRelieved(t *testing.T) {
	w := pool(t, workers.Options{Max: 4*runtime.NumCPU() + 1, Nice: 1})
	var short atomic.Int64
	for range 4 * runtime.NumCPU() {
		submit(t, w, func(context.Context) {
			for short.Load() == 0 { // only a job behind all of these ends them
			}
		})
	}
	submit(t, w, func(context.Context) { short.Add(1) })
	closePool(t, w)
}

// BenchmarkAsleep pays for the status that workers keep open: the watch asks for it once a millisecond while anybody works.
func BenchmarkAsleep(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := workers.OpenStatus()
	defer status.Close() //nolint:errcheck // it was only read
	for _, c := range []struct {
		name   string
		status *os.File
	}{{"open", status}, {"opened", nil}} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				if _, known := workers.Asleep(workers.ThreadID(), c.status); !known {
					b.Fatal("nothing is known of this thread")
				}
			}
		})
	}
}
