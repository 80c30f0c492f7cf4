package systemtest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streamweir/weir"
)

var jwtSecret = []byte(strings.Repeat("s3cret!!", 4))

// bearer is a token of HS256 with those claims beside a subject and an end in an hour; nil takes one away.
func bearer(t testing.TB, changes map[string]any) string {
	t.Helper()
	c := jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(jwtSecret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func grants(m map[string]any) map[string]any { return map[string]any{"weir": m} }

// signed is a server whose tokens are signed.
func signed(t *testing.T, o weir.JWTOptions) *weir.Server {
	t.Helper()
	if o.Algorithms == nil {
		o.Algorithms = []string{"HS256"}
	}
	if o.Keys == nil && o.JWKSURL == "" {
		o.Keys = []weir.JWTKey{{Secret: jwtSecret}}
	}
	auth, err := weir.JWT(o)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, weir.Options{Authenticate: auth, Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{
		{Path: "/feed", AuthRequired: true, ClientPublish: true, Topics: []weir.TopicOptions{{Name: "prices*"}, {Name: "orders"}}},
		{Path: "/granted", ClientPublishGranted: true, Topics: []weir.TopicOptions{{Name: "prices*"}, {Name: "orders"}}},
		{Path: "/topics", Topics: []weir.TopicOptions{{Name: "prices*", AuthRequired: true}, {Name: "orders", AuthRequired: true}}},
	}}}})
}

// connects returns what CONNECT is answered.
func connects(t *testing.T, srv *weir.Server, namespace, token string) string {
	t.Helper()
	p := dialRaw(t, addr(srv), dialOptions{})
	b, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		t.Fatal(err)
	}
	p.send("40" + namespace + "," + string(b))
	return p.next()
}

func TestSignedTokensAtConnect(t *testing.T) {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	srv := signed(t, weir.JWTOptions{})
	good := bearer(t, nil)
	for name, c := range map[string]struct{ token, want string }{
		"good":          {good, `40/feed,{"sid":`},
		"missing":       {"", `"message":"unauthorized: missing token"`},
		"wrong":         {good[:len(good)-4] + "AAAA", `"message":"unauthorized: invalid token"`},
		"expired":       {bearer(t, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), `"message":"token_expired: the token has expired"`},
		"not valid yet": {bearer(t, map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}), `"message":"unauthorized: the token is not valid yet"`},
		"alg none":      {part(`{"alg":"none"}`) + "." + part(`{"sub":"alice","exp":9999999999}`) + ".", `"message":"unauthorized: invalid token"`},
		"another kid":   {part(`{"alg":"HS256","kid":"../../etc/passwd"}`) + "." + part(`{"sub":"alice","exp":9999999999}`) + ".AAAA", `"message":"unauthorized: invalid token"`},
	} {
		if got := connects(t, srv, "/feed", c.token); !strings.Contains(got, c.want) {
			t.Errorf("%s: answered %s, want %s", name, got, c.want)
		}
	}
}

func TestTokenGrantsTopics(t *testing.T) {
	srv := signed(t, weir.JWTOptions{})
	p := dial(t, addr(srv), "/feed", map[string]string{"token": bearer(t, grants(map[string]any{"sub": []string{"prices*"}, "pub": []string{"orders"}}))}, dialOptions{})
	if got := p.subscribe("/feed", "prices.AAPL"); got["ok"] != true {
		t.Errorf("granted: %v", got)
	}
	if got := p.subscribe("/feed", "orders"); got["code"] != "forbidden" {
		t.Errorf("not granted: %v", got)
	}
	for topic, ok := range map[string]bool{"orders": true, "prices.AAPL": false} {
		p.emit("/feed", 7, "publish", map[string]any{"topic": topic, "payload": 1})
		if got := p.next(); strings.Contains(got, `"ok":true`) != ok || !ok && !strings.Contains(got, "forbidden") {
			t.Errorf("publish to %s: %s", topic, got)
		}
	}
	// A token for one topic, presented at subscribe, opens that one and no other.
	for topic, ok := range map[string]bool{"orders": true, "prices.AAPL": false} {
		other := dial(t, addr(srv), "/topics", nil, dialOptions{})
		got := other.subscribe("/topics", topic, map[string]any{"token": bearer(t, grants(map[string]any{"sub": []string{"orders"}}))})
		if (got["ok"] == true) != ok || !ok && got["code"] != "forbidden" {
			t.Errorf("a token for orders on %s: %v", topic, got)
		}
	}
	more := p.subscribe("/feed", "orders", map[string]any{"token": bearer(t, grants(map[string]any{"sub": []string{"orders"}}))})
	if more["ok"] != true {
		t.Errorf("what the token of the connection does not grant, one for the topic does: %v", more)
	}
}

