package weir_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/streamweir/weir"
)

// knock asks for a session over polling and returns the answer.
func knock(t *testing.T, srv *weir.Server) *http.Response {
	t.Helper()
	resp, err := http.Get("http://" + addr(srv) + "/socket.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
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
			resp := knock(t, srv)
			if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != http.StatusServiceUnavailable || err != nil || after < 1 {
				t.Errorf("answered %d, Retry-After %q; want 503 and a time", resp.StatusCode, resp.Header.Get("Retry-After"))
			}
			if c.leaving {
				if err := peers[0].conn.Close(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "there is room again", func() bool { return knock(t, srv).StatusCode == http.StatusOK })
			}
		})
	}
}
