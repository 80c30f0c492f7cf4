//go:build !linux

package transport

import (
	"errors"
	"net"
)

// socket is not there: connections are written by goroutines and the kernel is
// not asked.
type socket struct{}

var errNoSocket = errors.New("transport: no raw sockets on this system")

func newSocket(net.Conn) *socket { return nil }

func (*socket) read(int) (*buffer, error) { return nil, errNoSocket }

func (*socket) send([]byte) (int, error) { return 0, errNoSocket }

func (*socket) awaitClear() {}

func (*socket) kernel() (Kernel, error) { return Kernel{}, errNoSocket }

// Tune sets TCP_NODELAY; the other options exist on Linux only.
func (o SocketOptions) Tune(conn net.Conn) error {
	if tcp := tcpOf(conn); tcp != nil {
		return tcp.SetNoDelay(true)
	}
	return nil
}
