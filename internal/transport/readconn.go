package transport

import (
	"io"
	"net"
	"net/netip"
)

// readConn is a connection of which something was read before. It hides that it is TCP: WriteTo and its like would pass
// by what was read.
type readConn struct {
	net.Conn
	ahead  []byte
	fresh  bool           // its first request has not begun
	remote netip.AddrPort // who it is from, if a proxy has said so; the zero value: the other end
}

// RemoteAddr implements net.Conn.
func (c *readConn) RemoteAddr() net.Addr {
	if c.remote.IsValid() {
		return net.TCPAddrFromAddrPort(c.remote)
	}
	return c.Conn.RemoteAddr()
}

// Read implements net.Conn. One goroutine at a time may call it.
func (c *readConn) Read(b []byte) (int, error) {
	if c.fresh {
		return c.first(b)
	}
	if len(c.ahead) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
}

// first reads on until a request begins: empty lines are left out, and what is no request is answered and ends the connection.
func (c *readConn) first(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		skip := emptyLines(b[:n])
		if skip == n && err == nil {
			continue
		}
		c.fresh = false
		if n = copy(b, b[skip:n]); n > 0 && !isTokenByte(b[0]) {
			_, _ = io.WriteString(c.Conn, notHTTP) // the peer may have gone
			return 0, io.EOF
		}
		return n, err
	}
}

// CloseWrite ends the writing half, which net/http does before it closes.
func (c *readConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unwrapRead returns the connection below and what of the bytes read before nobody has asked for yet.
func unwrapRead(conn net.Conn) (net.Conn, []byte) {
	var ahead []byte
	if c, ok := conn.(*readConn); ok {
		conn, ahead = c.Conn, c.ahead
	}
	conn, rest := unwrapProxied(conn)
	return conn, append(ahead, rest...)
}
