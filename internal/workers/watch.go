package workers

import "time"

// A worker is busy with one job, which takes a moment, or keeps it for long: the worker is stuck then.
//
//	its thread sleeps (a lock, a disk, a peer)            stuck: it waits
//	its job has taken watchEvery of processor time        stuck: it computes
//	it has begun to compute, or waits for a processor     free in a moment
//
// Of busy workers the pool wants Pool.floor that are not stuck, and at most Pool.compute that do not wait. While anybody works, an
// alarm looks after that:
//
//	alarm ── watchEvery ──> look      counts those known to wait, takes a sample of the others and of them
//	  ^                     judge     asks the kernel about each of the sample
//	  │                     relieve   reckons how many are stuck in all (long), and then
//	  │                                 too few are free:  calls workers to the line
//	  └── anybody works ────            too many are free: excess, some step back after their job

// watchEvery is how often workers are looked at while any is busy, and how long a job may take to count as short.
const watchEvery = time.Millisecond

// watchMost is how many threads one look asks the kernel about; of more workers it is a sample.
const watchMost = 8

// endless is the processor time of a job that nobody waits for any more: it does not count among those that compute, so that one
// that never ends holds its own worker and not a place of the others.
const endless = 250 * time.Millisecond

// watchAgain is how many of those that were found waiting one look asks about again: they may compute by now.
const watchAgain = 2

// doing is what the watch has found a worker to do.
type doing uint8

const (
	brisk    doing = iota // it will be free in a moment, or nobody knows
	waits                 // it is stuck, and takes no processor; or it does not end, and nobody waits for it
	computes              // it is stuck, and takes one
)

// sighting is what the watch remembers of a worker and its job.
type sighting struct {
	since int64         // seat.since of the job
	used  time.Duration // processor time of the thread when the watch saw the job first
	doing doing         // what the worker was found to do with the job
}

// handing is a visit for an idle worker.
type handing struct {
	seat *seat
	job  *visit
}

// watchLocked sets the watch, unless it is set.
func (w *Pool) watchLocked() {
	switch {
	case w.awake:
		return
	case w.alarm == nil:
		w.alarm = time.AfterFunc(watchEvery, w.watch)
	default:
		w.alarm.Reset(watchEvery)
	}
	w.awake = true
}

// watch looks for workers that are stuck and calls others to the line in their place, a few more each time; of workers
// that are too many it tells some to step back. relieve sets the alarm again as long as anybody works, so there is one watch
// at a time.
func (w *Pool) watch() {
	w.upkeep()
	l := w.look()
	now := int64(time.Since(w.start))
	for _, s := range l.sample {
		l.found[s.judge(now)]++
	}
	for _, s := range l.again {
		if s.judge(now) != waits {
			l.waiting--
			l.others++
		}
	}
	for _, h := range w.relieve(l) {
		h.seat.hand(h.job)
	}
}

// look is what one look at the busy workers with threads of their own has found.
type look struct {
	waiting int     // workers still with the job that they were found to wait in
	others  int     // workers of whom that is not known
	sample  []*seat // of the others, watchMost at most
	found   [3]int  // workers of the sample, by what judge has found them to do
	again   []*seat // of the first, watchAgain at most
}

// look counts the busy workers, and takes another sample each time.
func (w *Pool) look() (l look) {
	if w.nice == 0 {
		return l
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	start := w.turn
	for i := range w.crew {
		at := (start + i) % len(w.crew)
		s := w.crew[at]
		since := s.since.Load()
		switch {
		case since == 0 || s.thread.Load() == 0:
		case s.seen.since == since && s.seen.doing == waits:
			l.waiting++
			if len(l.again) < watchAgain {
				l.again, w.turn = append(l.again, s), at+1
			}
		default:
			l.others++
			if len(l.sample) < watchMost {
				l.sample, w.turn = append(l.sample, s), at+1
			}
		}
	}
	return l
}

// judge finds out what a busy worker does: it waits for something, has computed for long, or neither. A worker that merely waits
// for a processor is not stuck, however long that takes: one more would wait for the same. (A worker that waits for one of
// Go's processors looks like any that waits; that is rarely for long.) Where the kernel tells nothing of threads, the age of
// the job decides.
func (s *seat) judge(now int64) doing {
	since, thread := s.since.Load(), int(s.thread.Load())
	if since == 0 {
		return waits // it has ended its job meanwhile
	}
	if s.seen.since != since {
		s.seen = sighting{since: since, used: threadTime(thread)}
	}
	s.seen.doing = brisk
	switch asleep, known := asleep(thread, s.status); {
	case asleep, !known && now-since > int64(watchEvery):
		s.seen.doing = waits
	case known:
		s.compute(since, threadTime(thread)-s.seen.used)
	}
	return s.seen.doing
}

// compute notes the processor time that the job of a worker has taken.
func (s *seat) compute(since int64, used time.Duration) {
	if used < watchEvery {
		return
	}
	s.seen.doing = computes
	if used >= endless {
		s.seen.doing = waits
	}
	s.heavy.Store(since)
}

// relieve reckons from a look how many workers are stuck, sets the alarm again, and takes jobs from the line for workers that
// are called in place of the stuck ones: its caller hands them over, without the lock. For every four that are stuck it calls
// one more than are missing, as long as not too many compute.
func (w *Pool) relieve(l look) (calls []handing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awake, w.long, w.waiting, w.excess = false, 0, 0, 0
	busy := len(w.crew) - len(w.seats)
	if busy == 0 && w.line.len() == 0 {
		return nil
	}
	w.watchLocked()
	switch n := len(l.sample); {
	case w.nice == 0:
		w.long = w.oldLocked()
	case n > 0:
		w.waiting = min(busy, l.waiting+l.others*l.found[waits]/n)
		w.long = min(busy, l.waiting+l.others*(l.found[waits]+l.found[computes])/n)
		w.excess = max(0, busy-w.long-w.floor)
	default:
		w.waiting = min(busy, l.waiting)
		w.long = w.waiting
	}
	missing := w.floor - (busy - w.long)
	if missing > 0 {
		missing += w.long / 4
	}
	for ; missing > 0 && w.mayComputeLocked(len(w.crew)-len(w.seats)); missing-- {
		if len(w.seats) == 0 && len(w.crew) >= w.max {
			break
		}
		job, ok := w.popLocked()
		if !ok {
			break
		}
		if s, _ := w.callLocked(job); s != nil {
			calls = append(calls, handing{s, job})
		}
	}
	return calls
}

// oldLocked is how many workers have been at their job for long. Plain goroutines share threads: the age of its job is all
// that is known of one; but they do not push each other off the threads either.
func (w *Pool) oldLocked() (n int) {
	now := int64(time.Since(w.start))
	for _, s := range w.crew {
		if since := s.since.Load(); since != 0 && now-since > int64(watchEvery) {
			n++
		}
	}
	return n
}
