package systemtest_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// knock asks for a session over polling and returns the answer's status and Retry-After.
func knock(t *testing.T, srv *weir.Server) (status int, retryAfter string) {
	t.Helper()
	resp, err := http.Get("http://" + addr(srv) + "/socket.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

func TestHandshakesBeyondALimitGet503AndComeBackLater(t *testing.T) {
	for name, c := range map[string]struct {
		limits  weir.ServerLimits
		comers  int
		joining bool
		leaving bool // the one that leaves makes room
	}{
		"connections":           {limits: weir.ServerLimits{Connections: 3}, comers: 3, joining: true, leaving: true},
		"pending":               {limits: weir.ServerLimits{Pending: 2}, comers: 2, leaving: true},
		"handshakes per second": {limits: weir.ServerLimits{HandshakesPerSecond: 1}, comers: 1, joining: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := weir.Options{Servers: []weir.ServerOptions{{
				Addr: "127.0.0.1:0", Limits: c.limits, Namespaces: []weir.NamespaceOptions{{Path: "/"}},
			}}}
			srv := start(t, o)
			var peers []*peer
			for range c.comers {
				p := dialRaw(t, addr(srv), dialOptions{})
				if c.joining {
					p.join("/", nil)
				}
				peers = append(peers, p)
			}
			status, retryAfter := knock(t, srv)
			for end := time.Now().Add(patience); c.limits.HandshakesPerSecond > 0 && status == http.StatusOK && time.Now().Before(end); {
				status, retryAfter = knock(t, srv) // a second had passed, and this one was welcome
			}
			if after, err := strconv.Atoi(retryAfter); status != http.StatusServiceUnavailable || err != nil || after < 1 {
				t.Errorf("answered %d, Retry-After %q; want 503 and a time", status, retryAfter)
			}
			if c.leaving {
				if err := peers[0].conn.Close(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "there is room again", func() bool {
					status, _ := knock(t, srv)
					return status == http.StatusOK
				})
			}
		})
	}
}
