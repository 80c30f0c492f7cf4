package base

import "sync/atomic"

// Form is one way a message is put on the wire: the shape of its metadata, whether the client answers by callback, whether
// this is a repeat, and the Dialect of the client. A message is encoded once for each form in use.
type Form uint8

// The forms combine: Envelope|Redelivered is an envelope marked as a repeat. In adds the dialect.
const (
	Plain       Form = 0               // js shape: the payload, and for reliable topics the metadata as a second argument
	Envelope    Form = 1 << (iota - 1) // one argument {metadata, payload}
	Callback                           // carries a Socket.IO ack id: the client answers by callback
	Redelivered                        // metadata says redelivered: true

	shapes = 2 * Redelivered // all that combine, in each dialect; Dialects of them are 256
	common = Redelivered     // the forms below it, first deliveries in the first dialect, have their place in a Message
)

// In is the form in dialect d.
func (f Form) In(d Dialect) Form { return f%shapes + Form(d)*shapes }

// Dialect is the one the form is in.
func (f Form) Dialect() Dialect { return Dialect(f / shapes) }

// Encoder makes the frame of a message in one form. It is called at most a few
// times per form (two shards may race; one result is kept) and from any shard.
type Encoder interface {
	Encode(m *Message, f Form) *Frame
}

// Mark says what a delivery is that was not published for its client.
type Mark uint8

// The marks.
const (
	Unmarked   Mark = iota
	OfSnapshot      // a value that a topic had when its client subscribed
	OfHistory       // one of the newest messages of a topic when its client subscribed
)

// MarkEncoder is an Encoder that can also mark a delivery.
type MarkEncoder interface {
	Encoder
	EncodeMarked(m *Message, f Form, mark Mark) *Frame
}

// marked is the encoder of a message's snapshot, or of it as history.
type marked struct {
	MarkEncoder
	mark Mark
}

// Encode implements Encoder.
func (s *marked) Encode(m *Message, f Form) *Frame { return s.EncodeMarked(m, f, s.mark) }

// Translator makes the frame of a packet in another dialect, which is not the first, from its frame in the first one. It is
// called as an Encoder is.
type Translator func(f *Frame, d Dialect) *Frame

// Encode implements Encoder, for a plain message.
func (t Translator) Encode(m *Message, f Form) *Frame { return t(m.frames[Plain].Load(), f.Dialect()) }

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
	frames  [common]atomic.Pointer[Frame]
	rare    atomic.Pointer[rareFrames] // the frames in other forms; nil for nearly every message
}

// rareFrames is a frame in a form that few messages are asked for: a repeat, or another dialect's. They are a list, whose
// elements do not change.
type rareFrames struct {
	form  Form
	frame *Frame
	next  *rareFrames
}

func (s *rareFrames) find(f Form) *Frame {
	for ; s != nil; s = s.next {
		if s.form == f {
			return s.frame
		}
	}
	return nil
}

// NewMessage returns a message whose frames encoder makes on demand.
func NewMessage(encoder Encoder) *Message {
	m := new(Message)
	m.Init(encoder)
	return m
}

// Init makes m, which is zero, what NewMessage returns.
func (m *Message) Init(encoder Encoder) { m.encoder = encoder }

// Unframe forgets the frames that were made. It is called before m is shared.
func (m *Message) Unframe() {
	for i := range m.frames {
		m.frames[i].Store(nil)
	}
	m.rare.Store(nil)
}

// Snapshot returns m as it is sent to who subscribes later: its deliveries say so,
// and it counts as published at that moment, since nothing has waited before. m is a
// publication; one whose encoder knows no marks is returned as it is.
func (m *Message) Snapshot(at int64) *Message { return m.marked(at, OfSnapshot) }

// History returns m as it is sent to who has asked for the newest messages of its topic: see Snapshot.
func (m *Message) History(at int64) *Message { return m.marked(at, OfHistory) }

func (m *Message) marked(at int64, mark Mark) *Message {
	e, ok := m.encoder.(MarkEncoder)
	if !ok {
		return m
	}
	return &Message{
		Namespace: m.Namespace, Topic: m.Topic, ID: m.ID, Key: m.Key, At: at, Expires: m.Expires, Offset: m.Offset,
		AckID: m.AckID, encoder: &marked{e, mark},
	}
}

// IsMarked reports whether m is the result of Snapshot or History: it was not published for those it is sent to.
func (m *Message) IsMarked() bool {
	_, ok := m.encoder.(*marked)
	return ok
}

// InitPlain makes m, which is zero, a plain event, an ack or a namespace packet: one that has the same frame in every
// form, f in the first dialect and in each other one what t makes of it. Package packet has the Translator.
func (m *Message) InitPlain(f *Frame, t Translator) {
	m.encoder = t
	m.frames[Plain].Store(f)
}

// Frame returns the message in form f, encoding it on first use.
// Any goroutine may call it.
func (m *Message) Frame(f Form) *Frame {
	if f < common {
		if fr := m.frames[f].Load(); fr != nil {
			return fr
		}
	}
	return m.frame(f)
}

// frame is Frame where the frame is not in its place.
func (m *Message) frame(f Form) *Frame {
	if _, plain := m.encoder.(Translator); plain {
		if f = Plain.In(f.Dialect()); f == Plain {
			return m.frames[Plain].Load()
		}
	}
	if f >= common {
		return m.rareFrame(f)
	}
	fr := m.encoder.Encode(m, f)
	if !m.frames[f].CompareAndSwap(nil, fr) {
		return m.frames[f].Load()
	}
	return fr
}

func (m *Message) rareFrame(f Form) *Frame {
	head := m.rare.Load()
	if fr := head.find(f); fr != nil {
		return fr
	}
	s := &rareFrames{form: f, frame: m.encoder.Encode(m, f), next: head}
	for !m.rare.CompareAndSwap(s.next, s) { // another was added: perhaps the same
		head = m.rare.Load()
		if fr := head.find(f); fr != nil {
			return fr
		}
		s.next = head
	}
	return s.frame
}

// Bytes is what the message holds in memory in all forms made so far; the budget
// counts it once per shard that holds the message (architecture.md D9).
func (m *Message) Bytes() (n int) {
	for i := range m.frames {
		if f := m.frames[i].Load(); f != nil {
			n += f.Held()
		}
	}
	for s := m.rare.Load(); s != nil; s = s.next {
		n += s.frame.Held()
	}
	return n
}
