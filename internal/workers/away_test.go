package workers_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir/internal/workers"
)

// away is a job for another pool.
type away struct {
	run     func()
	refused func(error)
}

func (a away) Run(context.Context) { a.run() }
func (a away) Refused(why error)   { a.refused(why) }

func (b *inbox) pushTo(t testing.TB, w *workers.Pool, want workers.Verdict, f func(), refused func(error)) {
	t.Helper()
	if got := b.PushTo(w, away{f, refused}, 1); got != want {
		t.Errorf("PushTo = %v, want %v", got, want)
	}
}

// Jobs for two pools run in the order of Push, never two at once, each on its pool.
func TestMailboxOfTwoPoolsKeepsItsOrder(t *testing.T) {
	const boxes, jobs = 20, 200
	home, other := pool(t, workers.Options{Max: 3}), pool(t, workers.Options{Max: 2})
	var pushers, left sync.WaitGroup
	left.Add(boxes * jobs)
	got := make([][]int, boxes)
	for i := range boxes {
		box := newInbox(home, workers.MailboxLimits{Jobs: jobs + 1})
		var at atomic.Int32 // both pools' jobs of this mailbox: a race is told by the detector as well
		job := func(n int) func() {
			return func() {
				defer left.Done()
				if at.Add(1) != 1 {
					t.Error("two jobs of a mailbox run at once")
				}
				got[i] = append(got[i], n)
				if n%17 == 0 {
					runtime.Gosched()
				}
				at.Add(-1)
				if n%50 == 0 {
					runtime.Goexit()
				}
			}
		}
		pushers.Go(func() {
			for n := range jobs {
				if rand.IntN(2) == 0 {
					box.push(t, 1, workers.Accepted, job(n))
				} else {
					box.pushTo(t, other, workers.Accepted, job(n), func(why error) { t.Error(why) })
				}
			}
		})
	}
	pushers.Wait()
	left.Wait()
	for i := range got {
		if !slices.IsSorted(got[i]) {
			t.Errorf("mailbox %d ran %v", i, got[i])
		}
	}
}

// A job that hangs on the other pool holds up its own mailbox, and no other.
func TestAHangingJobHoldsUpItsMailboxOnly(t *testing.T) {
	home, other := pool(t, workers.Options{Max: 1}), pool(t, workers.Options{Max: 1})
	hung, free := newInbox(home, workers.MailboxLimits{}), newInbox(home, workers.MailboxLimits{})
	g, after, done := newGate(), newGate(), newGate()
	hung.pushTo(t, other, workers.Accepted, g.run, nil)
	<-g.entered
	hung.push(t, 1, workers.Accepted, after.run)
	free.push(t, 1, workers.Accepted, done.run)
	<-done.entered // on the only worker of their home
	done.release()
	select {
	case <-after.entered:
		t.Error("a job overtook the one before it")
	default:
	}
	if s := other.Stats(); s.Running != 1 || s.Queued != 0 {
		t.Errorf("the other pool: %+v", s)
	}
	g.release()
	<-after.entered
	after.release()
}

// Beyond the other pool's queue a job is refused: where its turn comes at once by the answer, later by a call; what comes
// after it runs.
func TestAFullPoolRefusesAMailboxsJob(t *testing.T) {
	home, other := pool(t, workers.Options{Max: 2}), pool(t, workers.Options{Max: 1, Queue: 2})
	release := block(t, other)
	var ran atomic.Int64
	lost := func() { t.Error("a refused job ran") }
	for range 2 {
		newInbox(home, workers.MailboxLimits{}).pushTo(t, other, workers.Accepted, func() { ran.Add(1) }, nil)
	}
	late := newInbox(home, workers.MailboxLimits{})
	late.pushTo(t, other, workers.NoRoom, lost, nil)
	if jobs, bytes := late.Held(); jobs != 0 || bytes != 0 || !late.Idle() {
		t.Errorf("a job not taken is held: %d jobs, %d bytes", jobs, bytes)
	}
	first, end := newGate(), newGate()
	refused := make(chan error, 1)
	late.push(t, 1, workers.Accepted, first.run)
	<-first.entered
	late.pushTo(t, other, workers.Accepted, lost, func(why error) { refused <- why })
	late.push(t, 1, workers.Accepted, end.run)
	first.release()
	if why := <-refused; !errors.Is(why, workers.ErrFull) {
		t.Errorf("refused for %v", why)
	}
	<-end.entered
	end.release()
	if s := other.Stats(); s.Refused != 2 || s.Queued != 2 || s.Running != 1 {
		t.Errorf("the other pool: %+v, want 2 refused, 2 queued, 1 running", s)
	}
	if err := other.Submit(workers.JobFunc(func(context.Context) { lost() })); !errors.Is(err, workers.ErrFull) {
		t.Errorf("Submit = %v", err)
	}
	release()
	closePool(t, other)
	if ran.Load() != 2 {
		t.Errorf("%d of 2 jobs ran", ran.Load())
	}
}

// The other pool gives up first: its jobs are refused, and what waits behind them runs at home, once however it ends.
func TestClosingTheOtherPoolLeavesTheHomesJobs(t *testing.T) {
	home, other := pool(t, workers.Options{Max: 1}), pool(t, workers.Options{Max: 1})
	running, queued := newInbox(home, workers.MailboxLimits{}), newInbox(home, workers.MailboxLimits{})
	g := newGate()
	var ran, refused atomic.Int64
	refuse := func(why error) {
		if !errors.Is(why, workers.ErrClosed) {
			t.Errorf("refused for %v", why)
		}
		refused.Add(1)
	}
	lost := func() { t.Error("a dropped job ran") }
	running.pushTo(t, other, workers.Accepted, g.run, nil)
	<-g.entered
	for range 3 {
		running.pushTo(t, other, workers.Accepted, lost, refuse)
		running.push(t, 1, workers.Accepted, func() { ran.Add(1) })
		queued.pushTo(t, other, workers.Accepted, lost, refuse)
		queued.push(t, 1, workers.Accepted, func() { ran.Add(1) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := other.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v", err)
	}
	g.release()
	closePool(t, other)
	closePool(t, home)
	if ran.Load() != 6 || refused.Load() != 6 {
		t.Errorf("%d of 6 jobs ran at home, %d of 6 were refused", ran.Load(), refused.Load())
	}
	for _, w := range []*workers.Pool{home, other} {
		if s := w.Stats(); s != (workers.Stats{}) {
			t.Errorf("stats after Close: %+v", s)
		}
	}
}

// A mailbox that comes back when its home has ended drops what is left.
func TestAMailboxComesBackToAClosedHome(t *testing.T) {
	home, other := pool(t, workers.Options{Max: 1}), pool(t, workers.Options{Max: 1})
	box := newInbox(home, workers.MailboxLimits{})
	g := newGate()
	box.pushTo(t, other, workers.Accepted, g.run, nil)
	<-g.entered
	box.push(t, 1, workers.Accepted, func() { t.Error("a job ran on a pool that had ended") })
	closePool(t, home) // nobody is at work there
	g.release()
	closePool(t, other)
	if jobs, bytes := box.Held(); jobs != 0 || bytes != 0 || !box.Idle() {
		t.Errorf("%d jobs and %d bytes are still held", jobs, bytes)
	}
	for _, w := range []*workers.Pool{home, other} {
		if s := w.Stats(); s != (workers.Stats{}) {
			t.Errorf("stats after Close: %+v", s)
		}
	}
}
