package ws

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrStopped is returned by Decode after an earlier call has failed.
var ErrStopped = errors.New("websocket: decoder stopped by an earlier error")

// Handler takes what a [Decoder] finds, in the order of the wire. Payloads are valid during the call only and may be
// changed. An error stops the decoder and is returned by Decode as it is.
type Handler interface {
	// Message is called with op Text or Binary and a whole message; text is valid UTF-8.
	Message(op Opcode, payload []byte) error
	// Control is called with op Ping, Pong or Close, possibly between the fragments of a message. The payload of Close
	// is not checked: see ParseClose.
	Control(op Opcode, payload []byte) error
}

// Decoder turns the bytes of one connection into messages, however they are cut. The zero value is a server's decoder
// that admits empty messages only: use [NewDecoder]. One goroutine at a time.
//
// An idle decoder is 72 bytes and holds no buffer. A frame that arrives whole is handed on without a copy; a message
// that arrives in pieces is gathered in a buffer that grows with the bytes received, never with a length only declared,
// and is released with the message.
type Decoder struct {
	limit int

	// buf is the message gathered so far, then extra bytes of an unfinished control frame:
	//
	//	| message … (tail bytes of an unfinished rune) | control … |
	//	                                               |<- extra ->|
	buf  []byte
	z    *inflater // of the compressed message that has come; nil: of none
	left uint64    // payload bytes of the current frame still to come

	head   [maxHeader]byte // the current frame's header, headN bytes of it known
	headN  uint8
	extra  uint8
	tail   uint8
	op     Opcode // of the message in progress, Continuation if none
	packed bool   // the message in progress is compressed
	ignore bool   // nobody wants messages any more
	rules  rules
	phase  phase
}

type phase uint8

const (
	inHeader phase = iota
	inPayload
	closed // a close frame was delivered
	failed
)

// NewDecoder returns a decoder for messages of at most limit bytes, counted over all fragments; exactly limit is
// allowed, and a limit of zero or less admits empty messages only.
func NewDecoder(limit int, role Role) Decoder {
	return Decoder{limit: max(limit, 0), rules: rules{role: role}}
}

// AllowDeflate makes the decoder accept compressed messages, as agreed by [AcceptDeflate]. The limit then counts for the
// message as it was before compression too.
func (d *Decoder) AllowDeflate() { d.rules.deflate = true }

// Held is the memory in bytes that a message or control frame in progress occupies; 0 between messages.
func (d *Decoder) Held() int {
	if d.z != nil {
		return cap(d.buf) + len(d.z.in.packed) + cap(d.z.out) + inflaterBytes
	}
	return cap(d.buf)
}

// Busy reports whether a compressed message has come that is not inflated yet: Step goes on with it, also without bytes.
func (d *Decoder) Busy() bool { return d.z != nil }

// Ignore says that nobody wants the messages still to come: those that are compressed are not inflated, and what is being
// inflated is dropped.
func (d *Decoder) Ignore() {
	d.ignore = true
	if d.z != nil {
		d.z.drop()
		d.z, d.tail = nil, 0
	}
}

// Drop gives up what is being decoded. A decoder that is Busy needs it before it is let go.
func (d *Decoder) Drop() {
	if d.z != nil {
		d.z.drop()
	}
	*d = Decoder{phase: failed}
}

// Idle reports whether the decoder stands between messages and frames, so that a new one like it would go on alike. It
// is not idle after a close frame or an error.
func (d *Decoder) Idle() bool {
	return d.phase == inHeader && d.headN == 0 && d.op == Continuation && d.z == nil
}

