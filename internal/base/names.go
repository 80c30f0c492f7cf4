package base

import (
	"maps"
	"strings"
	"sync/atomic"
)

// Names is a map that is added to seldom and read by any goroutine at any time without
// a lock. Who adds sees to it that nobody else does. The zero value is empty.
type Names[V any] struct{ all atomic.Pointer[map[string]V] }

// Add names a value.
func (n *Names[V]) Add(name string, v V) {
	all := maps.Clone(n.All())
	if all == nil {
		all = make(map[string]V)
	}
	all[name] = v
	n.all.Store(&all)
}

// Find returns the value of that name, the zero value if there is none.
func (n *Names[V]) Find(name string) V { return n.All()[name] }

// All is every value by name. The caller must not change it.
func (n *Names[V]) All() map[string]V {
	if all := n.all.Load(); all != nil {
		return *all
	}
	return nil
}

// TopicNamed reports whether a topic is the one asked for: by its name, by a pattern, or by "" as any.
func TopicNamed(want, topic string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(topic, prefix)
	}
	return want == "" || want == topic
}
