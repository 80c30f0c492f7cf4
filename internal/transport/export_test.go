package transport

import (
	"net/http"
	"net/netip"
)

// ParseUpgrade lets tests compare it with net/http.
func ParseUpgrade(head []byte, remote netip.AddrPort) *http.Request {
	return parseUpgrade(head, remote, newFields())
}

// Receive gives a websocket bytes as if its connection had read them.
func (w *WebSocket) Receive(b []byte) { w.received(b) }

// StrayBytesAccepted is how many bytes a connection below TLS keeps, before it refuses more, of what TLS says by itself.
func StrayBytesAccepted() (n int) {
	c := &cipherConn{descriptor: &descriptor{}}
	for {
		got, err := c.Write(make([]byte, 27)) // the answer to a key update
		if err != nil {
			return n
		}
		n += got
	}
}
