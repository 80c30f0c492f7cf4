package transport_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/transport"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// testLoop runs tasks in order on one goroutine, as a shard does, and sleeps where
// a shard of its driver would.
type testLoop struct {
	poller *transport.Poller // nil: there are no descriptors to hear of

	mu    sync.Mutex
	queue []base.Task
	ended bool

	wake chan struct{}
	done chan struct{}
	over sync.WaitGroup
	once sync.Once

	slept atomic.Int64 // how often it went to sleep
}

// newTestLoop returns a loop that holds no descriptors.
func newTestLoop(t testing.TB) *testLoop { return startLoop(t, nil) }

// newPollLoop returns a loop that holds those of a poller whose clock is now.
func newPollLoop(t testing.TB, now func() int64) *testLoop {
	return startLoop(t, transport.NewPoller(now))
}

func startLoop(t testing.TB, p *transport.Poller) *testLoop {
	t.Helper()
	l := &testLoop{poller: p, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if p != nil {
		if err := p.Open(l); err != nil {
			t.Fatal(err)
		}
	}
	l.over.Add(1)
	go l.run()
	t.Cleanup(l.stop)
	return l
}

func (l *testLoop) run() {
	defer l.over.Done()
	defer close(l.done)
	for {
		if l.poller != nil {
			l.poller.Dispatch()
		}
		queue, ended := l.take()
		for _, task := range queue {
			task.Run()
		}
		switch {
		case len(queue) > 0:
		case ended:
			return
		case l.poller != nil:
			l.slept.Add(1)
			l.poller.Wait(time.Hour, l.idle)
		default:
			<-l.wake
		}
	}
}

func (l *testLoop) take() (queue []base.Task, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, l.queue = l.queue, nil
	return queue, l.ended
}

func (l *testLoop) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0 && !l.ended
}

// waits reports whether tasks wait.
func (l *testLoop) waits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

func (l *testLoop) ring() {
	if l.poller != nil {
		l.poller.Wake()
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// stop ends the loop after what was posted, and closes what it holds.
func (l *testLoop) stop() {
	l.once.Do(func() {
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
		l.ring()
	})
	l.over.Wait()
	if l.poller != nil {
		l.poller.Close()
	}
}

func (l *testLoop) Post(task base.Task) {
	l.mu.Lock()
	l.queue = append(l.queue, task)
	l.mu.Unlock()
	l.ring()
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

// settle lets the loop take two turns: what one of them had to tell later has been told.
func (l *testLoop) settle() {
	l.do(func() {})
	l.do(func() {})
}
