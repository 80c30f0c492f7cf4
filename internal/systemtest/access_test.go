package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
)

// gate is an AuthFunc that knows a few tokens and remembers what it was asked.
type gate struct {
	mu    sync.Mutex
	asked []string // action, topic, token
}

func (g *gate) authenticate(_ context.Context, r weir.AuthRequest) (weir.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, fmt.Sprintf("%s %s %s", r.Action, r.Topic, r.Token))
	switch {
	case r.Token == "":
		return weir.Identity{}, weir.Errorf(weir.ErrUnauthorized, "missing token")
	case strings.HasPrefix(r.Token, "bad"):
		return weir.Identity{}, &weir.Error{Code: weir.ErrUnauthorized, Reason: "the token was refused", Cause: errors.New("this text is for the log only")}
	case strings.HasPrefix(r.Token, "down"):
		return weir.Identity{}, errors.New("this text is for the log only")
	case r.Action == weir.ActionPublish && r.Token == "reader":
		return weir.Identity{}, weir.Errorf(weir.ErrForbidden, "readers do not publish")
	}
	return weir.Identity{Principal: r.Token}, nil
}

// last returns what was asked last.
func (g *gate) last() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.asked) == 0 {
		return "nothing"
	}
	return g.asked[len(g.asked)-1]
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.asked)
}

// guarded is a server with a namespace that wants a token and one whose topics do.
func (g *gate) guarded(t *testing.T, failures int) *weir.Server {
	t.Helper()
	return start(t, weir.Options{
		Authenticate: g.authenticate, AuthFailures: weir.AuthFailures{Max: failures},
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{
			{Path: "/feed", AuthRequired: true},
			{Path: "/open", ClientPublish: true, Topics: []weir.TopicOptions{
				{Name: "public"}, {Name: "private", AuthRequired: true, Max: weir.Limits{Bytes: 4 << 10}},
			}},
		}}},
	})
}

func TestTokenIsLookedForInFourPlacesInOrder(t *testing.T) {
	var g gate
	srv := g.guarded(t, 1000)
	in := map[string]any{"payload": "1-payload", "auth": "2-auth", "header": "3-header", "query": "4-query"}
	for _, c := range []struct {
		places string
		want   string
	}{
		{"payload auth header query", "1-payload"}, {"auth header query", "2-auth"}, {"header query", "3-header"}, {"query", "4-query"},
		{"payload query", "1-payload"}, {"auth query", "2-auth"}, {"payload header", "1-payload"}, {"", ""},
	} {
		var o dialOptions
		auth := map[string]any{}
		request := map[string]any{"topic": "private"}
		for place := range strings.FieldsSeq(c.places) {
			switch place {
			case "payload":
				request["token"] = in[place]
			case "auth":
				auth["token"] = in[place]
			case "header":
				o.header = "Authorization: Bearer " + in[place].(string) + "\r\n"
			case "query":
				o.query = "&token=" + in[place].(string)
			}
		}
		p := dial(t, addr(srv), "/open", auth, o)
		for _, event := range []string{"subscribe", "publish"} {
			if event == "publish" {
				request["payload"] = 1
			}
			before := g.count()
			p.emit("/open", 1, event, request)
			p.next() // the answer; a subscriber's own delivery may come first
			if event == "publish" {
				eventually(t, "the gate is asked", func() bool { return g.count() > before })
			}
			if want := event + " private " + c.want; g.last() != want {
				t.Errorf("token in %q: asked %q, want %q", c.places, g.last(), want)
			}
		}
		if c.places == "" || strings.Fields(c.places)[0] == "payload" {
			continue
		}
		q := dialRaw(t, addr(srv), o)
		q.join("/feed", auth)
		if want := "connect  " + c.want; g.last() != want {
			t.Errorf("token in %q: asked %q at connect, want %q", c.places, g.last(), want)
		}
	}
}

func TestAuthIsAskedAtConnectSubscribeAndPublishAsConfigured(t *testing.T) {
	var g gate
	srv := g.guarded(t, 1000)
	for auth, want := range map[string]string{
		``:                   `44/feed,{"message":"unauthorized: missing token","data":{"code":"unauthorized","retryable":false}}`,
		`{"token":"bad"}`:    `44/feed,{"message":"unauthorized: the token was refused","data":{"code":"unauthorized","retryable":false}}`,
		`{"token":"reader"}`: `40/feed,{"sid":`,
	} {
		p := dialRaw(t, addr(srv), dialOptions{})
		p.send("40/feed," + auth)
		if m := p.next(); !strings.HasPrefix(m, want) {
			t.Errorf("CONNECT with %s: %q", auth, m)
		}
	}
	before := g.count()
	p := dial(t, addr(srv), "/open", nil, dialOptions{})
	if a := p.subscribe("/open", "public"); a["ok"] != true || g.count() != before {
		t.Errorf("a topic that wants no token: %v, asked %d times", a, g.count()-before)
	}
	if a := p.subscribe("/open", "private"); a["ok"] != false || a["code"] != "unauthorized" {
		t.Errorf("a topic that wants one: %v", a)
	}
	if a := p.subscribe("/open", "private", map[string]any{"token": "bad"}); a["code"] != "unauthorized" || strings.Contains(fmt.Sprint(a["reason"]), "log only") {
		t.Errorf("a wrong one: %v", a)
	}
	if a := p.subscribe("/open", "private", map[string]any{"token": "reader"}); a["ok"] != true {
		t.Errorf("the right one: %v", a)
	}
	if n := metric(t, srv, "weir_auth_rejected_total"); n != 4 {
		t.Errorf("%v refusals counted, want 4", n)
	}
}

