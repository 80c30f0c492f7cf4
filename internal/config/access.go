package config

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/streamweir/weir"
)

// authenticate is who decides about tokens: those of the file first, then signed ones.
func (r *reader) authenticate(a *accessKeys) weir.AuthFunc {
	var static, signed weir.AuthFunc
	if len(a.StaticTokens) > 0 {
		static = r.tokens(a.StaticTokens)
	}
	if a.JWT.hasKeys() {
		signed = r.jwt(&a.JWT)
	} else if a.JWT.Issuer != "" || a.JWT.Audience != "" {
		r.wrong("access.jwt", "has no keys: want keys, jwksFile or jwksUrl")
	}
	switch {
	case static == nil:
		return signed
	case signed == nil:
		return static
	}
	return func(ctx context.Context, q weir.AuthRequest) (weir.Identity, error) {
		if id, err := static(ctx, q); err == nil {
			return id, nil
		}
		return signed(ctx, q)
	}
}

// tokens wants one token for each principal.
func (r *reader) tokens(tokens map[string]*staticToken) weir.AuthFunc {
	const path = "access.staticTokens"
	owners, table, grants := map[string]string{}, map[string]string{}, map[string]*weir.Grants{}
	for _, principal := range slices.Sorted(maps.Keys(tokens)) {
		token := tokens[principal].Token
		if token == "" {
			r.wrong(below(path, principal), "is empty: want a token")
		} else if other, same := owners[token]; same {
			r.wrong(below(path, principal), "is the token of %q as well: want one of its own", other)
		}
		owners[token], table[principal], grants[principal] = principal, token, r.grants(below(path, principal), tokens[principal])
	}
	auth, err := weir.StaticTokens(table)
	if err != nil {
		if !r.bookedBelow(path) {
			r.wrong(path, "%v", err)
		}
		return nobody
	}
	return func(ctx context.Context, q weir.AuthRequest) (weir.Identity, error) {
		id, err := auth(ctx, q)
		if t := tokens[id.Principal]; err == nil && t != nil {
			id.Grants, id.Rooms = grants[id.Principal], t.Rooms
		}
		return id, err
	}
}

// grants are what a token at path grants; nil if the file says nothing of it. An empty list says that it grants nothing.
func (r *reader) grants(path string, t *staticToken) *weir.Grants {
	for _, key := range []string{"sub", "pub", "history"} {
		if r.isSet(below(path, key)) {
			return &weir.Grants{Subscribe: t.Sub, Publish: t.Pub, History: t.History}
		}
	}
	return nil
}

// revoked are what is not accepted, where anything could be.
func (r *reader) revoked(k *revokedKeys, accepts bool) (o weir.RevokedOptions) {
	if !accepts && len(k.Tokens)+len(k.Principals) > 0 {
		r.wrong("access.revoked", "there are no tokens to revoke: want access.staticTokens, access.jwt or hooks.connect")
		return o
	}
	return weir.RevokedOptions{Tokens: k.Tokens, Principals: k.Principals}
}

func (k *jwtKeys) hasKeys() bool { return len(k.Keys) > 0 || k.JwksFile != "" || k.JwksURL != "" }

// keyEntry takes the place in the list from a problem of a key.
var keyEntry = regexp.MustCompile(`^keys(\[\d+\]): (?s)(.*)$`)

func (r *reader) jwt(k *jwtKeys) weir.AuthFunc {
	const path = "access.jwt"
	o := weir.JWTOptions{
		Algorithms: k.Algorithms, JWKSURL: k.JwksURL, Issuer: k.Issuer, Audience: k.Audience,
		Leeway: k.Leeway, PrincipalClaim: k.PrincipalClaim,
	}
	if k.Leeway == 0 {
		o.Leeway = weir.Off
	}
	if k.JwksFile != "" {
		k.JwksFile = r.fromHere(k.JwksFile)
		o.JWKSFile = k.JwksFile
	}
	for i := range k.Keys {
		o.Keys = append(o.Keys, r.jwtKey(path+".keys["+strconv.Itoa(i)+"]", &k.Keys[i]))
	}
	auth, err := weir.JWT(o)
	if err == nil {
		return auth
	}
	list := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		list = joined.Unwrap()
	}
	for _, e := range list {
		text := e.Error()
		switch m := keyEntry.FindStringSubmatch(text); {
		case len(m) > 0 && r.bookedBelow(path+".keys"+m[1]):
		case len(m) > 0:
			r.wrong(path+".keys"+m[1], "%s", m[2])
		case strings.HasPrefix(text, "JWKS file: "):
			r.wrong(path+".jwksFile", "%s", strings.TrimPrefix(text, "JWKS file: "))
		case strings.HasPrefix(text, "JWKS URL"):
			r.wrong(path+".jwksUrl", "%s", text)
		case !r.bookedBelow(path + ".algorithms"):
			r.wrong(path+".algorithms", "%s", text)
		}
	}
	return nobody
}

// nobody stands for what cannot be made of a configuration with problems.
func nobody(context.Context, weir.AuthRequest) (weir.Identity, error) {
	return weir.Identity{}, weir.ErrUnauthorized
}

func (r *reader) jwtKey(path string, k *jwtKey) weir.JWTKey {
	o := weir.JWTKey{ID: k.Kid, Algorithm: k.Alg, PEM: []byte(k.Pem)}
	if k.File != "" {
		k.File = r.fromHere(k.File)
		o.File = k.File
	}
	if k.Secret != "" {
		secret, err := base64.StdEncoding.DecodeString(k.Secret)
		if err != nil {
			r.wrong(path+".secret", "is not base64: 'openssl rand -base64 32' makes one")
		}
		o.Secret = secret
	}
	return o
}
