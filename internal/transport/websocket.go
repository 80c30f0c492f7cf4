package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/ws"
)

// Receiver takes what comes from a websocket. All methods are called on its
// loop, none from inside a method of the WebSocket.
//
//weir:loop
type Receiver interface {
	// Message takes one message; data may be changed, and is valid during the call
	// only, unless it is longer than Owned: then it is the receiver's. An error
	// closes the connection in order and is reported with base.CauseParseError, unless Close or Abort was called already.
	Message(data []byte, binary bool) error
	// Writable says that Window or Control may have something now.
	Writable()
	// Closed is called exactly once, last, when the descriptor is closed.
	Closed(cause base.Cause, err error)
}

// Owned is how many bytes a message may have that lies in a buffer others use.
const Owned = 64 << 10

const _ = uint(Owned - largeBuffer)

// lingerTime is how long Close waits for the peer's answer.
const lingerTime = 2 * time.Second

// drainTime is how long what a peer that broke the protocol still sends is read and dropped: a close with bytes unread
// would reset the connection, and our close frame could be lost. It is owed no other patience (RFC 6455 7.1.7).
const drainTime = 250 * time.Millisecond

// WebSocket is the server's end of one connection (RFC 6455).
//
//	open --Close--> closing --close frame both ways, 2 s--> ended
//	open --fault--> closing --our close frame, the end of our half, 250 ms or the end of theirs--> ended
//	open --peer's close frame, answered--> closing
//	any --Abort, end of the connection--> ended
//
//weir:loop
type WebSocket struct {
	conn     conn
	receiver Receiver
	options  *WebSocketOptions
	partial  *partial  // of a message under way, or of more than one turn; nil when all that came is dealt with
	control  *controls // nil while no control frame waits and the connection is open

	lastRead   int64
	unfinished int // bytes missing of a frame partly written
	state      wsState
	deflates   bool
	heard      bool // the peer's close frame came
	deaf       bool // the peer broke a protocol: what else it sends is dropped
	paused     bool
}

// partial is the bytes that came and are not dealt with yet: of a message under way, and read behind it.
//
//weir:loop
type partial struct {
	ws.Decoder
	rest   []byte // read behind the bytes that the decoder has seen: while there are any, nothing more is read
	waits  bool   // for a turn
	held   int    // bytes, as Hold was told
	halted bool   // the connection does not read
}

// owes reports whether there is something to go on with, besides reading.
func (p *partial) owes() bool { return len(p.rest) > 0 || p.Busy() }

type wsState uint8

const (
	wsOpen wsState = iota
	wsClosing
	wsEnded
)

// controls is what control frames (RFC 6455 5.5) have a connection do.
type controls struct {
	// The frame that waits to be written: while open the answer to the client's
	// latest ping, in place of the answers to earlier ones (5.5.3); then our close
	// frame, or the rest of it.
	frame []byte
	space [2 + ws.MaxControlPayload]byte // of frame

	// Why the connection ends, unless it is open.
	cause base.Cause
	err   error
}

func newWebSocket(s conn, o *WebSocketOptions) *WebSocket {
	return &WebSocket{conn: s, options: o, lastRead: o.Now()}
}

// Start begins to read and reports to r. It is called once, before any other
// method.
func (w *WebSocket) Start(r Receiver) {
	w.receiver = r
	w.conn.start(w)
}

// Window is how many bytes Write takes now: 32 KiB, or 0 while the connection
// takes none and after Close. A single frame may exceed it.
func (w *WebSocket) Window() int {
	if w.state != wsOpen {
		return 0
	}
	return w.conn.window()
}

// Deflates reports whether compressed frames may be written (RFC 7692).
func (w *WebSocket) Deflates() bool { return w.deflates }

// Write hands over whole frames made for a server to send, or the rest of a
// frame an earlier Write took a part of. It returns how many bytes were taken
// and keeps nothing of p. After n < len(p) Window is 0 until
// Receiver.Writable. After an error the connection ends by itself.
func (w *WebSocket) Write(p []byte) (n int, err error) {
	if w.state != wsOpen || w.broken() {
		return 0, ErrClosed
	}
	n, err = w.conn.write(p)
	w.account(p, n)
	if err != nil {
		err = fmt.Errorf("write %d bytes to websocket: %w", len(p), err)
		w.control = &controls{cause: base.CauseTransportError, err: err}
		w.conn.abort() // it stays open until ended: what had been read before is dealt with
	}
	return n, err
}

