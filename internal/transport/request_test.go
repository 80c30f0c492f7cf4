package transport_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/transport"
)

const required = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

func TestParseUpgradeTakesThePlainAndLeavesTheRest(t *testing.T) {
	get := func(target, fields string) string { return "GET " + target + " HTTP/1.1\r\n" + fields + "\r\n" }
	for _, tc := range []struct {
		name, head string
		taken      bool
	}{
		{"plain", get("/socket.io/?EIO=4", "Host: weir\r\n"+required), true},
		{"lower case names", get("/", "host: weir\r\nconnection: upgrade\r\nupgrade: websocket\r\n"), true},
		{"upper case values", get("/", "Host: weir\r\nConnection: UPGRADE\r\nUpgrade: WebSocket\r\n"), true},
		{"tokens among others", get("/", "Host: weir\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n"), true},
		{"tokens on two lines", get("/", "Host: weir\r\nConnection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), true},
		{"space around values", get("/", "Host: \t weir \t\r\n"+required), true},
		{"no space before values", get("/", "Host:weir\r\n"+required), true},
		{"empty value", get("/", "Host: weir\r\nX:\r\n"+required), true},
		{"repeated field", get("/", "Host: weir\r\nX: 1\r\nx: 2\r\n"+required), true},
		{"value not ASCII", get("/", "Host: weir\r\nX: é\r\n"+required), true},
		{"tab in value", get("/", "Host: weir\r\nX: a\tb\r\n"+required), true},
		{"escaped path", get("/a%20b/%2F?x=%zz", "Host: weir\r\n"+required), true},
		{"IPv6 host", get("/", "Host: [::1]:3000\r\n"+required), true},
		{"cache fields of browsers", get("/", "Host: weir\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"+required), true},

		{"POST", "POST / HTTP/1.1\r\nHost: weir\r\n" + required + "\r\n", false},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: weir\r\n" + required + "\r\n", false},
		{"lower case method", "get / HTTP/1.1\r\nHost: weir\r\n" + required + "\r\n", false},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: weir\r\n" + required + "\r\n", false},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", false},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", false},
		{"no target", "GET  HTTP/1.1\r\nHost: weir\r\n" + required + "\r\n", false},
		{"absolute target", get("http://weir/", "Host: weir\r\n"+required), false},
		{"asterisk", get("*", "Host: weir\r\n"+required), false},
		{"authority-like target", get("//weir/x", "Host: weir\r\n"+required), false},
		{"space in target", get("/a b", "Host: weir\r\n"+required), false},
		{"tab in target", get("/a\tb", "Host: weir\r\n"+required), false},
		{"control in target", get("/a\x01b", "Host: weir\r\n"+required), false},
		{"line feed in target", get("/a\nb", "Host: weir\r\n"+required), false},
		{"bad escape in target", get("/%zz", "Host: weir\r\n"+required), false},
		{"two spaces", get(" /", "Host: weir\r\n"+required), false},
		{"no host", get("/", required), false},
		{"two hosts", get("/", "Host: a\r\nHost: b\r\n"+required), false},
		{"host with a space", get("/", "Host: a b\r\n"+required), false},
		{"host with a slash", get("/", "Host: a/b\r\n"+required), false},
		{"host not ASCII", get("/", "Host: wéir\r\n"+required), false},
		{"host with a quote", get("/", "Host: \"weir\"\r\n"+required), false},
		{"not an upgrade", get("/", "Host: weir\r\n"), false},
		{"upgrade without connection", get("/", "Host: weir\r\nUpgrade: websocket\r\n"), false},
		{"connection without upgrade", get("/", "Host: weir\r\nConnection: Upgrade\r\n"), false},
		{"upgrade to something else", get("/", "Host: weir\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"), false},
		{"a token that only begins so", get("/", "Host: weir\r\nConnection: Upgrade\r\nUpgrade: websockets\r\n"), false},
		{"length", get("/", "Host: weir\r\nContent-Length: 0\r\n"+required), false},
		{"chunked", get("/", "Host: weir\r\nTransfer-Encoding: chunked\r\n"+required), false},
		{"expect", get("/", "Host: weir\r\nExpect: 100-continue\r\n"+required), false},
		{"folded field", get("/", "Host: weir\r\nX: a\r\n b\r\n"+required), false},
		{"folded first field", get("/", " X: a\r\nHost: weir\r\n"+required), false},
		{"space before colon", get("/", "Host: weir\r\nX : a\r\n"+required), false},
		{"no colon", get("/", "Host: weir\r\nX\r\n"+required), false},
		{"no name", get("/", "Host: weir\r\n: a\r\n"+required), false},
		{"name not ASCII", get("/", "Host: weir\r\né: a\r\n"+required), false},
		{"name with a separator", get("/", "Host: weir\r\na(b): c\r\n"+required), false},
		{"NUL in value", get("/", "Host: weir\r\nX: a\x00b\r\n"+required), false},
		{"carriage return in value", get("/", "Host: weir\r\nX: a\rb\r\n"+required), false},
		{"line feed in value", get("/", "Host: weir\r\nX: a\nY: b\r\n"+required), false},
		{"bare line feeds", "GET / HTTP/1.1\nHost: weir\nConnection: Upgrade\nUpgrade: websocket\n\r\n\r\n", false},
		{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: weir\r\n" + required + "\r\n", false},
		{"nothing", "\r\n\r\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := transport.ParseUpgrade([]byte(tc.head), peerAddress)
			if taken := r != nil; taken != tc.taken {
				t.Fatalf("taken: %v, want %v", taken, tc.taken)
			}
		})
	}
}

var peerAddress = netip.MustParseAddrPort("192.0.2.1:4000")

// What is taken is what net/http would have made of it, on whose checks everything behind it relies.
func FuzzParseUpgrade(f *testing.F) {
	f.Add([]byte(upgradeRequest("")))
	f.Add([]byte(upgradeRequest("Pragma: no-cache\r\n")))
	f.Add([]byte(upgradeRequest("Host: b\r\n")))
	f.Add([]byte(upgradeRequest("Trailer: X\r\nTE: trailers\r\n")))
	f.Add([]byte("GET /%2e%2E/?a=b#c HTTP/1.1\r\nHost: a/b\r\n" + required + "\r\n"))
	web := newJudge(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		i := bytes.Index(b, []byte("\r\n\r\n"))
		if i < 0 || i > 3000 {
			return
		}
		head := b[:i+4]
		got := transport.ParseUpgrade(head, peerAddress)
		if got == nil {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			t.Fatalf("ReadRequest refuses it: %v", err)
		}
		compareRequests(t, got, want)
		if got.RemoteAddr != peerAddress.String() {
			t.Errorf("remote address %s", got.RemoteAddr)
		}
		if want = web.judge(head); want == nil {
			t.Fatal("the server of net/http refuses it")
		}
		compareRequests(t, got, want)
	})
}

