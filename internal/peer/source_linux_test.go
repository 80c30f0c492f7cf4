package peer_test

import (
	"net/netip"
	"testing"

	"github.com/streamweir/weir/internal/peer"
)

func TestConnComesFromItsSourceIfTheSystemHasIt(t *testing.T) {
	for source, want := range map[string]string{
		"127.0.0.77":  "127.0.0.77", // Linux has all of 127.0.0.0/8
		"203.0.113.1": "127.0.0.1",  // for documentation only (RFC 5737): nobody has it
	} {
		from := make(chan string, 1)
		s := script(t, func(l *line) {
			l.join()
			from <- netip.MustParseAddrPort(l.conn.RemoteAddr().String()).Addr().String()
			l.next() // until the client closes
		})
		dial(t, s.url(), "/", peer.Options{Source: netip.MustParseAddr(source)})
		if got := <-from; got != want {
			t.Errorf("a client with the source %s came from %s, want %s", source, got, want)
		}
	}
}
