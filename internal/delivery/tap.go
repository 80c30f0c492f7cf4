package delivery

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
)

// Tapped is a publication as an observer sees it.
type Tapped struct {
	Message *base.Message
	Payload []byte
	Binary  bool
}

// taps are observers of what is published: the management API's tail. They never
// hold up a publisher: who does not keep up misses messages and is told how many.
type taps struct {
	any  atomic.Bool
	mu   sync.Mutex
	list map[*Tap]struct{}
}

// Tap is one observer of one topic, of all topics of a pattern, or with Topic "" of a whole namespace.
type Tap struct {
	Namespace, Topic string
	C                chan Tapped
	Missed           atomic.Uint64
	hub              *Hub
}

// tapBuffer is how far an observer may fall behind.
const tapBuffer = 256

// Tap begins to observe. The caller must Close it.
func (h *Hub) Tap(namespace, topic string) *Tap {
	t := &Tap{Namespace: namespace, Topic: topic, C: make(chan Tapped, tapBuffer), hub: h}
	h.taps.mu.Lock()
	defer h.taps.mu.Unlock()
	if h.taps.list == nil {
		h.taps.list = make(map[*Tap]struct{})
	}
	h.taps.list[t] = struct{}{}
	h.taps.any.Store(true)
	return t
}

// Close ends the observation.
func (t *Tap) Close() {
	ts := &t.hub.taps
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.list, t)
	ts.any.Store(len(ts.list) > 0)
}

// Named reports whether a topic is the one asked for: by its name, by a pattern, or by "" as any.
func Named(want, topic string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(topic, prefix)
	}
	return want == "" || want == topic
}

func (ts *taps) offer(m *base.Message, p *Publication) {
	if !ts.any.Load() {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var payload []byte // a copy: the publisher's own is not kept
	for t := range ts.list {
		if t.Namespace != m.Namespace || !Named(t.Topic, m.Topic) {
			continue
		}
		if payload == nil {
			payload = append([]byte{}, p.Payload...)
		}
		select {
		case t.C <- Tapped{Message: m, Payload: payload, Binary: p.Binary}:
		default:
			t.Missed.Add(1)
		}
	}
}