func upgradeRequest(extra string) string {
	return "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: weir:3000\r\n" + required + extra + "\r\n"
}

func compareRequests(t *testing.T, got, want *http.Request) {
	t.Helper()
	for _, part := range []struct {
		name      string
		got, want any
	}{
		{"method", got.Method, want.Method},
		{"URL", got.URL, want.URL},
		{"RequestURI", got.RequestURI, want.RequestURI},
		{"host", got.Host, want.Host},
		{"header", got.Header, want.Header},
		{"protocol", [...]any{got.Proto, got.ProtoMajor, got.ProtoMinor}, [...]any{want.Proto, want.ProtoMajor, want.ProtoMinor}},
		{"length", got.ContentLength, want.ContentLength},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			t.Errorf("%s %#v, of net/http %#v", part.name, part.got, part.want)
		}
	}
}

// judge asks a server of net/http what it makes of a request.
type judge struct {
	conns chan net.Conn
	seen  chan *http.Request
	done  chan struct{}
}

func newJudge(f *testing.F) *judge {
	j := &judge{conns: make(chan net.Conn), seen: make(chan *http.Request, 1), done: make(chan struct{})}
	srv := &http.Server{Handler: j}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := srv.Serve(j); !errors.Is(err, http.ErrServerClosed) {
			f.Error(err)
		}
	}()
	f.Cleanup(func() {
		_ = srv.Close()
		<-ended
	})
	return j
}

// Accept, Close and Addr implement net.Listener.

func (j *judge) Accept() (net.Conn, error) {
	select {
	case c := <-j.conns:
		return c, nil
	case <-j.done:
		return nil, net.ErrClosed
	}
}

func (j *judge) Close() error   { close(j.done); return nil }
func (j *judge) Addr() net.Addr { return &net.TCPAddr{} }

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	j.seen <- r
}

// judge returns the request as a handler got it, nil if none did.
func (j *judge) judge(head []byte) *http.Request {
	server, client := net.Pipe()
	defer func() { _ = client.Close() }()
	j.conns <- server
	go func() { _, _ = client.Write(head) }() // ends with the connection
	_, _ = io.Copy(io.Discard, client)
	select {
	case r := <-j.seen:
		return r
	default:
		return nil
	}
}

// Header fields share their memory with nothing that is used again.
func TestParseUpgradeKeepsNothingOfTheBuffer(t *testing.T) {
	head := []byte(upgradeRequest("X-Test: value\r\n"))
	r := transport.ParseUpgrade(head, peerAddress)
	for i := range head {
		head[i] = '!'
	}
	if r.Host != "weir:3000" || r.Header.Get("X-Test") != "value" || r.URL.RawQuery != "EIO=4&transport=websocket" || strings.Contains(r.RequestURI, "!") {
		t.Errorf("request %+v changed with the buffer", r)
	}
}
