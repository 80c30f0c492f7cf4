package transport

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/proxy"
	"github.com/streamweir/weir/internal/wire/ws"
)

// maxHead is the longest header of a request in bytes; a longer one is for net/http to refuse.
const maxHead = 16 << 10

// Arrival is a connection of an Intake whose first request asks to become a websocket. It belongs to the loop of its
// poller, where it came. It is ended by exactly one of WebSocket, Refuse and PassOn.
//
// It is an http.ResponseWriter for a refusal: a small response, written and closed by Refuse.
//
//weir:loop
type Arrival struct {
	// Request is the request as it was read. Its context, body and TLS are empty ones.
	Request *http.Request

	intake *intakeLoop
	remote netip.AddrPort
	fd     int
	gen    uint32
	watch  bool   // registered with the poller
	head   []byte // bytes read, the request's header first; may lie in the poller's buffer while Arrive is called
	size   int    // of the header, once it is complete
	moving func(*Arrival)
	over   bool // nobody needs it any more

	unnamed bool // a proxy has to introduce it first
	named   bool // one has: remote is not the other end

	header http.Header
	status int
	body   bytes.Buffer
}

// Loop is the index of the loop it is on.
func (a *Arrival) Loop() int { return a.intake.index }

// Move takes the connection to another loop, where f is called with it. It is not watched meanwhile, and closed
// if that loop ends first.
func (a *Arrival) Move(loop int, f func(*Arrival)) {
	a.intake.leave(a)
	a.head = bytes.Clone(a.head)
	a.intake, a.moving = a.intake.intake.loops[loop], f
	if !a.intake.poller.carry(a.fd) {
		_ = unix.Close(a.fd) // its loop has ended
		return
	}
	a.intake.poller.loop.Post(movedTask{a})
}

// movedTask arrives with a connection on another loop.
//
//weir:loop
type movedTask struct{ a *Arrival }

func (t movedTask) Run() {
	f := t.a.moving
	t.a.moving = nil
	t.a.intake.poller.land(t.a.fd)
	if t.a.intake.closed {
		_ = unix.Close(t.a.fd)
		return
	}
	f(t.a)
}

// WebSocket answers 101 and makes the connection a websocket.
func (a *Arrival) WebSocket(o *WebSocketOptions) *WebSocket {
	w, s := a.become(o)
	s.flushPrefix()
	return w
}

// Greeted is WebSocket for a server that speaks first: the answer goes out with what is written first, or with the end.
func (a *Arrival) Greeted(o *WebSocketOptions) *WebSocket {
	w, _ := a.become(o)
	return w
}

func (a *Arrival) become(o *WebSocketOptions) (*WebSocket, *epollConn) {
	extension, deflates := "", false
	if a.intake.intake.options.Socket.Deflate {
		extension, deflates = ws.AcceptDeflate(a.Request.Header["Sec-Websocket-Extensions"])
	}
	var ahead []byte
	if len(a.head) > a.size {
		ahead = bytes.Clone(a.head[a.size:])
	}
	a.intake.leave(a)
	w, s := newEpollWebSocket(a.intake.poller, a.fd, o)
	s.edge = s.poller.takeEdge()
	s.edge.ahead = ahead
	s.edge.prefix = switching{
		key:       a.Request.Header.Get("Sec-WebSocket-Key"),
		extension: extension,
		protocol:  ws.Subprotocol(a.Request.Header["Sec-Websocket-Protocol"]),
	}.append(s.edge.prefix)
	w.deflates = deflates
	a.over = true
	return w, s
}

// PassOn gives the connection to the intake's net/http server with what was read of it.
func (a *Arrival) PassOn() {
	a.intake.leave(a)
	var said netip.AddrPort
	if a.named {
		said = a.remote
	}
	a.intake.intake.passOn(a.fd, a.head, said)
	a.over = true
}

// Header, WriteHeader and Write make the response of a refusal.

// Header implements http.ResponseWriter.
func (a *Arrival) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *Arrival) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *Arrival) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Refuse writes the response made so far and closes. A client that does not take it at once goes without.
func (a *Arrival) Refuse() {
	h := a.Header()
	h.Set("Connection", "close")
	h.Set("Content-Length", strconv.Itoa(a.body.Len()))
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %03d %s\r\n", a.status, http.StatusText(a.status))
	_ = h.Write(&out) // a bytes.Buffer does not fail
	out.WriteString("\r\n")
	_, _ = a.body.WriteTo(&out)
	a.intake.leave(a)
	_, _ = sendNow(a.fd, out.Bytes())
	_ = unix.Shutdown(a.fd, unix.SHUT_WR) // a close with bytes unread would reset, and the answer be lost
	_ = unix.Close(a.fd)
	a.over = true
}

