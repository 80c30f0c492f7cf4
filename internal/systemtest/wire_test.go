package systemtest_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// httpPeer is a polling client that says what is to be said, to the byte.
type httpPeer struct {
	t    testing.TB
	base string
	url  string
}

func newHTTPPeer(t testing.TB, srv *weir.Server) *httpPeer {
	p := &httpPeer{t: t, base: "http://" + addr(srv) + "/socket.io/?EIO=4&transport=polling"}
	p.url = p.base
	_, open := p.get()
	p.url += "&sid=" + strings.Split(open, `"`)[3]
	return p
}

func (p *httpPeer) get() (int, string)             { return p.do(http.MethodGet, "") }
func (p *httpPeer) post(body string) (int, string) { return p.do(http.MethodPost, body) }

func (p *httpPeer) do(method, body string) (int, string) {
	p.t.Helper()
	q, err := http.NewRequestWithContext(p.t.Context(), method, p.url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A client that breaks the protocol is told that its session is over, behind what was for it before: it reports
// "transport close" and comes again, instead of "transport error" with the CONNECT answer lost.
func TestViolationOverPollingIsToldBehindTheConnectAnswer(t *testing.T) {
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}})
	for _, fault := range []string{"9", "44{}", "42[", "bx*"} {
		p := newHTTPPeer(t, srv)
		p.post("40\x1e" + fault)
		status, got := p.get()
		if status != http.StatusOK || !strings.HasPrefix(got, `40{"sid":`) || !strings.HasSuffix(got, "}\x1e1") {
			t.Errorf("%s: answered %d %q", fault, status, got)
		}
		if status, got := p.get(); status != http.StatusBadRequest {
			t.Errorf("%s: and then %d %q", fault, status, got)
		}
	}
	q := dialRaw(t, addr(srv), dialOptions{})
	q.send("40")
	q.send("9")
	got, err := q.receive()
	if err != nil && len(q.got) > 0 { // the close frame came with it
		got = q.got[0]
	}
	if !strings.HasPrefix(got, `40{"sid":`) {
		t.Errorf("got %q, %v", got, err)
	}
}

// The client option `protocols` makes browsers and Node refuse a handshake that does not answer one of them; and it is the
// only way a page can send a token with a websocket's handshake.
func TestSubprotocolIsAnsweredAndMayCarryTheToken(t *testing.T) {
	tokens, err := weir.StaticTokens(map[string]string{"alice": "abc.def-1"})
	if err != nil {
		t.Fatal(err)
	}
	srv := start(t, weir.Options{Authenticate: tokens, Servers: []weir.ServerOptions{{
		Name: "default", Auth: true, Namespaces: []weir.NamespaceOptions{{Path: "/", AuthRequired: true}},
	}}})
	for offer, want := range map[string]string{
		"access_token, abc.def-1":     "access_token",
		"mine,access_token,abc.def-1": "mine",
	} {
		conn := connect(t, addr(srv))
		_, err := io.WriteString(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: weir\r\nUpgrade: websocket\r\n"+
			"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
			"Sec-WebSocket-Protocol: "+offer+"\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Values("Sec-WebSocket-Protocol"); len(got) != 1 || got[0] != want {
			t.Errorf("%s: answered %q, want %q", offer, got, want)
		}
		p := dialRaw(t, addr(srv), dialOptions{header: "Sec-WebSocket-Protocol: " + offer + "\r\n"})
		p.join("/", nil)
	}
	none := dialRaw(t, addr(srv), dialOptions{})
	none.send("40")
	if got := none.next(); !strings.HasPrefix(got, "44") {
		t.Errorf("without a token: %q", got)
	}
}

// A socket whose checks still run is not connected yet.
func TestConnectedIsSaidOnlyOfWhoWasLetIn(t *testing.T) {
	said := make(chan bool, 2)
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, func(srv *weir.Server) {
		ns := srv.Namespace("/")
		ns.Use(func(_ context.Context, s *weir.Socket) error { said <- s.Connected(); return nil })
		ns.OnConnect(func(_ context.Context, s *weir.Socket) error { said <- s.Connected(); return nil })
	})
	dial(t, addr(srv), "/", nil, dialOptions{})
	if during, after := <-said, <-said; during || !after {
		t.Errorf("connected during its check %v, after it %v", during, after)
	}
}
