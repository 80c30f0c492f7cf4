//go:build !linux

package weir

import (
	"errors"
	"net"

	"github.com/streamweir/weir/internal/transport"
)

// intake is not reached: no driver here is epoll.
func (d *door) intake(net.Listener, transport.TCPOptions) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}
