package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The reasons a client is told; no more, so that nothing is learned by guessing.
var (
	ErrMissingToken = errors.New("missing token")
	ErrInvalidToken = errors.New("invalid token")
)

// StaticTokens knows principals by a fixed token each (`access.staticTokens`). It is immutable.
type StaticTokens struct {
	secrets    secrets
	principals []string
}

// NewStaticTokens takes principal -> token. A blank principal or token, and a token that two principals share, are
// errors; no error text holds a token. Surrounding space is no part of a token.
func NewStaticTokens(tokens map[string]string) (StaticTokens, error) {
	var s StaticTokens
	var errs []error
	for _, principal := range slices.Sorted(maps.Keys(tokens)) {
		token := strings.TrimSpace(tokens[principal])
		switch i := s.secrets.find(token); {
		case strings.TrimSpace(principal) == "":
			errs = append(errs, errors.New("static tokens: a token without a principal"))
		case token == "":
			errs = append(errs, fmt.Errorf("static tokens: %q has no token", principal))
		case i >= 0:
			errs = append(errs, fmt.Errorf("static tokens: %q and %q have the same token", s.principals[i], principal))
		default:
			s.secrets.add(token)
			s.principals = append(s.principals, principal)
		}
	}
	if len(errs) > 0 {
		return StaticTokens{}, errors.Join(errs...)
	}
	return s, nil
}

// Authenticate returns the principal of token, or ErrMissingToken or ErrInvalidToken. The time it takes depends on the
// number of tokens only.
func (s StaticTokens) Authenticate(token string) (principal string, err error) {
	token = strings.TrimSpace(token)
	if token == "" {
		return "", ErrMissingToken
	}
	i := s.secrets.find(token)
	if i < 0 {
		return "", ErrInvalidToken
	}
	return s.principals[i], nil
}

// TokenSources are the places a client may have put its token, the first that is not blank counting
// (protocol.md 3.8).
type TokenSources struct {
	Payload       string   // `token` of a subscribe or publish
	Auth          string   // `token` of the CONNECT packet's auth object
	Authorization string   // the whole Authorization header of the handshake
	Protocols     []string // the Sec-WebSocket-Protocol headers of the handshake: what follows the entry `access_token`
	Query         string   // `token` of the handshake's query
}

// FindToken returns the token to check, or "" when there is none. It must never be echoed to the client, nor logged
// (streamfence.md J10).
func FindToken(from TokenSources) string {
	for _, token := range [...]string{from.Payload, from.Auth, bearer(from.Authorization), offered(from.Protocols), from.Query} {
		if token = strings.TrimSpace(token); token != "" {
			return token
		}
	}
	return ""
}

// offered is the token among the sub-protocols a client offers, which is how a page can send one with a websocket's
// handshake: `new WebSocket(url, ["access_token", token])`.
func offered(protocols []string) string {
	found := false
	for _, list := range protocols {
		for item := range strings.SplitSeq(list, ",") {
			item = strings.Trim(item, " \t")
			if found {
				return item
			}
			found = item == "access_token"
		}
	}
	return ""
}

// bearer is the token of an Authorization header of that scheme, whatever the scheme's case (RFC 9110 11.1).
func bearer(authorization string) string {
	scheme, token, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// secrets is a list to compare a candidate with in constant time. It keeps and compares digests, so that neither a
// common prefix nor a length shows in the time.
type secrets [][sha256.Size]byte

func (s *secrets) add(secret string) { *s = append(*s, sha256.Sum256([]byte(secret))) }

// find returns the index of candidate or -1, and looks at every entry in either case.
func (s secrets) find(candidate string) int {
	sum := sha256.Sum256([]byte(candidate))
	found := -1
	for i := range s {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(s[i][:], sum[:]), i, found)
	}
	return found
}
