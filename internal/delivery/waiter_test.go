package delivery_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/delivery"
)

// sleeper is a Waiter that sleeps until it is woken, however short the time it was
// given: a wake that is lost is never made good.
type sleeper struct {
	asleep     atomic.Bool
	bell       chan struct{}
	dispatched atomic.Int64
	waits      atomic.Int64
	work       atomic.Int64 // calls of Dispatch that will have found something
}

func newSleeper() *sleeper { return &sleeper{bell: make(chan struct{}, 1)} }

func (s *sleeper) Wait(_ time.Duration, idle func() bool) {
	s.waits.Add(1)
	s.asleep.Store(true)
	if idle() && s.work.Load() <= 0 {
		<-s.bell
	}
	s.asleep.Store(false)
}

func (s *sleeper) Dispatch() bool {
	s.dispatched.Add(1)
	return s.work.Add(-1) >= 0
}

func (s *sleeper) Wake() {
	if !s.asleep.Load() {
		return
	}
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// sleepy starts a hub whose one shard sleeps in s.
func sleepy(t *testing.T, s *sleeper) *delivery.Hub {
	h := delivery.New(delivery.Options{Shards: 1, Waiters: []delivery.Waiter{s}})
	h.Start()
	t.Cleanup(h.Close) // which must wake it
	return h
}

// A task posted at any moment is run, without waiting for any time to pass.
func TestShardHearsEveryTask(t *testing.T) {
	for name, posters := range map[string]int{"one poster": 1, "many": 8} {
		t.Run(name, func(t *testing.T) {
			sh := sleepy(t, newSleeper()).Shards()[0]
			var over sync.WaitGroup
			for range posters {
				over.Go(func() {
					for range 20_000 {
						ran := make(chan struct{})
						sh.Post(taskFunc(func() { close(ran) }))
						<-ran
					}
				})
			}
			over.Wait()
		})
	}
}

// Tasks that a task posts are run before the shard sleeps.
func TestShardDoesNotSleepOverATaskPostedByATask(t *testing.T) {
	sh := sleepy(t, newSleeper()).Shards()[0]
	const deep = 1000
	ran := make(chan struct{})
	var step func(n int)
	step = func(n int) {
		if n == deep {
			close(ran)
			return
		}
		sh.Post(taskFunc(func() { step(n + 1) }))
	}
	step(0)
	<-ran
}

// Every turn of the loop looks at the descriptors, and one that found something is
// followed by no more than one sleep.
func TestShardDispatchesInEveryTurn(t *testing.T) {
	s := newSleeper()
	sh := sleepy(t, s).Shards()[0]
	do := func() {
		ran := make(chan struct{})
		sh.Post(taskFunc(func() { close(ran) }))
		<-ran
	}
	do()
	before := s.dispatched.Load()
	const turns = 100
	for range turns {
		do()
	}
	if n := s.dispatched.Load() - before; n < turns {
		t.Errorf("%d dispatches in %d turns", n, turns)
	}
	if d, w := s.dispatched.Load(), s.waits.Load(); w > d+1 {
		t.Errorf("%d waits, %d dispatches", w, d)
	}
}

// The shard that has nothing but its inbox hears every task as well.
func TestShardWithoutDescriptorsHearsEveryTask(t *testing.T) {
	h := delivery.New(delivery.Options{Shards: 1})
	h.Start()
	defer h.Close()
	for range 20_000 {
		ran := make(chan struct{})
		h.Shards()[0].Post(taskFunc(func() { close(ran) }))
		<-ran
	}
}
