package engineio_test

import (
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/internal/base"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLoop runs tasks in order on one goroutine, as a shard does.
type testLoop struct {
	mu    sync.Mutex
	queue []base.Task
	wake  chan struct{}
	done  chan struct{}
	end   chan struct{}
	over  sync.WaitGroup
	once  sync.Once
}

func newTestLoop(t testing.TB) *testLoop {
	l := &testLoop{wake: make(chan struct{}, 1), done: make(chan struct{}), end: make(chan struct{})}
	l.over.Add(1)
	go l.run()
	t.Cleanup(l.stop)
	return l
}

func (l *testLoop) run() {
	defer l.over.Done()
	for {
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		for _, task := range queue {
			task.Run()
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-l.wake:
		case <-l.end:
			close(l.done)
			return
		}
	}
}

func (l *testLoop) stop() {
	l.once.Do(func() { close(l.end) })
	l.over.Wait()
}

func (l *testLoop) Post(task base.Task) {
	l.mu.Lock()
	l.queue = append(l.queue, task)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *testLoop) Done() <-chan struct{} { return l.done }

type taskFunc func()

func (f taskFunc) Run() { f() }

// do runs f on the loop and waits for it.
func (l *testLoop) do(f func()) {
	ran := make(chan struct{})
	l.Post(taskFunc(func() { f(); close(ran) }))
	select {
	case <-ran:
	case <-l.done:
	}
}
