package transport

import "net"

// readConn is a connection of which something was read before.
type readConn struct {
	*net.TCPConn
	ahead []byte
}

// Read implements net.Conn. One goroutine at a time may call it.
func (c *readConn) Read(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.TCPConn.Read(b)
	}
	n := copy(b, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
}

// unwrapRead returns the connection below and what of the bytes read before nobody has asked for yet.
func unwrapRead(conn net.Conn) (net.Conn, []byte) {
	if c, ok := conn.(*readConn); ok {
		return c.TCPConn, c.ahead
	}
	return conn, nil
}
