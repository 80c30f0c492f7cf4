// Package identity says who a signed token stands for, and what that one may: JSON Web Tokens (RFC 7519) and the keys that
// they are checked with. Time and keys are arguments; only Remote goes out for keys.
package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// The limits of a token.
const (
	MaxToken     = 8 << 10 // bytes
	maxPrincipal = 256     // bytes
)

// What is wrong with a token. The texts may be told to a client: they say nothing of keys.
var (
	ErrMissing  = errors.New("missing token")
	ErrInvalid  = errors.New("invalid token")
	ErrExpired  = errors.New("the token has expired")
	ErrTooEarly = errors.New("the token is not valid yet")
)

// Rules say which tokens are believed.
type Rules struct {
	Algorithms []string      // HS256, RS256, ES256, EdDSA: those accepted; a token has no say in it
	Issuer     string        // iss must be it; "": any
	Audience   string        // aud must have it; "": any
	Leeway     time.Duration // how far clocks may differ
	// PrincipalClaim is the claim that is the principal; "": sub.
	PrincipalClaim string
}

// Claims are what a token that is believed says.
type Claims struct {
	Principal string
	ID        string // jti; "": none
	Expires   time.Time
	Grants    *Grants // nil: it names none
	Rooms     []string
	Data      json.RawMessage // nil: none
}

// Grants are the topics somebody may use, by pattern: a name, or a prefix that ends in "*". Whoever has Grants may do
// nothing else; without (nil), what the configuration allows.
type Grants struct {
	Subscribe []string `json:"sub,omitempty"`
	Publish   []string `json:"pub,omitempty"`
	History   []string `json:"history,omitempty"`
}

// Match reports whether a topic falls under one of the patterns.
func Match(patterns []string, topic string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, open := strings.CutSuffix(p, "*")
		return p == topic || open && strings.HasPrefix(topic, prefix)
	})
}

// granted is the claim "weir".
type granted struct {
	Grants
	Rooms []string        `json:"rooms"`
	Data  json.RawMessage `json:"data"`
}

// Verify returns what a token says if a key has signed it and the rules believe it. The error is one of this package's,
// with the reason for the log behind it, or ErrUnknownKey if no key fits.
func (r *Rules) Verify(token string, keys Keys, now time.Time) (Claims, error) {
	token = strings.TrimSpace(token)
	switch {
	case token == "":
		return Claims{}, ErrMissing
	case len(token) > MaxToken:
		return Claims{}, fmt.Errorf("%w: %d bytes, want at most %d", ErrInvalid, len(token), MaxToken)
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(r.Algorithms), jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithExpirationRequired(),
		jwt.WithLeeway(r.Leeway), jwt.WithTimeFunc(func() time.Time { return now }),
	}
	if r.Issuer != "" {
		options = append(options, jwt.WithIssuer(r.Issuer))
	}
	if r.Audience != "" {
		options = append(options, jwt.WithAudience(r.Audience))
	}
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(options...).ParseWithClaims(token, claims, keys.choose)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return Claims{}, ErrUnknownKey
	case errors.Is(err, jwt.ErrTokenExpired):
		return Claims{}, fmt.Errorf("%w: %w", ErrExpired, err)
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return Claims{}, fmt.Errorf("%w: %w", ErrTooEarly, err)
	case err != nil:
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c, err := r.read(claims)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c, nil
}

// read takes what counts out of claims that are believed.
func (r *Rules) read(claims jwt.MapClaims) (c Claims, err error) {
	name := r.PrincipalClaim
	if name == "" {
		name = "sub"
	}
	if c.Principal, err = text(claims, name); err != nil {
		return c, err
	}
	if c.Principal == "" || len(c.Principal) > maxPrincipal || !utf8.ValidString(c.Principal) {
		return c, fmt.Errorf("claim %s: want text of 1 to %d bytes", name, maxPrincipal)
	}
	if c.ID, err = text(claims, "jti"); err != nil {
		return c, err
	}
	expires, err := claims.GetExpirationTime()
	if err != nil {
		return c, err
	}
	c.Expires = expires.Time
	err = c.grant(claims["weir"])
	return c, err
}

// text is a claim that is text or a number; "" if there is none.
func text(claims jwt.MapClaims, name string) (string, error) {
	switch v := claims[name].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	return "", fmt.Errorf("claim %s: want text", name)
}

// grant reads the claim "weir". What is misspelt there would grant too much or too little, so it is refused.
func (c *Claims) grant(claim any) error {
	if claim == nil {
		return nil
	}
	raw, err := json.Marshal(claim)
	if err != nil {
		return err
	}
	var g granted
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return fmt.Errorf("claim weir: %w", err)
	}
	if slices.Contains(g.Rooms, "") {
		return errors.New("claim weir.rooms: a room without a name")
	}
	c.Rooms = g.Rooms
	if string(g.Data) != "null" {
		c.Data = g.Data
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(raw, &named); err != nil {
		return fmt.Errorf("claim weir: %w", err)
	}
	for _, key := range []string{"sub", "pub", "history"} {
		if _, there := named[key]; there { // an empty list, and the null that a list never filled becomes, grant nothing
			c.Grants = &g.Grants
		}
	}
	return nil
}
