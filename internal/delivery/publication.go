package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/sio"
)

// ErrTooLarge says that no lane of the topic could ever hold the message.
var ErrTooLarge = errors.New("message is larger than maxQueuedBytesPerClient")

// Publication is what a publisher hands in.
type Publication struct {
	Payload []byte // JSON, or with Binary any bytes; not changed after the call
	Binary  bool
	Key     string        // coalescing key; "" = the topic's pointer decides
	ID      string        // idempotency key and message id; "" = made here
	TTL     time.Duration // 0 = the topic's
	Target  Target
}

// publication encodes one message of a topic, once for each form in use (design D2).
type publication struct {
	decl    *Declared
	payload []byte // a view into the first frame made
	binary  bool
}

func newMessage(t *Topic, p *Publication, now int64) *base.Message {
	d := t.Declared
	pub := &publication{decl: d, payload: p.Payload, binary: p.Binary}
	m := base.NewMessage(pub)
	m.Namespace, m.Topic, m.ID, m.Key, m.At = d.Namespace.Path, t.Name, p.ID, p.Key, now
	if m.ID == "" {
		m.ID = d.Namespace.hub.newID()
	}
	if m.Key == "" && d.Spec.Key != nil && !p.Binary {
		m.Key = d.Spec.Key(p.Payload)
	}
	ttl := p.TTL
	if ttl == 0 {
		ttl = d.Spec.TTL
	}
	if ttl > 0 {
		m.Expires = now + int64(ttl)
	}
	m.AckID = d.Namespace.NextAckID()
	// The publisher's goroutine pays for the form most subscribers want, and from
	// then on the payload is kept only inside that frame.
	pub.adopt(d.Namespace.prepare(m.Frame(d.form(d.Spec.Shape))))
	return m
}

// adopt replaces the publisher's payload by its copy inside f.
func (p *publication) adopt(f *base.Frame) {
	if p.binary {
		for _, part := range base.Parts(f.Wire()) {
			p.payload = part // the attachment is the last part
		}
		return
	}
	if i := bytes.Index(f.Wire(), p.payload); i >= 0 {
		p.payload = f.Wire()[i : i+len(p.payload)]
	}
}

// Encode implements base.Encoder: design 5.4, "Shape of a delivery".
func (p *publication) Encode(m *base.Message, f base.Form) *base.Frame {
	h := sio.EventHeader{Namespace: m.Namespace}
	typ := sio.Event
	var attachments [][]byte
	if p.binary {
		typ, h.Attachments, attachments = sio.BinaryEvent, 1, [][]byte{p.payload}
	}
	if f&base.Callback != 0 {
		h.ID, h.HasID = m.AckID, true
	}
	return base.NewFrame(len(p.payload)+192, func(dst []byte) []byte {
		dst = sio.AppendHeader(dst, typ, h)
		dst = append(dst, '[')
		dst = sio.AppendString(dst, m.Topic)
		dst = append(dst, ',')
		if f&base.Envelope != 0 {
			dst = append(dst, `{"metadata":`...)
			dst = p.appendMetadata(dst, m, f)
			dst = append(dst, `,"payload":`...)
			dst = p.appendPayload(dst)
			return append(dst, `}]`...)
		}
		dst = p.appendPayload(dst)
		if p.decl.Reliable() {
			dst = append(dst, ',')
			dst = p.appendMetadata(dst, m, f)
		}
		return append(dst, ']')
	}, attachments...)
}

func (p *publication) appendPayload(dst []byte) []byte {
	if p.binary {
		return sio.AppendPlaceholder(dst, 0)
	}
	return append(dst, p.payload...)
}

func (p *publication) appendMetadata(dst []byte, m *base.Message, f base.Form) []byte {
	dst = append(dst, `{"namespace":`...)
	dst = sio.AppendString(dst, m.Namespace)
	dst = append(dst, `,"topic":`...)
	dst = sio.AppendString(dst, m.Topic)
	dst = append(dst, `,"messageId":`...)
	dst = sio.AppendString(dst, m.ID)
	if p.decl.Reliable() {
		dst = append(dst, `,"ackRequired":true`...)
	} else {
		dst = append(dst, `,"ackRequired":false`...)
	}
	if f&base.Redelivered != 0 {
		dst = append(dst, `,"redelivered":true`...)
	}
	return append(dst, '}')
}

// lossNotice is the event weir:lost (design 5.4).
func lossNotice(namespace, topic string, count uint64, reason base.Reason) *base.Frame {
	body, err := json.Marshal(struct {
		Topic  string `json:"topic"`
		Count  uint64 `json:"count"`
		Reason string `json:"reason"`
	}{topic, count, reason.String()})
	if err != nil {
		body = []byte("{}") // strings and a number always marshal
	}
	return base.NewFrame(len(body)+len(namespace)+32, func(dst []byte) []byte {
		return sio.AppendEvent(dst, sio.EventHeader{Namespace: namespace}, []byte(`"weir:lost"`), body)
	})
}
