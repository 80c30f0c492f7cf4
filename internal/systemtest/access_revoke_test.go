package systemtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// revocable is a server of signed tokens, some of which its options revoke.
func revocable(t *testing.T, revoked weir.RevokedOptions, change ...func(*weir.Options)) *weir.Server {
	t.Helper()
	auth, err := weir.JWT(weir.JWTOptions{Algorithms: []string{"HS256"}, Keys: []weir.JWTKey{{Secret: jwtSecret}}})
	if err != nil {
		t.Fatal(err)
	}
	o := weir.Options{
		Authenticate: auth, Revoked: revoked, Management: weir.ManagementOptions{Addr: "127.0.0.1:0"},
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{
			{Path: "/feed", AuthRequired: true, ClientPublish: true, Topics: []weir.TopicOptions{{Name: "prices*"}}},
			{Path: "/other", Topics: []weir.TopicOptions{{Name: "orders", AuthRequired: true}}},
		}}},
	}
	for _, f := range change {
		f(&o)
	}
	return start(t, o)
}

// tokenOf is a token of that principal with that id.
func tokenOf(t *testing.T, principal, id string) map[string]string {
	t.Helper()
	return map[string]string{"token": bearer(t, map[string]any{"sub": principal, "jti": id})}
}

// asksRevoke returns what a call of /api/revoke is answered.
func asksRevoke(t *testing.T, srv *weir.Server, method, query, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+srv.Addr("management").String()+"/api/revoke"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// hears fails unless these come next.
func (p *peer) hears(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := p.next(); !strings.HasPrefix(got, w) {
			t.Fatalf("got %s, want %s", got, w)
		}
	}
}

// TestRevokedIsRefused: what the options revoke is refused wherever it is shown, and each with its own answer.
func TestRevokedIsRefused(t *testing.T) {
	srv := revocable(t, weir.RevokedOptions{Tokens: []string{"stolen"}, Principals: []string{"mallory"}})
	for name, c := range map[string]struct {
		token map[string]string
		want  string
	}{
		"a good one":          {tokenOf(t, "alice", "good"), `40/feed,{"sid":`},
		"a token":             {tokenOf(t, "alice", "stolen"), `"message":"token_expired: the token has been revoked","data":{"code":"token_expired","retryable":false}`},
		"a principal":         {tokenOf(t, "mallory", "good"), `"message":"forbidden: access has been revoked","data":{"code":"forbidden","retryable":false}`},
		"an id by its name":   {tokenOf(t, "stolen", "mallory"), `40/feed,{"sid":`},
		"a token without any": {map[string]string{"token": bearer(t, nil)}, `40/feed,{"sid":`},
	} {
		if got := connects(t, srv, "/feed", c.token["token"]); !strings.Contains(got, c.want) {
			t.Errorf("%s: answered %s, want %s", name, got, c.want)
		}
	}
	p := dial(t, addr(srv), "/other", nil, dialOptions{})
	for _, c := range []struct{ principal, id, code string }{{"alice", "stolen", "token_expired"}, {"mallory", "good", "forbidden"}} {
		if got := p.subscribe("/other", "orders", map[string]any{"token": tokenOf(t, c.principal, c.id)["token"]}); got["code"] != c.code {
			t.Errorf("with a request: %v", got)
		}
	}
	q := dial(t, addr(srv), "/feed", tokenOf(t, "alice", "good"), dialOptions{})
	q.emit("/feed", 5, "weir:token", tokenOf(t, "alice", "stolen"))
	if got := q.next(); !strings.Contains(got, `"code":"token_expired"`) {
		t.Errorf("as a fresh token: %s", got)
	}
	if n := metric(t, srv, "weir_auth_revoked_total"); n != 5 {
		t.Errorf("%v are counted", n)
	}
	if list := refusedNow(t, srv, ""); len(list) != 0 {
		t.Errorf("they count against their address: %v", list)
	}
	if got := asksRevoke(t, srv, http.MethodDelete, "?jti=stolen", ""); !strings.Contains(got, "the configuration revokes it") {
		t.Errorf("lifting what the configuration revokes: %s", got)
	}
}

