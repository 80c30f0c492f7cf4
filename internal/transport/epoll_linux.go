package transport

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// epollStream is the epoll driver's stream: a descriptor and a few bits. What it has to report from inside a method of
// its own (bytes that came with the handshake, the end after abort) it tells in the poller's next Dispatch.
type epollStream struct {
	poller *Poller
	sink   sink
	ahead  []byte // read with the handshake, until start has reported it
	prefix []byte // the handshake's answer, until the first write takes it along
	err    error  // why it ended
	fd     int32  // -1 once closed
	mask   uint32 // what the poller watches it for
	state  epollState
}

type epollState uint8

const (
	epollPaused   epollState = 1 << iota
	epollBlocked             // the kernel takes no bytes
	epollDraining            // finish was called
	epollTelling             // report will be called
	epollStarted
)

// hangup is what the kernel reports whether it was asked for or not.
const hangup = unix.EPOLLHUP | unix.EPOLLERR

func newEpollStream(p *Poller, fd int, ahead []byte) *epollStream {
	return &epollStream{poller: p, fd: int32(fd), ahead: ahead}
}

func (s *epollStream) is(f epollState) bool { return s.state&f != 0 }

func (s *epollStream) start(to sink) {
	s.sink = to
	s.state |= epollStarted
	s.mask = s.wanted()
	if _, err := s.poller.register(int(s.fd), s, s.mask); err != nil {
		_ = unix.Close(int(s.fd))
		s.fd, s.err = -1, err
	}
	if s.fd < 0 || len(s.ahead) > 0 {
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
	ahead := s.ahead
	s.ahead = nil
	if s.fd >= 0 && len(ahead) > 0 {
		s.sink.received(ahead)
		return // if that ended the stream, it is told in a turn of its own
	}
	if s.fd < 0 {
		s.sink.ended(s.err)
	}
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

func (s *epollStream) rearm() {
	if want := s.wanted(); want != s.mask && s.fd >= 0 && s.is(epollStarted) {
		s.mask = want
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
	reading := s.mask&unix.EPOLLIN != 0
	switch {
	case reading && mask&(unix.EPOLLIN|hangup) != 0:
		s.read()
	case mask&hangup != 0:
		s.end(s.socketError())
	}
	if s.fd >= 0 && mask&unix.EPOLLOUT != 0 && s.is(epollBlocked) {
		s.state &^= epollBlocked
		s.rearm()
		s.sink.writable()
	}
}

func (s *epollStream) read() {
	buf := s.poller.buf
	n, err := unix.Read(int(s.fd), buf)
	switch {
	case n > 0:
		s.sink.received(buf[:n])
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil:
		s.end(os.NewSyscallError("read", err))
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
	s.sink.ended(err)
}

func (s *epollStream) shut(err error) {
	fd := int(s.fd)
	s.flushPrefix()
	s.fd, s.err = -1, err
	if s.is(epollStarted) {
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
	if s.is(epollStarted) {
		s.tell()
	}
}

func (s *epollStream) pause() {
	s.state |= epollPaused
	s.rearm()
}

func (s *epollStream) resume() {
	s.state &^= epollPaused
	s.rearm()
}

// finish reads on until the poller's linger time is over, which is the one all websockets have.
func (s *epollStream) finish(linger time.Duration) {
	if s.fd < 0 || s.is(epollDraining) {
		return
	}
	s.state |= epollDraining
	s.rearm()
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
	if s.prefix != nil {
		return s.writeFirst(p)
	}
	n, err := sendNow(int(s.fd), p)
	if err == nil && n < len(p) {
		s.state |= epollBlocked
		s.rearm()
	}
	return n, err
}

// flushPrefix sends the handshake's answer by itself. A new socket takes it, or has ended, which its first read says.
func (s *epollStream) flushPrefix() {
	if s.prefix != nil {
		_, _ = sendNow(int(s.fd), s.prefix)
		s.prefix = nil
	}
}

// writeFirst sends the handshake's answer together with p: a send costs the same whatever it carries.
func (s *epollStream) writeFirst(p []byte) (int, error) {
	whole := append(append(s.poller.buf[:0], s.prefix...), p...)
	sent, err := sendNow(int(s.fd), whole)
	n := sent - len(s.prefix)
	switch {
	case err != nil:
		return 0, err
	case n < 0: // a new socket takes that much, or has ended
		return 0, fmt.Errorf("answer websocket handshake: %d of %d bytes taken", sent, len(s.prefix))
	case n < len(p):
		s.state |= epollBlocked
		s.rearm()
	}
	s.prefix = nil
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

// adopt gives a connection of net/http to the loop's poller. It is not the driver's then: its session ends it.
func (d *Driver) adopt(conn net.Conn, buffered []byte, o WebSocketOptions) (*WebSocket, error) {
	remote := conn.RemoteAddr()
	fd, err := adopt(conn)
	if err != nil {
		return nil, fmt.Errorf("take over websocket of %v: %w", remote, err)
	}
	return newWebSocket(newEpollStream(o.Poller, fd, buffered), o), nil
}
