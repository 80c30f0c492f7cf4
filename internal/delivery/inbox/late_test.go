package inbox_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/inbox"
)

type noTask struct{ n *atomic.Int64 }

func (t noTask) Run() { t.n.Add(1) }

// A shard that sleeps whenever its inbox is empty takes all that was put, if a Nudge follows what was put late.
func TestNothingPutStaysBehind(t *testing.T) {
	rung := make(chan struct{}, 1)
	in := inbox.New[int](context.Background(), func() {
		select {
		case rung <- struct{}{}:
		default:
		}
	})
	var taken, ran atomic.Int64
	stop := make(chan struct{})
	var shard, producers sync.WaitGroup
	shard.Go(func() {
		var tasks []base.Task
		var jobs []int
		for {
			tasks, jobs = in.Take(tasks[:0], jobs[:0])
			for _, x := range tasks {
				x.Run()
			}
			for range jobs {
				in.Finish(inbox.Cost(1))
				taken.Add(1)
			}
			if len(tasks)+len(jobs) > 0 && rand.IntN(4) > 0 {
				continue
			}
			if !in.Empty() {
				continue
			}
			select {
			case <-rung:
			case <-stop:
				return
			}
		}
	})
	var jobs, tasks atomic.Int64
	for range 6 {
		producers.Go(func() {
			for i := range 20000 {
				switch r := rand.IntN(10); {
				case r < 6:
					_ = in.Reserve(context.Background(), inbox.Cost(1))
					in.PutJobLate(i)
					jobs.Add(1)
					if rand.IntN(4) == 0 {
						in.Nudge()
					}
				case r < 8:
					_ = in.Reserve(context.Background(), inbox.Cost(1))
					in.PutJob(i)
					jobs.Add(1)
				default:
					in.PutTask(noTask{&ran})
					tasks.Add(1)
				}
				if r := rand.IntN(20); r == 0 {
					runtime.Gosched()
				}
			}
			in.Nudge()
		})
	}
	wait := make(chan struct{})
	go func() { producers.Wait(); close(wait) }()
	// A producer may wait for room that late jobs hold: somebody else nudges, as the watch does.
	for nudging := true; nudging; {
		select {
		case <-wait:
			nudging = false
		case <-time.After(time.Millisecond):
			in.Nudge()
		}
	}
	in.Nudge()
	for end := time.Now().Add(10 * time.Second); taken.Load() != jobs.Load() || ran.Load() != tasks.Load(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("taken %d of %d jobs, ran %d of %d tasks", taken.Load(), jobs.Load(), ran.Load(), tasks.Load())
		}
	}
	close(stop)
	shard.Wait()
}

// The same in small rounds, after each of which all must have been taken.
func TestLateJobsAreTakenAfterANudge(t *testing.T) {
	rung := make(chan struct{}, 1)
	in := inbox.New[int](context.Background(), func() {
		select {
		case rung <- struct{}{}:
		default:
		}
	})
	stop, left := make(chan struct{}), make(chan struct{})
	var taken atomic.Int64
	go func() {
		defer close(left)
		var tasks []base.Task
		var jobs []int
		for {
			tasks, jobs = in.Take(tasks[:0], jobs[:0])
			taken.Add(int64(len(jobs)))
			if !in.Empty() {
				continue
			}
			select {
			case <-rung:
			case <-stop:
				return
			}
		}
	}()
	defer func() { close(stop); <-left }()
	want := int64(0)
	for round := range 20000 {
		var producers sync.WaitGroup
		for range 1 + round%3 {
			want += 2
			producers.Go(func() {
				in.PutJobLate(round)
				if round%5 == 0 {
					in.Nudge()
				}
				in.PutJobLate(round)
				in.Nudge()
			})
		}
		producers.Wait()
		for end := time.Now().Add(10 * time.Second); taken.Load() != want; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("round %d: taken %d of %d jobs", round, taken.Load(), want)
			}
		}
	}
}
