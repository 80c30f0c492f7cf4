package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/streamweir/weir/internal/base"
)

// ErrBusy says that there was no room in an inbox before the caller's context
// ended.
var ErrBusy = errors.New("busy: the server cannot take more now")

// ErrBudget says that the topic holds most of an exhausted memory budget, or that
// the budget is spent.
var ErrBudget = fmt.Errorf("%w: the memory budget is spent", ErrBusy)

// ErrClosed says that the hub, or the socket spoken to, is gone.
var ErrClosed = errors.New("closed")

// The room for publications in one inbox. A publication costs its bytes and
// jobOverhead, at most all of it, so that any single one fits.
const (
	inboxRoom   = 16 << 20
	jobOverhead = 8 << 10
)

// inbox is what waits for one shard: tasks of the connections it owns, and
// publications. The two are separate queues (design D3): tasks are bounded by
// one outstanding batch per connection, publications by room reserved before
// they are sequenced.
type inbox struct {
	room *semaphore.Weighted
	life context.Context // the hub's: nobody waits beyond it
	wake func()

	mu    sync.Mutex
	tasks []base.Task
	jobs  []*job
}

func newInbox(life context.Context, wake func()) *inbox {
	return &inbox{life: life, room: semaphore.NewWeighted(inboxRoom), wake: wake}
}

func cost(bytes int) int64 { return min(int64(bytes)+jobOverhead, inboxRoom) }

// reserve waits for room for a publication; ErrBusy when ctx ends first,
// ErrClosed when the hub does.
func (in *inbox) reserve(ctx context.Context, n int64) error {
	if in.room.TryAcquire(n) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(in.life, cancel)()
	if err := in.room.Acquire(ctx, n); err == nil {
		return nil
	}
	if in.life.Err() != nil {
		return ErrClosed
	}
	return ErrBusy
}

func (in *inbox) putTask(t base.Task) {
	in.mu.Lock()
	in.tasks = append(in.tasks, t)
	first := len(in.tasks) == 1 && len(in.jobs) == 0
	in.mu.Unlock()
	if first {
		in.wake()
	}
}

// putJob appends a publication for which room was reserved.
func (in *inbox) putJob(j *job) {
	in.mu.Lock()
	in.jobs = append(in.jobs, j)
	first := len(in.jobs) == 1 && len(in.tasks) == 0
	in.mu.Unlock()
	if first {
		in.wake()
	}
}

// take moves everything into the given empty slices, whose memory it keeps for
// the next round.
func (in *inbox) take(tasks []base.Task, jobs []*job) ([]base.Task, []*job) {
	in.mu.Lock()
	defer in.mu.Unlock()
	tasks, in.tasks = in.tasks, tasks
	jobs, in.jobs = in.jobs, jobs
	return tasks, jobs
}

func (in *inbox) empty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.tasks)+len(in.jobs) == 0
}

func (in *inbox) depth() (tasks, jobs int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.tasks), len(in.jobs)
}
