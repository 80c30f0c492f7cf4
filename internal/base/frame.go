package base

import (
	"iter"

	"github.com/streamweir/weir/internal/wire/ws"
)

// Frame is one Socket.IO packet, encoded once: the websocket frames of its text
// part and of its attachments, back to back, as a server sends them (design D2).
// It is immutable and shared by every queue that holds it. The websocket form is
// the canonical one; long-polling walks it with Parts.
type Frame struct {
	wire []byte
}

// messageType is the Engine.IO packet type "message" that precedes the text of
// every Socket.IO packet (protocol.md 1.3).
const messageType = '4'

// NewFrame encodes one packet. text appends the Socket.IO packet without the
// Engine.IO type, which NewFrame adds; sizeHint is the expected length of what it
// appends. attachments follow in order as binary messages.
func NewFrame(sizeHint int, text func(dst []byte) []byte, attachments ...[]byte) *Frame {
	for _, a := range attachments {
		sizeHint += ws.MaxHeaderLen + len(a)
	}
	// The header's length depends on the text's: leave room for the longest and
	// start the frame where the real one begins.
	b := make([]byte, ws.MaxHeaderLen, ws.MaxHeaderLen+1+sizeHint)
	b = append(b, messageType)
	b = text(b)
	n := len(b) - ws.MaxHeaderLen
	start := ws.MaxHeaderLen - ws.HeaderLen(n)
	ws.AppendHeader(b[start:start], ws.Text, n)
	for _, a := range attachments {
		b = ws.AppendFrame(b, ws.Binary, a)
	}
	return &Frame{wire: b[start:]}
}

// RawFrame wraps bytes that already are complete server frames.
func RawFrame(wire []byte) *Frame { return &Frame{wire: wire} }

// Wire returns the websocket bytes. The caller must not change them.
func (f *Frame) Wire() []byte { return f.wire }

// Len is the size in bytes that limits and budgets count.
func (f *Frame) Len() int { return len(f.wire) }

// Parts walks complete server frames and yields each payload with its opcode.
// It stops at the first incomplete frame; wire made by this package has none.
func Parts(wire []byte) iter.Seq2[ws.Opcode, []byte] {
	return func(yield func(ws.Opcode, []byte) bool) {
		for len(wire) >= 2 {
			op, head, n := ws.ServerFrame(wire)
			if head == 0 || n > len(wire)-head {
				return
			}
			if !yield(op, wire[head:head+n]) {
				return
			}
			wire = wire[head+n:]
		}
	}
}
