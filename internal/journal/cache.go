package journal

import (
	"container/list"
	"io"
	"sync"

	"github.com/streamweir/weir/internal/topiclog"
)

var errEOF = io.EOF

// cache is the blocks that were read last, decoded: readers at about the same place share one read and one copy.
type cache struct {
	j     *Journal
	limit int

	mu     sync.Mutex
	bytes  int // of Record.Size
	blocks map[blockKey]*cached
	order  list.List // of *cached, the one used last in front; those that are being read are not in it
}

type blockKey struct {
	segment *segment
	from    int64
}

// cached is a block; entries and err are known when ready is closed.
type cached struct {
	key     blockKey
	log     *Log
	to      int64
	ready   chan struct{}
	entries []topiclog.Placement
	err     error
	bytes   int
	place   *list.Element
}

func (c *cache) init(j *Journal) {
	c.j, c.limit = j, j.options.CacheBytes
	c.blocks = map[blockKey]*cached{}
	c.order.Init()
}

// peek returns the records of a block if it was read lately.
func (c *cache) peek(s *segment, b *block) (entries []topiclog.Placement, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.blocks[blockKey{s, b.from}]
	if x == nil || x.place == nil || x.to < b.to {
		return nil, false
	}
	c.order.MoveToFront(x.place)
	return x.entries, true
}

// get returns the records of a block, from memory if it was read lately, and after whoever is reading it if somebody is.
func (c *cache) get(l *Log, s *segment, b *block) ([]topiclog.Placement, error) {
	key := blockKey{s, b.from}
	c.mu.Lock()
	if x := c.blocks[key]; x != nil && x.to >= b.to {
		if x.place != nil {
			c.order.MoveToFront(x.place)
		}
		c.mu.Unlock()
		<-x.ready
		return x.entries, x.err
	}
	x := &cached{key: key, log: l, to: b.to, ready: make(chan struct{})}
	less := -c.bytes
	c.forgetLocked(c.blocks[key])
	less += c.bytes
	c.blocks[key] = x
	c.mu.Unlock()
	c.j.holds(blocks, less)
	x.entries, x.err = l.load(s, b)
	for i := range x.entries {
		x.bytes += x.entries[i].Size()
	}
	close(x.ready)
	c.j.holds(blocks, c.keep(x))
	return x.entries, x.err
}

// keep puts a block in front, and returns by how much the cache has grown.
func (c *cache) keep(x *cached) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks[x.key] != x {
		return 0 // a longer one has taken its place
	}
	was := c.bytes
	x.place = c.order.PushFront(x)
	c.bytes += x.bytes
	if x.err != nil {
		c.forgetLocked(x)
	}
	limit := c.limit
	if c.j.frugal() {
		limit = 0
	}
	for c.bytes > limit {
		c.forgetLocked(c.order.Back().Value.(*cached)) //nolint:forcetypeassert // only those are in it
	}
	return c.bytes - was
}

func (c *cache) forgetLocked(x *cached) {
	if x == nil {
		return
	}
	if c.blocks[x.key] == x {
		delete(c.blocks, x.key)
	}
	if x.place != nil {
		c.order.Remove(x.place)
		c.bytes -= x.bytes
		x.place = nil
	}
}

// drop forgets the blocks of a log; nil: of all.
func (c *cache) drop(l *Log) {
	c.mu.Lock()
	less := -c.bytes
	for _, x := range c.blocks {
		if x.place != nil && (l == nil || x.log == l) {
			c.forgetLocked(x)
		}
	}
	less += c.bytes
	c.mu.Unlock()
	c.j.holds(blocks, less)
}
