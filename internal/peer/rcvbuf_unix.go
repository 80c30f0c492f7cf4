//go:build unix

package peer

import (
	"os"
	"syscall"
)

// receiveBuffer returns what sets SO_RCVBUF of a socket before it is connected: afterwards the window has already been
// offered. Zero leaves the kernel's.
func receiveBuffer(size int) func(network, address string, c syscall.RawConn) error {
	if size <= 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = os.NewSyscallError("setsockopt SO_RCVBUF", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, size))
		})
		if err != nil {
			return err
		}
		return failed
	}
}
