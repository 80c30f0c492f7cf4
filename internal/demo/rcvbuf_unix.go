//go:build unix

package demo

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// shrinkReceiveBuffer sets SO_RCVBUF before the connection is made: afterwards the window has already been offered.
func shrinkReceiveBuffer(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt SO_RCVBUF", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer))
	})
	if err != nil {
		return err
	}
	return failed
}
