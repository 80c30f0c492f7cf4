package identity_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/identity"
)

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// privateKeys are one of each algorithm, in each form that openssl writes.
func privateKeys(t *testing.T) (keys map[string][]byte, public map[string][]byte) {
	t.Helper()
	keys, public = map[string][]byte{}, map[string][]byte{}
	add := func(alg string, private, pub any) {
		der, err := x509.MarshalPKCS8PrivateKey(private)
		keys[alg+" PKCS8"] = pemOf(t, "PRIVATE KEY", der, err)
		der, err = x509.MarshalPKIXPublicKey(pub)
		public[alg] = pemOf(t, "PUBLIC KEY", der, err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	add("RS256", r, r.Public())
	keys["RS256 PKCS1"] = pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	add("ES256", e, e.Public())
	der, err := x509.MarshalECPrivateKey(e)
	keys["ES256 SEC1"] = append(pemOf(t, "EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil), pemOf(t, "EC PRIVATE KEY", der, err)...)
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	add("EdDSA", priv, pub)
	return keys, public
}

// TestTokensMadeAreBelieved: what is signed with a private key is what its public key finds in the token.
func TestTokensMadeAreBelieved(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	keys, public := privateKeys(t)
	for name, text := range keys {
		s, err := identity.NewSigner("k1", text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if alg, _, _ := strings.Cut(name, " "); s.Algorithm() != alg {
			t.Errorf("%s signs with %s", name, s.Algorithm())
		}
		want := identity.Claims{
			Principal: "alice", ID: "t1", Expires: now.Add(time.Hour), Rooms: []string{"staff"}, Data: json.RawMessage(`{"plan":"gold"}`),
			Grants: &identity.Grants{Subscribe: []string{"prices*"}, Publish: []string{}},
		}
		token, err := s.Sign(&identity.Bearer{Claims: want, Issuer: "i", Audience: "a", PrincipalClaim: "user"}, now)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k, err := identity.NewPublic("k1", public[s.Algorithm()])
		if err != nil {
			t.Fatal(err)
		}
		rules := identity.Rules{Algorithms: []string{s.Algorithm()}, Issuer: "i", Audience: "a", PrincipalClaim: "user"}
		got, err := rules.Verify(token, identity.Keys{k}, now)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// TestTokensThatAreNotMade: what would not be believed is refused, with the reason.
func TestTokensThatAreNotMade(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, err := identity.NewSecretSigner("", []byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	hour := now.Add(time.Hour)
	for want, b := range map[string]identity.Bearer{
		"claim sub":        {Claims: identity.Claims{Expires: hour}},
		"token is expired": {Claims: identity.Claims{Principal: "a", Expires: now.Add(-time.Second)}},
		"has expired":      {Claims: identity.Claims{Principal: "a", Expires: hour}, NotBefore: now.Add(2 * time.Hour)},
		"a room without":   {Claims: identity.Claims{Principal: "a", Expires: hour, Rooms: []string{""}}},
		"at most 8192":     {Claims: identity.Claims{Principal: "a", Expires: hour, Data: json.RawMessage(`"` + strings.Repeat("x", 9000) + `"`)}},
	} {
		if token, err := s.Sign(&b, now); err == nil || token != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %v, want %s", token, err, want)
		}
	}
	if _, err := s.Sign(&identity.Bearer{Claims: identity.Claims{Principal: "a", Expires: hour}, NotBefore: now.Add(time.Minute)}, now); err != nil {
		t.Errorf("one for later: %v", err)
	}
	for want, text := range map[string]string{
		"is not PEM":   "nothing",
		"is encrypted": string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("s3cret")})),
		"want a priva": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("s3cret")})),
		"read private": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("s3cret")})),
	} {
		if _, err := identity.NewSigner("", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // is to be refused
	if err == nil {
		der, e := x509.MarshalPKCS8PrivateKey(small)
		if _, err := identity.NewSigner("", pemOf(t, "PRIVATE KEY", der, e)); err == nil || !strings.Contains(err.Error(), "1024 bits") {
			t.Errorf("a weak key: %v", err)
		}
	}
	if _, err := identity.NewSecretSigner("", []byte("short")); err == nil || errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a short secret: %v", err)
	}
}
