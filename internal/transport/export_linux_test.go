package transport

import "net"

// Below is the TCP connection of one that was passed on.
func Below(conn net.Conn) *net.TCPConn {
	below, _ := unwrapRead(conn)
	return below.(*net.TCPConn)
}

// Descriptor is the number of the descriptor that the epoll driver holds w by.
func (w *WebSocket) Descriptor() int { return int(w.conn.(*epollConn).fd) }
