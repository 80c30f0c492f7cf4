package systemtest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// ways are how a server's connections are held, the last over TLS.
func ways(t *testing.T, test func(t *testing.T, so weir.ServerOptions)) {
	t.Helper()
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) { test(t, so) })
	}
	t.Run("TLS", func(t *testing.T) {
		test(t, weir.ServerOptions{TLS: newAuthority(t).place(t.TempDir(), "weir.example", nextYear())})
	})
}

// behindProxies is a server that trusts proxies in those networks.
func behindProxies(t *testing.T, so weir.ServerOptions, networks ...string) *weir.Server {
	t.Helper()
	so.Limits.TrustedProxies = networks
	so.Namespaces = []weir.NamespaceOptions{{Path: "/", AuthRequired: so.Auth}}
	o := weir.Options{Servers: []weir.ServerOptions{so}, Management: weir.ManagementOptions{Addr: "127.0.0.1:0"}}
	if so.Auth {
		o.Authenticate, o.AuthFailures.Max = (new(gate)).authenticate, 1
	}
	return start(t, o)
}

// through connects as a proxy does, which says something before all else.
func through(t *testing.T, srv *weir.Server, introduction string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for part := range strings.SplitSeq(introduction, "|") { // each in a segment of its own, as far as the kernel has it so
		if _, err := conn.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if _, over := secure.Load(addr(srv)); over {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the tests' own certificates
	}
	return conn
}

// status is what a foreign page that asks for polling is answered with on a connection, and the first line of the answer's body.
// The server notes the address of such a client.
func status(t *testing.T, conn net.Conn, header string) (code int, text string) {
	t.Helper()
	_, err := fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: weir\r\nOrigin: https://elsewhere.example\r\n%s\r\n", header)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	return resp.StatusCode, line
}

// addressOf is the address that a server has for a client that connects through a proxy and goes.
func addressOf(t *testing.T, srv *weir.Server, introduction, header string) string {
	t.Helper()
	return addressOn(t, srv, through(t, srv, introduction), header)
}

// addressOn is addressOf on a connection.
func addressOn(t *testing.T, srv *weir.Server, conn net.Conn, header string) string {
	t.Helper()
	p, err := upgrade(conn, addr(srv), dialOptions{header: header})
	if err != nil {
		t.Errorf("%q: %v", header, err)
		return ""
	}
	p.t = t
	p.join("/", nil)
	v := client(t, srv, p.sid)
	if err := p.conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client has left", func() bool { return len(views(t, srv)) == 0 })
	return v.Address
}

// TestForwardedAddressesCountFromTrustedProxiesAlone: a stranger is whoever its connection says, whatever it writes.
func TestForwardedAddressesCountFromTrustedProxiesAlone(t *testing.T) {
	ways(t, func(t *testing.T, so weir.ServerOptions) {
		for _, c := range []struct {
			trusted, field string
			header         string
			want           string
		}{
			{"127.0.0.0/8", "", "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
			{"127.0.0.0/8", "", "X-Forwarded-For: 203.0.113.1, 192.0.2.7\r\n", "192.0.2.7"}, // the first is the client's own invention
			{"127.0.0.0/8", "", "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 2001:db8::7, 127.0.0.9\r\n", "2001:db8::7"},
			{"127.0.0.0/8", "", "X-Forwarded-For: unknown\r\n", "127.0.0.1"},
			{"127.0.0.0/8", "", "Forwarded: for=192.0.2.7\r\n", "127.0.0.1"}, // not the field that the proxy writes
			{"127.0.0.0/8", "", "X-Real-IP: 192.0.2.7\r\n", "127.0.0.1"},
			{"127.0.0.0/8", "forwarded", "Forwarded: for=203.0.113.1, for=\"[2001:db8::7]:1\";proto=https\r\nX-Forwarded-For: 203.0.113.1\r\n", "2001:db8::7"},
			{"127.0.0.0/8", "none", "X-Forwarded-For: 192.0.2.7\r\n", "127.0.0.1"},
			{"10.0.0.0/8", "", "X-Forwarded-For: 192.0.2.7\r\n", "127.0.0.1"},
			{"10.0.0.0/8", "forwarded", "Forwarded: for=192.0.2.7\r\n", "127.0.0.1"},
		} {
			so.Limits.ForwardedHeader = weir.ForwardedHeader(c.field)
			srv := behindProxies(t, so, c.trusted)
			if got := addressOf(t, srv, "", c.header); got != c.want {
				t.Errorf("%s trusts %s, %q over websocket: %s, want %s", c.field, c.trusted, c.header, got, c.want)
			}
			if code, _ := status(t, through(t, srv, ""), c.header); code != http.StatusForbidden {
				t.Errorf("%q: a foreign page is answered %d", c.header, code)
			}
			if list := refusedNow(t, srv, "?kind=origin"); len(list) != 1 || list[0].Address != strings.Replace(c.want, "::7", "::", 1) {
				t.Errorf("%s trusts %s, %q over polling: %+v, want %s", c.field, c.trusted, c.header, list, c.want)
			}
		}
	})
}

// TestWhatIsKeyedByAddressHasTheClientBehindTheProxy: limits, failed tokens, the filter of the API.
func TestWhatIsKeyedByAddressHasTheClientBehindTheProxy(t *testing.T) {
	ways(t, func(t *testing.T, so weir.ServerOptions) {
		so.Auth, so.Limits.PerAddress = true, 1
		srv := behindProxies(t, so, "127.0.0.1")
		as := func(address string) dialOptions { return dialOptions{header: "X-Forwarded-For: " + address + "\r\n"} }
		dial(t, addr(srv), "/", map[string]any{"token": "ann"}, as("192.0.2.1"))
		if _, err := tryDial(addr(srv), as("192.0.2.1")); err == nil || !strings.HasPrefix(err.Error(), "429 ") {
			t.Errorf("a second connection of one address: %v", err)
		}
		bad := dialRaw(t, addr(srv), as("192.0.2.2"))
		bad.send(`40{"token":"bad"}`)
		bad.next()
		if err := bad.conn.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "who has failed is locked out", func() bool {
			_, err := tryDial(addr(srv), as("192.0.2.2"))
			return err != nil && len(refusedNow(t, srv, "?kind=auth_failures&address=192.0.2.2")) == 1
		})
		dial(t, addr(srv), "/", map[string]any{"token": "bob"}, as("192.0.2.3"))
		for address, want := range map[string]int{"192.0.2.1": 1, "192.0.2.2": 0, "192.0.2.3": 1, "127.0.0.1": 0} {
			list, err := srv.Clients(context.Background(), weir.ClientQuery{Address: address, Limit: 9})
			if err != nil || len(list) != want {
				t.Errorf("%d clients of %s, %v; want %d", len(list), address, err, want)
			}
		}
	})
}

// Headers of the PROXY protocol, from 192.0.2.7; each | is where a segment ends.
const (
	introduceV1 = "PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n"
	introduceV6 = "PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n"
	introduceV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0C\xC0\x00\x02\x07\x0A\x00\x00\x01\xC3\x50\x01\xBB"
	introduceIt = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" // the proxy itself
)

// TestProxyProtocolCountsFromTrustedProxiesAlone: of them it is required, in one segment or many; what a stranger says by it is no
// request, and whoever says nothing is served.
func TestProxyProtocolCountsFromTrustedProxiesAlone(t *testing.T) {
	ways(t, func(t *testing.T, so weir.ServerOptions) {
		so.ProxyProtocol = true
		srv := behindProxies(t, so, "127.0.0.1")
		for introduction, want := range map[string]string{
			introduceV1: "192.0.2.7", introduceV6: "2001:db8::7", introduceV2: "192.0.2.7", introduceIt: "127.0.0.1", "PROXY UNKNOWN\r\n": "127.0.0.1",
			"PROXY| TCP4 192.0.2.7 |10.0.0.1 50000 443\r|\n": "192.0.2.7", introduceV2[:5] + "|" + introduceV2[5:20] + "|" + introduceV2[20:]: "192.0.2.7",
		} {
			if got := addressOf(t, srv, introduction, "X-Forwarded-For: 203.0.113.1\r\n"); got != want {
				t.Errorf("%q over websocket: %s, want %s", introduction, got, want)
			}
			if code, text := status(t, through(t, srv, introduction), ""); code != http.StatusForbidden {
				t.Errorf("%q over polling: %d %s", introduction, code, text)
			}
			if list := refusedNow(t, srv, "?kind=origin&address="+want); len(list) != 1 {
				t.Errorf("%q over polling: %+v, want %s", introduction, refusedNow(t, srv, "?kind=origin"), want)
			}
		}
		wrong := []string{"PROXY TCP4 nobody 10.0.0.1 1 2\r\n", introduceV2[:12] + "\x31\x11\x00\x00"}
		if so.TLS == nil {
			wrong = append(wrong, "") // over TLS its first bytes are a handshake, which is below
		}
		for i, introduction := range wrong {
			conn := bare(through(t, srv, introduction))
			if code, text := status(t, conn, ""); code != http.StatusBadRequest || !strings.Contains(text, "PROXY protocol") {
				t.Errorf("%q: %d %q, want 400", introduction, code, text)
			}
			eventually(t, "it is counted", func() bool {
				return metric(t, srv, "weir_handshakes_refused_total", `reason="proxy_header"`) == float64(i+1)
			})
		}
		if _, err := upgrade(through(t, srv, ""), addr(srv), dialOptions{}); err == nil {
			t.Error("a trusted proxy that says nothing is served")
		}
		if list := refusedNow(t, srv, "?kind=proxy_header&address=127.0.0.1"); len(list) == 0 {
			t.Error("not listed")
		}
	})
}

// TestProxyHeaderOfAStrangerIsNoRequest: it is answered 400, or over TLS ends the handshake; without one it is served as who it is.
func TestProxyHeaderOfAStrangerIsNoRequest(t *testing.T) {
	ways(t, func(t *testing.T, so weir.ServerOptions) {
		so.ProxyProtocol = true
		for name, so := range map[string]weir.ServerOptions{"that expects them of others": so, "that expects none": {Driver: so.Driver, TLS: so.TLS}} {
			srv := behindProxies(t, so, "10.0.0.0/8")
			for _, introduction := range []string{introduceV1, introduceV2} {
				code, text := status(t, bare(through(t, srv, introduction)), "")
				if so.TLS == nil && code != http.StatusBadRequest || so.TLS != nil && code == http.StatusOK {
					t.Errorf("%s: %q: %d %s, want 400", name, introduction, code, text)
				}
				if _, err := upgrade(through(t, srv, introduction), addr(srv), dialOptions{}); err == nil {
					t.Errorf("%s: %q: served", name, introduction)
				}
			}
			if got := addressOf(t, srv, "", ""); got != "127.0.0.1" {
				t.Errorf("%s: without a header: %s", name, got)
			}
		}
	})
}

// bare is a connection without the TLS that through has put on it.
func bare(conn net.Conn) net.Conn {
	if c, ok := conn.(*tls.Conn); ok {
		return c.NetConn()
	}
	return conn
}

func TestProxiesThatWouldBelieveAnybodyOrNobodyAreRefused(t *testing.T) {
	for want, so := range map[string]weir.ServerOptions{
		"Servers[0].Limits.TrustedProxies[0] \"0.0.0.0/0\": is everybody":       {Limits: weir.ServerLimits{TrustedProxies: []string{"0.0.0.0/0"}}},
		"Servers[0].Limits.TrustedProxies[1] \"proxy\": want a network":         {Limits: weir.ServerLimits{TrustedProxies: []string{"::1", "proxy"}}},
		"Servers[0].Limits.ForwardedHeader \"forwarded\": nobody is believed":   {Limits: weir.ServerLimits{ForwardedHeader: weir.ForwardedRFC7239}},
		"Servers[0].Limits.ForwardedHeader \"x-real-ip\": want x-forwarded-for": {Limits: weir.ServerLimits{TrustedProxies: []string{"::1"}, ForwardedHeader: "x-real-ip"}},
		"Servers[0].ProxyProtocol: nobody would be believed":                    {ProxyProtocol: true, Addr: "127.0.0.1:0"},
		"Servers[0].ProxyProtocol: needs an Addr":                               {ProxyProtocol: true, Limits: weir.ServerLimits{TrustedProxies: []string{"::1"}}},
	} {
		so.Namespaces = []weir.NamespaceOptions{{Path: "/"}}
		if err := (&weir.Options{Servers: []weir.ServerOptions{so}}).Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
