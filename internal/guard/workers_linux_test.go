package guard_test

import (
	"context"
	"sync"
	"syscall"
	"testing"

	"github.com/streamweir/weir/internal/guard"
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
		w := pool(t, guard.WorkersOptions{Max: 4, Nice: nice})
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
