package inbox_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/inbox"
)

type task struct{}

func (task) Run() {}

// The shard sleeps until it is woken, and is woken once for all that comes meanwhile.
func TestInboxWakesTheShardOnce(t *testing.T) {
	woken := 0
	in := inbox.New[int](t.Context(), func() { woken++ })
	in.PutTask(task{})
	in.PutJob(1)
	in.PutTask(task{})
	if woken != 1 || in.Empty() {
		t.Errorf("woken %d times, empty %t", woken, in.Empty())
	}
	tasks, jobs := in.Take(nil, nil)
	if len(tasks) != 2 || len(jobs) != 1 || !in.Empty() {
		t.Errorf("took %d tasks and %d jobs, empty %t", len(tasks), len(jobs), in.Empty())
	}
	if in.PutJob(2); woken != 2 {
		t.Errorf("woken %d times", woken)
	}
}

func TestInboxCountsJobsUntilTheyAreFinished(t *testing.T) {
	in := inbox.New[int](t.Context(), func() {})
	cost := inbox.Cost(100)
	if err := in.Reserve(t.Context(), cost); err != nil {
		t.Fatal(err)
	}
	in.PutJob(1)
	in.Take(nil, nil)
	if _, jobs := in.Depth(); jobs != 1 {
		t.Errorf("%d jobs while one is under way", jobs)
	}
	in.Finish(cost)
	if _, jobs := in.Depth(); jobs != 0 {
		t.Errorf("%d jobs when all are finished", jobs)
	}
	if err := in.Reserve(t.Context(), inbox.Room); err != nil {
		t.Errorf("all room: %v", err)
	}
}

// Any job fits an empty inbox, however large.
func TestInboxHasRoomForAnySingleJob(t *testing.T) {
	in := inbox.New[int](t.Context(), func() {})
	if err := in.Reserve(t.Context(), inbox.Cost(100*inbox.Room)); err != nil {
		t.Error(err)
	}
}

func TestReserveWaitsForRoomOrAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(t.Context())
		short, cut := context.WithCancel(t.Context())
		in := inbox.New[int](life, func() {})
		if err := in.Reserve(t.Context(), inbox.Room); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		got := make(map[string]error)
		reserve := func(who string, ctx context.Context) {
			err := in.Reserve(ctx, inbox.Room)
			mu.Lock()
			defer mu.Unlock()
			got[who] = err
		}
		for who, ctx := range map[string]context.Context{"short": short, "lucky": t.Context()} {
			go reserve(who, ctx)
		}
		synctest.Wait()
		cut()
		synctest.Wait()
		in.Release(inbox.Room)
		synctest.Wait()
		go reserve("late", t.Context())
		synctest.Wait()
		end()
		synctest.Wait()
		if got["lucky"] != nil || !errors.Is(got["short"], context.Canceled) || !errors.Is(got["late"], context.Canceled) {
			t.Errorf("%v", got)
		}
	})
}

var _ base.Task = task{}

// What is put late wakes nobody by itself, is taken by a shard that comes round, and is never forgotten: the next nudge or
// put wakes for it, once.
func TestInboxWakesForWhatIsLateWhenItIsNudged(t *testing.T) {
	woken := 0
	in := inbox.New[int](t.Context(), func() { woken++ })
	wants := func(step string, want int) {
		t.Helper()
		if woken != want {
			t.Errorf("%s: woken %d times, want %d", step, woken, want)
		}
	}
	in.Nudge()
	wants("nothing there", 0)
	in.PutJobLate(1)
	wants("a late job", 0)
	if in.Empty() {
		t.Error("a shard would fall asleep over a late job")
	}
	in.Nudge()
	in.Nudge()
	wants("nudged twice", 1)
	in.PutJobLate(2)
	in.PutTask(task{})
	in.Nudge()
	wants("late and not, before the shard has taken anything", 1)
	if tasks, jobs := in.Take(nil, nil); len(tasks) != 1 || len(jobs) != 2 {
		t.Errorf("took %d tasks and %d jobs", len(tasks), len(jobs))
	}
	in.Nudge()
	wants("taken", 1)
	in.PutJobLate(3)
	in.PutJob(4)
	wants("a job behind a late one", 2)
	in.Take(nil, nil)
	in.PutJobLate(5)
	in.Take(nil, nil)
	in.Nudge()
	wants("taken unasked", 2)
}
