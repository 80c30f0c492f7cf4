package systemtest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// openings are first bytes of connections that real programs send, and how the answer begins.
var openings = []struct{ name, sends, answer string }{
	{"a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400 Bad Request\r\n"},
	{"line feeds alone, polling", "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\nHost: x\nConnection: close\n\n", "HTTP/1.1 200 OK\r\n"},
	{"an empty line before, polling", "\r\nGET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
	{"an empty line before, websocket", "\r\nGET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x88\x80abcd", "HTTP/1.1 101 Switching Protocols\r\n"},
	{"no method's name", "<policy-file-request/>\x00", "HTTP/1.1 400 Bad Request\r\n"},
}

// TestFirstBytesAreAnsweredAtOnce: nobody who speaks another protocol, or HTTP in one of its older spellings, waits for
// the end of the time for headers, which is an hour here.
func TestFirstBytesAreAnsweredAtOnce(t *testing.T) {
	o := weir.ServerOptions{Namespaces: []weir.NamespaceOptions{{Path: "/"}}, Limits: weir.ServerLimits{HeaderTimeout: time.Hour}}
	for driver, srv := range onDrivers(t, o) {
		for _, c := range openings {
			if got := exchange(t, addr(srv), c.sends); !strings.HasPrefix(got, c.answer) {
				t.Errorf("%s: %s: answered %q, want %q…", driver, c.name, got, c.answer)
			}
		}
	}
}
