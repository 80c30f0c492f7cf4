package packet

import (
	"math"
	"strconv"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// berth is the memory in which a frame that tells its position waits for it. The publisher writes all but the offset;
// the digits, and the header, whose length they decide, follow under the lock of the topic's order. Whichever side of
// them has no payload is then moved up to them, so that this takes as long for any payload, and no memory:
//
//	js         [ header | head, with the payload | digits ‹ tail          ]
//	envelope   [ header |   head › digits | tail, with the payload        ]
//	binary     [ header |   head › digits | tail, and the attachment      ]
type berth struct {
	buf        []byte
	head, gap  int // buf[head:gap] is before the digits
	tail, end  int // buf[tail:end] is behind them
	attachment int // how much of the tail is no text, but the attachment with its header
	form       base.Form
	ahead      bool   // the payload is in the head
	used       bool   // the frame is there
	epoch      string // whose offset it is
	frame      base.Frame
}

// An offset that a berth has room for is at most widest, of so many digits. No log comes as far.
const (
	widest = math.MaxInt64
	digits = 19
)

// moor writes m's frame in form f, with a copy of the payload, but without the offset, which will be one of that epoch. It returns
// how long the frame is at most, in bytes.
func (p *Publication) moor(m *base.Message, f base.Form, epoch string) (most int) {
	var scratch [512]byte
	typ, h := p.header(m, f)
	p.epoch = epoch
	d := p.writeArgs(draft{text: sio.AppendHeader(scratch[:0], typ, h), gaps: true}, m, f, base.Unmarked)
	p.epoch = ""

	b := &berth{form: f, epoch: epoch}
	text := 1 + len(d.text) + digits
	if p.Binary {
		d.payload = len(d.text)
		b.attachment = ws.HeaderLen(len(p.Payload)) + len(p.Payload)
	} else {
		text += len(p.Payload)
	}
	b.head = ws.HeaderLen(text)
	most = b.head + text + b.attachment
	b.fill(make([]byte, b.head, most), d, p)
	p.berth = b
	return most
}

// fill writes the draft into buf, which has room for it, and the payload, of which the copy there is from now on the publication's.
func (b *berth) fill(buf []byte, d draft, p *Publication) {
	buf = append(buf, byte(eio.Message))
	if b.ahead = d.payload < d.offset; b.ahead {
		buf = p.stow(append(buf, d.text[:d.payload]...))
		buf = b.leave(append(buf, d.text[d.payload:d.offset]...))
		buf = append(buf, d.text[d.offset:]...)
	} else {
		buf = b.leave(append(buf, d.text[:d.offset]...))
		buf = p.stow(append(buf, d.text[d.offset:d.payload]...))
		buf = append(buf, d.text[d.payload:]...)
	}
	b.buf, b.end = buf, len(buf)
}

// stow appends the payload and makes the copy the publication's.
func (p *Publication) stow(buf []byte) []byte {
	if p.Binary {
		buf = ws.AppendHeader(buf, ws.Binary, len(p.Payload))
	}
	at := len(buf)
	buf = append(buf, p.Payload...)
	p.Payload = buf[at:len(buf):len(buf)]
	return buf
}

// leave appends the gap for the digits.
func (b *berth) leave(buf []byte) []byte {
	b.gap, b.tail = len(buf), len(buf)+digits
	return buf[:b.tail]
}

// place makes the frame for the position that m has, once. It returns nil where it cannot: in another form, of another
// epoch, too far on. It changes the berth, so it is called before the message is shared.
func (b *berth) place(p *Publication, m *base.Message, f base.Form) *base.Frame {
	if b.used || f != b.form || p.epoch != b.epoch || m.Offset > widest {
		return nil
	}
	b.used = true
	var line [digits]byte
	number := strconv.AppendUint(line[:0], m.Offset, 10)
	b.fit(len(number))
	copy(b.buf[b.gap:], number)
	text := b.end - b.attachment - b.head
	start := b.head - ws.HeaderLen(text)
	ws.AppendHeader(b.buf[start:start], ws.Text, text)
	b.frame.Init(b.buf[start:b.end:b.end])
	return &b.frame
}

// fit makes the gap n bytes wide: it moves the side that has no payload.
func (b *berth) fit(n int) {
	by := b.tail - b.gap - n
	switch {
	case by == 0:
	case b.ahead:
		copy(b.buf[b.tail-by:], b.buf[b.tail:b.end])
		b.tail, b.end = b.tail-by, b.end-by
	default:
		copy(b.buf[b.head+by:], b.buf[b.head:b.gap])
		b.head, b.gap = b.head+by, b.gap+by
	}
}
