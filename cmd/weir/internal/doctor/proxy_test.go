package doctor_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cmd/weir/internal/doctor"
	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// node starts a real server with a namespace /feed.
func node(t *testing.T, o weir.SocketIOOptions) *url.URL {
	t.Helper()
	srv := running(t, weir.Options{Servers: []weir.ServerOptions{{
		Addr: "127.0.0.1:0", Name: "feed", SocketIO: o,
		Namespaces: []weir.NamespaceOptions{{Path: "/feed"}},
	}}})
	return &url.URL{Scheme: "http", Host: srv.Addr("feed").String()}
}

// running starts a server that ends with the test.
func running(t *testing.T, o weir.Options) *weir.Server {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	o.Drain = weir.DrainOptions{ClientsPerSecond: 1 << 20, Timeout: 200 * time.Millisecond}
	srv, err := weir.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return srv
}

// behind is a reverse proxy as it should be.
func behind(target *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// front serves a handler and tells its URL.
func front(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// tried is what doctor says of a proxy.
func tried(t *testing.T, p doctor.Proxy) *doctor.Report {
	t.Helper()
	n := needs(10)
	n.Namespace = "/feed"
	return doctor.Examine(t.Context(), files{}.machine(), n, &p)
}

func TestGoodProxyIsGood(t *testing.T) {
	good := front(t, behind(node(t, weir.SocketIOOptions{PingInterval: 100 * time.Millisecond})))
	for _, u := range []string{good, good + "/", good + "/socket.io/", strings.Replace(good, "http:", "ws:", 1)} {
		r := tried(t, doctor.Proxy{URL: u, Patient: true})
		verdict{doctor.OK, "101, the open packet after", ""}.check(t, find(t, r, "proxy: websocket"))
		verdict{doctor.OK, "a waiting GET after", ""}.check(t, find(t, r, "proxy: polling"))
		verdict{doctor.OK, "a ping came after 100ms of silence", ""}.check(t, find(t, r, "proxy: idle"))
	}
}

// A page of the proxy's own address is refused where the proxy does not pass its Host on.
func TestProxyThatDropsTheHostFails(t *testing.T) {
	target := node(t, weir.SocketIOOptions{})
	passes := func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }
	drops := func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host }
	for level, rewrite := range map[doctor.Level]func(*httputil.ProxyRequest){doctor.OK: passes, doctor.Fail: drops} {
		p := behind(target)
		p.Rewrite = rewrite
		r := tried(t, doctor.Proxy{URL: front(t, p)})
		verdict{level: level}.check(t, find(t, r, "proxy: origin"))
		verdict{doctor.OK, "", ""}.check(t, find(t, r, "proxy: websocket"))
		if level == doctor.Fail {
			verdict{level, "403 Forbidden", "proxy_set_header Host $http_host"}.check(t, find(t, r, "proxy: origin"))
		}
	}
}

// The server adds a slash to the end of its path, and so do proxies, by a redirect.
func TestSlashAtTheEndOfThePathDoesNotMatter(t *testing.T) {
	target := node(t, weir.SocketIOOptions{Path: "/socket.io"})
	p := behind(target)
	p.Rewrite = func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/app")
		r.Out.Host = r.In.Host
	}
	moved := http.NewServeMux() // sends /live/ elsewhere
	moved.Handle("/app/", p)
	moved.Handle("/live/", http.RedirectHandler("/app/socket.io/", http.StatusMovedPermanently))
	moved.Handle("/", p)
	n := needs(10)
	n.Namespace, n.Path = "/feed", "/socket.io"
	at := front(t, moved)
	for _, u := range []string{at, at + "/socket.io", at + "/app/socket.io", at + "/live"} {
		r := doctor.Examine(t.Context(), files{}.machine(), n, &doctor.Proxy{URL: u})
		for _, name := range []string{"proxy: websocket", "proxy: polling", "proxy: origin"} {
			if f := find(t, r, name); f.Level != doctor.OK {
				t.Errorf("%s: %+v", u, f)
			}
		}
	}
}

