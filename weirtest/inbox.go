package weirtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// inbox keeps the events of a client until the test takes them. It is safe for concurrent use.
type inbox struct {
	mu      sync.Mutex
	waiting map[string][][]json.RawMessage // by event, in order
	seen    map[string]int                 // by event, taken ones too
	changed chan struct{}                  // closed by the next add
}

func newInbox() *inbox {
	return &inbox{waiting: make(map[string][][]json.RawMessage), seen: make(map[string]int), changed: make(chan struct{})}
}

func (in *inbox) add(event string, args []json.RawMessage) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.waiting[event] = append(in.waiting[event], args)
	in.seen[event]++
	close(in.changed)
	in.changed = make(chan struct{})
}

// take returns the oldest of an event that nobody has taken. Without one, changed is closed when there may be.
func (in *inbox) take(event string) (args []json.RawMessage, ok bool, changed <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	queue := in.waiting[event]
	if len(queue) == 0 {
		return nil, false, in.changed
	}
	in.waiting[event] = queue[1:]
	return queue[0], true, nil
}

func (in *inbox) received(event string) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.seen[event]
}

// String says what has come: each event, how often, and the last of those that nobody has taken.
func (in *inbox) String() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.seen) == 0 {
		return "nothing came"
	}
	var all []string
	for _, event := range slices.Sorted(maps.Keys(in.seen)) {
		text := fmt.Sprintf("%q %d times", event, in.seen[event])
		if queue := in.waiting[event]; len(queue) > 0 {
			text += fmt.Sprintf(", %d of them not taken, the last %.200s", len(queue), queue[len(queue)-1])
		}
		all = append(all, text)
	}
	return "there came " + strings.Join(all, "; ")
}
