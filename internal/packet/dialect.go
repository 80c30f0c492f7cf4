package packet

import (
	"fmt"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// Every packet can be made in the first dialect, JSON over Engine.IO 4, and that is what this package's functions return.
// Frames of other dialects are made from it when the first client asks, once for all of them:
//
//	values --Event, Ack, …--> frame in the first dialect --In, base.Message.Frame--> frame in another
//	publication --------------------------------------------base.Message.Frame--^
//
// (docs/adr/0017-dialects.md).

// Encoder puts packets on the wire in one dialect. It is pure, and called from any goroutine.
type Encoder interface {
	// Encode makes the frame of a packet that a server sends. Its Data is valid JSON, with a placeholder for each of the
	// attachments, in the order of their numbers. It must keep neither.
	Encode(p sio.Packet, attachments [][]byte) *base.Frame
}

// encoders is the registry. It is written by Register only, before the first frame is made.
var encoders = [base.Dialects]Encoder{0: first{}}

// Register makes a dialect known. It is for init functions: nothing may be encoded meanwhile. It panics if the dialect is
// known already.
func Register(d base.Dialect, e Encoder) {
	if encoders[d] != nil {
		panic(fmt.Sprintf("packet: %v is registered twice", d))
	}
	encoders[d] = e
}

// first is the encoder of the first dialect. The other functions of this package write the same without the detour.
type first struct{}

// Encode implements Encoder.
func (first) Encode(p sio.Packet, attachments [][]byte) *base.Frame {
	h := sio.EventHeader{Namespace: string(p.Namespace), ID: p.ID, HasID: p.HasID, Attachments: len(attachments)}
	return NewFrame(len(p.Namespace)+len(p.Data)+overhead, func(dst []byte) []byte {
		return append(sio.AppendHeader(dst, p.Type, h), p.Data...)
	}, attachments...)
}

// NewFrame makes the frame of a packet in the first dialect. text appends the Socket.IO packet, to which NewFrame adds
// Engine.IO's type; sizeHint is the expected length of what it appends. attachments follow in order as binary messages.
func NewFrame(sizeHint int, text func(dst []byte) []byte, attachments ...[]byte) *base.Frame {
	for _, a := range attachments {
		sizeHint += ws.MaxHeaderLen + len(a)
	}
	// The header's length depends on the text's: leave room for the longest and
	// start the frame where the real one begins.
	b := make([]byte, ws.MaxHeaderLen, ws.MaxHeaderLen+1+sizeHint)
	b = append(b, byte(eio.Message))
	b = text(b)
	n := len(b) - ws.MaxHeaderLen
	start := ws.MaxHeaderLen - ws.HeaderLen(n)
	ws.AppendHeader(b[start:start], ws.Text, n)
	for _, a := range attachments {
		b = ws.AppendFrame(b, ws.Binary, a)
	}
	return base.RawFrame(b[start:])
}

// NewMessage returns the message of a frame in the first dialect: a plain event, an ack, a namespace packet.
func NewMessage(f *base.Frame) *base.Message {
	m := new(base.Message)
	InitMessage(m, f)
	return m
}

// InitMessage makes m, which is zero, what NewMessage returns.
func InitMessage(m *base.Message, f *base.Frame) { m.InitPlain(f, translate) }

// In returns a frame of this package, which is in the first dialect, in dialect d.
func In(f *base.Frame, d base.Dialect) *base.Frame {
	if d == 0 {
		return f
	}
	return translate(f, d)
}

// translate is a base.Translator.
func translate(f *base.Frame, d base.Dialect) *base.Frame {
	p, attachments := take(f)
	t := encoder(d).Encode(p, attachments)
	if f.Packing() == base.Verbatim {
		return t.Verbatim()
	}
	return t
}

// take reads a frame in the first dialect; packet and attachments are views of it.
func take(f *base.Frame) (p sio.Packet, attachments [][]byte) {
	for op, part := range base.Parts(f.Wire()) {
		if op == ws.Binary {
			attachments = append(attachments, part)
			continue
		}
		own, err := sio.ParseOwn(part[1:])
		if err != nil {
			panic(fmt.Sprintf("packet: a frame that this package has not made: %v", err))
		}
		p = own
	}
	return p, attachments
}

// encoder panics for a dialect that nobody has registered: no connection may get one.
func encoder(d base.Dialect) Encoder {
	if e := encoders[d]; e != nil {
		return e
	}
	panic(fmt.Sprintf("packet: no encoder for %v", d))
}
