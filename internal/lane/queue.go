package lane

import "unsafe"

// queue is what a lane holds outside of its window: the entries that wait, and
// the sums of those being written. A lane has one only while there are any; it
// comes from the pool of the lane's class and goes back there, so that an empty
// lane holds nothing, and one that alternates between empty and one message does
// not allocate.
//
//	slots  [ . . a b c d . . ]     a ring
//	             ^head    ^tail
//
// Pushing at the tail numbers entries upwards, modulo 2^32, and a position stays
// valid until its entry leaves.
//
// The methods that only look take a nil queue for an empty one.
type queue struct {
	slots []slot // the length is a power of two
	head  uint32 // position of the oldest entry
	tail  uint32 // position after the newest
	bytes int    // wire bytes of the entries

	out   int   // best effort: bytes taken and not yet written
	outN  int32 // entries, likewise
	peak  int32 // how many keys it has had at most: a map never shrinks
	outAt int64 // when the first of them was published

	soonest int64 // when an entry expires that may do so before one ahead of it; 0: none may. It may be too early

	keys  map[string]uint32 // position of the newest entry of each key; COALESCE only
	first [firstSlots]slot  // the memory of slots until more are needed
}

// slot is one queued entry.
type slot struct {
	item *Item
	size int
}

const (
	firstSlots = 2
	maxSlots   = 64 // of a queue in the pool, and keys: the default limit of a topic's lanes
)

// The memory of a queue, in bytes: the queue itself, each slot beyond the first ones, each key.
const (
	queueBytes = int(unsafe.Sizeof(queue{}))
	slotBytes  = int(unsafe.Sizeof(slot{}))
	keyBytes   = 48
)

// memory is what the queue takes, in bytes, apart from the items.
func (q *queue) memory() int64 {
	n := queueBytes + keyBytes*int(q.peak)
	if len(q.slots) > firstSlots {
		n += slotBytes * len(q.slots)
	}
	return int64(n)
}

func (q *queue) len() int {
	if q == nil {
		return 0
	}
	return int(q.tail - q.head)
}

// empty reports whether the lane can do without the queue.
func (q *queue) empty() bool { return q.head == q.tail && q.outN == 0 }

// weight is the wire size of the entries that wait.
func (q *queue) weight() int {
	if q == nil {
		return 0
	}
	return q.bytes
}

// writing is how many entries are being written, and their bytes.
func (q *queue) writing() (n, bytes int) {
	if q == nil {
		return 0, 0
	}
	return int(q.outN), q.out
}

func (q *queue) at(p uint32) *slot { return &q.slots[p&uint32(len(q.slots)-1)] }
func (q *queue) has(p uint32) bool { return p-q.head < q.tail-q.head }
func (q *queue) front() *slot      { return q.at(q.head) }

// push and pushFront need room for one more entry: see full.
func (q *queue) push(s slot) (position uint32) {
	if x := s.expires(); x != 0 && q.head != q.tail {
		q.note(q.at(q.tail-1).expires(), x)
	}
	q.bytes += s.size
	*q.at(q.tail) = s
	q.tail++
	return q.tail - 1
}

func (q *queue) pushFront(s slot) (position uint32) {
	if q.head != q.tail {
		q.note(s.expires(), q.front().expires())
	}
	q.bytes += s.size
	q.head--
	*q.at(q.head) = s
	return q.head
}

func (s *slot) expires() int64 { return s.item.Msg.Expires }

// note takes to its notes that an entry that expires at x stands behind one that expires at ahead, 0 being never.
func (q *queue) note(ahead, x int64) {
	if x != 0 && (ahead == 0 || ahead > x) && (q.soonest == 0 || q.soonest > x) {
		q.soonest = x
	}
}

// review makes the notes anew.
func (q *queue) review() {
	q.soonest = 0
	if q.head == q.tail {
		return
	}
	ahead := q.front().expires() // the last of those so far
	for p := q.head + 1; p != q.tail; p++ {
		x := q.at(p).expires()
		q.note(ahead, x)
		if ahead != 0 && (x == 0 || x > ahead) {
			ahead = x
		}
	}
}

// set puts an entry in the place of another one.
func (q *queue) set(position uint32, s slot) {
	if position != q.head {
		q.note(q.at(position-1).expires(), s.expires())
	}
	if position+1 != q.tail {
		q.note(s.expires(), q.at(position+1).expires())
	}
	old := q.at(position)
	q.bytes += s.size - old.size
	*old = s
}

// pop removes the oldest entry, and its key unless a newer entry bears it.
func (q *queue) pop() slot {
	p := q.at(q.head)
	s := *p
	*p = slot{}
	if key := s.item.Msg.Key; key != "" && q.keys != nil && q.keys[key] == q.head {
		delete(q.keys, key)
	}
	q.head++
	q.bytes -= s.size
	return s
}

// index remembers where the newest entry of a key is.
func (q *queue) index(key string, position uint32) {
	if q.keys == nil {
		q.keys = make(map[string]uint32)
	}
	if p, ok := q.keys[key]; !ok || !q.has(p) || position-q.head > p-q.head {
		q.keys[key] = position
		q.peak = max(q.peak, int32(len(q.keys)))
	}
}

// find returns the position of the newest entry of a key.
func (q *queue) find(key string) (position uint32, ok bool) {
	if q == nil || key == "" {
		return 0, false
	}
	position, ok = q.keys[key]
	return position, ok
}

// full reports whether there is no room for one more entry.
func (q *queue) full() bool { return q.len() == len(q.slots) }

// roomy reports whether a queue that was long has become short: it then gives up half
// of its slots, and still has twice as many as it needs.
func (q *queue) roomy() bool { return len(q.slots) > maxSlots && q.len() <= len(q.slots)/4 }

// resize moves the entries to so many slots.
func (q *queue) resize(n int) {
	slots := make([]slot, n)
	for p := q.head; p != q.tail; p++ {
		slots[p&uint32(n-1)] = *q.at(p)
	}
	clear(q.slots)
	q.slots = slots
}

// begin and end count an entry that is being written.
func (q *queue) begin(s slot) {
	q.out += s.size
	if q.outN++; q.outN == 1 {
		q.outAt = s.item.Msg.At
	}
}

func (q *queue) end(size int) {
	q.out -= size
	q.outN--
}

// newQueue returns an empty queue: one that was used before, or a new one.
func (c *Class) newQueue() *queue {
	q := c.queues.Take()
	if q == nil {
		q = new(queue)
		q.slots = q.first[:]
	} else {
		c.spare -= q.memory()
	}
	c.memory += q.memory()
	return q
}

// putQueue keeps an empty queue for the next lane that needs one, unless it has
// become large.
func (c *Class) putQueue(q *queue) {
	c.memory -= q.memory()
	if len(q.slots) > maxSlots || q.peak > maxSlots {
		q.slots, q.keys, q.peak = q.first[:], nil, 0
	}
	q.soonest = 0
	c.spare += q.memory()
	c.queues.Put(q)
}

// resize gives a queue of the class so many slots.
func (c *Class) resize(q *queue, n int) {
	before := q.memory()
	q.resize(n)
	c.memory += q.memory() - before
}
