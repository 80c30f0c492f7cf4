package base

import (
	"iter"
	"sync/atomic"

	"github.com/streamweir/weir/internal/wire/ws"
)

// Frame is one Socket.IO packet, encoded once in one dialect: the websocket frames of
// its text part and of its attachments, back to back, as a server sends them (architecture.md
// D2). It is immutable and shared by every queue that holds it. The websocket form is
// the canonical one; long-polling walks it with Parts. Package packet makes frames:
// which bytes of Engine.IO and Socket.IO they hold is its matter.
type Frame struct {
	wire     []byte
	verbatim bool
	deflated atomic.Pointer[Frame]
}

// Packing says whether what is written may be compressed on the way.
type Packing uint8

const (
	// Packable may be compressed wherever the client has agreed to it.
	Packable Packing = iota
	// Verbatim goes out as it is: Socket.IO's compress(false).
	Verbatim
)

// RawFrame wraps bytes that are complete server frames, and from now on the frame's.
func RawFrame(wire []byte) *Frame { return &Frame{wire: wire} }

// Init makes f, which is not shared, what RawFrame returns.
func (f *Frame) Init(wire []byte) {
	f.wire, f.verbatim = wire, false
	f.deflated.Store(nil)
}

// Verbatim keeps the frame from being compressed. It is called before the frame is shared, and returns it.
func (f *Frame) Verbatim() *Frame {
	f.verbatim = true
	return f
}

// Packing says whether the frame may be compressed on the way.
func (f *Frame) Packing() Packing {
	if f.verbatim {
		return Verbatim
	}
	return Packable
}

// Deflated is the frame for clients that have agreed to permessage-deflate: messages of ws.DeflateFrom bytes and more
// are compressed, each for itself. It is made once, by the first caller; a frame that gains nothing by it is returned as it is. Any
// goroutine may call it.
func (f *Frame) Deflated() *Frame {
	if f.verbatim || len(f.wire) < ws.DeflateFrom {
		return f
	}
	if d := f.deflated.Load(); d != nil {
		return d
	}
	f.deflated.CompareAndSwap(nil, f.deflate())
	return f.deflated.Load()
}

func (f *Frame) deflate() *Frame {
	b := make([]byte, 0, len(f.wire)/2)
	for op, payload := range Parts(f.wire) {
		b = ws.AppendDeflated(b, op, payload)
	}
	if len(b) >= len(f.wire) {
		return f
	}
	return &Frame{wire: b, verbatim: true}
}

// Held is what the frame holds in memory with its compressed form, in bytes.
func (f *Frame) Held() int {
	if d := f.deflated.Load(); d != nil && d != f {
		return len(f.wire) + len(d.wire)
	}
	return len(f.wire)
}

// Wire returns the websocket bytes. The caller must not change them.
func (f *Frame) Wire() []byte { return f.wire }

// Len is the size in bytes that the limits of lanes count: without compression.
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
