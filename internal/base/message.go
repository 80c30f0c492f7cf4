package base

import "sync/atomic"

// Form is one way a message is put on the wire: the dialect of its metadata and
// whether this is a repeat. A message is encoded once for each form in use.
type Form uint8

// The forms combine: Envelope|Redelivered is an envelope marked as a repeat.
const (
	Plain       Form = 0               // js dialect: the payload, and for reliable topics the metadata as a second argument
	Envelope    Form = 1 << (iota - 1) // one argument {metadata, payload}
	Redelivered                        // metadata says redelivered: true
	Callback                           // carries a Socket.IO ack id: the client answers by callback

	forms = 8
)

// Encoder makes the frame of a message in one form. It is called at most a few
// times per form (two shards may race; one result is kept) and from any shard.
type Encoder interface {
	Encode(m *Message, f Form) *Frame
}

// SnapshotEncoder is an Encoder that can also mark a delivery as the value a topic
// had when its client subscribed.
type SnapshotEncoder interface {
	Encoder
	EncodeSnapshot(m *Message, f Form) *Frame
}

// snapshot is the encoder of a message's snapshot.
type snapshot struct{ SnapshotEncoder }

// Encode implements Encoder.
func (s *snapshot) Encode(m *Message, f Form) *Frame { return s.EncodeSnapshot(m, f) }

// Message is one publication or one plain event. All fields are set before it is
// handed on and never change after; shards share it.
type Message struct {
	Namespace string
	Topic     string // concrete topic name; "" for plain events
	ID        string // messageId; "" for plain events
	Key       string // coalescing key; "" = none
	At        int64  // when it was published, nanoseconds of the node's clock
	Expires   int64  // when it is too old to be written, same clock; 0 = never
	Offset    uint64 // position in its topic, from 1; set under the topic's sequencer
	AckID     uint64 // Socket.IO ack id of the Callback form

	encoder Encoder
	frames  [forms]atomic.Pointer[Frame]
}

// NewMessage returns a message whose frames encoder makes on demand.
func NewMessage(encoder Encoder) *Message { return &Message{encoder: encoder} }

// Snapshot returns m as it is sent to who subscribes later: its deliveries say so,
// and it counts as published at that moment, since nothing has waited before. m is a
// publication; one whose encoder knows no snapshots is returned as it is.
func (m *Message) Snapshot(at int64) *Message {
	e, ok := m.encoder.(SnapshotEncoder)
	if !ok {
		return m
	}
	return &Message{
		Namespace: m.Namespace, Topic: m.Topic, ID: m.ID, Key: m.Key, At: at, Expires: m.Expires, Offset: m.Offset,
		AckID: m.AckID, encoder: &snapshot{e},
	}
}

// IsSnapshot reports whether m is the result of Snapshot.
func (m *Message) IsSnapshot() bool {
	_, ok := m.encoder.(*snapshot)
	return ok
}

// NewPlainMessage returns a message that has one frame for every form: a plain
// event, an ack, a namespace packet.
func NewPlainMessage(f *Frame) *Message {
	m := &Message{}
	m.InitPlain(f)
	return m
}

// InitPlain makes m, which is zero, what NewPlainMessage returns.
func (m *Message) InitPlain(f *Frame) { m.frames[Plain].Store(f) }

// Frame returns the message in form f, encoding it on first use.
// Any goroutine may call it.
func (m *Message) Frame(f Form) *Frame {
	if m.encoder == nil {
		return m.frames[Plain].Load()
	}
	if fr := m.frames[f].Load(); fr != nil {
		return fr
	}
	fr := m.encoder.Encode(m, f)
	if !m.frames[f].CompareAndSwap(nil, fr) {
		return m.frames[f].Load()
	}
	return fr
}

// Bytes is what the message holds in memory in all forms made so far; the budget
// counts it once per shard that holds the message (architecture.md D9).
func (m *Message) Bytes() (n int) {
	for i := range m.frames {
		if f := m.frames[i].Load(); f != nil {
			n += f.Held()
		}
	}
	return n
}
