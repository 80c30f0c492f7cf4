// Package reads has logs read for lanes that are behind: a bounded number at a time, in the order in which they were asked for
// (docs/adr/0024-spill.md).
package reads

import (
	"slices"
	"sync"

	"github.com/streamweir/weir/internal/topiclog"
)

// Pool is reads that wait and those under way. It has goroutines only while there are any.
type Pool struct {
	most    int
	running sync.WaitGroup

	mu     sync.Mutex
	queue  []Read
	at     int // of the next one
	busy   int
	closed bool
}

// Read is what somebody wants to have read.
type Read struct {
	Log   topiclog.Log
	Query topiclog.Query
	For   Reader

	Newest bool // the newest records are wanted, see topiclog.Newest
}

// Reader is who wants to have something read. It is called on a goroutine of the pool, and not once the pool is closed.
type Reader interface {
	// Wanted reports whether it still wants that, when its turn has come.
	Wanted() bool
	// Found gets what was read. It may keep the goroutine for a while.
	Found(topiclog.Batch)
}

// New returns a pool in which at most so many reads are under way.
func New(most int) *Pool { return &Pool{most: most} }

// Ask has something read. It never waits. Any goroutine may call it; after Close it does nothing.
func (p *Pool) Ask(r Read) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.queue = append(p.queue, r)
	if p.busy < p.most {
		p.busy++
		p.running.Go(p.run)
	}
}

// run ends when no read waits.
func (p *Pool) run() {
	for {
		r, ok := p.next()
		if !ok {
			return
		}
		if r.For.Wanted() {
			r.For.Found(r.run())
		}
	}
}

// run waits for the log.
func (r *Read) run() topiclog.Batch {
	if r.Newest {
		return topiclog.Newest(r.Log, r.Query)
	}
	found := make(chan topiclog.Batch, 1)
	r.Log.Read(r.Query, func(b topiclog.Batch) { found <- b })
	return <-found
}

func (p *Pool) next() (r Read, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.at == len(p.queue) {
		p.busy--
		return r, false
	}
	r, p.queue[p.at] = p.queue[p.at], Read{}
	if p.at++; p.at == len(p.queue) {
		p.queue, p.at = p.queue[:0], 0
		if cap(p.queue) > spare {
			p.queue = nil
		}
	} else if p.at >= spare && 2*p.at >= len(p.queue) {
		p.queue, p.at = slices.Delete(p.queue, 0, p.at), 0
	}
	return r, true
}

// spare is how many places of the queue are kept when it is empty.
const spare = 1024

// Waiting is how many reads wait or are under way.
func (p *Pool) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) - p.at + p.busy
}

// Close forgets what waits, and returns when nothing is under way. It may be called twice.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.queue, p.at = nil, 0
	p.mu.Unlock()
	p.running.Wait()
}
