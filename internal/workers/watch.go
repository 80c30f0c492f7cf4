package workers

import "time"

// A worker is busy with one job, which takes a moment, or keeps it for long: the worker is stuck then.
//
//	its thread sleeps (a lock, a disk, a peer)            stuck
//	its job has taken watchEvery of processor time        stuck
//	it computes, or waits for a processor                 free in a moment
//
// Of busy workers the pool wants Pool.floor that are not stuck. While anybody works, an alarm looks after that:
//
//	alarm ── watchEvery ──> look      counts those known to be stuck, takes a sample of the others
//	  ^                     judge     asks the kernel about each of the sample
//	  │                     relieve   reckons how many are stuck in all (long), and then
//	  │                                 too few are free:  calls workers to the queue
//	  └── anybody works ────            too many are free: excess, some step back after their job

// watchEvery is how often workers are looked at while any is busy, and how long a job may take to count as short.
const watchEvery = time.Millisecond

// watchMost is how many threads one look asks the kernel about; of more workers it is a sample.
const watchMost = 8

// sighting is what the watch remembers of a worker and its job.
type sighting struct {
	since int64         // seat.since of the job
	used  time.Duration // processor time of the thread when the watch saw the job first
	stuck bool          // the worker was found to be stuck with the job
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

// watch looks for workers that are stuck and calls others to the queue in their place, a few more each time; of workers
// that are too many it tells some to step back. relieve sets the alarm again as long as anybody works, so there is one watch
// at a time.
func (w *Pool) watch() {
	w.upkeep()
	l := w.look()
	for _, s := range l.sample {
		if s.judge(int64(time.Since(w.start))) {
			l.found++
		}
	}
	for _, h := range w.relieve(l) {
		h.seat.hand(h.job)
	}
}

// look is what one look at the busy workers with threads of their own has found.
type look struct {
	stuck  int     // workers still with the job that they were found stuck with
	others int     // workers of whom that is not known
	sample []*seat // of the others, watchMost at most
	found  int     // workers of the sample that judge has found stuck
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
		case s.seen.since == since && s.seen.stuck:
			l.stuck++
		default:
			l.others++
			if len(l.sample) < watchMost {
				l.sample, w.turn = append(l.sample, s), at+1
			}
		}
	}
	return l
}

// judge reports whether a busy worker is stuck: it waits for something, or has computed for long. A worker that merely waits
// for a processor is not stuck, however long that takes: one more would wait for the same. (A worker that waits for one of
// Go's processors looks like any that waits; that is rarely for long.) Where the kernel tells nothing of threads, the age of
// the job decides.
func (s *seat) judge(now int64) bool {
	since, thread := s.since.Load(), int(s.thread.Load())
	if since == 0 {
		return true // it has ended its job meanwhile
	}
	if s.seen.since != since {
		s.seen = sighting{since: since, used: threadTime(thread)}
	}
	switch waiting, known := waits(thread, s.status); {
	case !known:
		s.seen.stuck = now-since > int64(watchEvery)
	case waiting:
		s.seen.stuck = true
	default:
		s.seen.stuck = threadTime(thread)-s.seen.used >= watchEvery
	}
	return s.seen.stuck
}

// relieve reckons from a look how many workers are stuck, sets the alarm again, and takes jobs from the queue for workers that
// are called in place of the stuck ones: its caller hands them over, without the lock. For every four that are stuck it calls
// one more than are missing.
func (w *Pool) relieve(l look) (calls []handing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awake, w.long, w.excess = false, 0, 0
	busy := len(w.crew) - len(w.seats)
	if busy == 0 && w.queue.len() == 0 {
		return nil
	}
	w.watchLocked()
	switch {
	case w.nice == 0:
		w.long = w.oldLocked()
	case len(l.sample) > 0:
		w.long = min(busy, l.stuck+l.others*l.found/len(l.sample))
		w.excess = max(0, busy-w.long-w.floor)
	default:
		w.long = min(busy, l.stuck)
	}
	missing := w.floor - (busy - w.long)
	if missing > 0 {
		missing += w.long / 4
	}
	for ; missing > 0 && w.queue.len() > 0; missing-- {
		if len(w.seats) == 0 && len(w.crew) >= w.max {
			break
		}
		job, _ := w.queue.pop()
		if s, _ := w.callLocked(job); s != nil {
			calls = append(calls, handing{s, job})
		}
	}
	w.queued.Store(int64(w.queue.len()))
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
