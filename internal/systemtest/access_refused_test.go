package systemtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
)

// logbook is where a server of a test logs to.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// lines returns those that contain every one of the texts.
func (l *logbook) lines(texts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.buf.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// told is lines of all that the server has logged so far: its log has a goroutine of its own, which may be behind.
func (l *logbook) told(t *testing.T, srv *weir.Server, texts ...string) []string {
	t.Helper()
	if left := attach.Tests.FlushLog(srv, patience); left > 0 {
		t.Fatalf("%d lines are not written", left)
	}
	return l.lines(texts...)
}

// refusedView is an entry of GET /api/refused.
type refusedView struct {
	Kind, Address, Shown string
	Count                int
	Until                string
}

func refusedNow(t *testing.T, srv *weir.Server, query string) (list []refusedView) {
	t.Helper()
	status, body := management(t, srv, http.MethodGet, "/api/refused"+query, nil)
	var answer struct{ Refused []refusedView }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("GET /api/refused: %d %s", status, body)
	}
	return answer.Refused
}

// TestOnlyWrongTokensLockAnAddressOut: not rights that are lacking, not a token service
// that is down, and not the clients of namespaces that ask for no token.
func TestOnlyWrongTokensLockAnAddressOut(t *testing.T) {
	const limit = 3
	var g gate
	var log logbook
	srv := start(t, weir.Options{
		Authenticate: g.authenticate, AuthFailures: weir.AuthFailures{Max: limit}, Logger: log.logger(),
		Management: weir.ManagementOptions{Addr: "127.0.0.1:0"},
		Servers: []weir.ServerOptions{
			{Auth: true, Namespaces: []weir.NamespaceOptions{
				{Path: "/open", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "private", AuthRequired: true}}},
			}},
			{Name: "strict", Auth: true, Namespaces: []weir.NamespaceOptions{{Path: "/strict", AuthRequired: true}}},
		},
	})
	p := dial(t, addr(srv), "/open", nil, dialOptions{})
	for range 2 * limit {
		p.emit("/open", 1, "publish", map[string]any{"topic": "private", "token": "reader", "payload": 1})
		if m := p.next(); !strings.Contains(m, `"code":"forbidden"`) {
			t.Fatalf("a right that is lacking: %s", m)
		}
		if a := p.subscribe("/open", "private", map[string]any{"token": "down"}); a["code"] != "unavailable" || a["retryable"] != true || strings.Contains(fmt.Sprint(a), "log only") {
			t.Fatalf("a token nobody could check: %v", a)
		}
	}
	if list := refusedNow(t, srv, ""); len(list) != 0 {
		t.Errorf("refused before any wrong token: %+v", list)
	}
	for range limit {
		if a := p.subscribe("/open", "private", map[string]any{"token": "bad"}); a["code"] != "unauthorized" || a["retryable"] != false {
			t.Fatalf("a wrong token: %v", a)
		}
	}
	if a := p.subscribe("/open", "private", map[string]any{"token": "reader"}); a["code"] != "limited" {
		t.Errorf("after as many wrong ones as there may be: %v", a)
	}
	if got := log.told(t, srv, "address refused", "127.0.0.1"); len(got) != 1 {
		t.Errorf("the lock-out has %d lines: %q", len(got), got)
	}
	if _, err := tryDial(srv.Addr("strict").String(), dialOptions{}); err == nil {
		t.Error("a handshake where all namespaces ask for a token was welcome")
	}
	other := dial(t, addr(srv), "/open", nil, dialOptions{})
	if a := other.subscribe("/open", "none"); a["code"] != "unknown" {
		t.Errorf("where no token is asked for: %v", a)
	}
	list := refusedNow(t, srv, "?kind=auth_failures&address=127.0.0.1")
	if len(list) != 1 || list[0].Address != "127.0.0.1" || list[0].Count != limit || list[0].Until == "" {
		t.Errorf("listed: %+v", list)
	}
	for _, c := range []struct{ query, want string }{
		{"?address=192.0.2.1", `{"cleared":0}`}, {"?kind=auth_failures&address=127.0.0.1", `{"cleared":1}`}, {"", `{"cleared":0}`}, {"?address=x", `want an IP address`},
		{"?kind=auth_failure", `kind: want one of origin, protocol_version, inbound_limit, schema, auth_failures, slow_consumer, max_connections, no_room, max_pending, handshake_rate, per_address, address_rate, per_principal, proxy_header`},
	} {
		if _, body := management(t, srv, http.MethodDelete, "/api/refused"+c.query, map[string]string{"Content-Type": "application/json"}); !strings.Contains(body, c.want) {
			t.Errorf("DELETE %s: %s, want %s", c.query, body, c.want)
		}
	}
	if a := p.subscribe("/open", "private", map[string]any{"token": "reader"}); a["ok"] != true {
		t.Errorf("after it was let in again: %v", a)
	}
	if n := metric(t, srv, "weir_auth_unavailable_total"); n != 2*limit {
		t.Errorf("%v tokens counted as not checked, want %d", n, 2*limit)
	}
}

