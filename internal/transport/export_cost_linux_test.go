package transport

import "unsafe"

// EpollStreamSize is what the epoll driver itself holds of a connection, in bytes.
const EpollStreamSize = unsafe.Sizeof(epollStream{})

// Bare reports whether a connection of the epoll driver holds nothing but itself.
func (w *WebSocket) Bare() bool {
	return w.partial == nil && w.control == nil && w.stream.(*epollStream).edge == nil
}
