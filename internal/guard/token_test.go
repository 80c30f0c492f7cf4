package guard_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/guard"
)

func TestStaticTokensKnowTheirPrincipals(t *testing.T) {
	s, err := guard.NewStaticTokens(map[string]string{"alice": "secret-a", "bob": " secret-b "})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token, principal string
		err              error
	}{
		{"secret-a", "alice", nil},
		{"secret-b", "bob", nil},
		{" secret-a\n", "alice", nil},
		{"", "", guard.ErrMissingToken},
		{"  ", "", guard.ErrMissingToken},
		{"secret", "", guard.ErrInvalidToken},
		{"secret-a-", "", guard.ErrInvalidToken},
		{"SECRET-A", "", guard.ErrInvalidToken},
		{"alice", "", guard.ErrInvalidToken},
	} {
		principal, err := s.Authenticate(c.token)
		if principal != c.principal || !errors.Is(err, c.err) {
			t.Errorf("Authenticate(%q) = %q, %v; want %q, %v", c.token, principal, err, c.principal, c.err)
		}
	}
	if _, err := (guard.StaticTokens{}).Authenticate("x"); !errors.Is(err, guard.ErrInvalidToken) {
		t.Errorf("no tokens at all: %v, want %v", err, guard.ErrInvalidToken)
	}
}

func TestTheClientIsToldTheReasonOnly(t *testing.T) {
	if got := guard.ErrMissingToken.Error(); got != "missing token" {
		t.Errorf("reason %q", got)
	}
	if got := guard.ErrInvalidToken.Error(); got != "invalid token" {
		t.Errorf("reason %q", got)
	}
}

func TestBadStaticTokensAreAllNamedWithoutTheToken(t *testing.T) {
	_, err := guard.NewStaticTokens(map[string]string{"alice": "s3cret", "bob": " s3cret", "carol": "", "": "other"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"alice" and "bob" have the same token`, `"carol" has no token`, "a token without a principal"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "other") {
		t.Errorf("error gives a token away: %v", err)
	}
}

func TestTokenIsTakenFromTheFirstSourceThatHasOne(t *testing.T) {
	all := guard.TokenSources{Payload: "p", Auth: "a", Authorization: "Bearer h", Protocols: []string{"x, access_token", " o,y"}, Query: "q"}
	for _, want := range []string{"p", "a", "h", "o", "q", ""} {
		if got := guard.FindToken(all); got != want {
			t.Errorf("FindToken(%+v) = %q, want %q", all, got, want)
		}
		switch want {
		case "p":
			all.Payload = "  "
		case "a":
			all.Auth = "\t"
		case "h":
			all.Authorization = "Bearer "
		case "o":
			all.Protocols = []string{"access_token", "x"}[:1]
		case "q":
			all.Query = ""
		}
	}
	for header, want := range map[string]string{
		"Bearer x.y.z": "x.y.z", "bearer x": "x", "BEARER  x ": "x", " Bearer x": "x",
		"Basic x": "", "Bearerx": "", "x": "", "Bearer": "",
	} {
		if got := guard.FindToken(guard.TokenSources{Authorization: header}); got != want {
			t.Errorf("Authorization %q gives %q, want %q", header, got, want)
		}
	}
}
