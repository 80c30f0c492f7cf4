package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned to a mailbox whose job came after Close, ErrFull to one for which Options.Queue leaves no room for.
var (
	ErrClosed = errors.New("workers are closed")
	ErrFull   = errors.New("workers are busy, and as many jobs wait as may")
)

const (
	defaultMaxWorkers = 64
	defaultIdle       = 10 * time.Second
)

// Job is a piece of user code: a handler, a validation, a hook. ctx ends when the pool gives up waiting in Close.
type Job interface {
	Run(ctx context.Context)
}

// JobFunc is a function as a Job.
type JobFunc func(ctx context.Context)

// Run calls f.
func (f JobFunc) Run(ctx context.Context) { f(ctx) }

// Options shapes a pool; the zero value is usable.
type Options struct {
	// Max is how many jobs run at the same time; 0 means 64.
	Max int
	// Queue is how many jobs may wait for a worker, a mailbox counting as one; 0 means any number: each
	// mailbox bounds itself.
	Queue int
	// Idle is how long a worker without work stays; 0 means 10 s.
	Idle time.Duration
	// Nice from 1 to 19 runs every worker on an OS thread of its own at that niceness, so that CPU-bound handlers
	// yield to the shards (architecture.md D8). It needs NiceSupported. 0 means plain goroutines.
	Nice int
	// Compute is how many jobs may compute at once, as far as the kernel tells: so many of Go's processors are the pool's, and a
	// job beyond them would take one from somebody else, for ten milliseconds at a time. Jobs that wait do not count. The
	// mailboxes whose jobs compute for long stand in a queue of their own then, and leave one of the places to the others.
	// It needs Nice. 0 means any number.
	Compute int
	// Upkeep is called by a worker before it waits, every upkeepEvery while it does not, and beside it every watchEvery. What
	// jobs put off until then, because it is cheaper for several of them at once, is done there. It must not block and is
	// called concurrently. Nil: nothing is put off.
	Upkeep func()
	// Logger hears of panics; nil means slog.Default.
	Logger *slog.Logger
}

func (o Options) validate() error {
	var errs []error
	if o.Max < 0 {
		errs = append(errs, fmt.Errorf("workers max %d is negative", o.Max))
	}
	if o.Queue < 0 {
		errs = append(errs, fmt.Errorf("workers queue %d is negative", o.Queue))
	}
	if o.Idle < 0 {
		errs = append(errs, fmt.Errorf("workers idle %v is negative", o.Idle))
	}
	if o.Nice < 0 || o.Nice > 19 {
		errs = append(errs, fmt.Errorf("workers nice %d is not within 0 and 19", o.Nice))
	}
	if o.Compute < 0 || (o.Compute > 0 && o.Nice == 0) {
		errs = append(errs, fmt.Errorf("workers compute %d: want at least 0, and a nice with it", o.Compute))
	}
	if o.Nice > 0 && !NiceSupported {
		errs = append(errs, fmt.Errorf("workers nice %d: %s has no niceness per thread", o.Nice, runtime.GOOS))
	}
	return errors.Join(errs...)
}

// Stats is a snapshot of a pool.
type Stats struct {
	Live    int    // goroutines, idle ones included
	Running int    // jobs being run
	Queued  int    // jobs waiting in mailboxes
	Panics  uint64 // jobs that ended in a panic since the start
	Refused uint64 // jobs that found no room in the queue since the start
}

// Pool runs user code off the shards (architecture.md D8). Workers start on demand, up to a maximum, and end when they have
// been idle for a while: an idle pool is no goroutine. Everything on it may be called concurrently.
//
// Short jobs are worked off by as many workers as there are CPUs: more would only push each other off them, and a locked
// thread is expensive to push. Workers that wait or compute for long do not count: others take their place, up to the
// maximum; see watch. A job so waits for watchEvery, more or less, because others wait.
//
// What enters the queue is one visit per Mailbox, which bounds what its owner may pile up. Of a pool for calls that may
// hang, Options.Queue bounds it besides.
type Pool struct {
	max     int
	most    int // that may wait in line; 0 = any number
	floor   int // how many are kept free of jobs that take long, see watch
	idle    time.Duration
	nice    int
	compute int // how many may compute; 0 = any number
	upkeep  func()
	start   time.Time
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when Close was called and the last worker has left

	mu      sync.Mutex
	line    line
	seats   []*seat     // idle workers, the most recently busy last
	crew    []*seat     // all workers
	long    int         // workers that were found with a job that takes long when last looked at
	waiting int         // of them, those that wait
	excess  int         // workers that were found too many then, and have not stepped back yet
	turn    int         // where in crew the next look begins
	alarm   *time.Timer // of the watch; nil before the first job
	awake   bool        // the alarm is set, or the watch looks
	closing bool

	dropped  atomic.Bool  // Close gave up: jobs that have not started never will
	queued   atomic.Int64 // length of line, for those without the lock
	popped   atomic.Int64 // visits that workers have taken off the queue
	pending  atomic.Int64 // jobs accepted and not started
	running  atomic.Int64
	panics   atomic.Uint64
	refused  atomic.Uint64
	statuses atomic.Int64 // workers with a thread of their own: the first watchMost keep its status open
	niceFail sync.Once
}

