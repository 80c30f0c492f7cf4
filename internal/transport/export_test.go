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