// TestPublishRightIsNotTheSubscribeRight is streamfence.md J14 and S10: who
// may read may not write by that, nobody may where clientPublish is not set, and a
// topic's byte limit holds for clients too. (Rates of clients come with the guards.)
func TestPublishRightIsNotTheSubscribeRight(t *testing.T) {
	var g gate
	srv := g.guarded(t, 1000)
	ask := func(p *peer, namespace, topic, token, payload string) string {
		p.emit(namespace, 3, "publish", map[string]any{"topic": topic, "token": token, "payload": payload})
		for {
			m := p.next()
			if rest, ok := strings.CutPrefix(m, "43"+namespace+",3"); ok {
				return rest
			}
		}
	}
	p := dial(t, addr(srv), "/open", nil, dialOptions{})
	p.subscribe("/open", "private", map[string]any{"token": "reader"})
	for _, c := range []struct{ topic, token, payload, want string }{
		{"private", "reader", "x", `"code":"forbidden"`}, {"private", "bad", "x", `"code":"unauthorized"`}, {"private", "", "x", `"code":"unauthorized"`},
		{"private", "writer", "x", `"ok":true`}, {"private", "writer", strings.Repeat("x", 5000), `"code":"too_large"`}, {"public", "", "x", `"ok":true`},
	} {
		if got := ask(p, "/open", c.topic, c.token, c.payload); !strings.Contains(got, c.want) {
			t.Errorf("publish to %s with %q: %s, want %s", c.topic, c.token, got, c.want)
		}
	}
	denied := start(t, feed(weir.TopicOptions{Name: "prices"}))
	q := dial(t, addr(denied), "/feed", nil, dialOptions{})
	q.subscribe("/feed", "prices")
	if got := ask(q, "/feed", "prices", "", "x"); !strings.Contains(got, `"code":"forbidden"`) {
		t.Errorf("publish where clients may not: %s", got)
	}
	if n := metric(t, denied, "weir_published_total"); n != 0 {
		t.Errorf("%v messages were published", n)
	}
}

// TestFailedTokensAreCountedByAddressWhateverThePort is streamfence.md J4:
// each attempt comes over a connection of its own, at connect, subscribe and publish.
func TestFailedTokensAreCountedByAddressWhateverThePort(t *testing.T) {
	const limit = 6
	var g gate
	srv := g.guarded(t, limit)
	good := dial(t, addr(srv), "/open", nil, dialOptions{})
	for i := range limit {
		p := dialRaw(t, addr(srv), dialOptions{})
		switch i % 3 {
		case 0:
			p.send(`40/feed,{"token":"bad"}`)
			p.next()
		case 1:
			p.join("/open", nil)
			p.subscribe("/open", "private", map[string]any{"token": "bad"})
		case 2:
			p.join("/open", nil)
			p.emit("/open", 1, "publish", map[string]any{"topic": "private", "token": "bad", "payload": 1})
			p.next()
		}
	}
	asked := g.count()
	if asked != limit {
		t.Fatalf("asked %d times, want %d", asked, limit)
	}
	if h := handshake(t, srv, ""); h.status != http.StatusOK {
		t.Errorf("the next handshake, for a namespace that may want no token: %+v", h)
	}
	if a := good.subscribe("/open", "private", map[string]any{"token": "reader"}); a["code"] != "limited" || a["retryable"] != true {
		t.Errorf("a right token of that address on an old connection: %v", a)
	}
	if a := good.subscribe("/open", "public"); a["ok"] != true {
		t.Errorf("what needs no token: %v", a)
	}
	if g.count() != asked {
		t.Error("a token of a blocked address was looked at")
	}
	if n := metric(t, srv, "weir_auth_rate_limited_total"); n != 1 {
		t.Errorf("%v attempts counted as limited, want the token", n)
	}
}

// management sends one request to a server's management port.
func management(t *testing.T, srv *weir.Server, method, path string, header map[string]string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+srv.Addr("management").String()+path, strings.NewReader(bodyFor(method)))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func bodyFor(method string) string {
	if method == http.MethodPost {
		return `{"namespace":"/feed","topic":"prices","payload":1}`
	}
	return ""
}

