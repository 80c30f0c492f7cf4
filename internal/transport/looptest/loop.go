// Package looptest is a loop for tests of what lives on one: it runs tasks in order on one goroutine, as a shard does, and sleeps
// where a shard of its driver would.
package looptest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
)

// Loop runs what is posted to it until the test ends. Any goroutine may call its methods.
type Loop struct {
	Poller *transport.Poller // whose descriptors it hears of; nil: there are none

	mu    sync.Mutex
	queue []base.Task
	ended bool

	wake chan struct{}
	done chan struct{}
	over sync.WaitGroup
	once sync.Once

	slept atomic.Int64
}

// New returns a loop that holds no descriptors.
func New(t testing.TB) *Loop { return start(t, nil) }

// NewPolling returns a loop that holds those of a poller whose clock is now.
func NewPolling(t testing.TB, now func() int64) *Loop {
	return start(t, transport.NewPoller(now))
}

func start(t testing.TB, p *transport.Poller) *Loop {
	t.Helper()
	l := &Loop{Poller: p, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if p != nil {
		if err := p.Open(l); err != nil {
			t.Fatal(err)
		}
	}
	l.over.Add(1)
	go l.run()
	t.Cleanup(l.Stop)
	return l
}

// run ends when Stop was called and all is done that was posted before.
func (l *Loop) run() {
	defer l.over.Done()
	defer close(l.done)
	for {
		if l.Poller != nil {
			l.Poller.Dispatch()
		}
		queue, ended := l.take()
		for _, task := range queue {
			task.Run()
		}
		switch {
		case len(queue) > 0:
		case ended:
			return
		case l.Poller != nil:
			l.slept.Add(1)
			l.Poller.Wait(time.Hour, l.idle)
		default:
			<-l.wake
		}
	}
}

func (l *Loop) take() (queue []base.Task, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, l.queue = l.queue, nil
	return queue, l.ended
}

func (l *Loop) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0 && !l.ended
}

func (l *Loop) ring() {
	if l.Poller != nil {
		l.Poller.Wake()
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Stop ends the loop after what was posted, and closes what it holds. It may be called twice.
func (l *Loop) Stop() {
	l.once.Do(func() {
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
		l.ring()
	})
	l.over.Wait()
	if l.Poller != nil {
		l.Poller.Close()
	}
}

// Post implements the loop that transports and sessions are given.
func (l *Loop) Post(task base.Task) {
	l.mu.Lock()
	l.queue = append(l.queue, task)
	l.mu.Unlock()
	l.ring()
}

// Done is closed when the loop has ended.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Task is a function as a task.
type Task func()

// Run implements base.Task.
func (f Task) Run() { f() }

// Do runs f on the loop and waits for it, or for the loop's end.
func (l *Loop) Do(f func()) {
	ran := make(chan struct{})
	l.Post(Task(func() { f(); close(ran) }))
	select {
	case <-ran:
	case <-l.done:
	}
}

// Pass lets the loop take two turns: what one of them had to tell later has been told.
func (l *Loop) Pass() {
	l.Do(func() {})
	l.Do(func() {})
}

// Waits reports whether tasks wait.
func (l *Loop) Waits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

// Slept is how often a loop with a poller went to sleep.
func (l *Loop) Slept() int64 { return l.slept.Load() }
