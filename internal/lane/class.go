package lane

import (
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
)

// The bytes that the budget counts for one queue place (architecture.md D9), and for one message on one
// shard besides the bytes of its frames: the structs, its id, what a frame has to spare.
const (
	EntryBytes   = 32
	MessageBytes = 512
)

// Class is what all lanes of one declared topic have in common on one shard: the
// policy, the items they hold, each counted once, and the totals of their books.
// Only the owning shard may touch it, but for Totals and Held.
type Class struct {
	Policy Policy
	Totals Totals

	queues         Pool[queue] // for the lanes that hold something
	oldest, newest *Item       // items in use, in the order they came
	free           *Item
	freeLen        int
	held           atomic.Int64 // bytes: each item once, and EntryBytes for each entry
	memory         int64        // bytes of queues, of windows, of what lanes remember of losses; MessageBytes for each item
	spare          int64        // bytes of the queues kept for reuse
}

// Held is how many bytes the class holds. Any goroutine may ask.
func (c *Class) Held() int64 { return c.held.Load() }

// Entries is how many of the bytes held are places in queues. Any goroutine may ask.
func (c *Class) Entries() int64 {
	return EntryBytes * (c.Totals.Queued.Load() + c.Totals.InFlight.Load())
}

// Slack is how many bytes the messages and the lanes' queues and windows take beyond
// what Held says.
func (c *Class) Slack() int64 { return max(c.memory-c.Entries(), 0) }

// Spare is how many bytes the queues take that are kept for reuse.
func (c *Class) Spare() int64 { return c.spare }

// Oldest returns the item held for longest, nil if there is none.
func (c *Class) Oldest() *Item { return c.oldest }

// Trim gives back the memory that lanes have not needed since it was last called;
// for quiet moments.
func (c *Class) Trim() { c.forget(c.queues.Trim()) }

// Drop gives back all memory that is kept for reuse; for moments when it is short.
func (c *Class) Drop() {
	c.forget(c.queues.Drop())
	c.free, c.freeLen = nil, 0
}

func (c *Class) forget(gone []*queue) {
	for _, q := range gone {
		c.spare -= q.memory()
	}
}

// Item is one message as one shard holds it. However many lanes refer to it, it
// is counted once.
type Item struct {
	Msg *base.Message

	class      *Class
	prev, next *Item
	refs       int32
	counted    int
}

// maxFree bounds the items a class keeps for reuse.
const maxFree = 256

// Hold begins the distribution of m: the item stays valid until Release.
func (c *Class) Hold(m *base.Message) *Item {
	it := c.free
	if it != nil {
		c.free, it.next = it.next, nil
		c.freeLen--
	} else {
		it = &Item{class: c}
	}
	it.Msg, it.refs = m, 1
	c.memory += MessageBytes
	if c.newest == nil {
		c.oldest = it
	} else {
		it.prev, c.newest.next = c.newest, it
	}
	c.newest = it
	return it
}

// Count counts the bytes of a message that is held for longer than one distribution, once it has its frames.
func (it *Item) Count() { it.recount() }

// Release ends what Hold began. If no lane took the item it is gone.
func (c *Class) Release(it *Item) {
	// Frames are made while lanes are offered the item, so its size is known now.
	it.recount()
	it.unref()
}

func (it *Item) recount() {
	n := it.Msg.Bytes()
	it.class.held.Add(int64(n - it.counted))
	it.counted = n
}

func (it *Item) ref() {
	it.refs++
	it.class.held.Add(EntryBytes)
}

// drop undoes one ref.
func (it *Item) drop() {
	it.class.held.Add(-EntryBytes)
	it.unref()
}

func (it *Item) unref() {
	if it.refs--; it.refs > 0 {
		return
	}
	c := it.class
	c.held.Add(-int64(it.counted))
	c.memory -= MessageBytes
	if it.prev == nil {
		c.oldest = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		c.newest = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.Msg, it.prev, it.next, it.counted = nil, nil, nil, 0
	if c.freeLen < maxFree {
		it.next, c.free = c.free, it
		c.freeLen++
	}
}
