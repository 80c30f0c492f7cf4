package delivery

import (
	"math"
	"sync"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/topiclog"

	"github.com/streamweir/weir/internal/base"
)

// readBack are the messages made of records that were read back lately, so that of all lanes at about the same place the first
// one pays for a message and its frames. It holds something only while some lane is behind,
// and memory is not short.
type readBack struct {
	hub *Hub

	mu       sync.Mutex
	readers  int
	messages map[readPlace]*base.Message
	order    []readCost
	bytes    int
}

type readPlace struct {
	topic  *Topic
	offset uint64
}

type readCost struct {
	at    readPlace
	bytes int
}

// What is kept for lanes to come: so many messages, and bytes. Then the older half goes.
const (
	maxReadBack      = 4096
	maxReadBackBytes = 4 << 20
)

// keep counts lanes that are behind. When there is none nothing is kept.
func (b *readBack) keep(lanes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers += lanes; b.readers == 0 {
		b.dropLocked(len(b.order))
		b.messages, b.order = nil, nil
	}
}

// shed lets go of all that is kept.
func (b *readBack) shed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) > 0 {
		b.dropLocked(len(b.order))
	}
}

// message is what is delivered of a record of the topic; made says that it was made for this call. What is for one client, or
// one principal, is not kept for others. Any goroutine but a loop may call it.
func (b *readBack) message(t *Topic, e topiclog.Placement) (m *base.Message, made bool) {
	if e.To.Socket != "" || e.To.Principal != "" {
		return messageOf(t, e), true
	}
	at := readPlace{t, e.Offset}
	if m := b.find(at); m != nil {
		return m, false
	}
	m = messageOf(t, e)
	b.mu.Lock()
	defer b.mu.Unlock()
	if first := b.messages[at]; first != nil {
		return first, false
	}
	if b.readers == 0 || b.hub.tight() {
		return m, true
	}
	if len(b.order) >= maxReadBack || b.bytes >= maxReadBackBytes {
		b.dropLocked(max(len(b.order)/2, 1))
	}
	if b.messages == nil {
		b.messages = make(map[readPlace]*base.Message)
	}
	x := readCost{at, int(messageBytes(m))}
	b.messages[at] = m
	b.order = append(b.order, x)
	b.bytes += x.bytes
	b.hub.Hold(budget.Frames, x.bytes)
	return m, true
}

func (b *readBack) find(at readPlace) *base.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages[at]
}

// dropLocked lets the oldest n go.
func (b *readBack) dropLocked(n int) {
	freed := 0
	for _, x := range b.order[:n] {
		delete(b.messages, x.at)
		freed += x.bytes
	}
	b.order = append(b.order[:0:0], b.order[n:]...)
	b.bytes -= freed
	b.hub.Hold(budget.Frames, -freed)
}

// messageOf makes what is delivered of a record, with its frame in the form that most subscribers want.
func messageOf(t *Topic, e topiclog.Placement) *base.Message {
	x := publicationOf(t, e.Record)
	x.pub.Place(&x.msg, e.Epoch, e.Offset)
	x.pub.Adopt(x.msg.Frame(t.Declared.form(t.Declared.Spec.Shape)))
	return &x.msg
}

// messageBehind is messageOf for one lane, of which so many messages before it are gone. It is called on a loop, so
// nothing is made before it is needed.
func messageBehind(t *Topic, e topiclog.Placement, gap uint64) *base.Message {
	x := publicationOf(t, e.Record)
	x.pub.Gap = uint32(min(gap, math.MaxUint32)) //nolint:gosec // it fits
	x.pub.Place(&x.msg, e.Epoch, e.Offset)
	return &x.msg
}

// publicationOf is the publication that a record is of.
func publicationOf(t *Topic, r *topiclog.Record) *publication {
	d := t.Declared
	h := d.Namespace.hub
	x := &publication{pub: packet.Publication{Payload: r.Payload, Binary: r.Binary, Reliable: d.Reliable()}}
	m := &x.msg
	m.Init(&x.pub)
	m.Namespace, m.Topic, m.ID, m.Key, m.AckID = d.Namespace.Path, t.Name, r.ID, r.Key, d.Namespace.NextAckID()
	if m.At = h.moment(r.At); r.Expires != 0 {
		m.Expires = h.moment(r.Expires)
	}
	return x
}
