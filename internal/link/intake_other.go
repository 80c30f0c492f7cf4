//go:build !linux

package link

import (
	"errors"
	"net"

	"github.com/streamweir/weir/internal/transport"
)

// intake is not reached: no driver here is epoll.
func (d *Door) intake(net.Listener, transport.TCPOptions) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}
