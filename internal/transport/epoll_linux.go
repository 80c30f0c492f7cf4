package transport

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// epollConn is the epoll driver's connection: a descriptor and a few bits. What it has to report from inside a method of
// its own (bytes that came with the handshake, the end after abort) it tells in the poller's next Dispatch.
//
//weir:loop
type epollConn struct {
	poller *Poller
	socket *WebSocket // nil before start
	edge   *epollEdge // nil most of the time
	fd     int32      // -1 once closed
	state  epollState
}

// epollEdge is what a connection has at its beginning and its end.
type epollEdge struct {
	prefix []byte // the handshake's answer, until the first write takes it along
	ahead  []byte // read with the handshake, until report has told it
	err    error  // why it ended
}

// takeEdge returns an empty one, whose prefix has room.
func (p *Poller) takeEdge() *epollEdge {
	last := len(p.edges) - 1
	if last < 0 {
		return &epollEdge{prefix: make([]byte, 0, 256)}
	}
	b := p.edges[last]
	p.edges = p.edges[:last]
	return b
}

// keepEdges is how many are kept for the next connections: those of one turn.
const keepEdges = acceptSlice

// epollWebSocket is a websocket of the epoll driver with its connection: one object, as there are so many.
type epollWebSocket struct {
	WebSocket
	conn epollConn
}

func newEpollWebSocket(p *Poller, fd int, o *WebSocketOptions) (*WebSocket, *epollConn) {
	s := &epollWebSocket{conn: epollConn{poller: p, fd: int32(fd)}}
	s.WebSocket = WebSocket{conn: &s.conn, options: o, lastRead: o.Now()}
	return &s.WebSocket, &s.conn
}

type epollState uint8

const (
	epollPaused   epollState = 1 << iota
	epollBlocked             // the kernel takes no bytes
	epollDraining            // finish was called
	epollTelling             // report will be called
	epollHalted              // what was read comes first
	epollHung                // and both directions have ended meanwhile
	epollCarried             // on its way to the loop: the poller closes the descriptor if it does not come
)

// hangup is what the kernel reports whether it was asked for or not.
const hangup = unix.EPOLLHUP | unix.EPOLLERR

func newEpollConn(p *Poller, fd int) *epollConn { return &epollConn{poller: p, fd: int32(fd)} }

func (s *epollConn) is(f epollState) bool { return s.state&f != 0 }

func (s *epollConn) started() bool { return s.socket != nil }

func (s *epollConn) start(to *WebSocket) {
	s.socket = to
	s.landed()
	if _, err := s.poller.register(int(s.fd), s, s.wanted()); err != nil {
		_ = unix.Close(int(s.fd))
		s.fd, s.edge = -1, &epollEdge{err: err}
	}
	if s.edge != nil && (s.fd < 0 || len(s.edge.ahead) > 0) {
		s.tell()
	}
}

// landed ends the way of a descriptor that was carried; false means that it is closed.
func (s *epollConn) landed() bool {
	if !s.is(epollCarried) {
		return true
	}
	s.state &^= epollCarried
	return s.poller.land(int(s.fd))
}

func (s *epollConn) tell() {
	if !s.is(epollTelling) {
		s.state |= epollTelling
		s.poller.tell(s)
	}
}

// report implements reporter: it tells the websocket, from Dispatch, what could not be told from inside a method.
//
//	bytes that came with the handshake ── start ──┐
//	the end, by abort or a failed start ──────────┴─ tell ──> epollTelling ──> report ──> received, or ended
func (s *epollConn) report() {
	if !s.is(epollTelling) {
		return // told before its turn came
	}
	s.state &^= epollTelling
	if s.fd < 0 {
		s.socket.ended(s.edge.err)
		return
	}
	ahead := s.edge.ahead
	s.edge.ahead = nil
	s.dropEdge()
	s.socket.received(ahead) // if that ends the connection, it is told in a turn of its own
}

// wanted is what the descriptor should be watched for now: output only while something waits for it.
func (s *epollConn) wanted() (mask uint32) {
	switch {
	case s.is(epollHung):
		return unix.EPOLLET // told once, not for ever
	case s.reads() && !s.is(epollHalted):
		mask |= unix.EPOLLIN
	}
	if s.is(epollBlocked) {
		mask |= unix.EPOLLOUT
	}
	return mask
}

// reads reports whether the session wants more.
func (s *epollConn) reads() bool { return !s.is(epollPaused) || s.is(epollDraining) }

// change sets and clears bits, and has the poller watch for what is wanted then.
func (s *epollConn) change(set, clear epollState) {
	before := s.wanted()
	s.state = s.state&^clear | set
	if want := s.wanted(); want != before && s.fd >= 0 && s.started() {
		s.poller.watch(int(s.fd), want)
	}
}

// ready implements watcher. What the kernel reports, and what is done:
//
//	input or a hangup, and it is read      read, which finds bytes or the end
//	a hangup, and it is halted only        hung: it is watched for nothing more, and ends when what was read is dealt with
//	a hangup, and the session has paused   the end: the kernel would report that both directions have ended for ever
//	room for output, and it was blocked    the websocket may write
func (s *epollConn) ready(mask uint32) {
	s.report() // what came with the handshake was before what comes now
	if s.fd < 0 {
		return
	}
	reading := s.wanted()&unix.EPOLLIN != 0
	switch {
	case reading && mask&(unix.EPOLLIN|hangup) != 0:
		s.read()
	case mask&hangup != 0 && s.is(epollHalted) && s.reads():
		s.change(epollHung, 0) // it ends when what was read is dealt with
	case mask&hangup != 0:
		s.end(s.socketError())
	}
	if s.fd >= 0 && mask&unix.EPOLLOUT != 0 && s.is(epollBlocked) {
		s.change(0, epollBlocked)
		s.socket.writable()
	}
}

