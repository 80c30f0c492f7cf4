package packet

import (
	"bytes"
	"encoding/json"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Publication encodes one message of a topic, once for each form in use (architecture.md D2).
type Publication struct {
	Payload  []byte // JSON, or with Binary any bytes; once adopted a view into a frame
	Binary   bool
	Reliable bool // its topic is AT_LEAST_ONCE: deliveries carry what an ack needs
}

// Adopt replaces the publisher's payload by its copy inside f.
func (p *Publication) Adopt(f *base.Frame) {
	if p.Binary {
		for _, part := range base.Parts(f.Wire()) {
			p.Payload = part // the attachment is the last part
		}
		return
	}
	if i := bytes.Index(f.Wire(), p.Payload); i >= 0 {
		p.Payload = f.Wire()[i : i+len(p.Payload)]
	}
}

// Encode implements base.Encoder: protocol.md 4, "Shape of a delivery".
func (p *Publication) Encode(m *base.Message, f base.Form) *base.Frame { return p.encode(m, f, false) }

// EncodeSnapshot implements base.SnapshotEncoder: whatever the topic's mode, the
// delivery has metadata, which says that it is a snapshot. It is never compressed:
// unlike a publication's frame it is made on a loop.
func (p *Publication) EncodeSnapshot(m *base.Message, f base.Form) *base.Frame {
	return p.encode(m, f, true).Verbatim()
}

func (p *Publication) encode(m *base.Message, f base.Form, snapshot bool) *base.Frame {
	h := sio.EventHeader{Namespace: m.Namespace}
	typ := sio.Event
	var attachments [][]byte
	if p.Binary {
		typ, h.Attachments, attachments = sio.BinaryEvent, 1, [][]byte{p.Payload}
	}
	if f&base.Callback != 0 {
		h.ID, h.HasID = m.AckID, true
	}
	size := len(p.Payload) + 192
	if d := f.Dialect(); d != 0 {
		return encoder(d).Encode(sio.Packet{
			Namespace: []byte(m.Namespace), Data: p.appendArgs(make([]byte, 0, size), m, f, snapshot), ID: h.ID,
			Attachments: h.Attachments, Type: typ, HasID: h.HasID,
		}, attachments)
	}
	return NewFrame(size, func(dst []byte) []byte {
		return p.appendArgs(sio.AppendHeader(dst, typ, h), m, f, snapshot)
	}, attachments...)
}

// appendArgs appends the JSON array of a delivery: the topic, then what its shape asks for.
func (p *Publication) appendArgs(dst []byte, m *base.Message, f base.Form, snapshot bool) []byte {
	dst = append(dst, '[')
	dst = sio.AppendString(dst, m.Topic)
	dst = append(dst, ',')
	if f&base.Envelope != 0 {
		dst = append(dst, `{"metadata":`...)
		dst = p.appendMetadata(dst, m, f, snapshot)
		dst = append(dst, `,"payload":`...)
		dst = p.appendPayload(dst)
		return append(dst, `}]`...)
	}
	dst = p.appendPayload(dst)
	if p.Reliable || snapshot {
		dst = append(dst, ',')
		dst = p.appendMetadata(dst, m, f, snapshot)
	}
	return append(dst, ']')
}

func (p *Publication) appendPayload(dst []byte) []byte {
	if p.Binary {
		return sio.AppendPlaceholder(dst, 0)
	}
	return append(dst, p.Payload...)
}

func (p *Publication) appendMetadata(dst []byte, m *base.Message, f base.Form, snapshot bool) []byte {
	dst = append(dst, `{"namespace":`...)
	dst = sio.AppendString(dst, m.Namespace)
	dst = append(dst, `,"topic":`...)
	dst = sio.AppendString(dst, m.Topic)
	dst = append(dst, `,"messageId":`...)
	dst = sio.AppendString(dst, m.ID)
	if p.Reliable {
		dst = append(dst, `,"ackRequired":true`...)
	} else {
		dst = append(dst, `,"ackRequired":false`...)
	}
	if f&base.Redelivered != 0 {
		dst = append(dst, `,"redelivered":true`...)
	}
	if snapshot {
		dst = append(dst, `,"snapshot":true`...)
	}
	return append(dst, '}')
}

// Lost is the event weir:lost (protocol.md 4), in the first dialect.
func Lost(namespace, topic string, count uint64, reason base.Reason) *base.Frame {
	body, err := json.Marshal(struct {
		Topic  string `json:"topic"`
		Count  uint64 `json:"count"`
		Reason string `json:"reason"`
	}{topic, count, reason.String()})
	if err != nil {
		body = []byte("{}") // strings and a number always marshal
	}
	return NewFrame(len(body)+len(namespace)+32, func(dst []byte) []byte {
		return sio.AppendEvent(dst, sio.EventHeader{Namespace: namespace}, []byte(`"weir:lost"`), body)
	})
}
