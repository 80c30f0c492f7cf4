package guard

import "sync"

// crowd counts those who are here by what they have in common, an address or a principal. It forgets nobody who is here, so
// that its limit is exact; it has as many keys as there are connections, at the most.
type crowd[K comparable] struct {
	most int // of one key; 0: any number, and nothing is counted
	hold Hold

	mu   sync.Mutex
	here map[K]int
}

func (c *crowd[K]) init(most int, hold Hold) {
	c.most, c.hold = most, hold
	c.here = make(map[K]int)
}

// full reports whether there are as many of a key as there may be.
func (c *crowd[K]) full(key K) bool {
	if c.most == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here[key] >= c.most
}

// enter counts one of a key, and reports whether it is not one too many. leave ends it either way.
func (c *crowd[K]) enter(key K) bool {
	if c.most == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.here[key] + 1
	if n == 1 {
		c.count(key, 1)
	}
	c.here[key] = n
	return n <= c.most
}

func (c *crowd[K]) leave(key K) {
	if c.most == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.here[key] - 1; n > 0 {
		c.here[key] = n
		return
	}
	c.count(key, -1)
	delete(c.here, key)
	if len(c.here) == 0 {
		c.here = make(map[K]int) // an emptied map keeps its memory
	}
}

func (c *crowd[K]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.here)
}

// count tells the budget of a key that has come, or with -1 goes.
func (c *crowd[K]) count(key K, sign int) {
	if c.hold == nil {
		return
	}
	n := placeBytes(key)
	if text, ok := any(key).(string); ok {
		n += len(text)
	}
	c.hold(sign * n)
}