// account keeps track of where in a frame the connection stands after n bytes
// of p.
func (w *WebSocket) account(p []byte, n int) {
	if n == len(p) {
		w.unfinished = 0 // p ends with a frame
		return
	}
	at := w.unfinished
	for at < n {
		_, head, payload := ws.ServerFrame(p[at:])
		if head == 0 {
			return // not a frame: the caller's fault, which must not hang the loop
		}
		at += head + payload
	}
	w.unfinished = at - n
}

// Control appends the answer to the client's latest ping, if one waits; it
// counts as sent. It belongs at a frame boundary.
func (w *WebSocket) Control(dst []byte) []byte {
	if w.control == nil || w.Window() == 0 {
		return dst
	}
	dst = append(dst, w.control.frame...)
	w.control = nil
	return dst
}

// Kernel is what the operating system knows of the connection; false where it
// does not tell. It costs a system call.
func (w *WebSocket) Kernel() (Kernel, bool) { return w.conn.kernel() }

// Unsent is how many bytes handed over the peer's kernel has not acknowledged,
// -1 where that is unknown. It costs a system call.
func (w *WebSocket) Unsent() int {
	if k, ok := w.conn.kernel(); ok {
		return k.Unsent
	}
	return -1
}

// Progress is how far what was written has come. It costs a system call.
func (w *WebSocket) Progress() Progress { return w.conn.progress() }

// LastRead is when bytes last came, by the loop's clock.
func (w *WebSocket) LastRead() int64 { return w.lastRead }

// Held is how many bytes are kept of a message that is incomplete, or waits for its turn.
func (w *WebSocket) Held() int {
	if w.partial == nil {
		return 0
	}
	return w.partial.held
}

// Pause stops reading; no message comes after the one being handled, but for one that is being inflated. Idempotent.
func (w *WebSocket) Pause() {
	w.paused = true
	w.conn.pause()
}

// Resume reads on; nothing could come before, so LastRead is now. What had been read comes first, in a step of its own.
// Idempotent.
func (w *WebSocket) Resume() {
	w.lastRead = w.options.Now()
	w.paused = false
	w.conn.resume()
	w.goOn()
}

// Close ends the connection in order: an empty close frame, which the client
// sees as 1005, then up to two seconds for the answer. In the middle of a
// frame it is Abort. Receiver.Closed reports base.CauseForcedClose. Idempotent.
func (w *WebSocket) Close() { w.close(0, base.CauseForcedClose, nil) }

// Dismiss is Close for a peer that broke the protocol above websockets: what else it sends is dropped, and it is owed no
// patience (RFC 6455 7.1.7). Receiver.Closed reports base.CauseForcedClose. Idempotent.
func (w *WebSocket) Dismiss() { w.dismiss(base.CauseForcedClose, nil) }

func (w *WebSocket) dismiss(cause base.Cause, err error) {
	if w.state == wsOpen {
		w.deaf = true
		w.close(0, cause, err)
	}
}

// Abort ends the connection at once. Receiver.Closed reports
// base.CauseForcedClose unless the connection was closing already. Idempotent.
func (w *WebSocket) Abort() { w.end(base.CauseForcedClose, nil) }

func (w *WebSocket) close(code ws.CloseCode, cause base.Cause, err error) {
	if w.state != wsOpen {
		return
	}
	if w.unfinished > 0 {
		w.end(cause, err)
		return
	}
	w.leave(cause, err)
	w.control.frame = ws.AppendClose(w.control.space[:0], code, "")
	if w.deaf {
		w.conn.finish(drainTime)
	} else {
		w.conn.finish(lingerTime)
	}
	w.sayGoodbye()
}

// end aborts the connection, whose end reports the cause.
func (w *WebSocket) end(cause base.Cause, err error) {
	if w.state == wsEnded {
		return
	}
	if w.state == wsOpen {
		w.leave(cause, err)
	}
	w.control.frame = nil
	w.conn.abort()
}

// leave ends the open state; a ping that waits stays without an answer.
func (w *WebSocket) leave(cause base.Cause, err error) {
	w.state, w.control = wsClosing, &controls{cause: cause, err: err}
	w.goOn() // what had been read may hold the peer's close frame, paused or not
}

