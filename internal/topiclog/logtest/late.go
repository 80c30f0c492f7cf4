package logtest

import (
	"runtime"
	"sync"

	"github.com/streamweir/weir/internal/topiclog"
)

// Late makes a late keeper of one that places at once: positions come in another goroutine, deliveries too, and answers
// to reads. It stands in for a broker.
func Late(inner topiclog.Log, deliver topiclog.Deliver) topiclog.Log {
	l := &late{Log: inner, deliver: deliver, more: make(chan struct{}, 1)}
	l.running.Go(l.run)
	return l
}

type late struct {
	topiclog.Log
	deliver topiclog.Deliver
	more    chan struct{}
	running sync.WaitGroup // run, and reads

	mu      sync.Mutex
	waiting []waiting
	closed  bool
}

type waiting struct {
	record *topiclog.Record
	later  *topiclog.Later
}

// Append implements topiclog.Log.
func (l *late) Append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return topiclog.Position{}, nil, topiclog.ErrClosed
	}
	w := waiting{r, topiclog.NewLater()}
	l.waiting = append(l.waiting, w)
	l.signal()
	return topiclog.Position{}, w.later, nil
}

// Read implements topiclog.Log.
func (l *late) Read(q topiclog.Query, done func(topiclog.Batch)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.Log.Read(q, done) // says that it is closed, or is about to
		return
	}
	l.running.Go(read{l.Log, q, done}.run)
}

// read is one read under way.
type read struct {
	log  topiclog.Log
	q    topiclog.Query
	done func(topiclog.Batch)
}

// run ends with the answer.
func (r read) run() {
	runtime.Gosched()
	r.log.Read(r.q, r.done)
}

// Close implements topiclog.Log.
func (l *late) Close() {
	l.mu.Lock()
	l.closed = true
	l.signal()
	l.mu.Unlock()
	l.running.Wait()
	l.Log.Close()
}

func (l *late) signal() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// run places what waits. Close ends it.
func (l *late) run() {
	for range l.more {
		l.mu.Lock()
		batch, closed := l.waiting, l.closed
		l.waiting = nil
		l.mu.Unlock()
		for _, w := range batch {
			runtime.Gosched()
			if closed {
				w.later.Fail(topiclog.ErrClosed)
				continue
			}
			at, _, err := l.Log.Append(w.record)
			if err != nil {
				w.later.Fail(err)
				continue
			}
			l.deliver(topiclog.Placement{Record: w.record, Position: at})
			w.later.Place(at)
		}
		if closed {
			return
		}
	}
}
