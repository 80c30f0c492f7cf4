package weir_test

import (
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
