package delivery

import (
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
)

// Tapped is a publication as an observer sees it.
type Tapped struct {
	Message *base.Message
	Payload []byte
	Binary  bool

	bytes int64 // what the budget counts for it until the observer takes it
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
	held             atomic.Int64 // bytes of what is in C
}

// How far an observer may fall behind: so many messages, and of more than one so many
// bytes.
const (
	tapBuffer = 256
	tapBytes  = 4 << 20
)

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
	h.background.run(func() { h.runHearAll(namespace, topic) })
	return t
}

// Took says that the observer has taken x from C, before it takes the next.
func (t *Tap) Took(x Tapped) { t.hold(-x.bytes) }

func (t *Tap) hold(n int64) {
	t.held.Add(n)
	t.hub.budget.Hold(budget.Inboxes, n)
}

// Close ends the observation. It is called when nobody takes from C any more.
func (t *Tap) Close() {
	ts := &t.hub.taps
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if _, ok := ts.list[t]; !ok {
		return
	}
	delete(ts.list, t)
	ts.any.Store(len(ts.list) > 0)
	t.hold(-t.held.Load())
}

// offer gives a publication to an observer that is not too far behind.
func (t *Tap) offer(x Tapped) {
	n := int64(len(x.Payload)) + messageBytes(x.Message)
	x.bytes = n
	if before := t.held.Load(); before > 0 && before+n > tapBytes {
		t.Missed.Add(1)
		return
	}
	t.hold(n) // before it is there: it may be taken at once
	select {
	case t.C <- x:
	default:
		t.hold(-n)
		t.Missed.Add(1)
	}
}

// offer shows a publication to those who observe its topic. The payload is the caller's.
func (ts *taps) offer(m *base.Message, theirs []byte, binary bool) {
	if !ts.any.Load() {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var payload []byte // a copy: the publisher's own is not kept
	for t := range ts.list {
		if t.Namespace != m.Namespace || !base.TopicNamed(t.Topic, m.Topic) {
			continue
		}
		if payload == nil {
			payload = append([]byte{}, theirs...)
		}
		t.offer(Tapped{Message: m, Payload: payload, Binary: binary})
	}
}