// sayGoodbye writes our close frame as far as the connection takes it, and ends
// the connection when both sides have said theirs (RFC 6455 7.1.1: the server first).
func (w *WebSocket) sayGoodbye() {
	c := w.control
	if len(c.frame) > 0 && w.conn.window() > 0 {
		n, err := w.conn.write(c.frame)
		c.frame = c.frame[n:]
		if err != nil {
			w.conn.abort()
			return
		}
	}
	switch said := len(c.frame) == 0 && w.conn.window() > 0; {
	case said && w.heard:
		w.conn.abort()
	case said && w.deaf:
		w.conn.shutdown()
	}
}

// received is called by the connection. It may change b, which is valid during the
// call only.
func (w *WebSocket) received(b []byte) {
	w.lastRead = w.options.Now()
	if w.deaf || w.heard {
		return
	}
	if p := w.partial; p != nil {
		if p.owes() { // read before reading had stopped
			p.rest = append(p.rest, b...)
			w.book()
			return
		}
		w.workPartial(b, false)
		return
	}
	if w.options.Turns.Over() {
		w.keep(w.newDecoder(), b)
		return
	}
	d := w.newDecoder()
	rest, err := w.work(&d, b)
	if err == nil && !w.heard && (!d.Idle() || len(rest) > 0) {
		w.keep(d, rest)
		return
	}
	w.failed(err)
}

func (w *WebSocket) newDecoder() ws.Decoder {
	d := ws.NewDecoder(w.options.Limit, ws.Server)
	if w.deflates {
		d.AllowDeflate()
	}
	return d
}

// work decodes up to a turn's share of b, and returns the rest.
func (w *WebSocket) work(d *ws.Decoder, b []byte) (rest []byte, err error) {
	t := w.options.Turns
	for began := t.Spent(); len(b) > 0 || d.Busy(); {
		if w.paused && w.state == wsOpen && !d.Busy() || t.Enough(began) {
			return b, nil
		}
		if w.state != wsOpen {
			d.Ignore()
		}
		n, inflated := len(b), 0
		b, inflated, err = d.Step(b, frames{w})
		t.Spend(turns.Frame + n - len(b) + inflated*turns.Inflated)
		if err != nil || w.heard {
			return nil, err
		}
	}
	return nil, nil
}

// workPartial goes on with a message under way. In its turn b is the rest that waited; else b was just read, and waits itself
// if the step has no time for newcomers left.
func (w *WebSocket) workPartial(b []byte, turn bool) {
	p := w.partial
	rest, err := b, error(nil)
	if turn || !w.options.Turns.Over() {
		rest, err = w.work(&p.Decoder, b)
	}
	if w.partial != p { // it has ended meanwhile
		p.Drop()
		return
	}
	if p.rest = rest; !turn {
		p.rest = bytes.Clone(rest)
	}
	if err != nil || w.heard || p.Idle() && len(rest) == 0 {
		w.forget()
		w.failed(err)
		return
	}
	w.book()
}

// keep keeps a decoder and the bytes behind it for the next turn or read. Being apart from received, it makes the allocation
// only where the decoder is kept.
func (w *WebSocket) keep(d ws.Decoder, rest []byte) {
	w.partial = &partial{Decoder: d, rest: bytes.Clone(rest)}
	w.book()
}

// book tells Hold how many bytes are kept, and stops reading while some of them wait for a turn.
func (w *WebSocket) book() {
	p := w.partial
	if owes := p.owes(); owes != p.halted {
		p.halted = owes
		w.conn.halt(owes)
	}
	held := p.Held() + cap(p.rest)
	w.hold(held - p.held)
	p.held = held
	w.goOn()
}

// forget drops the message under way, and reads on.
func (w *WebSocket) forget() {
	p := w.partial
	w.partial = nil
	p.Drop()
	w.hold(-p.held)
	if p.halted {
		w.conn.halt(false)
	}
}

// goOn asks for a turn if there are bytes to go on with.
func (w *WebSocket) goOn() {
	p := w.partial
	if p == nil || p.waits || !p.owes() || w.paused && w.state == wsOpen && !p.Busy() {
		return
	}
	p.waits = true
	if t := w.options.Turns; t != nil {
		t.Add(w)
	} else {
		w.options.Loop.Post(nextTurn{w})
	}
}

// nextTurn is the turn of a websocket whose loop has none.
//
//weir:loop
type nextTurn struct{ w *WebSocket }

// Run implements base.Task.
func (t nextTurn) Run() { t.w.Turn() }

