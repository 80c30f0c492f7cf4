package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streamweir/weir/internal/identity"
	"github.com/streamweir/weir/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var now = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)

// issuer signs tokens with a key of each kind.
type issuer struct {
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	ed     ed25519.PrivateKey
	secret []byte
}

var theIssuer = sync.OnceValue(func() *issuer {
	i := &issuer{secret: []byte(strings.Repeat("s3cret!!", 4))}
	i.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	i.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, i.ed, _ = ed25519.GenerateKey(rand.Reader)
	return i
})

func publicPEM(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// keys are those that check what the issuer signs.
func (i *issuer) keys(t testing.TB) identity.Keys {
	t.Helper()
	var ks identity.Keys
	for kid, public := range map[string]any{"rsa": &i.rsa.PublicKey, "ec": &i.ec.PublicKey, "ed": i.ed.Public()} {
		k, err := identity.NewPublic(kid, publicPEM(t, public))
		if err != nil {
			t.Fatal(err)
		}
		ks = append(ks, k)
	}
	k, err := identity.NewSecret("hs", i.secret)
	if err != nil {
		t.Fatal(err)
	}
	return append(ks, k)
}

func good(changes ...map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "alice", "iss": "https://issuer.example", "aud": "weir", "exp": now.Add(time.Hour).Unix(), "jti": "t1"}
	for _, m := range changes {
		for k, v := range m {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
	}
	return c
}

func sign(t testing.TB, m jwt.SigningMethod, key any, kid any, c jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(m, c)
	if kid != nil {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// forge is a token with that header and those claims, and with a signature of HMAC-SHA256 by key.
func forge(header string, c jwt.MapClaims, key []byte) string {
	body, _ := json.Marshal(c)
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(body)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func rules() *identity.Rules {
	return &identity.Rules{
		Algorithms: identity.Algorithms, Issuer: "https://issuer.example", Audience: "weir", Leeway: 5 * time.Second,
	}
}

func TestTokensOfEveryAlgorithmAreBelieved(t *testing.T) {
	i := theIssuer()
	for kid, c := range map[string]struct {
		m   jwt.SigningMethod
		key any
	}{"rsa": {jwt.SigningMethodRS256, i.rsa}, "ec": {jwt.SigningMethodES256, i.ec}, "ed": {jwt.SigningMethodEdDSA, i.ed}, "hs": {jwt.SigningMethodHS256, i.secret}} {
		for _, named := range []any{kid, nil} {
			token := sign(t, c.m, c.key, named, good(map[string]any{"weir": map[string]any{
				"sub": []string{"prices*"}, "pub": []string{}, "rooms": []string{"staff"}, "data": map[string]any{"n": 12345678901234567},
			}}))
			got, err := rules().Verify(" "+token+" ", i.keys(t), now)
			if err != nil {
				t.Errorf("%s, kid %v: %v", kid, named, err)
				continue
			}
			if got.Principal != "alice" || got.ID != "t1" || !got.Expires.Equal(now.Add(time.Hour)) || !slices.Equal(got.Rooms, []string{"staff"}) {
				t.Errorf("%s: %+v", kid, got)
			}
			if string(got.Data) != `{"n":12345678901234567}` {
				t.Errorf("data is %s", got.Data)
			}
			if g := got.Grants; g == nil || !identity.Match(g.Subscribe, "prices.AAPL") || identity.Match(g.Subscribe, "orders") || identity.Match(g.Publish, "prices.AAPL") {
				t.Errorf("grants are %+v", got.Grants)
			}
		}
	}
}

func TestTokensThatAreNotBelieved(t *testing.T) {
	i := theIssuer()
	hs := func(changes ...map[string]any) string {
		return sign(t, jwt.SigningMethodHS256, i.secret, nil, good(changes...))
	}
	rs := sign(t, jwt.SigningMethodRS256, i.rsa, "rsa", good())
	stranger, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, c := range map[string]struct {
		token string
		want  error
		rules func(*identity.Rules)
	}{
		"none":                         {"", identity.ErrMissing, nil},
		"blank":                        {"  ", identity.ErrMissing, nil},
		"nonsense":                     {"nonsense", identity.ErrInvalid, nil},
		"three parts of nothing":       {"..", identity.ErrInvalid, nil},
		"too long":                     {strings.Repeat("x", identity.MaxToken+1), identity.ErrInvalid, nil},
		"expired":                      {hs(map[string]any{"exp": now.Add(-6 * time.Second).Unix()}), identity.ErrExpired, nil},
		"without an end":               {hs(map[string]any{"exp": nil}), identity.ErrInvalid, nil},
		"an end that is text":          {hs(map[string]any{"exp": "tomorrow"}), identity.ErrInvalid, nil},
		"not valid yet":                {hs(map[string]any{"nbf": now.Add(6 * time.Second).Unix()}), identity.ErrTooEarly, nil},
		"of another issuer":            {hs(map[string]any{"iss": "https://evil.example"}), identity.ErrInvalid, nil},
		"of no issuer":                 {hs(map[string]any{"iss": nil}), identity.ErrInvalid, nil},
		"for another audience":         {hs(map[string]any{"aud": "bank"}), identity.ErrInvalid, nil},
		"for no audience":              {hs(map[string]any{"aud": nil}), identity.ErrInvalid, nil},
		"of nobody":                    {hs(map[string]any{"sub": ""}), identity.ErrInvalid, nil},
		"without a subject":            {hs(map[string]any{"sub": nil}), identity.ErrInvalid, nil},
		"of an object":                 {hs(map[string]any{"sub": map[string]any{}}), identity.ErrInvalid, nil},
		"a long subject":               {hs(map[string]any{"sub": strings.Repeat("x", 257)}), identity.ErrInvalid, nil},
		"a misspelt grant":             {hs(map[string]any{"weir": map[string]any{"subs": []string{"x"}}}), identity.ErrInvalid, nil},
		"a grant that is text":         {hs(map[string]any{"weir": map[string]any{"sub": "x"}}), identity.ErrInvalid, nil},
		"alg none":                     {forge(`{"alg":"none"}`, good(), nil), identity.ErrInvalid, nil},
		"alg None, no signature":       {strings.TrimRight(forge(`{"alg":"None"}`, good(), nil), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), identity.ErrInvalid, nil},
		"HS with the public key of RS": {forge(`{"alg":"HS256","kid":"rsa"}`, good(), publicPEM(t, &i.rsa.PublicKey)), identity.ErrUnknownKey, nil},
		"HS with it and no kid":        {forge(`{"alg":"HS256"}`, good(), publicPEM(t, &i.rsa.PublicKey)), identity.ErrInvalid, nil},
		"a kid that is a path":         {forge(`{"alg":"HS256","kid":"../../dev/null"}`, good(), nil), identity.ErrUnknownKey, nil},
		"a kid that is SQL":            {forge(`{"alg":"HS256","kid":"' OR 1=1"}`, good(), i.secret), identity.ErrUnknownKey, nil},
		"a kid that is a number":       {forge(`{"alg":"HS256","kid":1}`, good(), i.secret), identity.ErrInvalid, nil},
		"a key of its own (jwk)":       {forge(`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, good(), []byte{0, 0, 0}), identity.ErrInvalid, nil},
		"a key elsewhere (jku)":        {forge(`{"alg":"HS256","jku":"https://evil.example"}`, good(), []byte("evil")), identity.ErrInvalid, nil},
		"a wrong key":                  {sign(t, jwt.SigningMethodRS256, stranger, "rsa", good()), identity.ErrInvalid, nil},
		"a wrong secret":               {forge(`{"alg":"HS256"}`, good(), []byte("guess")), identity.ErrInvalid, nil},
		"a changed claim":              {rs[:strings.Index(rs, ".")+5] + "A" + rs[strings.Index(rs, ".")+6:], identity.ErrInvalid, nil},
		"another strength":             {sign(t, jwt.SigningMethodRS512, i.rsa, "rsa", good()), identity.ErrInvalid, nil},
		"an algorithm not accepted":    {hs(), identity.ErrInvalid, func(r *identity.Rules) { r.Algorithms = []string{"RS256"} }},
		"twice as much":                {rs + "." + rs, identity.ErrInvalid, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules()
			if c.rules != nil {
				c.rules(r)
			}
			got, err := r.Verify(c.token, i.keys(t), now)
			if !errors.Is(err, c.want) || got.Principal != "" {
				t.Errorf("%+v, %v, want %v", got, err, c.want)
			}
			if c.token != "" && len(c.token) > 40 && strings.Contains(fmt.Sprint(err), c.token[len(c.token)-20:]) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestLeewayForgivesClocks(t *testing.T) {
	i := theIssuer()
	token := sign(t, jwt.SigningMethodHS256, i.secret, nil, good(map[string]any{"exp": now.Add(-4 * time.Second).Unix(), "nbf": now.Add(4 * time.Second).Unix()}))
	if _, err := rules().Verify(token, i.keys(t), now); err != nil {
		t.Error(err)
	}
}

func TestPrincipalMayBeAnotherClaim(t *testing.T) {
	i, r := theIssuer(), rules()
	r.PrincipalClaim = "uid"
	for value, want := range map[any]string{"bob": "bob", 42: "42"} {
		got, err := r.Verify(sign(t, jwt.SigningMethodHS256, i.secret, nil, good(map[string]any{"uid": value})), i.keys(t), now)
		if err != nil || got.Principal != want {
			t.Errorf("%v, %v", got.Principal, err)
		}
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no weak keys any more: " + err.Error())
	}
	if _, err := identity.NewPublic("", publicPEM(t, &weak.PublicKey)); err == nil {
		t.Error("an RSA key of 1024 bits")
	}
	other, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if _, err := identity.NewPublic("", publicPEM(t, &other.PublicKey)); err == nil {
		t.Error("a key on P-384")
	}
	if _, err := identity.NewSecret("", []byte("short")); err == nil {
		t.Error("a short secret")
	}
}

// set is a JWKS with the issuer's public keys under these names.
func (i *issuer) set(kids ...string) []byte {
	b64 := base64.RawURLEncoding.EncodeToString
	point, _ := i.ec.PublicKey.Bytes()
	all := map[string]map[string]string{
		"rsa": {"kty": "RSA", "n": b64(i.rsa.N.Bytes()), "e": "AQAB", "alg": "RS256", "use": "sig"},
		"ec":  {"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
		"ed":  {"kty": "OKP", "crv": "Ed25519", "x": b64(i.ed.Public().(ed25519.PublicKey))},
	}
	keys := []map[string]string{{"kty": "oct", "k": b64(i.secret), "kid": "hs"}, {"kty": "RSA", "use": "enc"}, {"kty": "PQC"}}
	for _, kid := range kids {
		k := all[kid]
		k["kid"] = kid
		keys = append(keys, k)
	}
	b, _ := json.Marshal(map[string]any{"keys": keys})
	return b
}

func TestKeySets(t *testing.T) {
	i := theIssuer()
	ks, err := identity.ParseSet(i.set("rsa", "ec", "ed"))
	if err != nil || len(ks) != 3 {
		t.Fatalf("%d keys, %v", len(ks), err)
	}
	if _, err := rules().Verify(sign(t, jwt.SigningMethodES256, i.ec, "ec", good()), ks, now); err != nil {
		t.Error(err)
	}
	// A secret that is published is none.
	if _, err := rules().Verify(sign(t, jwt.SigningMethodHS256, i.secret, "hs", good()), ks, now); !errors.Is(err, identity.ErrUnknownKey) {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no keys": `{"keys":[]}`, "no JSON": "<html>", "no use": `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"off the curve": `{"keys":[{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`,
		"no number":     `{"keys":[{"kty":"RSA","n":"!","e":"AQAB"}]}`,
		"too many":      `{"keys":[` + strings.Repeat(`{"kty":"oct"},`, 100) + `{"kty":"oct"}]}`,
	} {
		if ks, err := identity.ParseSet([]byte(text)); err == nil {
			t.Errorf("%s: %d keys", name, len(ks))
		}
	}
}

// wellknown is an endpoint of a key set that can be slow, huge, down and rotated.
type wellknown struct {
	mu     sync.Mutex
	set    []byte
	status int
	asked  atomic.Int32
	gate   chan struct{} // nil: answers at once
}

func (w *wellknown) answer(set []byte, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set, w.status = set, status
}

func (w *wellknown) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	if w.gate != nil {
		select {
		case <-w.gate:
		case <-r.Context().Done():
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rw.WriteHeader(w.status)
	_, _ = rw.Write(w.set)
}

func (w *wellknown) remote(t *testing.T, clock func() time.Time) (*identity.Remote, *atomic.Int32) {
	t.Helper()
	srv := httptest.NewServer(w)
	t.Cleanup(srv.Close)
	var failed atomic.Int32
	return identity.NewRemote(srv.URL, clock, func(_ int, err error) {
		if err != nil {
			failed.Add(1)
		}
	}), &failed
}

func TestKeySetElsewhereIsKeptAndRotated(t *testing.T) {
	i, at := theIssuer(), now
	w := &wellknown{set: i.set("rsa"), status: http.StatusOK}
	r, failed := w.remote(t, func() time.Time { return at })
	want := func(n int, asked int32, unknown bool) {
		t.Helper()
		ks, err := r.Keys(t.Context(), unknown)
		if err != nil || len(ks) != n || w.asked.Load() != asked {
			t.Errorf("%d keys, %v, asked %d times; want %d, %d", len(ks), err, w.asked.Load(), n, asked)
		}
	}
	want(1, 1, false)
	want(1, 1, false)
	w.answer(i.set("rsa", "ec"), http.StatusOK)
	want(1, 1, true) // too soon: whoever makes kids up causes no flood
	at = at.Add(11 * time.Second)
	want(1, 1, false)
	want(2, 2, true) // rotated
	at = at.Add(6 * time.Minute)
	w.answer(nil, http.StatusInternalServerError)
	want(2, 3, false) // down: the last set counts
	want(2, 3, false) // and it is left alone
	at = at.Add(1100 * time.Millisecond)
	want(2, 4, false)
	at = at.Add(1100 * time.Millisecond)
	want(2, 4, false) // for twice as long
	w.answer(make([]byte, 300<<10), http.StatusOK)
	at = at.Add(time.Minute)
	want(2, 5, false) // huge
	if failed.Load() != 3 {
		t.Errorf("%d failures were told", failed.Load())
	}
	w.answer(i.set("ed"), http.StatusOK)
	at = at.Add(time.Minute)
	want(1, 6, false)
}

func TestKeySetThatNeverCameIsAway(t *testing.T) {
	w := &wellknown{status: http.StatusFound}
	r, _ := w.remote(t, func() time.Time { return now })
	for range 3 {
		if _, err := r.Keys(t.Context(), false); !errors.Is(err, identity.ErrAway) {
			t.Error(err)
		}
	}
	if n := w.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestManyWaitForOneFetch(t *testing.T) {
	i := theIssuer()
	w := &wellknown{set: i.set("rsa"), status: http.StatusOK, gate: make(chan struct{})}
	r, _ := w.remote(t, func() time.Time { return now })
	const clients = 50
	got := make(chan error, clients)
	for range clients {
		go func() {
			ks, err := r.Keys(context.Background(), false)
			if err == nil && len(ks) != 1 {
				err = fmt.Errorf("%d keys", len(ks))
			}
			got <- err
		}()
	}
	impatient, cancel := context.WithCancel(t.Context())
	for w.asked.Load() == 0 {
		<-time.After(time.Millisecond)
	}
	cancel()
	if _, err := r.Keys(impatient, false); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait: %v", err)
	}
	close(w.gate)
	for range clients {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	if n := w.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestKeysInAFileAreReadAgain(t *testing.T) {
	i, path := theIssuer(), filepath.Join(t.TempDir(), "jwks.json")
	put := func(b []byte, at time.Time) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	put(i.set("rsa"), now)
	told := 0
	f, err := identity.NewFile(path, identity.ParseSet, func(error) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	put(i.set("rsa", "ec"), now.Add(time.Second))
	if n := len(f.Keys(now.Add(time.Second))); n != 2 {
		t.Errorf("%d keys", n)
	}
	put([]byte("half of i"), now.Add(2*time.Second))
	for s := range 5 {
		if n := len(f.Keys(now.Add(time.Duration(s+2) * time.Second))); n != 2 {
			t.Errorf("%d keys", n)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

func FuzzVerify(f *testing.F) {
	i := theIssuer()
	keys := i.keys(f)
	f.Add(sign(f, jwt.SigningMethodHS256, i.secret, "hs", good()))
	f.Add(forge(`{"alg":"none"}`, good(), nil))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := rules().Verify(token, keys, now)
		if err == nil && (c.Principal == "" || c.Expires.IsZero()) {
			t.Errorf("%q is believed: %+v", token, c)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	f.Add(theIssuer().set("rsa", "ec", "ed"))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ks, err := identity.ParseSet(text)
		if err == nil && len(ks) == 0 {
			t.Error("an empty set")
		}
		_, _ = rules().Verify(forge(`{"alg":"HS256"}`, good(), nil), ks, now)
	})
}

// TestGrantsThatAreThere: a list without entries, and null in its place, grant nothing; only a claim without any list
// leaves it to the configuration.
func TestGrantsThatAreThere(t *testing.T) {
	i := theIssuer()
	for claim, there := range map[string]bool{
		`{}`: false, `null`: false, `{"rooms":["staff"]}`: false, `{"sub":[]}`: true, `{"pub":[]}`: true, `{"history":[]}`: true, `{"sub":null}`: true,
	} {
		got, err := rules().Verify(sign(t, jwt.SigningMethodHS256, i.secret, nil, good(map[string]any{"weir": json.RawMessage(claim)})), i.keys(t), now)
		if err != nil {
			t.Errorf("%s: %v", claim, err)
			continue
		}
		if g := got.Grants; (g != nil) != there || g != nil && len(g.Subscribe)+len(g.Publish)+len(g.History) > 0 {
			t.Errorf("%s: grants are %+v", claim, g)
		}
	}
}
