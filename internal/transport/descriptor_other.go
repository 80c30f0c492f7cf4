//go:build !linux

package transport

import (
	"errors"
	"net"
)

// socket is not there: connections are written by goroutines and the kernel is
// not asked.
type descriptor struct{}

var errNoSocket = errors.New("transport: no raw sockets on this system")

func newDescriptor(net.Conn) *descriptor { return nil }

func (*descriptor) read(int) (*buffer, error) { return nil, errNoSocket }

func (*descriptor) send([]byte) (int, error) { return 0, errNoSocket }

func (*descriptor) awaitClear() {}

func (*descriptor) kernel() (Kernel, error) { return Kernel{}, errNoSocket }

// Tune sets TCP_NODELAY; the other options exist on Linux only.
func (o TCPOptions) Tune(conn net.Conn) error {
	if tcp := tcpOf(conn); tcp != nil {
		return tcp.SetNoDelay(true)
	}
	return nil
}