// TestRevokingEndsSockets: those connected are told why and disconnected, in all namespaces, the others are not; and
// what is lifted gets in again.
func TestRevokingEndsSockets(t *testing.T) {
	srv := revocable(t, weir.RevokedOptions{})
	stolen, fresh := tokenOf(t, "alice", "t1"), tokenOf(t, "alice", "t2")
	first, second, other := dial(t, addr(srv), "/feed", stolen, dialOptions{}), dial(t, addr(srv), "/feed", fresh, dialOptions{}), dial(t, addr(srv), "/feed", tokenOf(t, "bob", "t3"), dialOptions{})
	first.join("/other", stolen)
	first.emit("/feed", 1, "subscribe", map[string]any{"topic": "prices"})
	first.next()

	got := asksRevoke(t, srv, http.MethodPost, "", `{"jti":"t1","forMs":60000}`)
	if !strings.HasPrefix(got, `{"disconnected":2,"until":"`) {
		t.Fatalf("answered %s", got)
	}
	heard := map[string]bool{}
	for range 4 { // the namespaces are ended one after the other, in any order
		m := first.next()
		heard[m[:min(len(m), 40)]] = true
	}
	for _, want := range []string{`42/feed,["weir:error",{"ok":false,"code"`, "41/feed,", `42/other,["weir:error",{"ok":false,"code`, "41/other,"} {
		if !heard[want] {
			t.Errorf("heard %v, want %s", heard, want)
		}
	}
	if got := connects(t, srv, "/feed", stolen["token"]); !strings.Contains(got, "token_expired: the token has been revoked") {
		t.Errorf("coming back: %s", got)
	}
	if got := second.subscribe("/feed", "prices"); got["ok"] != true {
		t.Errorf("the principal's other token: %v", got)
	}

	if n, err := srv.Revoke(t.Context(), weir.Revocation{Principal: "alice", Until: time.Now().Add(time.Minute)}); n != 1 || err != nil {
		t.Fatalf("revoked a principal: %d, %v", n, err)
	}
	second.hears(t, `42/feed,["weir:error",{"ok":false,"code":"forbidden","reason":"access has been revoked"`, "41/feed,")
	if got := other.subscribe("/feed", "prices"); got["ok"] != true {
		t.Errorf("another principal: %v", got)
	}
	if n := metric(t, srv, "weir_cut_total", `cause="token_expired"`); n != 2 {
		t.Errorf("%v are counted", n)
	}
	list := srv.Revocations()
	if len(list) != 2 || list[0].Principal != "alice" || list[1].TokenID != "t1" || metric(t, srv, "weir_revocations") != 2 {
		t.Errorf("in force are %+v", list)
	}
	if got := asksRevoke(t, srv, http.MethodDelete, "?principal=alice", ""); !strings.Contains(got, `{"lifted":1}`) {
		t.Errorf("lifted: %s", got)
	}
	if got := connects(t, srv, "/feed", fresh["token"]); !strings.HasPrefix(got, `40/feed,{"sid":`) {
		t.Errorf("when it is lifted: %s", got)
	}
}

// TestRevokedWhileDecidedOn: who has shown a good token, and is not in yet when it is revoked, does not get in.
func TestRevokedWhileDecidedOn(t *testing.T) {
	srv := revocable(t, weir.RevokedOptions{})
	srv.Namespace("/feed").Use(func(ctx context.Context, _ *weir.Socket) error {
		n, err := srv.Revoke(ctx, weir.Revocation{TokenID: "t1", Until: time.Now().Add(time.Minute)})
		if n != 0 {
			t.Errorf("%d sockets were ended", n)
		}
		return err
	})
	if got := connects(t, srv, "/feed", tokenOf(t, "alice", "t1")["token"]); !strings.Contains(got, "token_expired: the token has been revoked") {
		t.Errorf("answered %s", got)
	}
}

func TestRevocationsAreRefusedWithASentence(t *testing.T) {
	srv := revocable(t, weir.RevokedOptions{})
	hour := time.Now().Add(time.Hour)
	for want, r := range map[string]weir.Revocation{
		"exactly one of a token's id": {Until: hour},
		"want exactly one of":         {TokenID: "a", Principal: "b", Until: hour},
		"has to end":                  {TokenID: "a"},
		"later than now":              {TokenID: "a", Until: time.Now().Add(-time.Second)},
		"within 366 days":             {TokenID: "a", Until: time.Now().AddDate(2, 0, 0)},
		"longer than 256 bytes":       {Principal: strings.Repeat("x", 257), Until: hour},
		"not UTF-8":                   {Principal: "\xff", Until: hour},
	} {
		if _, err := srv.Revoke(t.Context(), r); !errors.Is(err, weir.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
	if err := srv.Unrevoke(weir.Revocation{TokenID: "never"}); !errors.Is(err, weir.ErrUnknown) {
		t.Errorf("lifting what is not revoked: %v", err)
	}
	_, err := weir.New(weir.Options{Revoked: weir.RevokedOptions{Tokens: []string{"", "a"}}})
	if err == nil || !strings.Contains(err.Error(), "Revoked.Tokens[0]: is empty") || !strings.Contains(err.Error(), "Revoked.Tokens: neither Options.Authenticate nor") {
		t.Errorf("options: %v", err)
	}
}
