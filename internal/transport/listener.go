package transport

import (
	"math"
	"net"
	"time"
)

// SocketOptions are set on every connection of clients.
type SocketOptions struct {
	// NotSentLowat is TCP_NOTSENT_LOWAT in bytes: how much the kernel holds
	// that it has not sent (promise P2). 0 or less leaves the kernel's default.
	NotSentLowat int
	// UserTimeout is TCP_USER_TIMEOUT: how long bytes may stay unacknowledged
	// before the kernel gives the peer up. 0 leaves the kernel's default.
	UserTimeout time.Duration
	// Deflate takes up an offer of permessage-deflate (RFC 7692).
	Deflate bool
}

// userTimeout is UserTimeout as the kernel takes it: milliseconds that fit into a C int, and not 0, which is its default.
func (o SocketOptions) userTimeout() int {
	return int(min(max(o.UserTimeout.Milliseconds(), 1), math.MaxInt32))
}

// Listener tunes each connection it accepts, so that polling responses too
// leave little in the kernel. It stands below TLS, next to TCP.
type Listener struct {
	net.Listener
	Options SocketOptions
	// Clear says that HTTP is spoken without TLS: empty lines before the first request are ignored, and a TLS handshake is
	// answered at once that it is none.
	Clear bool
}

// Accept returns the next connection, tuned. A connection that cannot be tuned
// has ended already as a rule, and its first read says how.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	_ = l.Options.Tune(conn)
	if l.Clear {
		conn = &readConn{Conn: conn, fresh: true}
	}
	return conn, nil
}