// Decode takes the next bytes of the connection and calls h for each message and control frame they complete. It may
// unmask b in place and does not keep it. A fault of the peer is an *[Error]: 1002 for framing and 1007 for text that is
// not UTF-8, both no later than the header or byte that shows it, and 1009 for a message longer than the limit, with the
// header that declares it. After an error every call returns [ErrStopped]; after a close frame further bytes are ignored
// (RFC 6455 5.5.1).
func (d *Decoder) Decode(b []byte, h Handler) error {
	if d.phase == failed {
		return ErrStopped
	}
	for (len(b) > 0 || d.z != nil) && d.phase != closed {
		rest, _, err := d.Step(b, h)
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// Step is a part of Decode: one frame, or what b has of it, or a slice of at most 32 KiB of a compressed message, which
// may cost as much as inflating them. It returns the bytes not dealt with, and what was inflated, in bytes or what
// takes as long. A decoder that is Busy needs no bytes.
func (d *Decoder) Step(b []byte, h Handler) (rest []byte, inflated int, err error) {
	switch {
	case d.phase == failed:
		return nil, 0, ErrStopped
	case d.phase == closed:
		return nil, 0, nil
	case d.z != nil:
		rest = b
		inflated, err = d.inflate(h)
	default:
		rest, err = d.step(b, h)
	}
	if err != nil {
		d.Drop()
		return nil, inflated, err
	}
	return rest, inflated, nil
}

// inflate goes on with the compressed message that has come.
func (d *Decoder) inflate(h Handler) (n int, err error) {
	z := d.z
	z.slice()
	n = z.cost
	if z.err == nil && z.op == Text {
		tail, ok := unfinishedRune(z.out[len(z.out)-z.made-int(d.tail):])
		d.tail = uint8(tail)
		if !ok || z.done && tail > 0 {
			z.err = errNotUTF8()
		}
	}
	switch {
	case z.err != nil:
		return n, z.err
	case !z.done:
		return n, nil
	}
	z.drop()
	d.z, d.tail = nil, 0
	return n, h.Message(z.op, z.out)
}

// step consumes a header and what b holds of its payload, or b entirely if the header is not complete.
func (d *Decoder) step(b []byte, h Handler) ([]byte, error) {
	f, b, err := d.header(b)
	if err != nil || f.size == 0 {
		return nil, err
	}
	n := min(uint64(len(b)), d.left)
	d.left -= n
	if f.op.IsControl() {
		err = d.control(f, b[:n], h)
	} else {
		err = d.data(f, b[:n], h)
	}
	return b[n:], err
}

// header returns the header of the current frame and the bytes of b behind it. Its size is 0 while it is incomplete.
func (d *Decoder) header(b []byte) (header, []byte, error) {
	if d.phase == inPayload { // it was checked when it came
		f, err := parseHeader(d.head[:d.headN], d.rules)
		return f, b, err
	}
	src, known := b, int(d.headN)
	if known > 0 {
		n := copy(d.head[known:], b)
		src = d.head[:known+n]
	}
	f, err := parseHeader(src, d.rules)
	if err != nil {
		return header{}, nil, err
	}
	if f.size == 0 {
		d.headN = uint8(copy(d.head[:], src))
		return header{}, nil, nil
	}
	if err := d.admit(f); err != nil {
		return header{}, nil, err
	}
	d.headN = uint8(copy(d.head[:], src[:f.size]))
	d.left = f.length
	d.phase = inPayload
	return f, b[f.size-known:], nil
}

// admit checks a data frame against the message in progress (RFC 6455 5.4) and the limit, before a byte is kept.
func (d *Decoder) admit(f header) error {
	switch {
	case f.op.IsControl():
		return nil
	case f.op == Continuation && d.op == Continuation:
		return protocolError("continuation frame without a message to continue")
	case f.op != Continuation && d.op != Continuation:
		return protocolError("new message inside a fragmented one, opcode 0x%x", byte(f.op))
	case f.length > uint64(d.limit-len(d.buf)):
		return &Error{Code: TooBig, Reason: fmt.Sprintf("message of at least %d bytes, limit %d",
			uint64(len(d.buf))+f.length, d.limit)}
	}
	if f.op != Continuation {
		d.op, d.packed = f.op, f.packed
	}
	return nil
}

func (d *Decoder) data(f header, chunk []byte, h Handler) error {
	if f.fin && len(d.buf) == 0 && uint64(len(chunk)) == f.length {
		f.unmask(chunk, 0)
		d.endFrame()
		if d.isText() && !utf8.Valid(chunk) {
			return errNotUTF8()
		}
		return d.deliver(chunk, true, h)
	}
	d.gather(f, chunk)
	if err := d.checkText(len(chunk)); err != nil {
		return err
	}
	if d.left > 0 {
		return nil
	}
	d.endFrame()
	if !f.fin {
		return nil
	}
	if d.tail > 0 {
		return errNotUTF8()
	}
	return d.deliver(d.buf, false, h)
}

func (d *Decoder) deliver(message []byte, whole bool, h Handler) error {
	op, packed := d.op, d.packed
	d.op, d.packed, d.buf = Continuation, false, nil
	if packed {
		if d.ignore {
			return nil
		}
		if whole { // it lies in the caller's bytes
			message = bytes.Clone(message)
		}
		d.z = newInflater(op, message, d.limit)
		return nil
	}
	return h.Message(op, message)
}

// isText reports whether the bytes of the message in progress have to be UTF-8 as they come.
func (d *Decoder) isText() bool { return d.op == Text && !d.packed }

func (d *Decoder) control(f header, chunk []byte, h Handler) error {
	payload := chunk
	if uint64(len(chunk)) == f.length {
		f.unmask(chunk, 0)
	} else {
		d.gather(f, chunk)
		d.extra += uint8(len(chunk))
		if d.left > 0 {
			return nil
		}
		split := len(d.buf) - int(d.extra)
		payload, d.buf, d.extra = d.buf[split:], d.buf[:split], 0
	}
	d.endFrame()
	if d.op == Continuation {
		d.buf = nil
	}
	if f.op == Close {
		d.phase, d.buf = closed, nil
	}
	return h.Control(f.op, payload)
}

func (d *Decoder) endFrame() { d.headN, d.phase = 0, inHeader }

// gather appends a piece of the current frame's payload to buf, unmasked; d.left is already without it. The buffer at
// least doubles when it grows, so that many small pieces cost linear time, but a final frame of a known length is not
// given more than it needs.
func (d *Decoder) gather(f header, chunk []byte) {
	old := len(d.buf)
	if need := old + len(chunk); need > cap(d.buf) {
		room := uint64(d.limit) + MaxControlPayload
		if f.fin && !f.op.IsControl() {
			room = uint64(need) + d.left
		}
		d.buf = append(make([]byte, 0, min(room, 2*uint64(need))), d.buf...)
	}
	d.buf = append(d.buf, chunk...)
	f.unmask(d.buf[old:], f.length-d.left-uint64(len(chunk)))
}

// checkText refuses text that can no longer become valid UTF-8 with the n bytes just gathered (RFC 6455 8.1).
func (d *Decoder) checkText(n int) error {
	if !d.isText() {
		return nil
	}
	tail, ok := unfinishedRune(d.buf[len(d.buf)-n-int(d.tail):])
	if !ok {
		return errNotUTF8()
	}
	d.tail = uint8(tail)
	return nil
}

// unfinishedRune returns how many bytes at the end of b are the start of a rune, and whether all before is UTF-8.
func unfinishedRune(b []byte) (n int, ok bool) {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax+1); i-- {
		if !utf8.RuneStart(b[i]) {
			continue
		}
		if !utf8.FullRune(b[i:]) {
			n = len(b) - i
		}
		break
	}
	return n, utf8.Valid(b[:len(b)-n])
}

func errNotUTF8() *Error { return &Error{Code: InvalidPayload, Reason: "text message is not UTF-8"} }