// ready implements watcher: bytes of the header have come.
func (a *Arrival) ready(uint32) { a.read() }

// read takes what has come: of an introduction first, where a proxy has to make one, and then of the request's header.
func (a *Arrival) read() {
	buf := a.intake.poller.buf
	n, errno := readNow(a.fd, buf)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		a.await()
	case n == 0: // an error, or the end
		a.drop()
	case a.unnamed:
		a.introduced(buf[:n])
	default:
		a.take(buf[:n])
	}
}

// introduced takes what has come while a proxy has not said yet for whom it speaks.
func (a *Arrival) introduced(came []byte) {
	if len(a.head) > 0 {
		came = append(a.head, came...)
	}
	h, err := proxy.ParseHeader(came)
	switch {
	case errors.Is(err, proxy.ErrShort):
		a.head = bytes.Clone(came) // the next read may be another connection's
		a.await()
		return
	case err != nil:
		a.intake.intake.options.Proxy.Refused(a.remote.Addr(), err)
		a.reject(notProxied)
		return
	}
	a.unnamed, a.head = false, nil
	if h.Source.IsValid() {
		a.remote, a.named = h.Source, true
	}
	if rest := came[h.Size:]; len(rest) > 0 {
		a.take(rest)
		return
	}
	a.await()
}

// take takes what has come of the request's header, which may lie in the poller's buffer:
//
//	nothing yet, or empty lines     await more
//	what cannot be a request        reject: an answer, and the end
//	a part                          keep it, await more; too long, or with bare line feeds: net/http's
//	a whole header, and perhaps     arrived: it is parsed, and the application's
//	  what follows it
func (a *Arrival) take(came []byte) {
	from := max(0, len(a.head)-len(headEnd)+1) // the end of the header may lie in two reads
	first := len(a.head) == 0
	if first {
		head := came[emptyLines(came):]
		switch {
		case len(head) == 0:
			a.await()
			return
		case !isTokenByte(head[0]):
			a.reject([]byte(notHTTP))
			return
		}
		a.head = head // it stays in the poller's buffer, as nearly every header comes in one read
	} else {
		a.head = append(a.head, came...)
	}
	if end := bytes.Index(a.head[from:], headEnd); end >= 0 {
		a.size = from + end + len(headEnd)
		a.arrived()
		return
	}
	bare := endsBare(a.head[from:])
	if first {
		a.head = bytes.Clone(a.head) // the next read may be another connection's
	}
	if len(a.head) > maxHead || bare {
		a.PassOn()
		return
	}
	a.await()
}

// reject ends a connection that speaks something else than it should, with an answer.
func (a *Arrival) reject(answer []byte) {
	_, _ = sendNow(a.fd, answer)
	_ = unix.Shutdown(a.fd, unix.SHUT_WR)
	a.drop()
}

// endsBare reports whether a header ends in b with a line feed alone, which net/http takes.
func endsBare(b []byte) bool {
	return bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\n\r\n"))
}

// arrived is called with a complete header.
func (a *Arrival) arrived() {
	l := a.intake
	f := l.fields()
	if a.size <= maxHead {
		a.Request = parseUpgrade(a.head[:a.size], a.remote, f)
	}
	if a.Request == nil {
		a.PassOn()
		l.spare = f
		return
	}
	keep := l.intake.options.Keep
	l.poller.turns.Spend(turns.Handshake)
	l.intake.options.Arrive(a)
	if a.intake == l && keep != nil && !keep() { // it did not move on with its request
		l.spare = f
	}
}

// await has the poller watch for the rest of the header, until the intake's time for it is over.
func (a *Arrival) await() {
	if a.watch {
		return
	}
	p := a.intake.poller
	gen, err := p.register(a.fd, a, unix.EPOLLIN)
	if err != nil {
		a.drop()
		return
	}
	a.watch, a.gen = true, gen
	a.intake.heads.add(p.now(), a.fd, gen)
}

func (a *Arrival) drop() {
	a.intake.leave(a)
	_ = unix.Close(a.fd)
	a.over = true
}
