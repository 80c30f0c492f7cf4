package transport

import "net"

// readConn is a connection of which something was read before. It hides that it is TCP: WriteTo and its like would pass
// by what was read.
type readConn struct {
	net.Conn
	ahead []byte
}

// Read implements net.Conn. One goroutine at a time may call it.
func (c *readConn) Read(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
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
	if c, ok := conn.(*readConn); ok {
		return c.Conn, c.ahead
	}
	return conn, nil
}
