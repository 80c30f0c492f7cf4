package cluster

import "sync"

// What waits for one listener in a Queue, at most.
const (
	queueBytes = 64 << 20
	queueCalls = queueBytes / callBytes // of which some hold nothing

	callBytes = 192 // what a call holds beside its data
	partBytes = 48  // what a message holds beside its data that is in a call with others
)

// Queue calls a Listener one call at a time, on a goroutine of its own, so that a broker's reader never waits for it.
// It holds at most 64 MiB, of which each call takes 192 bytes beside its data, and what the listener allows if that is a Holder:
// what is beyond that is lost with all that waits, Lapsed takes its place, and a Loser is told how much it was.
// It is for brokers; all methods may be called by any goroutine.
type Queue struct {
	to      Listener
	holder  Holder
	loser   Loser         // or nil
	more    chan struct{} // has room for one
	running sync.WaitGroup

	mu     sync.Mutex
	calls  []call
	bytes  int
	closed bool
}

// call is one call of a listener, or several of the same channel: what it is says the field that has something.
type call struct {
	name    string
	data    []byte   // of a channel, where there is nothing else
	list    [][]byte // of a channel, several
	entries []Entry
	state   *State
	lapsed  bool
}

// size is what the call holds. States and lapses are not lost for want of room.
func (c *call) size() (n int) {
	if c.state != nil || c.lapsed {
		return 0
	}
	n = callBytes + len(c.name) + len(c.data)
	for _, data := range c.list {
		n += partBytes + len(data)
	}
	for i := range c.entries {
		n += len(c.entries[i].Data)
	}
	return n
}

// messages is how many messages are lost with the call; what is in a log is not.
func (c *call) messages() int {
	switch {
	case c.state != nil || c.lapsed || c.entries != nil:
		return 0
	case c.list != nil:
		return len(c.list)
	}
	return 1
}

// NewQueue returns a queue, which ends with Close.
func NewQueue(l Listener) *Queue {
	q := &Queue{to: l, holder: HolderOf(l), more: make(chan struct{}, 1)}
	q.loser, _ = l.(Loser)
	q.running.Go(q.run)
	return q
}

// Message passes on Listener.Message.
func (q *Queue) Message(channel string, data []byte) { q.put(call{name: channel, data: data}) }

// Messages passes on Listener.Message for each of a list that came together: all of them, or none. The list is not to be changed
// any more.
func (q *Queue) Messages(channel string, list [][]byte) {
	if len(list) > 0 {
		q.put(call{name: channel, list: list})
	}
}

// Entries passes on Listener.Entries; there is at least one.
func (q *Queue) Entries(log string, entries []Entry) { q.put(call{name: log, entries: entries}) }

// Lapsed passes on Listener.Lapsed.
func (q *Queue) Lapsed() { q.put(call{lapsed: true}) }

// Changed passes on Listener.Changed.
func (q *Queue) Changed(s State) { q.put(call{state: &s}) }

// put appends a call; where it does not fit what waits is lost.
func (q *Queue) put(c call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	defer q.signal()
	n := c.size()
	full := len(q.calls) >= queueCalls || (q.bytes+n > queueBytes && len(q.calls) > 0)
	if !full && q.holder.Claim(n) {
		q.appendLocked(c, n)
		return
	}
	lost := q.clearLocked()
	q.appendLocked(call{lapsed: true}, 0)
	if q.holder.Claim(n) {
		q.appendLocked(c, n)
	} else {
		lost += c.messages()
	}
	if q.loser != nil && lost > 0 {
		q.loser.Lost(lost)
	}
}

func (q *Queue) appendLocked(c call, n int) {
	q.calls = append(q.calls, c)
	q.bytes += n
}

// Clear loses the messages and entries that wait.
func (q *Queue) Clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.clearLocked()
}

// clearLocked leaves the last state, and one Lapsed if any waits; lost is how many messages went.
func (q *Queue) clearLocked() (lost int) {
	var state *State
	lapsed := false
	for _, c := range q.calls {
		if c.state != nil {
			state = c.state
		}
		lapsed = lapsed || c.lapsed
		lost += c.messages()
	}
	q.holder.Hold(-q.bytes)
	q.calls, q.bytes = nil, 0
	if state != nil {
		q.calls = append(q.calls, call{state: state})
	}
	if lapsed {
		q.calls = append(q.calls, call{lapsed: true})
	}
	return lost
}

// Close waits for the call that is under way; what waits is not called any more. It may be called twice, and not by the listener.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
	q.running.Wait()
	q.Clear()
}

func (q *Queue) signal() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// next is the call that has waited longest, or nil; false: the queue is closed.
func (q *Queue) next() (*call, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.calls) == 0 {
		return nil, !q.closed
	}
	c := q.calls[0]
	q.calls[0] = call{}
	if q.calls = q.calls[1:]; len(q.calls) == 0 {
		q.calls = nil
	}
	q.bytes -= c.size()
	return &c, true
}

// run calls the listener until Close.
func (q *Queue) run() {
	for range q.more {
		for {
			c, open := q.next()
			if !open {
				return
			}
			if c == nil {
				break
			}
			c.tell(q.to)
			q.holder.Hold(-c.size())
		}
	}
}

// tell calls a listener.
func (c *call) tell(l Listener) {
	switch {
	case c.state != nil:
		l.Changed(*c.state)
	case c.lapsed:
		l.Lapsed()
	case c.entries != nil:
		l.Entries(c.name, c.entries)
	case c.list != nil:
		for _, data := range c.list {
			l.Message(c.name, data)
		}
	default:
		l.Message(c.name, c.data)
	}
}
