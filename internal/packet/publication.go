package packet

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Publication encodes one message of a topic, once for each form in use (architecture.md D2).
//
// A delivery that has metadata tells its position, so it is encoded when the message has one: Prepare makes ready for that, and
// Place says which. All others are the same wherever they stand, and may be encoded before.
type Publication struct {
	Payload  []byte // JSON, or with Binary any bytes; once prepared the publication's own
	Binary   bool
	Reliable bool // its topic is AT_LEAST_ONCE: deliveries carry what an ack needs

	epoch string // names the numbering of the message's offset; "" = it has none
	berth *berth // nil: none is needed
}

// Prepare gives the publication a payload of its own, so that the publisher's is not needed any more. f is the form that
// most subscribers want, in the first dialect: its frame is made now, or if it tells its position, by m.Frame after Place.
// It returns how long that frame is, in bytes; one that is made later has at most that length, if its epoch is as long.
func (p *Publication) Prepare(m *base.Message, f base.Form, epoch string) (most int) {
	if p.Tells(f) {
		return p.moor(m, f, epoch)
	}
	frame := m.Frame(f)
	p.Adopt(frame)
	return frame.Len()
}

// Tells reports whether deliveries in a form tell their position.
func (p *Publication) Tells(f base.Form) bool { return p.Reliable || f&base.Envelope != 0 }

// Place says which position m has, for the deliveries that tell it: frames that do so are made anew. It is called before m is
// shared.
func (p *Publication) Place(m *base.Message, epoch string, offset uint64) {
	if p.epoch != "" { // it had another position
		m.Unframe()
		if p.berth != nil {
			p.berth.used = false
		}
	}
	p.epoch, m.Offset = epoch, offset
}

// Placed reports whether m has that position.
func (p *Publication) Placed(m *base.Message, epoch string, offset uint64) bool {
	return m.Offset == offset && p.epoch == epoch
}

// Adopt replaces the payload by its copy inside f. It is called before the message is shared.
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
func (p *Publication) Encode(m *base.Message, f base.Form) *base.Frame {
	if p.berth != nil {
		if frame := p.berth.frame(p, m, f); frame != nil {
			return frame
		}
	}
	return p.encode(m, f, base.Unmarked)
}

// EncodeMarked implements base.MarkEncoder: whatever the topic's mode, the
// delivery has metadata, which says what it is. It is never compressed:
// unlike a publication's frame it is made on a loop.
func (p *Publication) EncodeMarked(m *base.Message, f base.Form, mark base.Mark) *base.Frame {
	return p.encode(m, f, mark).Verbatim()
}

func (p *Publication) encode(m *base.Message, f base.Form, mark base.Mark) *base.Frame {
	typ, h := p.header(m, f)
	var attachments [][]byte
	if p.Binary {
		attachments = [][]byte{p.Payload}
	}
	size := len(p.Payload) + 192
	if d := f.Dialect(); d != 0 {
		return encoder(d).Encode(sio.Packet{
			Namespace: []byte(m.Namespace), Data: p.appendArgs(make([]byte, 0, size), m, f, mark), ID: h.ID,
			Attachments: h.Attachments, Type: typ, HasID: h.HasID,
		}, attachments)
	}
	return NewFrame(size, func(dst []byte) []byte {
		return p.appendArgs(sio.AppendHeader(dst, typ, h), m, f, mark)
	}, attachments...)
}

// header is that of a delivery's packet.
func (p *Publication) header(m *base.Message, f base.Form) (sio.Type, sio.EventHeader) {
	typ, h := sio.Event, sio.EventHeader{Namespace: m.Namespace}
	if p.Binary {
		typ, h.Attachments = sio.BinaryEvent, 1
	}
	if f&base.Callback != 0 {
		h.ID, h.HasID = m.AckID, true
	}
	return typ, h
}

// appendArgs appends the JSON array of a delivery: the topic, then what its shape asks for.
func (p *Publication) appendArgs(dst []byte, m *base.Message, f base.Form, mark base.Mark) []byte {
	return p.appendBehind(p.appendPayload(p.appendBefore(dst, m, f, mark)), m, f, mark)
}

// appendBefore appends what stands before the payload.
func (p *Publication) appendBefore(dst []byte, m *base.Message, f base.Form, mark base.Mark) []byte {
	dst = append(dst, '[')
	dst = sio.AppendString(dst, m.Topic)
	dst = append(dst, ',')
	if f&base.Envelope != 0 {
		dst = append(dst, `{"metadata":`...)
		dst = p.appendMetadata(dst, m, f, mark)
		dst = append(dst, `,"payload":`...)
	}
	return dst
}

// appendBehind appends what stands behind it.
func (p *Publication) appendBehind(dst []byte, m *base.Message, f base.Form, mark base.Mark) []byte {
	switch {
	case f&base.Envelope != 0:
		dst = append(dst, '}')
	case p.Reliable || mark != base.Unmarked:
		dst = append(dst, ',')
		dst = p.appendMetadata(dst, m, f, mark)
	}
	return append(dst, ']')
}

func (p *Publication) appendPayload(dst []byte) []byte {
	if p.Binary {
		return sio.AppendPlaceholder(dst, 0)
	}
	return append(dst, p.Payload...)
}

func (p *Publication) appendMetadata(dst []byte, m *base.Message, f base.Form, mark base.Mark) []byte {
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
	switch mark {
	case base.OfSnapshot:
		dst = append(dst, `,"snapshot":true`...)
	case base.OfHistory:
		dst = append(dst, `,"history":true`...)
	case base.Unmarked:
	}
	if p.epoch != "" && (p.Tells(f) || mark == base.OfHistory) {
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendUint(dst, m.Offset, 10)
		dst = append(dst, `,"epoch":`...)
		dst = sio.AppendString(dst, p.epoch)
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
