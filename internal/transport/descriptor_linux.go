package transport

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket reads, writes and asks the descriptor of a TCP connection directly. It
// goes through syscall.RawConn, which keeps the descriptor from being closed,
// and its number from being used again, during each call.
//
// send and the questions use Control: it takes no lock, so they never wait for
// the reader or for awaitClear.
type descriptor struct {
	raw syscall.RawConn

	// The reader's: arguments and results of onRead, which is made once.
	onRead func(fd uintptr) bool
	size   int
	in     *buffer
	inErr  error

	// The loop's: the same for onSend (BenchmarkWebSocketWrite: no allocation).
	onSend func(fd uintptr)
	out    []byte
	sent   int
	outErr error
}

// newSocket returns nil for connections that are not TCP.
func newDescriptor(conn net.Conn) *descriptor {
	tcp := tcpOf(conn)
	if tcp == nil {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // closed already: the first read says so
	}
	s := &descriptor{raw: raw}
	s.onRead, s.onSend = s.readNow, s.sendNow
	return s
}

// read waits until bytes have come and returns up to size of them. It holds no
// buffer while it waits. An ended connection is io.EOF.
func (s *descriptor) read(size int) (*buffer, error) {
	s.size = size
	if err := s.raw.Read(s.onRead); err != nil {
		return nil, err
	}
	b, err := s.in, s.inErr
	s.in, s.inErr = nil, nil
	return b, err
}

// readNow returns false if nothing has come.
func (s *descriptor) readNow(fd uintptr) bool {
	b := takeBuffer(s.size)
	n, err := unix.Read(int(fd), b.data)
	for err == unix.EINTR {
		n, err = unix.Read(int(fd), b.data)
	}
	if n > 0 {
		b.data = b.data[:n]
		s.in = b
		return true
	}
	b.release()
	if err == unix.EAGAIN {
		return false
	}
	s.inErr = io.EOF
	if err != nil {
		s.inErr = os.NewSyscallError("read", err)
	}
	return true
}

// send hands bytes to the kernel; n is how many it took, 0 if its buffer is full.
func (s *descriptor) send(p []byte) (n int, err error) {
	s.out, s.sent, s.outErr = p, 0, nil
	if err := s.raw.Control(s.onSend); err != nil {
		s.out = nil
		return 0, err
	}
	s.out = nil
	return s.sent, s.outErr
}

func (s *descriptor) sendNow(fd uintptr) { s.sent, s.outErr = sendNow(int(fd), s.out) }

// sendNow hands p to the kernel, which takes n bytes of it; 0 if its buffer is full.
//
// It is a raw call: it never blocks, and Go's scheduler, told of it, would give the loop's processor away and back
// (bench rows one-per-send, fanout-1000).
func sendNow(fd int, p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("sendto", errno)
		}
	}
}

// readNow takes what a socket that does not block has, up to len(p) bytes, which is not 0. It is a raw call as sendNow is.
func readNow(fd int, p []byte) (n int, errno unix.Errno) {
	got, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(got), 0
}

// awaitClear waits until the socket takes bytes or can take none ever again. It
// holds Go's write lock on the descriptor, which nothing else here takes.
func (s *descriptor) awaitClear() {
	// An error is a deadline or the end of the connection; the reader meets it too.
	_ = s.raw.Write(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(p, 0)
		return n > 0 || (err != nil && err != unix.EINTR)
	})
}

func (s *descriptor) kernel() (k Kernel, err error) {
	if closed := s.raw.Control(func(fd uintptr) { k, err = kernelOf(int(fd)) }); closed != nil {
		return Kernel{}, closed
	}
	return k, err
}

// kernelOf asks for TCP_INFO, one consistent answer.
func kernelOf(fd int) (k Kernel, err error) {
	var info unix.TCPInfo
	if err := tcpInfo(fd, &info); err != nil {
		return Kernel{}, os.NewSyscallError("getsockopt TCP_INFO", err)
	}
	k = Kernel{
		RTT:         time.Duration(info.Rtt) * time.Microsecond,
		Retransmits: int(info.Total_retrans),
		NotSent:     int(info.Notsent_bytes),
		sent:        int64(info.Bytes_sent - info.Bytes_retrans),
		acked:       int64(info.Bytes_acked),
	}
	k.Unsent = int(k.sent-k.acked) + k.NotSent
	return k, nil
}

// Tune sets the options on the TCP connection in conn, also inside TLS; other
// connections have none. Any goroutine may call it.
func (o TCPOptions) Tune(conn net.Conn) error {
	tcp := tcpOf(conn)
	if tcp == nil {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("tune %v: %w", conn.RemoteAddr(), err)
	}
	var failed error
	set := func(fd uintptr, name string, option, value int) {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value); err != nil && failed == nil {
			failed = fmt.Errorf("set %s to %d: %w", name, value, err)
		}
	}
	err = raw.Control(func(fd uintptr) {
		set(fd, "TCP_NODELAY", unix.TCP_NODELAY, 1)
		if o.NotSentLowat > 0 {
			set(fd, "TCP_NOTSENT_LOWAT", unix.TCP_NOTSENT_LOWAT, o.NotSentLowat)
		}
		if o.UserTimeout > 0 {
			set(fd, "TCP_USER_TIMEOUT", unix.TCP_USER_TIMEOUT, o.userTimeout())
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("tune %v: %w", conn.RemoteAddr(), err)
	}
	return nil
}

// tcpInfo is unix.GetsockoptTCPInfo without its allocation: every heartbeat asks.
func tcpInfo(fd int, info *unix.TCPInfo) error {
	size := uint32(unsafe.Sizeof(*info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
