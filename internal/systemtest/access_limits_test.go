package systemtest_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// knockFrom is knock from another address of this machine's loopback network.
func knockFrom(t *testing.T, srv *weir.Server, address string) (status int) {
	t.Helper()
	from := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		return d.DialContext(ctx, network, to)
	}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr(srv)+"/socket.io/?EIO=4&transport=polling", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := from.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// bounded is a server with limits, whose refusals can be asked for.
func bounded(t *testing.T, l weir.ServerLimits) *weir.Server {
	t.Helper()
	return start(t, weir.Options{Management: weir.ManagementOptions{Addr: "127.0.0.1:0"}, Servers: []weir.ServerOptions{{
		Limits: l, Namespaces: []weir.NamespaceOptions{{Path: "/"}},
	}}})
}

// TestConnectionsOfOneAddressAreLimited: over either transport, for that address alone, until one of them ends.
func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	srv := bounded(t, weir.ServerLimits{PerAddress: 2})
	first := dial(t, addr(srv), "/", nil, dialOptions{})
	dialRaw(t, addr(srv), dialOptions{}) // it has joined nothing, and counts
	if _, err := tryDial(addr(srv), dialOptions{}); err == nil || !strings.HasPrefix(err.Error(), "429 ") {
		t.Fatalf("a third websocket: %v, want 429", err)
	}
	if status, after := knock(t, srv); status != http.StatusTooManyRequests || after == "" {
		t.Errorf("a third session over polling: %d, Retry-After %q", status, after)
	}
	if status := knockFrom(t, srv, "127.0.0.2"); status != http.StatusOK {
		t.Errorf("another address: %d", status)
	}
	if n := metric(t, srv, "weir_handshakes_refused_total", `reason="per_address"`); n != 2 {
		t.Errorf("%v counted, want 2", n)
	}
	if list := refusedNow(t, srv, "?kind=per_address&address=127.0.0.1"); len(list) != 1 || list[0].Count != 2 || list[0].Until != "" {
		t.Errorf("listed: %+v", list)
	}
	if err := first.conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is room again", func() bool {
		status, _ := knock(t, srv)
		return status == http.StatusOK
	})
}

// TestHandshakesOfOneAddressAreLimited: for that address alone; it is listed with when it may come again.
func TestHandshakesOfOneAddressAreLimited(t *testing.T) {
	srv := bounded(t, weir.ServerLimits{HandshakesPerSecondPerAddress: 1})
	eventually(t, "an address that comes too fast is refused", func() bool {
		status, after := knock(t, srv)
		return status == http.StatusTooManyRequests && after != ""
	})
	if status := knockFrom(t, srv, "127.0.0.2"); status != http.StatusOK {
		t.Errorf("another address: %d", status)
	}
	if n := metric(t, srv, "weir_handshakes_refused_total", `reason="address_rate"`); n == 0 {
		t.Error("not counted")
	}
	if list := refusedNow(t, srv, "?kind=address_rate"); len(list) != 1 || list[0].Address != "127.0.0.1" || list[0].Until == "" {
		t.Errorf("listed: %+v", list)
	}
	eventually(t, "it is let in again", func() bool {
		status, _ := knock(t, srv)
		return status == http.StatusOK
	})
}

// TestConnectionsOfOnePrincipalAreLimited: whatever namespaces they join, until one of them has left all that it was let into.
func TestConnectionsOfOnePrincipalAreLimited(t *testing.T) {
	var g gate
	srv := start(t, weir.Options{
		Authenticate: g.authenticate, Management: weir.ManagementOptions{Addr: "127.0.0.1:0"},
		Servers: []weir.ServerOptions{{
			Auth: true, Limits: weir.ServerLimits{PerPrincipal: 2},
			Namespaces: []weir.NamespaceOptions{{Path: "/", AuthRequired: true}, {Path: "/chat", AuthRequired: true}},
		}},
	})
	ann, bob := map[string]any{"token": "ann"}, map[string]any{"token": "bob"}
	first, second, third := dialRaw(t, addr(srv), dialOptions{}), dialRaw(t, addr(srv), dialOptions{}), dialRaw(t, addr(srv), dialOptions{})
	first.join("/", ann)
	first.join("/chat", ann) // the same connection
	second.join("/chat", ann)
	refused := func() {
		t.Helper()
		third.send(`40{"token":"ann"}`)
		if m := third.next(); !strings.HasPrefix(m, "44") || !strings.Contains(m, `"code":"limited"`) || !strings.Contains(m, `"retryable":true`) {
			t.Fatalf("a third connection: %s", m)
		}
	}
	refused()
	third.join("/", bob)
	third.send("41")
	first.send("41/chat,")
	first.emit("/", 1, "ask") // answered: what came before it has been dealt with
	first.next()
	refused() // the first is still in one namespace
	if n := metric(t, srv, "weir_handshakes_refused_total", `reason="per_principal"`); n != 2 {
		t.Errorf("%v counted, want 2", n)
	}
	if list := refusedNow(t, srv, "?kind=per_principal"); len(list) != 1 || list[0].Shown != "principal ann" || list[0].Address != "127.0.0.1" {
		t.Errorf("listed: %+v", list)
	}
	first.send("41")
	eventually(t, "there is room for it", func() bool {
		third.send(`40{"token":"ann"}`)
		return strings.HasPrefix(third.next(), "40")
	})
	if err := third.conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is room again when a connection has ended", func() bool {
		p := dialRaw(t, addr(srv), dialOptions{})
		p.send(`40{"token":"ann"}`)
		return strings.HasPrefix(p.next(), "40")
	})
}

// TestHeadersAreLimited: to 16 KiB with the URL, over either transport and however connections are held.
func TestHeadersAreLimited(t *testing.T) {
	ways(t, func(t *testing.T, so weir.ServerOptions) {
		srv := behindProxies(t, so)
		for name, long := range map[string]func(n int) (query, header string){
			"header": func(n int) (string, string) { return "", "X-Long: " + strings.Repeat("x", n) + "\r\n" },
			"URL":    func(n int) (string, string) { return "&long=" + strings.Repeat("x", n), "" },
		} {
			query, header := long(15 << 10)
			if p, err := upgrade(through(t, srv, ""), addr(srv), dialOptions{query: query, header: header}); err != nil {
				t.Errorf("%s of 15 KiB: %.200v", name, err)
			} else if err := p.conn.Close(); err != nil {
				t.Fatal(err)
			}
			query, header = long(17 << 10)
			if _, err := upgrade(through(t, srv, ""), addr(srv), dialOptions{query: query, header: header}); err == nil || !strings.HasPrefix(err.Error(), "431 ") {
				t.Errorf("%s of 17 KiB: %.200v, want 431", name, err)
			}
		}
	})
}
