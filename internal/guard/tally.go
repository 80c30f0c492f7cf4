package guard

import (
	"maps"
	"sync"
)

// Tally counts by name. The zero value is ready; any goroutine may call its methods.
type Tally struct {
	mu sync.Mutex
	by map[string]uint64
}

// Add counts one. Names come from a fixed set: what a client can invent would grow without bound.
func (t *Tally) Add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = make(map[string]uint64)
	}
	t.by[name]++
}

// Read returns the counts; nil if there are none.
func (t *Tally) Read() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.by)
}
