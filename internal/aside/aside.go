// Package aside does small pieces of work on a goroutine of its own for callers that must not wait: a loop has a line to
// log, or an application to tell of something. Work that cannot be done soon enough is dropped and counted.
package aside

import (
	"sync"
	"time"
)

// Limits bound what waits in a Queue, the item being dealt with included.
type Limits struct {
	Items int
	Bytes int // as Put is told them
}

// Queue deals with items one after another, in the order of Put. Its goroutine exists only while there is something to
// do, so a Queue need not be closed. All methods may be called concurrently.
type Queue[T any] struct {
	limits Limits
	do     func(T)

	mu      sync.Mutex
	waiting []queued[T]
	first   int // of waiting that is left
	bytes   int
	busy    bool          // run is on its way
	idle    chan struct{} // closed when run ends; nil: nobody waits for that
}

type queued[T any] struct {
	item  T
	bytes int
}

// New returns an empty queue. do is called for one item at a time, on a goroutine of the queue; it may block, and it may
// call Put. It should not panic; if it ends its goroutine (runtime.Goexit), the next item has another.
func New[T any](limits Limits, do func(T)) *Queue[T] { return &Queue[T]{limits: limits, do: do} }

// Put appends an item and never waits. It reports false, and nothing is kept, if the queue is full; an item larger than
// all of Bytes has room when nothing else waits.
func (q *Queue[T]) Put(item T, bytes int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.waiting) - q.first
	if n >= q.limits.Items || n > 0 && q.bytes+bytes > q.limits.Bytes {
		return false
	}
	q.waiting = append(q.waiting, queued[T]{item, bytes})
	q.bytes += bytes
	if !q.busy {
		q.busy = true
		go q.run()
	}
	return true
}

// run does the items that wait, and ends when none does; Flush waits for that.
func (q *Queue[T]) run() {
	defer q.retire()
	for {
		e, ok := q.next()
		if !ok {
			return
		}
		q.work(e)
	}
}

func (q *Queue[T]) next() (e queued[T], ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.waiting) {
		return e, false
	}
	return q.waiting[q.first], true
}

// work does an item, which counts until then: also where do panics or ends the goroutine.
func (q *Queue[T]) work(e queued[T]) {
	defer q.done(e)
	q.do(e.item)
}

func (q *Queue[T]) done(e queued[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting[q.first] = queued[T]{}
	q.first++
	q.bytes -= e.bytes
	switch {
	case q.first == len(q.waiting):
		q.waiting, q.first = q.waiting[:0], 0
	case q.first > len(q.waiting)/2: // move up, so that a queue that is never empty does not grow for ever
		n := copy(q.waiting, q.waiting[q.first:])
		clear(q.waiting[n:])
		q.waiting, q.first = q.waiting[:n], 0
	}
}

// retire lets the goroutine go, and calls another if there is work: what was put meanwhile, or what is left when do has ended
// the goroutine.
func (q *Queue[T]) retire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first < len(q.waiting) {
		go q.run()
		return
	}
	q.busy, q.waiting = false, nil
	if q.idle != nil {
		close(q.idle)
		q.idle = nil
	}
}

// Flush waits until nothing waits and nothing is being done, at most as long as given. It reports how many items are left
// then.
func (q *Queue[T]) Flush(most time.Duration) (left int) {
	if idle := q.whenIdle(); idle != nil {
		t := time.NewTimer(most)
		defer t.Stop()
		select {
		case <-idle:
		case <-t.C:
		}
	}
	return q.Waiting()
}

func (q *Queue[T]) whenIdle() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.busy {
		return nil
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	return q.idle
}

// Waiting is how many items are not done.
func (q *Queue[T]) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) - q.first
}
