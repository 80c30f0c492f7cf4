package guard

import "time"

// watchEvery is how often workers are looked at while any is busy, and how long a job may take to count as short.
const watchEvery = time.Millisecond

// watchMost is how many threads one look asks the kernel about; of more workers it is a sample.
const watchMost = 8

// sighting is what the watch remembers of a worker: the job it saw it with first, by its since, and the processor time of
// its thread then.
type sighting struct {
	since int64
	used  time.Duration
}

// handing is a job for an idle worker.
type handing struct {
	seat *seat
	job  Job
}

// watchLocked sets the watch, unless it is set.
func (w *Workers) watchLocked() {
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

// watch looks for workers that are held up by their jobs and calls others to the queue in their place, a few more each
// time; of workers that are too many some are told to step back. It is set again as long as anybody works. There is one at
// a time.
func (w *Workers) watch() {
	w.rest()
	var held int
	sample := w.sample()
	for _, s := range sample {
		if heldUp(s) {
			held++
		}
	}
	for _, h := range w.relieve(held, len(sample)) {
		h.seat.hand(h.job)
	}
}

// sample returns some of the busy workers with threads of their own, others each time if they are more than watchMost.
func (w *Workers) sample() (sample []*seat) {
	if w.nice == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.crew)
	for i := 0; i < n && len(sample) < watchMost; i++ {
		w.turn++
		if s := w.crew[w.turn%n]; s.since.Load() != 0 && s.thread.Load() != 0 {
			sample = append(sample, s)
		}
	}
	return sample
}

// heldUp reports whether a busy worker waits for something, or has computed for long. A worker that merely waits for a
// processor is not held up, however long that takes: one more would wait for the same.
func heldUp(s *seat) bool {
	since, thread := s.since.Load(), int(s.thread.Load())
	if since == 0 || waits(thread) {
		return true
	}
	used := threadTime(thread)
	if s.seen.since != since {
		s.seen = sighting{since, used}
		return false
	}
	return used-s.seen.used >= watchEvery
}

// relieve draws the consequences: of a sample of busy workers that many were held up.
func (w *Workers) relieve(held, sampled int) (calls []handing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awake, w.long, w.excess = false, 0, 0
	busy := len(w.crew) - len(w.seats)
	if busy == 0 {
		return nil // then the queue is empty: excess leaves floor workers to it
	}
	w.watchLocked()
	switch {
	case w.nice == 0:
		w.long = w.oldLocked()
	case sampled > 0:
		w.long = busy * held / sampled
		w.excess = max(0, busy-w.long-w.floor)
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

// oldLocked is how many workers have been at their job for long. Of plain goroutines, which share threads, nothing else is
// known; but they do not push each other off them either.
func (w *Workers) oldLocked() (n int) {
	now := int64(time.Since(w.start))
	for _, s := range w.crew {
		if since := s.since.Load(); since != 0 && now-since > int64(watchEvery) {
			n++
		}
	}
	return n
}
