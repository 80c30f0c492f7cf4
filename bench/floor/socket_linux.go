package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const backlog = 4096

// perSource is how many connections come from one loopback address: it has some 28,000 ports.
const perSource = 20_000

// listen opens a port of loopback that the kernel chooses.
func listen() (fd int, at *unix.SockaddrInet4, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, os.NewSyscallError("socket", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.Listen(fd, backlog)
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		_ = unix.Close(fd) // it was never used
		return -1, nil, os.NewSyscallError("listen", err)
	}
	return fd, name.(*unix.SockaddrInet4), nil
}

// dial connects client i. On loopback the connection is there at once, or the backlog is full.
func dial(to *unix.SockaddrInet4, i int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + i/perSource)}})
	}
	if err == nil {
		if err = unix.Connect(fd, to); err == unix.EINPROGRESS {
			err = nil // established before the backlog lets it be accepted
		}
	}
	if err != nil {
		_ = unix.Close(fd) // it was never used
		return -1, fmt.Errorf("connect client %d: %w", i, err)
	}
	return fd, nil
}

// take accepts what waits, and hands each to f.
func take(listener int, f func(fd int) error) error {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN, unix.EINTR, unix.ECONNABORTED:
			return nil
		default:
			return os.NewSyscallError("accept4", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if err := f(fd); err != nil {
			return err
		}
	}
}

// discard reads what has come on a socket, at most one buffer; false at its end.
func discard(fd int, buffer []byte) bool {
	n, err := unix.Read(fd, buffer)
	return n > 0 || err == unix.EAGAIN || err == unix.EINTR
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
