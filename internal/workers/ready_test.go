package workers_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir/internal/workers"
)

// While its owner is not ready a mailbox begins no job and holds no worker; Resume has it go on where it was.
func TestMailboxWaitsForItsOwner(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	box, other := newInbox(w, workers.MailboxLimits{Jobs: 4}), newInbox(w, workers.MailboxLimits{})
	var ready atomic.Bool
	asked := make(chan struct{}, 100)
	box.ready = func() bool { asked <- struct{}{}; return ready.Load() }
	var ran []int // on the only worker
	for i := range 3 {
		box.push(t, 1, workers.Accepted, func() { ran = append(ran, i) })
	}
	box.push(t, 1, workers.AcceptedFull, func() { ran = append(ran, 3) })
	<-asked
	free := newGate() // the worker is another's
	other.push(t, 1, workers.Accepted, free.run)
	<-free.entered
	if jobs, _ := box.Held(); jobs != 4 || len(ran) != 0 || box.Idle() || box.drained.Load() != 0 {
		t.Errorf("%d jobs held, %d run, idle: %v, drained %d times", jobs, len(ran), box.Idle(), box.drained.Load())
	}
	free.release()

	box.Resume() // it is asked again, and says no again
	<-asked
	ready.Store(true)
	last := newGate()
	box.push(t, 1, workers.AcceptedFull, last.run)
	box.Resume()
	<-last.entered
	if !slices.Equal(ran, []int{0, 1, 2, 3}) || box.drained.Load() != 1 {
		t.Errorf("ran %v, drained %d times", ran, box.drained.Load())
	}
	last.release()
}

// A waiting mailbox is let go with its home, and a Resume after that changes nothing.
func TestAWaitingMailboxEndsWithItsHome(t *testing.T) {
	home, other := pool(t, workers.Options{Max: 1}), pool(t, workers.Options{Max: 1})
	box := newInbox(home, workers.MailboxLimits{})
	no := make(chan struct{}, 10)
	box.ready = func() bool { no <- struct{}{}; return false }
	lost := func() { t.Error("a job ran") }
	box.push(t, 1, workers.Accepted, lost)
	box.pushTo(t, other, workers.Accepted, lost, func(error) {})
	<-no
	closePool(t, home)
	closePool(t, other)
	box.Resume()
	if jobs, bytes := box.Held(); jobs != 0 || bytes != 0 || !box.Idle() {
		t.Errorf("%d jobs and %d bytes are held by a mailbox without a home", jobs, bytes)
	}
	for _, w := range []*workers.Pool{home, other} {
		if s := w.Stats(); s != (workers.Stats{}) {
			t.Errorf("stats after Close: %+v", s)
		}
	}
}

// account is an owner as a socket is one: jobs make something, and a loop takes it away and resumes.
type account struct {
	box   workers.Mailbox
	due   atomic.Int64
	asked atomic.Bool
}

func (*account) Drained(*workers.Mailbox) {}

func (a *account) Ready(*workers.Mailbox) bool {
	if a.due.Load() < 4 {
		return true
	}
	a.asked.Store(true)
	return a.due.Load() < 4 && a.asked.CompareAndSwap(true, false)
}

func (a *account) take(n int64) {
	if a.due.Add(-n) < 4 && a.asked.CompareAndSwap(true, false) {
		a.box.Resume()
	}
}

// However jobs, pushes and what drains meet: no wake-up is lost, no job begins while four are due, and their order stays.
func TestNoResumeIsLost(t *testing.T) {
	const boxes, jobs = 20, 500
	home, other := pool(t, workers.Options{Max: 3}), pool(t, workers.Options{Max: 2})
	var all sync.WaitGroup
	for range boxes {
		a := new(account)
		a.box.Init(home, &workers.MailboxLimits{Jobs: jobs + 1}, a)
		made := make(chan int, jobs)
		job := func(i int) func() {
			return func() {
				if a.due.Add(1) > 4 {
					t.Error("a job began while as many were due as may be")
				}
				made <- i
				if i%100 == 7 {
					runtime.Goexit()
				}
			}
		}
		all.Go(func() { // the loop
			for want := range jobs {
				if got := <-made; got != want {
					t.Errorf("job %d ran at place %d", got, want)
				}
				if rand.IntN(3) == 0 {
					runtime.Gosched()
				}
				a.take(1)
			}
		})
		all.Go(func() {
			for i := range jobs {
				if rand.IntN(4) == 0 {
					a.box.PushTo(other, away{job(i), func(err error) { t.Error(err) }}, 1)
				} else {
					a.box.Push(workers.JobFunc(func(context.Context) { job(i)() }), 1)
				}
				if rand.IntN(50) == 0 {
					a.box.Resume() // without need
				}
			}
		})
	}
	all.Wait()
}