func TestProxyThatDropsTheUpgradeFails(t *testing.T) {
	p := behind(node(t, weir.SocketIOOptions{}))
	r := tried(t, doctor.Proxy{URL: front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Upgrade")
		r.Header.Del("Connection")
		p.ServeHTTP(w, r)
	})), Patient: true})
	verdict{doctor.Fail, "400 Bad Request: {", "proxy_set_header Upgrade"}.check(t, find(t, r, "proxy: websocket"))
	verdict{doctor.OK, "", ""}.check(t, find(t, r, "proxy: polling"))
	verdict{doctor.Unknown, "no websocket to try it with", ""}.check(t, find(t, r, "proxy: idle"))
	if !r.Failed() {
		t.Error("the report has not failed")
	}
}

func TestProxyWithoutAServerBehindItFails(t *testing.T) {
	r := tried(t, doctor.Proxy{URL: front(t, behind(&url.URL{Scheme: "http", Host: closedAddress(t)}))})
	verdict{doctor.Fail, "502 Bad Gateway", "start the server"}.check(t, find(t, r, "proxy: websocket"))
	verdict{doctor.Fail, "502 Bad Gateway", ""}.check(t, find(t, r, "proxy: polling"))
}

func TestProxyThatCannotBeReachedIsOneFinding(t *testing.T) {
	for _, u := range []string{"http://" + closedAddress(t), "feed.example.com", "ftp://feed.example.com", "http://[::1"} {
		r := tried(t, doctor.Proxy{URL: u})
		if f := find(t, r, "proxy"); f.Level != doctor.Fail || f.Found == "" || f.Why == "" {
			t.Errorf("%s: %+v", u, f)
		}
	}
}

// closedAddress is one on which nobody listens, and nobody can: a client has its port.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), l.Close() })
	return client.LocalAddr().String()
}

func TestProxyThatHoldsAnswersBackFails(t *testing.T) {
	p := behind(node(t, weir.SocketIOOptions{}))
	holds := func(what func(*http.Request) bool) string {
		return front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if what(r) {
				<-r.Context().Done()
				return
			}
			p.ServeHTTP(w, r)
		}))
	}
	const soon = 2 * time.Second // for all that is not held back, too
	r := tried(t, doctor.Proxy{Timeout: soon, URL: holds(func(r *http.Request) bool {
		return r.Method == http.MethodGet && r.URL.Query().Has("sid")
	})})
	verdict{doctor.Fail, "the session stopped", "proxy_buffering off"}.check(t, find(t, r, "proxy: polling"))
	r = tried(t, doctor.Proxy{Timeout: soon, URL: holds(func(r *http.Request) bool { return r.Header.Get("Upgrade") == "" })})
	verdict{doctor.Fail, "no open packet", "proxy_buffering off"}.check(t, find(t, r, "proxy: polling"))
}

func TestProxyThatSpreadsASessionOverNodesFails(t *testing.T) {
	nodes := []*httputil.ReverseProxy{behind(node(t, weir.SocketIOOptions{})), behind(node(t, weir.SocketIOOptions{}))}
	r := tried(t, doctor.Proxy{URL: front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := 0
		if r.URL.Query().Has("sid") {
			to = 1
		}
		nodes[to].ServeHTTP(w, r)
	}))})
	verdict{doctor.Fail, "reached another node", "sticky sessions"}.check(t, find(t, r, "proxy: polling"))
}

func TestServerWithOneTransportIsGood(t *testing.T) {
	for only, other := range map[string]string{"websocket": "polling", "polling": "websocket"} {
		r := tried(t, doctor.Proxy{URL: node(t, weir.SocketIOOptions{Transports: []string{only}}).String()})
		verdict{doctor.OK, "does not serve " + other, ""}.check(t, find(t, r, "proxy: "+other))
		verdict{doctor.OK, "the open packet after", ""}.check(t, find(t, r, "proxy: "+only))
	}
}

func TestWhatIsNoSocketIOServerFails(t *testing.T) {
	for _, h := range []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com", http.StatusMovedPermanently)
		},
		http.NotFound,
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>welcome</html>") },
	} {
		r := tried(t, doctor.Proxy{URL: front(t, h)})
		verdict{level: doctor.Fail}.check(t, find(t, r, "proxy: websocket"))
		verdict{level: doctor.Fail}.check(t, find(t, r, "proxy: polling"))
	}
}

// websocket is a server that says what it is told to, then closes once the client has said something.
type websocket struct {
	header       string // further lines of the answer
	accept       string // "": the right one
	first, after string // before and after the client's message
	raw          []byte // in place of first
	always       bool   // also where nobody asked for a websocket
	cut          bool   // closes without waiting for the client
}