func TestClientsPublishOnlyWhatTheirTokensGrant(t *testing.T) {
	srv := signed(t, weir.JWTOptions{})
	for name, c := range map[string]struct {
		auth any
		ok   bool
	}{
		"nobody":       {nil, false},
		"all allowed":  {map[string]string{"token": bearer(t, nil)}, false},
		"granted":      {map[string]string{"token": bearer(t, grants(map[string]any{"pub": []string{"orders"}}))}, true},
		"another":      {map[string]string{"token": bearer(t, grants(map[string]any{"pub": []string{"prices*"}}))}, false},
		"reading only": {map[string]string{"token": bearer(t, grants(map[string]any{"sub": []string{"*"}}))}, false},
	} {
		p := dial(t, addr(srv), "/granted", c.auth, dialOptions{})
		p.emit("/granted", 7, "publish", map[string]any{"topic": "orders", "payload": 1})
		if got := p.next(); strings.Contains(got, `"ok":true`) != c.ok || !c.ok && !strings.Contains(got, "forbidden") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestClaimsReachTheApplication(t *testing.T) {
	srv := signed(t, weir.JWTOptions{})
	met := make(chan *weir.Socket, 1)
	srv.Namespace("/feed").OnConnect(func(_ context.Context, s *weir.Socket) error { met <- s; return nil })
	dial(t, addr(srv), "/feed", map[string]string{"token": bearer(t, map[string]any{
		"jti": "t1", "weir": map[string]any{"rooms": []string{"staff"}, "data": map[string]any{"plan": "gold"}},
	})}, dialOptions{})
	s := <-met
	if rooms, err := s.Rooms(t.Context()); err != nil || !slices.Contains(rooms, "staff") {
		t.Errorf("rooms %v, %v", rooms, err)
	}
	id := s.Identity()
	if id.Principal != "alice" || id.TokenID != "t1" || string(id.Data) != `{"plan":"gold"}` || id.Grants != nil || time.Until(id.Expires) < 50*time.Minute {
		t.Errorf("identity %+v", id)
	}
}

// life is how long a token lasts whose end a test waits for: enough to come in with it, and all that is done before its end, on a
// machine that is busy.
const life = 6 * time.Second

func TestConnectionEndsWithItsToken(t *testing.T) {
	srv := signed(t, weir.JWTOptions{Leeway: weir.Off})
	p := dial(t, addr(srv), "/feed", map[string]string{"token": bearer(t, map[string]any{"exp": time.Now().Add(life).Unix()})}, dialOptions{})
	for _, want := range []string{`42/feed,["weir:expiring",{"expiresInMs":`, `42/feed,["weir:error",{"ok":false,"code":"token_expired"`, "41/feed,"} {
		if got := p.next(); !strings.HasPrefix(got, want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if n := metric(t, srv, "weir_cut_total", `cause="token_expired"`); n != 1 {
		t.Errorf("%v are counted", n)
	}
}

func TestFreshTokenKeepsTheConnection(t *testing.T) {
	srv := signed(t, weir.JWTOptions{Leeway: weir.Off})
	end := time.Now().Add(life)
	p := dial(t, addr(srv), "/feed", map[string]string{"token": bearer(t, map[string]any{"exp": end.Unix()})}, dialOptions{})
	renew := func(token string) string {
		p.emit("/feed", 5, "weir:token", map[string]any{"token": token})
		for {
			if got := p.next(); strings.HasPrefix(got, "43/feed,5[") {
				return got
			}
		}
	}
	for name, c := range map[string]struct{ token, want string }{
		"another principal's": {bearer(t, map[string]any{"sub": "mallory"}), "forbidden"},
		"a wrong one":         {"nonsense", "unauthorized"},
		"none":                {"", "invalid"},
	} {
		if got := renew(c.token); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := renew(bearer(t, grants(map[string]any{"sub": []string{"orders"}}))); !strings.Contains(got, `"ok":true`) || !strings.Contains(got, "expiresInMs") {
		t.Fatalf("a fresh token: %s", got)
	}
	eventually(t, "the first token has ended", func() bool { return time.Now().After(end) })
	if got := p.subscribe("/feed", "orders"); got["ok"] != true {
		t.Errorf("after the end of the first token: %v", got)
	}
	if got := p.subscribe("/feed", "prices.AAPL"); got["code"] != "forbidden" {
		t.Errorf("what the fresh token does not grant: %v", got)
	}
}

// A key set that is away is not the clients' fault: they are told to come again, and no address is refused for it.
func TestKeysThatAreAwayAreNotTheClientsFault(t *testing.T) {
	var up atomic.Bool
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer keys.Close()
	srv := signed(t, weir.JWTOptions{Algorithms: []string{"RS256"}, JWKSURL: keys.URL})
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"a"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"alice","exp":9999999999}`)) + ".AAAA"
	for range 3 {
		got := connects(t, srv, "/feed", token)
		if !strings.Contains(got, `"code":"unavailable"`) || !strings.Contains(got, `"retryable":true`) {
			t.Errorf("answered %s", got)
		}
	}
	if n := metric(t, srv, "weir_auth_unavailable_total"); n != 3 {
		t.Errorf("%v are counted", n)
	}
}

func TestJWTOptionsAreRefusedWithASentence(t *testing.T) {
	for want, o := range map[string]weir.JWTOptions{
		"no keys":                           {},
		`algorithm "none"`:                  {Algorithms: []string{"none"}, Keys: []weir.JWTKey{{Secret: jwtSecret}}},
		"not among the algorithms accepted": {Keys: []weir.JWTKey{{Secret: jwtSecret}}},
		"keys[0]: want exactly one":         {Keys: []weir.JWTKey{{}}},
		"want 32 or more":                   {Algorithms: []string{"HS256"}, Keys: []weir.JWTKey{{Secret: []byte("short")}}},
		"keys[0]: is a key for HS256, not":  {Algorithms: []string{"HS256"}, Keys: []weir.JWTKey{{Algorithm: "RS256", Secret: jwtSecret}}},
		`JWKS URL "/jwks"`:                  {JWKSURL: "/jwks"},
		"JWKS file: open nothing.json":      {JWKSFile: "nothing.json"},
	} {
		if _, err := weir.JWT(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestTokenGrantsHistory: following a topic and reading what it was are granted each for itself, and an empty grant is
// a grant of nothing.
func TestTokenGrantsHistory(t *testing.T) {
	auth, err := weir.JWT(weir.JWTOptions{Algorithms: []string{"HS256"}, Keys: []weir.JWTKey{{Secret: jwtSecret}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := start(t, weir.Options{Authenticate: auth, Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{{
		Path: "/feed", ClientHistory: true, Topics: []weir.TopicOptions{{Name: "prices*", History: 5}, {Name: "prices.asked*", History: 5, AuthRequired: true}},
	}}}}})
	prices := []string{"prices*"}
	for name, c := range map[string]struct {
		claim                 any
		follow, last, history bool
	}{
		"nothing said":       {map[string]any{"rooms": []string{"staff"}}, true, true, true},
		"both":               {map[string]any{"sub": prices, "history": prices}, true, true, true},
		"following":          {map[string]any{"sub": prices}, true, false, false},
		"history":            {map[string]any{"history": prices}, false, false, true},
		"an empty list":      {map[string]any{"sub": []string{}}, false, false, false},
		"a list never made":  {map[string]any{"history": nil}, false, false, false},
		"another's history":  {map[string]any{"sub": prices, "history": []string{"orders"}}, true, false, false},
		"publishing, no sub": {map[string]any{"pub": prices}, false, false, false},
	} {
		token := bearer(t, map[string]any{"weir": c.claim})
		for _, place := range []string{"at connect", "with the request"} {
			shown, with := any(map[string]string{"token": token}), map[string]any{"topic": "prices.AAPL"}
			if place == "with the request" {
				shown, with = nil, map[string]any{"topic": "prices.asked.AAPL", "token": token}
			}
			ask := func(event string, want bool, fields map[string]any) {
				t.Helper()
				p := dial(t, addr(srv), "/feed", shown, dialOptions{})
				arg := maps.Clone(with)
				maps.Copy(arg, fields)
				p.emit("/feed", 7, event, arg)
				if got := p.next(); strings.Contains(got, `"ok":true`) != want || !want && !strings.Contains(got, `"forbidden"`) {
					t.Errorf("%s, %s: %s %v: %s", name, place, event, fields, got)
				}
			}
			ask("subscribe", c.follow, nil)
			ask("subscribe", c.last, map[string]any{"last": 3})
			ask("weir:history", c.history, nil)
		}
	}
}
