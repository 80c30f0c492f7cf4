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

	// Gap is how many messages are gone between the one its reader had before and this one. 0: none, or nobody's in particular.
	Gap uint32

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
		if frame := p.berth.place(p, m, f); frame != nil {
			return frame
		}
	}
	frame := p.encode(m, f, base.Unmarked)
	if p.Gap > 0 {
		return frame.Verbatim() // it is made on a loop
	}
	return frame
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
		args := p.writeArgs(draft{text: make([]byte, 0, size)}, m, f, mark)
		return encoder(d).Encode(sio.Packet{
			Namespace: []byte(m.Namespace), Data: args.text, ID: h.ID, Attachments: h.Attachments, Type: typ, HasID: h.HasID,
		}, attachments)
	}
	return NewFrame(size, func(dst []byte) []byte {
		return p.writeArgs(draft{text: sio.AppendHeader(dst, typ, h)}, m, f, mark).text
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

// draft is the text of a delivery while it is being written. That of a berth has gaps instead of payload and offset, which come
// later.
type draft struct {
	text    []byte
	gaps    bool
	payload int // where the payload's gap is in the text
	offset  int // where that of the offset's digits is
}

// writeArgs appends the JSON array of a delivery: the topic, then what its shape asks for.
func (p *Publication) writeArgs(d draft, m *base.Message, f base.Form, mark base.Mark) draft {
	d.text = append(d.text, '[')
	d.text = sio.AppendString(d.text, m.Topic)
	d.text = append(d.text, ',')
	switch {
	case f&base.Envelope != 0:
		d.text = append(d.text, `{"metadata":`...)
		d = p.writeMetadata(d, m, f, mark)
		d.text = append(d.text, `,"payload":`...)
		d = p.writePayload(d)
		d.text = append(d.text, '}')
	case p.Reliable || mark != base.Unmarked:
		d = p.writePayload(d)
		d.text = append(d.text, ',')
		d = p.writeMetadata(d, m, f, mark)
	default:
		d = p.writePayload(d)
	}
	d.text = append(d.text, ']')
	return d
}

func (p *Publication) writePayload(d draft) draft {
	d.payload = len(d.text)
	switch {
	case p.Binary:
		d.text = sio.AppendPlaceholder(d.text, 0)
	case !d.gaps:
		d.text = append(d.text, p.Payload...)
	}
	return d
}

func (p *Publication) writeMetadata(d draft, m *base.Message, f base.Form, mark base.Mark) draft {
	d.text = append(d.text, `{"namespace":`...)
	d.text = sio.AppendString(d.text, m.Namespace)
	d.text = append(d.text, `,"topic":`...)
	d.text = sio.AppendString(d.text, m.Topic)
	d.text = append(d.text, `,"messageId":`...)
	d.text = sio.AppendString(d.text, m.ID)
	if p.Reliable {
		d.text = append(d.text, `,"ackRequired":true`...)
	} else {
		d.text = append(d.text, `,"ackRequired":false`...)
	}
	if f&base.Redelivered != 0 {
		d.text = append(d.text, `,"redelivered":true`...)
	}
	if p.Gap > 0 {
		d.text = append(d.text, `,"gap":`...)
		d.text = strconv.AppendUint(d.text, uint64(p.Gap), 10)
	}
	switch mark {
	case base.OfSnapshot:
		d.text = append(d.text, `,"snapshot":true`...)
	case base.OfHistory:
		d.text = append(d.text, `,"history":true`...)
	case base.Unmarked:
	}
	if p.epoch != "" && (p.Tells(f) || mark == base.OfHistory) {
		d.text = append(d.text, `,"offset":`...)
		if d.offset = len(d.text); !d.gaps {
			d.text = strconv.AppendUint(d.text, m.Offset, 10)
		}
		d.text = append(d.text, `,"epoch":`...)
		d.text = sio.AppendString(d.text, p.epoch)
	}
	d.text = append(d.text, '}')
	return d
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
