package transport

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// epollStream is the epoll driver's stream: a descriptor and a few bits. What it has to report from inside a method of
// its own (bytes that came with the handshake, the end after abort) it tells in the poller's next Dispatch.
type epollStream struct {
	poller *Poller
	socket *WebSocket  // nil before start
	brief  *epollBrief // nil most of the time
	fd     int32       // -1 once closed
	state  epollState
}

// epollBrief is what a stream has at its beginning and its end.
type epollBrief struct {
	prefix []byte // the handshake's answer, until the first write takes it along
	ahead  []byte // read with the handshake, until report has told it
	err    error  // why it ended
}

type epollState uint8

const (
	epollPaused   epollState = 1 << iota
	epollBlocked             // the kernel takes no bytes
	epollDraining            // finish was called
	epollTelling             // report will be called
)

// hangup is what the kernel reports whether it was asked for or not.
const hangup = unix.EPOLLHUP | unix.EPOLLERR

func newEpollStream(p *Poller, fd int) *epollStream { return &epollStream{poller: p, fd: int32(fd)} }

func (s *epollStream) is(f epollState) bool { return s.state&f != 0 }

func (s *epollStream) started() bool { return s.socket != nil }

func (s *epollStream) start(to *WebSocket) {
	s.socket = to
	if _, err := s.poller.register(int(s.fd), s, s.wanted()); err != nil {
		_ = unix.Close(int(s.fd))
		s.fd, s.brief = -1, &epollBrief{err: err}
	}
	if s.brief != nil && (s.fd < 0 || len(s.brief.ahead) > 0) {
		s.tell()
	}
}

func (s *epollStream) tell() {
	if !s.is(epollTelling) {
		s.state |= epollTelling
		s.poller.tell(s)
	}
}

// report implements reporter.
func (s *epollStream) report() {
	if !s.is(epollTelling) {
		return // told before its turn came
	}
	s.state &^= epollTelling
	if s.fd < 0 {
		s.socket.ended(s.brief.err)
		return
	}
	ahead := s.brief.ahead
	if s.brief.ahead = nil; s.brief.prefix == nil {
		s.brief = nil
	}
	s.socket.received(ahead) // if that ends the stream, it is told in a turn of its own
}

// wanted is what the descriptor should be watched for now: output only while something waits for it.
func (s *epollStream) wanted() (mask uint32) {
	if !s.is(epollPaused) || s.is(epollDraining) {
		mask |= unix.EPOLLIN
	}
	if s.is(epollBlocked) {
		mask |= unix.EPOLLOUT
	}
	return mask
}

// change sets and clears bits, and has the poller watch for what is wanted then.
func (s *epollStream) change(set, clear epollState) {
	before := s.wanted()
	s.state = s.state&^clear | set
	if want := s.wanted(); want != before && s.fd >= 0 && s.started() {
		s.poller.watch(int(s.fd), want)
	}
}

// ready implements watcher. A connection that is not read is ended when both its directions have: the kernel would
// report that for ever.
func (s *epollStream) ready(mask uint32) {
	s.report() // what came with the handshake was before what comes now
	if s.fd < 0 {
		return
	}
	reading := s.wanted()&unix.EPOLLIN != 0
	switch {
	case reading && mask&(unix.EPOLLIN|hangup) != 0:
		s.read()
	case mask&hangup != 0:
		s.end(s.socketError())
	}
	if s.fd >= 0 && mask&unix.EPOLLOUT != 0 && s.is(epollBlocked) {
		s.change(0, epollBlocked)
		s.socket.writable()
	}
}

func (s *epollStream) read() {
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

func (s *epollStream) socketError() error {
	code, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code == 0 {
		return io.EOF
	}
	return os.NewSyscallError("read", unix.Errno(code))
}

// end closes the descriptor and reports; it is called from Dispatch only.
func (s *epollStream) end(err error) {
	if s.fd < 0 {
		return
	}
	s.shut(err)
	s.socket.ended(err)
}

func (s *epollStream) shut(err error) {
	fd := int(s.fd)
	s.flushPrefix()
	s.fd, s.brief = -1, &epollBrief{err: err}
	if s.started() {
		s.poller.forget(fd)
	} else {
		_ = unix.Close(fd)
	}
}

func (s *epollStream) abort() {
	if s.fd < 0 {
		return
	}
	s.shut(ErrClosed)
	if s.started() {
		s.tell()
	}
}

func (s *epollStream) pause()  { s.change(epollPaused, 0) }
func (s *epollStream) resume() { s.change(0, epollPaused) }

// finish reads on until the poller's linger time is over, which is the one all websockets have.
func (s *epollStream) finish(linger time.Duration) {
	if s.fd < 0 || s.is(epollDraining) {
		return
	}
	s.change(epollDraining, 0)
	p := s.poller
	p.linger.after = int64(linger)
	p.linger.add(p.now(), int(s.fd), p.table[s.fd].gen)
}

func (s *epollStream) window() int {
	if s.fd < 0 || s.is(epollBlocked) {
		return 0
	}
	return windowSize
}

func (s *epollStream) write(p []byte) (int, error) {
	if s.window() == 0 || len(p) == 0 {
		return 0, nil
	}
	if prefix := s.takePrefix(); prefix != nil {
		return s.writeFirst(prefix, p)
	}
	n, err := sendNow(int(s.fd), p)
	if err == nil && n < len(p) {
		s.change(epollBlocked, 0)
	}
	return n, err
}

// takePrefix returns the handshake's answer once, nil after that.
func (s *epollStream) takePrefix() []byte {
	if s.brief == nil {
		return nil
	}
	prefix := s.brief.prefix
	if s.brief.prefix = nil; s.brief.ahead == nil {
		s.brief = nil
	}
	return prefix
}

// flushPrefix sends the handshake's answer by itself. A new socket takes it, or has ended, which its first read says.
func (s *epollStream) flushPrefix() {
	if prefix := s.takePrefix(); prefix != nil {
		_, _ = sendNow(int(s.fd), prefix)
	}
}

// writeFirst sends the handshake's answer together with p: a send costs the same whatever it carries.
func (s *epollStream) writeFirst(prefix, p []byte) (int, error) {
	whole := slices.Concat(prefix, p)
	sent, err := sendNow(int(s.fd), whole)
	n := sent - len(prefix)
	switch {
	case err != nil:
		return 0, err
	case n < 0: // a new socket takes that much, or has ended
		return 0, fmt.Errorf("answer websocket handshake: %d of %d bytes taken", sent, len(prefix))
	case n < len(p):
		s.change(epollBlocked, 0)
	}
	return n, nil
}

func (s *epollStream) kernel() (Kernel, bool) {
	if s.fd < 0 {
		return Kernel{}, false
	}
	k, err := kernelOf(int(s.fd))
	return k, err == nil
}

func (s *epollStream) progress() Progress {
	k, ok := s.kernel()
	if !ok {
		return Progress{}
	}
	return Progress{Given: k.sent + int64(k.NotSent), Left: k.sent, Taken: k.acked}
}

// adopt gives a connection of net/http to a poller; any goroutine may call it.
func adopt(u Upgraded, p *Poller) (stream, error) {
	fd, err := takeDescriptor(u.Conn)
	if err != nil {
		return nil, err
	}
	s := newEpollStream(p, fd)
	if len(u.Ahead) > 0 {
		s.brief = &epollBrief{ahead: u.Ahead}
	}
	return s, nil
}