// TestRefusedOriginsAndOldClientsAreLoggedOnceAndCountedOnce.
func TestRefusedOriginsAndOldClientsAreLoggedOnceAndCountedOnce(t *testing.T) {
	var log logbook
	o := weir.Options{Logger: log.logger(), Namespaces: []weir.NamespaceOptions{{Path: "/"}}}
	o.Addr, o.Management.Addr = "127.0.0.1:0", "127.0.0.1:0"
	srv := start(t, o)
	total := func() (n float64) { return metric(t, srv, "weir_handshakes_refused_total") }
	for name, c := range map[string]struct {
		options dialOptions
		reason  string
		shown   string
	}{
		"foreign origin": {dialOptions{header: "Origin: https://shop.example\r\nUser-Agent: spec\r\n"}, "origin", "https://shop.example"},
		"Socket.IO 2":    {dialOptions{query: "&EIO=3"}, "protocol_version", "EIO=3"},
	} {
		for _, transport := range []string{"websocket", "polling", "polling"} {
			before := total()
			if transport == "websocket" {
				if c.options.query != "" { // the peer always says 4 first: the last counts here
					continue
				}
				if _, err := tryDial(addr(srv), c.options); err == nil {
					t.Fatalf("%s: welcome", name)
				}
			} else {
				version := "4"
				if c.options.query != "" {
					version = "3"
				}
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr(srv)+"/socket.io/?transport=polling&EIO="+version, nil)
				if err != nil {
					t.Fatal(err)
				}
				if c.options.header != "" {
					r.Header.Set("Origin", "https://shop.example")
				}
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode < 400 {
					t.Fatalf("%s: %s", name, resp.Status)
				}
			}
			if n := total() - before; n != 1 {
				t.Errorf("%s over %s: counted %v times", name, transport, n)
			}
		}
		if got := log.told(t, srv, "reason="+c.reason, c.shown, "127.0.0.1"); len(got) != 1 {
			t.Errorf("%s: %d lines: %q", name, len(got), got)
		}
		if list := refusedNow(t, srv, "?kind="+c.reason); len(list) != 1 || list[0].Shown != c.shown || list[0].Count < 2 || list[0].Address != "127.0.0.1" {
			t.Errorf("%s: listed %+v", name, list)
		}
	}
}

// TestLimitsThatRefuseAreLoggedAndListed.
func TestLimitsThatRefuseAreLoggedAndListed(t *testing.T) {
	var log logbook
	srv := start(t, weir.Options{Logger: log.logger(), Management: weir.ManagementOptions{Addr: "127.0.0.1:0"}, Servers: []weir.ServerOptions{{
		Namespaces: []weir.NamespaceOptions{{Path: "/"}}, Limits: weir.ServerLimits{Connections: 1},
	}}})
	dial(t, addr(srv), "/", nil, dialOptions{})
	for range 3 {
		if _, err := tryDial(addr(srv), dialOptions{}); err == nil {
			t.Fatal("a second client is in")
		}
	}
	if got := log.told(t, srv, "limits.maxConnections is reached"); len(got) != 1 {
		t.Errorf("%d lines: %q", len(got), got)
	}
	if list := refusedNow(t, srv, ""); len(list) != 1 || list[0].Kind != "max_connections" || list[0].Count != 3 || list[0].Shown != "server default" {
		t.Errorf("listed %+v", list)
	}
}

// TestWhoIsCutIsKnownByItsUserAgent: in the log, among those cut, and before it among all.
func TestWhoIsCutIsKnownByItsUserAgent(t *testing.T) {
	var log logbook
	cut := make(chan weir.CutEvent, 1)
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Logger, o.Management.Addr = log.logger(), "127.0.0.1:0"
	o.Events.Cut = func(e weir.CutEvent) { cut <- e }
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{header: "User-Agent: tv-app/7.1\r\n"})
	if v := client(t, srv, p.sid); v.Agent != "tv-app/7.1" {
		t.Errorf("listed with %q", v.Agent)
	}
	if _, body := management(t, srv, http.MethodGet, "/api/clients?groupBy=agent", nil); !strings.Contains(body, `"name":"tv-app/7.1","clients":1`) {
		t.Errorf("by agent: %s", body)
	}
	resp, err := http.Post("http://"+srv.Addr("management").String()+"/api/sockets/disconnect", "application/json",
		strings.NewReader(`{"namespace":"/feed","filter":{"id":"`+p.sid+`"}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if e := <-cut; len(e.Clients) != 1 || e.Clients[0].Agent != "tv-app/7.1" {
		t.Errorf("told %+v", e)
	}
	if list := srv.CutClients(10); len(list) != 1 || list[0].Agent != "tv-app/7.1" {
		t.Errorf("those cut: %+v", list)
	}
	eventually(t, "the line has the User-Agent", func() bool { return len(log.lines("client cut", "agent=tv-app/7.1")) == 1 })
}