// TestOtherSitesDoNotReachTheManagementPort: cross-site requests and DNS rebinding,
// with and without Origin, for every method (operating.md).
func TestOtherSitesDoNotReachTheManagementPort(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Addr, o.Management.Addr = "127.0.0.1:0", "127.0.0.1:0"
	srv := start(t, o)
	own := srv.Addr("management").String()
	attacks := map[string]map[string]string{
		"rebound name":             {"Host": "evil.example"},
		"rebound name and port":    {"Host": "evil.example:9393"},
		"rebound, its own origin":  {"Host": "evil.example", "Origin": "http://evil.example"},
		"looks like ours":          {"Host": "localhost.evil.example"},
		"another machine":          {"Host": "192.0.2.1"},
		"foreign origin":           {"Origin": "https://evil.example"},
		"null origin":              {"Origin": "null"},
		"other port, same host":    {"Origin": "http://127.0.0.1:1"},
		"malformed origin":         {"Origin": "http://" + own + "/path"},
		"cross-site without one":   {"Sec-Fetch-Site": "cross-site"},
		"same-site":                {"Sec-Fetch-Site": "same-site"},
		"cross-site, right origin": {"Origin": "http://" + own, "Sec-Fetch-Site": "cross-site"},
	}
	paths := map[string][]string{
		http.MethodGet:  {"/metrics", "/api/stats", "/api/clients", "/api/config", "/api/tail?namespace=/feed&topic=prices", "/healthz", "/debug/pprof/heap"},
		http.MethodHead: {"/metrics"}, http.MethodOptions: {"/api/publish"},
		http.MethodPost: {"/api/publish", "/api/drain", "/api/sockets/disconnect"}, http.MethodDelete: {"/api/deadletters"},
	}
	for name, header := range attacks {
		for method, list := range paths {
			for _, path := range list {
				if status, body := management(t, srv, method, path, header); status != http.StatusForbidden {
					t.Errorf("%s: %s %s: %d %.100s", name, method, path, status, body)
				}
			}
		}
	}
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""} {
		if status, body := management(t, srv, http.MethodPost, "/api/publish", map[string]string{"Content-Type": contentType}); status == http.StatusOK {
			t.Errorf("a write of content type %q: %d %s", contentType, status, body)
		}
	}
	if n := metric(t, srv, "weir_published_total"); n != 0 {
		t.Errorf("%v messages were published", n)
	}
	_, port, _ := strings.Cut(own, ":")
	for name, header := range map[string]map[string]string{
		"curl": nil, "by name": {"Host": "localhost:" + port}, "its own page": {"Origin": "http://" + own, "Sec-Fetch-Site": "same-origin"},
		"typed": {"Sec-Fetch-Site": "none"}, "forwarded port": {"Host": "localhost:8080"},
	} {
		if status, body := management(t, srv, http.MethodGet, "/api/stats", header); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if status, body := management(t, srv, http.MethodPost, "/api/publish", header); status != http.StatusOK {
			t.Errorf("%s: publish: %d %s", name, status, body)
		}
	}
}

// TestKeysOpenWhatTheyAllow: with keys, a right is a right and health needs none.
func TestKeysOpenWhatTheyAllow(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Addr = "127.0.0.1:0"
	o.Management = weir.ManagementOptions{Addr: "127.0.0.1:0", Keys: []weir.ManagementKey{
		{Name: "writer", Key: "key-w", Allow: []string{"publish"}},
		{Name: "reader", Key: "key-r", Allow: []string{"read"}},
		{Name: "ops", Key: "key-a", Allow: []string{"admin"}},
		{Name: "all", Key: "key-all", Allow: []string{"publish", "read", "admin"}},
	}}
	srv := start(t, o)
	for _, c := range []struct {
		method, path string
		allowed      string // keys
	}{
		{"POST", "/api/publish", "key-w key-all"}, {"GET", "/api/stats", "key-r key-all"}, {"GET", "/metrics", "key-r key-all"},
		{"GET", "/api/clients", "key-r key-all"}, {"GET", "/debug/pprof/goroutine", "key-a key-all"},
	} {
		for _, key := range []string{"", "key-w", "key-r", "key-a", "key-all", "key", "key-allx"} {
			for _, scheme := range []string{"Authorization", "X-API-Key"} {
				value := key
				if scheme == "Authorization" {
					value = "Bearer " + key
				}
				want := http.StatusForbidden
				switch {
				case !slices.Contains([]string{"key-w", "key-r", "key-a", "key-all"}, key):
					want = http.StatusUnauthorized
				case slices.Contains(strings.Fields(c.allowed), key):
					want = http.StatusOK
				}
				status, body := management(t, srv, c.method, c.path, map[string]string{scheme: value, "Origin": "https://ops.example"})
				if status != want {
					t.Errorf("%s %s with %s %q: %d %.80s, want %d", c.method, c.path, scheme, key, status, body, want)
				}
			}
		}
	}
	if status, _ := management(t, srv, "GET", "/healthz", nil); status != http.StatusOK {
		t.Errorf("health without a key: %d", status)
	}
	if _, err := weir.New(weir.Options{Management: weir.ManagementOptions{Addr: "0.0.0.0:0"}}); err == nil {
		t.Error("a management port off loopback without a key was accepted")
	}
}