func (s websocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" && !s.always {
		http.NotFound(w, r)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // the client sees it
	if s.accept == "" {
		s.accept = ws.Accept(r.Header.Get("Sec-WebSocket-Key"))
	}
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n%s\r\n", s.accept, s.header)
	if s.raw == nil {
		s.raw = ws.AppendFrame(nil, ws.Text, []byte(s.first))
	}
	if _, err := conn.Write(s.raw); err != nil || s.cut {
		return
	}
	if _, err := bufio.NewReader(rw).ReadByte(); err == nil && s.after != "" {
		_, _ = conn.Write(ws.AppendFrame(nil, ws.Text, []byte(s.after)))
	}
}

// open is an open packet.
func open(pingInterval time.Duration) string {
	return string(eio.AppendOpen(nil, eio.OpenPacket{SID: "s", PingInterval: pingInterval, PingTimeout: time.Second}))
}

func TestProxyThatCutsQuietConnectionsFails(t *testing.T) {
	first := open(time.Minute)
	for after, want := range map[string]verdict{
		`40/feed,{"sid":"x"}`:                     {doctor.Fail, "closed after", "a time-out above pingInterval"},
		`44/feed,{"message":"Invalid namespace"}`: {doctor.Unknown, "refused the namespace", ""},
	} {
		r := tried(t, doctor.Proxy{URL: front(t, websocket{first: first, after: after}), Patient: true})
		want.check(t, find(t, r, "proxy: idle"))
	}
}

func TestIdleTimeOfKnownProxiesIsToldWithoutWaiting(t *testing.T) {
	for _, c := range []struct {
		header   string
		interval time.Duration
		verdict
	}{
		{"Server: nginx/1.27.0\r\n", 25 * time.Second, verdict{doctor.Unknown, "nginx, which closes after 1m0s unless told otherwise (proxy_read_timeout)", "--patient"}},
		{"Server: nginx/1.27.0\r\n", time.Minute, verdict{doctor.Warn, "nginx", "raise proxy_read_timeout above 1m0s"}},
		{"Via: 1.1 proxy (Apache/2.4)\r\n", 25 * time.Second, verdict{doctor.Unknown, "apache", ""}},
		{"", 25 * time.Second, verdict{doctor.Unknown, "do not say what it is", "--patient"}},
	} {
		r := tried(t, doctor.Proxy{URL: front(t, websocket{header: c.header, first: open(c.interval)})})
		c.check(t, find(t, r, "proxy: idle"))
	}
}

func TestUpgradesThatAreNoneFail(t *testing.T) {
	const silence = "nothing came within"
	for name, s := range map[string]websocket{
		"not the answer to our key": {accept: "bm8=", first: open(time.Second)},
		"want an open packet":       {first: "2"},
		"frame from a server":       {raw: []byte{0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9}}, // masked
		"closed with 1001":          {raw: ws.AppendClose(nil, 1001, "away")},
		"EOF":                       {raw: []byte{0x81}, cut: true},
		silence:                     {raw: []byte{}},
	} {
		p := doctor.Proxy{URL: front(t, s)}
		if name == silence {
			p.Timeout = 2 * time.Second // for the answer, too
		}
		r := tried(t, p)
		verdict{doctor.Fail, "", "buffering off"}.check(t, find(t, r, "proxy: websocket"))
		if f := find(t, r, "proxy: websocket"); !strings.Contains(f.Found, name) {
			t.Errorf("%s: %s", name, f.Found)
		}
	}
}

func TestSwitchingProtocolsWithoutAnUpgradeFails(t *testing.T) {
	r := tried(t, doctor.Proxy{URL: front(t, websocket{first: open(time.Second), always: true})})
	verdict{doctor.Fail, "101 Switching Protocols", ""}.check(t, find(t, r, "proxy: polling"))
}

func TestSlowProxyWarns(t *testing.T) {
	for took, want := range map[time.Duration]doctor.Level{2 * time.Second: doctor.OK, 2*time.Second + 1: doctor.Warn} {
		for _, f := range doctor.JudgeAnswersAfter(took) {
			verdict{level: want}.check(t, f)
		}
	}
}
