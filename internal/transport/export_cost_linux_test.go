package transport

import "unsafe"

// EpollConnSize is what the epoll driver itself holds of a connection, in bytes.
const EpollConnSize = unsafe.Sizeof(epollConn{})

// Bare reports whether a connection of the epoll driver holds nothing but itself.
func (w *WebSocket) Bare() bool {
	return w.partial == nil && w.control == nil && w.conn.(*epollConn).edge == nil
}