func (s *epollConn) read() {
	buf := s.poller.buf
	n, errno := readNow(int(s.fd), buf)
	switch {
	case n > 0:
		s.socket.received(buf[:n])
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		s.end(os.NewSyscallError("read", errno))
	default:
		s.end(io.EOF)
	}
}

func (s *epollConn) socketError() error {
	code, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code == 0 {
		return io.EOF
	}
	return os.NewSyscallError("read", unix.Errno(code))
}

// end closes the descriptor and reports; it is called from Dispatch only.
func (s *epollConn) end(err error) {
	if s.fd < 0 {
		return
	}
	s.shut(err)
	s.socket.ended(err)
}

func (s *epollConn) shut(err error) {
	fd := int(s.fd)
	s.flushPrefix()
	landed := s.landed()
	s.fd, s.edge = -1, &epollEdge{err: err}
	switch {
	case s.started():
		s.poller.forget(fd)
	case landed:
		_ = unix.Close(fd)
	}
}

func (s *epollConn) abort() {
	if s.fd < 0 {
		return
	}
	s.shut(ErrClosed)
	if s.started() {
		s.tell()
	}
}

func (s *epollConn) halt(on bool) {
	if on {
		s.change(epollHalted, 0)
	} else {
		s.change(0, epollHalted|epollHung)
	}
}

func (s *epollConn) pause()  { s.change(epollPaused, 0) }
func (s *epollConn) resume() { s.change(0, epollPaused) }

// finish reads on until its time is over, of which all websockets have the same two.
func (s *epollConn) finish(linger time.Duration) {
	if s.fd < 0 || s.is(epollDraining) {
		return
	}
	s.change(epollDraining, 0)
	p := s.poller
	q := &p.linger
	if linger < lingerTime {
		q = &p.drain
	}
	q.after = int64(linger)
	q.add(p.now(), int(s.fd), p.table.at(int(s.fd)).gen)
}

func (s *epollConn) shutdown() {
	if s.fd >= 0 {
		_ = unix.Shutdown(int(s.fd), unix.SHUT_WR) // it has ended, which a read says
	}
}

func (s *epollConn) window() int {
	if s.fd < 0 || s.is(epollBlocked) {
		return 0
	}
	return windowSize
}

func (s *epollConn) write(p []byte) (int, error) {
	if s.window() == 0 || len(p) == 0 {
		return 0, nil
	}
	if s.greets() {
		return s.writeFirst(p)
	}
	n, err := sendNow(int(s.fd), p)
	if err == nil && n < len(p) {
		s.change(epollBlocked, 0)
	}
	return n, err
}

// greets reports whether the handshake's answer is still to be sent.
func (s *epollConn) greets() bool { return s.edge != nil && len(s.edge.prefix) > 0 }

// dropEdge lets go of what there is no more need of.
func (s *epollConn) dropEdge() {
	b := s.edge
	if len(b.prefix) > 0 || len(b.ahead) > 0 || b.err != nil {
		return
	}
	s.edge = nil
	if p := s.poller; cap(b.prefix) > 0 && len(p.edges) < keepEdges {
		p.edges = append(p.edges, b)
	}
}

// flushPrefix sends the handshake's answer by itself. A new socket takes it, or has ended, which its first read says.
func (s *epollConn) flushPrefix() {
	if s.greets() {
		_, _ = sendNow(int(s.fd), s.edge.prefix)
		s.edge.prefix = s.edge.prefix[:0]
		s.dropEdge()
	}
}

// writeFirst sends the handshake's answer together with p: a send costs the same whatever it carries.
func (s *epollConn) writeFirst(p []byte) (int, error) {
	before := len(s.edge.prefix)
	b := s.edge
	b.prefix = append(b.prefix, p...)
	sent, err := sendNow(int(s.fd), b.prefix)
	if b.prefix = b.prefix[:0]; cap(b.prefix) > keepPrefix {
		b.prefix = nil
	}
	s.dropEdge()
	n := sent - before
	switch {
	case err != nil:
		return 0, err
	case n < 0: // a new socket takes that much, or has ended
		return 0, fmt.Errorf("answer websocket handshake: %d of %d bytes taken", sent, before+len(p))
	case n < len(p):
		s.change(epollBlocked, 0)
	}
	return n, nil
}

// keepPrefix is how much room an edge keeps for the next connection.
const keepPrefix = 4 << 10

func (s *epollConn) kernel() (Kernel, bool) {
	if s.fd < 0 {
		return Kernel{}, false
	}
	k, err := kernelOf(int(s.fd))
	return k, err == nil
}

func (s *epollConn) progress() Progress {
	k, ok := s.kernel()
	if !ok {
		return Progress{}
	}
	return Progress{Given: k.sent + int64(k.NotSent), Left: k.sent, Taken: k.acked}
}

// adopt gives a connection of net/http to a poller; any goroutine may call it.
func adopt(u Upgraded, p *Poller) (conn, error) {
	fd, err := takeDescriptor(u.Conn)
	if err != nil {
		return nil, err
	}
	if !p.carry(fd) {
		_ = unix.Close(fd)
		return nil, ErrClosed
	}
	s := newEpollConn(p, fd)
	s.state = epollCarried
	if len(u.Ahead) > 0 {
		s.edge = &epollEdge{ahead: u.Ahead}
	}
	return s, nil
}