// Turn implements turns.Taker.
func (w *WebSocket) Turn() bool {
	p := w.partial
	if p == nil {
		return false
	}
	p.waits = false
	w.workPartial(p.rest, true) // asks for the next
	return false
}

// failed closes a connection whose peer broke the protocol.
func (w *WebSocket) failed(err error) {
	if err == nil {
		return
	}
	w.deaf = true
	if w.state != wsOpen { // a closing peer that breaks the rules is not waited for
		w.conn.abort()
		return
	}
	code := ws.InternalError // not reached: frames returns no errors
	if fault, ok := errors.AsType[*ws.Error](err); ok {
		code = fault.Code
	}
	w.close(code, base.CauseTransportError, err)
}

// hold says how many bytes more are kept of an incomplete message.
func (w *WebSocket) hold(n int) {
	if w.options.Hold != nil && n != 0 {
		w.options.Hold(n)
	}
}

// frames takes the decoder's findings. It returns no errors, so that the
// decoder goes on to the peer's close frame whatever became of a message.
//
//weir:loop
type frames struct{ w *WebSocket }

// Message drops what comes after Close: the session is over.
func (f frames) Message(op ws.Opcode, payload []byte) error {
	w := f.w
	if w.state != wsOpen {
		return nil
	}
	w.options.Turns.Spend(turns.Message + turns.Parsed*len(payload))
	if err := w.receiver.Message(payload, op == ws.Binary); err != nil {
		w.dismiss(base.CauseParseError, err)
	}
	return nil
}

func (f frames) Control(op ws.Opcode, payload []byte) error {
	w := f.w
	switch {
	case op == ws.Close:
		w.peerCloses(payload)
	case op == ws.Ping && w.state == wsOpen:
		if n := w.options.Pings; n != nil {
			n.Add(1)
		}
		if w.control == nil {
			w.control = &controls{}
		}
		w.control.frame = ws.AppendFrame(w.control.space[:0], ws.Pong, payload)
		w.receiver.Writable()
	}
	return nil
}

// peerCloses answers a close frame with its own code (RFC 6455 5.5.1), a
// malformed one with the fault's.
func (w *WebSocket) peerCloses(payload []byte) {
	w.heard = true
	if w.state != wsOpen {
		w.sayGoodbye()
		return
	}
	code, _, fault := ws.ParseClose(payload)
	if fault != nil {
		w.close(fault.Code, base.CauseTransportError, fault)
		return
	}
	w.close(code, base.CauseTransportClose, nil)
}

// writable is called by the connection.
func (w *WebSocket) writable() {
	if w.state == wsOpen {
		w.receiver.Writable()
		return
	}
	w.sayGoodbye()
}

// broken reports whether a write has failed: the end is on its way.
func (w *WebSocket) broken() bool { return w.control != nil && w.control.err != nil }

// LastWork bounds what is dealt with of a connection that has ended, in units of turns: all of a read, unless it is
// compressed and holds much more, or thousands of tiny messages.
const LastWork = 2 * turns.Step

// dealWithRest hands over what had been read of a peer that is gone, though reading was paused: who sends and then leaves
// has sent it.
func (w *WebSocket) dealWithRest() {
	p := w.partial
	if p == nil {
		return
	}
	t := w.options.Turns
	for began := t.Spent(); (len(p.rest) > 0 || p.Busy()) && t.Spent()-began < LastWork; {
		before := len(p.rest)
		rest, inflated, err := p.Step(p.rest, frames{w})
		if err != nil || w.state != wsOpen || w.heard || w.partial != p {
			return
		}
		p.rest = rest
		t.Spend(turns.Frame + before - len(rest) + inflated*turns.Inflated)
	}
}

// ended is called by the connection exactly once, last, when the descriptor is closed.
// err is io.EOF if the peer ended it.
func (w *WebSocket) ended(err error) {
	if w.state == wsOpen {
		w.dealWithRest()
	}
	if w.state == wsOpen {
		cause := base.CauseTransportError
		switch {
		case w.broken():
			cause, err = w.control.cause, w.control.err
		case errors.Is(err, io.EOF) || errors.Is(err, ErrClosed):
			cause, err = base.CauseTransportClose, nil
		}
		w.leave(cause, err)
	}
	if w.partial != nil {
		w.forget()
	}
	c := w.control
	w.state, w.control = wsEnded, nil
	w.receiver.Closed(c.cause, c.err)
}