// seat is a worker. While it is idle it stands in Pool.seats and waits at job: the goroutine that takes it off the list sends
// one visit there, or closes the channel.
type seat struct {
	job    chan *visit
	since  atomic.Int64 // when it began its job, in nanoseconds of Pool.start; 0 while idle
	thread atomic.Int32 // the one it is locked to; 0 = none
	status *os.File     // of that thread, set before it; nil: the watch opens it
	heavy  atomic.Int64 // since of the job that the watch found computing for long
	slow   bool         // Pool.mu guards it: it counts in line.slowly
	upkept int64        // the worker's: when it last called Upkeep, as since
	seen   sighting     // the watch's
}

// upkeepEvery is how often a worker that has no end of jobs calls Upkeep: often enough to be small beside what a job waits for
// its worker then, and seldom enough that a hundred short jobs share what is put off.
const upkeepEvery = time.Millisecond

// New returns a pool without goroutines, or every problem of its options.
func New(o Options) (*Pool, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	w := &Pool{
		max: o.Max, most: o.Queue, floor: runtime.NumCPU(), idle: o.Idle, nice: o.Nice, compute: o.Compute, line: line{apart: o.Compute > 0, most: max(1, o.Compute-1)}, upkeep: o.Upkeep, log: o.Logger, start: time.Now(), done: make(chan struct{}),
	}
	if w.max == 0 {
		w.max = defaultMaxWorkers
	}
	if w.idle == 0 {
		w.idle = defaultIdle
	}
	if w.upkeep == nil {
		w.upkeep = func() {}
	}
	if w.log == nil {
		w.log = slog.Default()
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w, nil
}

// enter lets the first turn of a mailbox, or one that comes from another pool, into a pool that is open. Errors:
// ErrClosed, ErrFull.
func (w *Pool) enter(t *visit) error {
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return ErrClosed
	}
	if w.most > 0 && w.line.len() >= w.most {
		w.mu.Unlock()
		w.refused.Add(1)
		return ErrFull
	}
	s := w.dispatchLocked(t)
	w.mu.Unlock()
	s.hand(t)
	return nil
}

// reenter queues the next turn of a mailbox, whose jobs were accepted before Close. It is false once Close has given
// up on them, or has ended while the mailbox was with another pool.
func (w *Pool) reenter(t *visit) bool {
	w.mu.Lock()
	if w.dropped.Load() || w.closing && len(w.crew) == 0 {
		w.mu.Unlock()
		return false
	}
	s := w.dispatchLocked(t)
	w.mu.Unlock()
	s.hand(t)
	return true
}

// Close takes no more jobs and waits until those queued and running have ended, and no goroutine is left. When ctx
// ends first, it ends the context of the running jobs, drops the queued ones and says how many of each in its error;
// a job just being started may be counted as dropped and yet run, its context ended. It may be called again, but not
// from a job.
func (w *Pool) Close(ctx context.Context) error {
	defer w.cancel()
	w.mu.Lock()
	seats := w.seats
	w.seats = nil
	if !w.closing && len(w.crew) == 0 {
		close(w.done)
	}
	w.closing = true
	w.mu.Unlock()
	for _, s := range seats {
		close(s.job)
	}

	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	dropped, running := w.abandon()
	if dropped == 0 && running == 0 { // only idle workers on their way out
		<-w.done
		return nil
	}
	return fmt.Errorf("close workers: %d jobs running, %d queued jobs dropped: %w", running, dropped, context.Cause(ctx))
}

// Backlog is how many mailboxes wait for a worker now, and how many of those that had to wait workers have come to so far.
func (w *Pool) Backlog() (waiting, served int64) { return w.queued.Load(), w.popped.Load() }

// Stats counts a job twice while it is being started.
func (w *Pool) Stats() Stats {
	w.mu.Lock()
	live := len(w.crew)
	w.mu.Unlock()
	return Stats{
		Live:    live,
		Running: int(w.running.Load()),
		Queued:  int(w.pending.Load()),
		Panics:  w.panics.Load(),
		Refused: w.refused.Load(),
	}
}

// dispatchLocked finds job a place: a worker that is idle or new, if there are too few that can take it soon, or the
// queue. Of an idle one the seat is returned, for the caller to hand the job to once it has let go of the lock.
func (w *Pool) dispatchLocked(job *visit) *seat {
	w.watchLocked()
	if busy := len(w.crew) - len(w.seats); busy-w.long < w.floor && w.mayComputeLocked(busy) && w.line.may(job) {
		if s, ok := w.callLocked(job); ok {
			return s
		}
	}
	w.line.push(job)
	w.queued.Store(int64(w.line.len()))
	return nil
}

// mayComputeLocked reports whether another worker may compute beside so many that are busy.
func (w *Pool) mayComputeLocked(busy int) bool { return w.compute == 0 || busy-w.waiting < w.compute }

