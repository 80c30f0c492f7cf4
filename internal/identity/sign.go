package identity

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Signer makes tokens, with one key.
type Signer struct {
	public Key // what checks them
	sign   any // as jwt has it
}

// NewSecretSigner makes tokens of HS256.
func NewSecretSigner(id string, secret []byte) (*Signer, error) {
	k, err := NewSecret(id, secret)
	if err != nil {
		return nil, err
	}
	return &Signer{k, secret}, nil
}

// NewSigner makes tokens with a private key in PEM: RS256, ES256 or EdDSA, by what it is.
func NewSigner(id string, text []byte) (*Signer, error) {
	b, rest := pem.Decode(text)
	for b != nil && b.Type == "EC PARAMETERS" { // openssl writes the name of the curve before the key
		b, rest = pem.Decode(rest)
	}
	if b == nil {
		return nil, errors.New("is not PEM: want a private key")
	}
	private, err := privateOf(b)
	if err != nil {
		return nil, err
	}
	s, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T: want RSA, P-256 or Ed25519", private)
	}
	public, err := ofPublic(id, s.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{public, private}, nil
}

// privateOf is the key in a block of PEM. Its errors say nothing of what is in it.
func privateOf(b *pem.Block) (key any, err error) {
	switch {
	case b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "":
		return nil, errors.New("is encrypted: 'openssl pkey -in FILE' writes it in the clear, for a pipe")
	case b.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case b.Type == "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case b.Type == "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		return nil, fmt.Errorf("is a %s: want a private key", b.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	return key, nil
}

// Algorithm is what the tokens are signed with.
func (s *Signer) Algorithm() string { return s.public.Algorithm }

// Bearer is what a token says.
type Bearer struct {
	Claims
	Issuer, Audience string // "": left out
	PrincipalClaim   string // "": sub
	NotBefore        time.Time
}

// Sign makes a token. One that Verify would not believe, with the signer's key and the same issuer and audience, is not made.
func (s *Signer) Sign(b *Bearer, now time.Time) (string, error) {
	rules := Rules{Algorithms: []string{s.public.Algorithm}, Issuer: b.Issuer, Audience: b.Audience, PrincipalClaim: b.PrincipalClaim}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(s.public.Algorithm), b.claims(now))
	if s.public.ID != "" {
		t.Header["kid"] = s.public.ID
	}
	token, err := t.SignedString(s.sign)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	at := now
	if b.NotBefore.After(now) {
		at = b.NotBefore
	}
	if _, err := rules.Verify(token, Keys{s.public}, at); err != nil {
		return "", err
	}
	return token, nil
}

func (b *Bearer) claims(now time.Time) jwt.MapClaims {
	principal := b.PrincipalClaim
	if principal == "" {
		principal = "sub"
	}
	c := jwt.MapClaims{principal: b.Principal, "iat": now.Unix(), "exp": b.Expires.Unix()}
	if !b.NotBefore.IsZero() {
		c["nbf"] = b.NotBefore.Unix()
	}
	for name, v := range map[string]string{"jti": b.ID, "iss": b.Issuer, "aud": b.Audience} {
		if v != "" {
			c[name] = v
		}
	}
	if g := b.granted(); len(g) > 0 {
		c["weir"] = g
	}
	return c
}

// granted is the claim "weir". A list that is there, and empty, grants nothing.
func (b *Bearer) granted() map[string]any {
	m := make(map[string]any)
	if g := b.Grants; g != nil {
		maps.Copy(m, map[string]any{"sub": g.Subscribe, "pub": g.Publish, "history": g.History})
		maps.DeleteFunc(m, func(_ string, v any) bool { return v.([]string) == nil })
		if len(m) == 0 {
			m["sub"] = []string{}
		}
	}
	if len(b.Rooms) > 0 {
		m["rooms"] = slices.Clone(b.Rooms)
	}
	if b.Data != nil {
		m["data"] = b.Data
	}
	return m
}
