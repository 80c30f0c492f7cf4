package packet

import (
	"math"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// berth is where a publication's own payload lies, with room around it for all else that its frame in one form has:
//
//	[ room | header, text before | payload | text behind | room ]
//
// The frame tells its position, so it is made when there is one, which is under the lock of the topic's order: it takes
// time for some hundred bytes, however long the payload is, and no memory.
type berth struct {
	buf  []byte
	at   int // where the payload begins
	form base.Form
	used bool // the frame is there
}

// widest is an offset that has as many digits as any.
const widest = math.MaxInt64

// moor copies the payload to where m's frame in form f can be made around it, with a position of that epoch, and returns how
// long that frame is at most.
func (p *Publication) moor(m *base.Message, f base.Form, epoch string) (most int) {
	p.epoch, m.Offset = epoch, widest
	var scratch [512]byte
	text, cut := p.around(scratch[:0], m, f)
	p.epoch, m.Offset = "", 0
	room := 1 + cut + ws.MaxHeaderLen
	if p.Binary {
		room += ws.MaxHeaderLen
		most = ws.HeaderLen(len(p.Payload)) + ws.HeaderLen(1+len(text))
	} else {
		most = ws.HeaderLen(1 + len(text) + len(p.Payload))
	}
	most += 1 + len(text) + len(p.Payload)
	b := &berth{buf: make([]byte, room+len(p.Payload)+len(text)-cut), at: room, form: f}
	end := room + copy(b.buf[room:], p.Payload)
	p.Payload, p.berth = b.buf[room:end:end], b
	return most
}

// around is the text of m's frame in form f without the payload, which belongs at cut; a binary one follows behind it.
func (p *Publication) around(dst []byte, m *base.Message, f base.Form) (text []byte, cut int) {
	typ, h := p.header(m, f)
	dst = p.appendBefore(sio.AppendHeader(dst, typ, h), m, f, base.Unmarked)
	if cut = len(dst); !p.Binary {
		return p.appendBehind(dst, m, f, base.Unmarked), cut
	}
	dst = p.appendBehind(sio.AppendPlaceholder(dst, 0), m, f, base.Unmarked)
	return dst, len(dst)
}

// frame makes the frame around the payload, once. It returns nil where it cannot: in another form, or if there is not enough
// room. It changes the berth, so the frame is made before the message is shared.
func (b *berth) frame(p *Publication, m *base.Message, f base.Form) *base.Frame {
	if f != b.form || b.used {
		return nil
	}
	var scratch, line [512]byte
	text, cut := p.around(scratch[:0], m, f)
	n := 1 + len(text)
	if !p.Binary {
		n += len(p.Payload)
	}
	before := append(ws.AppendHeader(line[:0], ws.Text, n), byte(eio.Message))
	before = append(before, text[:cut]...)
	if p.Binary {
		before = ws.AppendHeader(before, ws.Binary, len(p.Payload))
	}
	start, end := b.at-len(before), b.at+len(p.Payload)
	if start < 0 || end+len(text)-cut > len(b.buf) {
		return nil
	}
	b.used = true
	copy(b.buf[start:], before)
	end += copy(b.buf[end:], text[cut:])
	return base.RawFrame(b.buf[start:end:end])
}
