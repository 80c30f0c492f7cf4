package hook

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// cacheBytes is what an answer that is remembered takes beyond its own bytes.
const cacheBytes = 512

// cacheKey stands for a question: who shows which token where.
type cacheKey [sha256.Size]byte

// cache remembers answers for a while: so many, of so many bytes together; those not asked for longest give way. Any goroutine may
// use it.
type cache struct {
	entries, bytes int // at most
	hold           func(int)

	mu    sync.Mutex
	held  int
	byKey map[cacheKey]*list.Element
	order *list.List // of *cached, those asked for last in front
}

type cached struct {
	key    cacheKey
	answer Answer
	bytes  int
	until  time.Time
}

func newCache(entries, bytes int, hold func(int)) *cache {
	return &cache{entries: entries, bytes: bytes, hold: hold, byKey: make(map[cacheKey]*list.Element), order: list.New()}
}

// find returns an answer that is still good.
func (c *cache) find(key cacheKey, now time.Time) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return Answer{}, false
	}
	found := e.Value.(*cached) // nothing else is in the list
	if !now.Before(found.until) {
		c.dropLocked(e)
		return Answer{}, false
	}
	c.order.MoveToFront(e)
	return found.answer, true
}

// keep remembers an answer that takes so many bytes.
func (c *cache) keep(key cacheKey, a Answer, bytes int, until time.Time) {
	bytes += cacheBytes
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		c.dropLocked(e)
	}
	if bytes > c.bytes {
		return
	}
	for c.order.Len() >= c.entries || c.held+bytes > c.bytes {
		c.dropLocked(c.order.Back())
	}
	c.byKey[key] = c.order.PushFront(&cached{key, a, bytes, until})
	c.held += bytes
	c.hold(bytes)
}

func (c *cache) dropLocked(e *list.Element) {
	old := c.order.Remove(e).(*cached) // nothing else is in the list
	delete(c.byKey, old.key)
	c.held -= old.bytes
	c.hold(-old.bytes)
}

// clear forgets all.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Back(); e != nil; e = c.order.Back() {
		c.dropLocked(e)
	}
}
