package swarm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// endpoint is the server's address as the kernel takes it.
type endpoint struct {
	family int
	addr   unix.Sockaddr
	ip     net.IP
}

// resolve looks an address up, once for all clients.
func resolve(hostport string) (*endpoint, error) {
	a, err := net.ResolveTCPAddr("tcp", hostport)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", hostport, err)
	}
	if v4 := a.IP.To4(); v4 != nil {
		return &endpoint{family: unix.AF_INET, addr: &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(v4)}, ip: v4}, nil
	}
	to := &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
	if a.Zone != "" {
		zone, err := net.InterfaceByName(a.Zone)
		if err != nil {
			return nil, fmt.Errorf("zone of %s: %w", hostport, err)
		}
		to.ZoneId = uint32(zone.Index)
	}
	return &endpoint{family: unix.AF_INET6, addr: to, ip: a.IP}, nil
}

// loopback reports whether clients may come from any of 127.0.0.0/8.
func (e *endpoint) loopback() bool { return e.family == unix.AF_INET && e.ip.IsLoopback() }

// connect begins a connection from 127.0.0.source, or from where the system likes for 0. connected says that it was
// made at once, which is usual on loopback.
func (e *endpoint) connect(source, receiveBuffer int) (fd int, connected bool, err error) {
	fd, err = unix.Socket(e.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, false, os.NewSyscallError("socket", err)
	}
	if err := e.prepare(fd, source, receiveBuffer); err != nil {
		_ = unix.Close(fd) // it was never used
		return -1, false, err
	}
	err = unix.Connect(fd, e.addr)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd) // it was never used
		return -1, false, os.NewSyscallError("connect", err)
	}
	return fd, err == nil, nil
}

// prepare sets what has to be set before connect(): a receive buffer, because the window is offered then, and the
// source without a port, so that the kernel can pick one by the whole 4-tuple.
func (e *endpoint) prepare(fd, source, receiveBuffer int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if receiveBuffer > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if source == 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
	}
	from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(source)}}
	return os.NewSyscallError("bind", unix.Bind(fd, &from))
}

// pendingError is what has become of a connection: nil if nothing is wrong.
func pendingError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	}
	if n == 0 {
		return nil
	}
	return os.NewSyscallError("connect", unix.Errno(n))
}

// readSocket returns 0 and no error if nothing has come; the end of the stream is io.EOF.
func readSocket(fd int, b []byte) (int, error) {
	n, err := unix.Read(fd, b)
	switch {
	case n > 0:
		return n, nil
	case err == nil:
		return 0, io.EOF
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, nil
	}
	return 0, os.NewSyscallError("read", err)
}

// writeSocket returns how much the kernel took, which may be nothing.
func writeSocket(fd int, b []byte) (int, error) {
	n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return 0, os.NewSyscallError("sendmsg", err)
}

func closeSocket(fd int) { _ = unix.Close(fd) } // what is unsent is nobody's any more

// resetSocket closes without a word: the server gets a RST.
func resetSocket(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // without it: a FIN
	closeSocket(fd)
}

// kernelReasons are the names of what the kernel says no with.
var kernelReasons = map[unix.Errno]string{
	unix.ECONNREFUSED:  "refused",
	unix.ECONNRESET:    "reset",
	unix.EPIPE:         "reset", // a write after the RST was seen
	unix.ECONNABORTED:  "reset",
	unix.ETIMEDOUT:     "timeout",
	unix.EADDRNOTAVAIL: "address_in_use", // every port of the source address is taken
	unix.EADDRINUSE:    "address_in_use",
	unix.EMFILE:        "descriptors",
	unix.ENFILE:        "descriptors",
	unix.ENETUNREACH:   "unreachable",
	unix.EHOSTUNREACH:  "unreachable",
	unix.ENOBUFS:       "kernel_memory",
	unix.ENOMEM:        "kernel_memory",
	unix.EACCES:        "forbidden_by_kernel",
	unix.EPERM:         "forbidden_by_kernel",
}

// kernelReason names an error of a system call; "" for any other error.
func kernelReason(err error) string {
	var number unix.Errno
	if !errors.As(err, &number) {
		return ""
	}
	if name, ok := kernelReasons[number]; ok {
		return name
	}
	return unix.ErrnoName(number)
}
