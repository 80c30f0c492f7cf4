package demo

import (
	"context"
	"net"
	"net/netip"
)

// receiveBuffer is SO_RCVBUF of the slow clients in bytes, so that what they do not read soon fills their lanes and
// not the kernel.
const receiveBuffer = 4 << 10

// DialSlow returns a dialer for slow clients of addr, whose receive buffer is small from the first byte.
//
// They come from the address source, where the system has it (Linux has all of 127.0.0.0/8): a client that was cut for
// being slow is refused by its address for a while, and the browser on the same machine must not be. A zero source, or
// one the system does not have, leaves the choice to the system.
func DialSlow(addr string, source netip.Addr) func(context.Context) (net.Conn, error) {
	plain := net.Dialer{Control: shrinkReceiveBuffer}
	return func(ctx context.Context) (net.Conn, error) {
		if source.IsValid() {
			from := plain
			from.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
			if conn, err := from.DialContext(ctx, "tcp", addr); err == nil {
				return conn, nil
			}
		}
		return plain.DialContext(ctx, "tcp", addr)
	}
}
