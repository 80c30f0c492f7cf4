package transport

import (
	"math"
	"net"
	"sync/atomic"
	"time"
)

// TCPOptions are set on every connection of clients.
type TCPOptions struct {
	// NotSentLowat is TCP_NOTSENT_LOWAT in bytes: how much the kernel holds
	// that it has not sent (promise P2). 0 or less leaves the kernel's default.
	NotSentLowat int
	// UserTimeout is TCP_USER_TIMEOUT: how long bytes may stay unacknowledged
	// before the kernel gives the peer up. 0 leaves the kernel's default.
	UserTimeout time.Duration
	// Deflate takes up an offer of permessage-deflate (RFC 7692).
	Deflate bool
	// Ceiling is the lowest number of a descriptor that no connection may have: it is closed at once. What is left is for
	// the process itself. 0: none.
	Ceiling int
	// Full, unless nil, is called for each connection closed for that, on whichever goroutine accepts; it must not wait.
	Full func()
}

// userTimeout is UserTimeout as the kernel takes it: milliseconds that fit into a C int, and not 0, which is its default.
func (o TCPOptions) userTimeout() int {
	return int(min(max(o.UserTimeout.Milliseconds(), 1), math.MaxInt32))
}

// above reports whether a descriptor is one of those left to the process, which Full is told.
func (o TCPOptions) above(fd int) bool {
	if o.Ceiling == 0 || fd < o.Ceiling {
		return false
	}
	if o.Full != nil {
		o.Full()
	}
	return true
}

// number is that of a connection's descriptor; 0 if it has none any more.
func number(conn net.Conn) (fd int) {
	tcp := tcpOf(conn)
	if tcp == nil {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(n uintptr) { fd = int(n) }) // closed already: its first read says so
	return fd
}

// Listener tunes each connection it accepts, so that polling responses too
// leave little in the kernel. It stands below TLS, next to TCP.
type Listener struct {
	net.Listener
	Options TCPOptions
	// Clear says that HTTP is spoken without TLS: empty lines before the first request are ignored, and a TLS handshake is
	// answered at once that it is none.
	Clear bool
	// Proxy says whose connections are introduced by the PROXY protocol, within HeadTimeout in the clear; over TLS it is part of
	// the handshake. nil: nobody's.
	Proxy       *ProxyOptions
	HeadTimeout time.Duration

	// Failed counts connections closed for want of descriptors.
	Failed atomic.Uint64
}

// Accept returns the next connection, tuned. A connection that cannot be tuned
// has ended already as a rule, and its first read says how.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	for err == nil && l.Options.above(number(conn)) {
		l.Failed.Add(1)
		_ = conn.Close()
		conn, err = l.Listener.Accept()
	}
	if err != nil {
		return nil, err
	}
	_ = l.Options.Tune(conn)
	if l.Proxy.expects(addrOf(conn.RemoteAddr())) {
		p := &proxiedConn{Conn: conn, proxy: l.Proxy}
		if l.Clear {
			p.timeout = l.HeadTimeout
		}
		conn = p
	}
	if l.Clear {
		conn = &readConn{Conn: conn, fresh: true}
	}
	return conn, nil
}