// callLocked gives job to an idle worker, whose seat it returns, or to a new one; false if there may be none.
func (w *Pool) callLocked(job *visit) (*seat, bool) {
	if n := len(w.seats); n > 0 {
		s := w.seats[n-1]
		w.seats[n-1] = nil
		w.seats = w.seats[:n-1]
		s.slow = w.line.begin(job)
		return s, true
	}
	if len(w.crew) >= w.max {
		return nil, false
	}
	w.startLocked(job)
	return nil, true
}

func (w *Pool) startLocked(job *visit) {
	s := &seat{job: make(chan *visit, 1), slow: w.line.begin(job)}
	w.crew = append(w.crew, s)
	go w.run(s, job)
}

// hand gives job to the worker waiting at s, if there is one; it does not block, as a seat is handed one job.
func (s *seat) hand(job *visit) {
	if s != nil {
		s.job <- job
	}
}

// run is one worker. It ends when idle for long, when the pool closes, or when a job ends its goroutine.
func (w *Pool) run(s *seat, job *visit) {
	defer w.leave(s)
	if w.nice > 0 {
		w.slowDown(s)
	}
	idle := time.NewTimer(w.idle)
	defer idle.Stop()
	for ok := true; ok; job, ok = w.next(s, idle) {
		began := int64(time.Since(w.start)) + 1
		s.since.Store(began)
		if began-s.upkept > int64(upkeepEvery) {
			s.upkept = began
			w.upkeep()
		}
		job.run(s)
	}
}

// slowDown ties the worker to a thread of its own and lowers that thread's priority. The thread is never untied: it
// ends with the worker, since no thread may raise its priority again.
func (w *Pool) slowDown(s *seat) {
	runtime.LockOSThread()
	if w.statuses.Add(1) <= watchMost {
		s.status = openStatus()
	}
	s.thread.Store(int32(threadID()))
	if err := setThreadNice(w.nice); err != nil {
		w.niceFail.Do(func() { w.log.Warn("workers run at normal priority", "nice", w.nice, "error", err) })
	}
}

// next waits for a job; false tells the worker to leave.
func (w *Pool) next(s *seat, idle *time.Timer) (*visit, bool) {
	w.mu.Lock()
	w.line.end(s.slow)
	s.slow = false
	if w.excess > 0 && !w.closing {
		w.excess-- // the others work off the line
	} else if job, ok := w.popLocked(); ok {
		s.slow = w.line.begin(job)
		w.popped.Add(1)
		w.mu.Unlock()
		return job, true
	}
	if w.closing {
		w.mu.Unlock()
		return nil, false
	}
	s.since.Store(0)
	w.seats = append(w.seats, s)
	w.mu.Unlock()

	w.upkeep()
	idle.Reset(w.idle)
	select {
	case job, ok := <-s.job:
		return job, ok
	case <-idle.C:
	}
	if w.vacate(s) {
		return nil, false
	}
	job, ok := <-s.job
	return job, ok
}

// popLocked takes the visit off the line that is next; false if there is none that may begin.
func (w *Pool) popLocked() (*visit, bool) {
	job, ok := w.line.pop()
	w.queued.Store(int64(w.line.len()))
	return job, ok
}

// vacate takes s off the idle list; false when somebody else has, and is about to use it.
func (w *Pool) vacate(s *seat) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.seats {
		if w.seats[i] == s {
			w.seats = append(w.seats[:i], w.seats[i+1:]...)
			return true
		}
	}
	return false
}

// leave is the end of a worker, also one whose job called runtime.Goexit: then the queue may need a successor.
func (w *Pool) leave(s *seat) {
	w.upkeep()
	if s.thread.Load() != 0 {
		w.statuses.Add(-1)
	}
	if s.status != nil {
		_ = s.status.Close() // it was only read, and may be while it is closed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.crew, s)
	w.crew = slices.Delete(w.crew, i, i+1)
	w.excess = max(0, w.excess-1)
	w.line.end(s.slow)
	if job, ok := w.popLocked(); ok {
		w.startLocked(job)
		return
	}
	if w.closing && len(w.crew) == 0 {
		if w.alarm != nil {
			w.alarm.Stop()
		}
		close(w.done)
	}
}

// execute runs one job and survives its panic.
func (w *Pool) execute(job Job) {
	w.running.Add(1) // before pending falls, so that Close never sees a job in neither
	w.pending.Add(-1)
	defer func() {
		w.running.Add(-1)
		if p := recover(); p != nil {
			w.panics.Add(1)
			w.log.Error("a job on the workers panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	job.Run(w.ctx)
}

// abandon drops what has not started. A mailbox whose turn is running drops its rest when the turn ends.
func (w *Pool) abandon() (dropped, running int) {
	w.mu.Lock()
	w.dropped.Store(true)
	dropped, running = int(w.pending.Load()), int(w.running.Load())
	queues := w.line.empty()
	w.queued.Store(0)
	w.mu.Unlock()
	for i := range queues {
		for t, ok := queues[i].pop(); ok; t, ok = queues[i].pop() {
			t.drop(w)
		}
	}
	return dropped, running
}
