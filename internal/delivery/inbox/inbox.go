// Package inbox is what waits for one shard: tasks of the connections it owns, and
// jobs, which are publications. The two are separate queues (architecture.md D3): tasks are
// bounded by one outstanding batch per connection, jobs by room reserved before they
// get their place in an order.
package inbox

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/streamweir/weir/internal/base"
)

// The room for jobs. A job costs its bytes and JobOverhead, at most all of it, so
// that any single one fits.
const (
	Room        = 16 << 20
	JobOverhead = 8 << 10
)

// Cost is the room a job of that many bytes takes.
func Cost(bytes int) int64 { return min(int64(bytes)+JobOverhead, Room) }

// Inbox is filled by any goroutine and emptied by one shard.
type Inbox[Job any] struct {
	room       *semaphore.Weighted
	life       context.Context // nobody waits beyond it
	wake       func()
	unfinished atomic.Int64 // jobs put here and not finished

	late atomic.Bool // something was put that the shard was not woken for

	mu    sync.Mutex
	tasks []base.Task
	jobs  []Job
	woken bool // the shard was, since it last took something
}

// New returns an empty inbox; wake is called when it no longer is. Nobody waits for
// room when life has ended.
func New[Job any](life context.Context, wake func()) *Inbox[Job] {
	return &Inbox[Job]{life: life, room: semaphore.NewWeighted(Room), wake: wake}
}

// Reserve waits for room for a job, until ctx or the inbox's life ends: that is the
// error.
func (in *Inbox[Job]) Reserve(ctx context.Context, cost int64) error {
	if in.room.TryAcquire(cost) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(in.life, cancel)()
	return in.room.Acquire(ctx, cost)
}

// Release gives back room that no job took.
func (in *Inbox[Job]) Release(cost int64) { in.room.Release(cost) }

// PutTask appends a task.
func (in *Inbox[Job]) PutTask(t base.Task) {
	in.mu.Lock()
	in.tasks = append(in.tasks, t)
	wake := in.wakeLocked()
	in.mu.Unlock()
	if wake {
		in.wake()
	}
}

// PutJob appends a job for which room was reserved. The shard must Finish it.
func (in *Inbox[Job]) PutJob(j Job) {
	in.unfinished.Add(1)
	in.mu.Lock()
	in.jobs = append(in.jobs, j)
	wake := in.wakeLocked()
	in.mu.Unlock()
	if wake {
		in.wake()
	}
}

// PutJobLate is PutJob for a shard that is not to be woken for this job alone: it takes it when it comes round, or after
// the next Nudge, which the caller sees to.
func (in *Inbox[Job]) PutJobLate(j Job) {
	in.unfinished.Add(1)
	in.mu.Lock()
	in.jobs = append(in.jobs, j)
	in.late.Store(!in.woken)
	in.mu.Unlock()
}

// Nudge wakes the shard for what was put late.
func (in *Inbox[Job]) Nudge() {
	if !in.late.Load() {
		return
	}
	in.mu.Lock()
	wake := in.late.Load() && in.wakeLocked()
	in.mu.Unlock()
	if wake {
		in.wake()
	}
}

// wakeLocked reports whether the shard must be woken, which the caller then does.
func (in *Inbox[Job]) wakeLocked() bool {
	in.late.Store(false)
	wake := !in.woken
	in.woken = true
	return wake
}

// Finish ends a job that was taken, and gives its room back.
func (in *Inbox[Job]) Finish(cost int64) {
	in.room.Release(cost)
	in.unfinished.Add(-1)
}

// Take moves everything into the given empty slices, whose memory the inbox keeps
// for the next round.
func (in *Inbox[Job]) Take(tasks []base.Task, jobs []Job) ([]base.Task, []Job) {
	in.mu.Lock()
	defer in.mu.Unlock()
	tasks, in.tasks = in.tasks, tasks
	jobs, in.jobs = in.jobs, jobs
	in.woken = false
	in.late.Store(false)
	return tasks, jobs
}

// Empty reports whether there is nothing to take.
func (in *Inbox[Job]) Empty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.tasks)+len(in.jobs) == 0
}

// Depth is how many tasks wait, and how many jobs are not finished.
func (in *Inbox[Job]) Depth() (tasks, jobs int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.tasks), int(in.unfinished.Load())
}
