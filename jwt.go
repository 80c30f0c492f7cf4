package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/identity"
)

// Grants are the topics a client may use, by pattern: a name, or a prefix that ends in "*". A client that has Grants
// may use no others, and the rest of the configuration counts as well: empty Grants allow nothing. History is reading
// what a topic was before: weir:history, and subscribe with last, which needs Subscribe too.
type Grants struct {
	Subscribe, Publish, History []string
}

// JWTKey is what the signatures of tokens are checked with: exactly one of Secret, PEM and File.
type JWTKey struct {
	ID        string // kid of the tokens it is for; "": any
	Algorithm string // what the key has to be for; "": what it is for
	Secret    []byte // of HS256, 32 bytes or more
	PEM       []byte // of RS256 (2048 bits or more), ES256 or EdDSA: a public key or a certificate
	File      string // PEM in a file, read again when it changes
}

// JWTOptions say which JSON Web Tokens are believed.
type JWTOptions struct {
	// Algorithms accepted: HS256, RS256, ES256, EdDSA; default RS256. A token has no say in it, and each key is for one.
	Algorithms []string
	Keys       []JWTKey
	// JWKSFile and JWKSURL are JSON Web Key Sets. The file is read again when it changes. The URL is fetched when the first token
	// comes, every 5 minutes, and when a token names a key that the set does not have, at most every 10 s; while it does not
	// answer, the last set counts, and it is asked again after 1 s, 2 s … 60 s. At most 256 KiB and 5 s; no redirects.
	JWKSFile, JWKSURL string
	// Issuer and Audience must be those of a token; "": any.
	Issuer, Audience string
	Leeway           time.Duration // how far clocks may differ; default 5 s; Off: not at all
	PrincipalClaim   string        // the claim that is the principal; default sub
	Logger           *slog.Logger  // hears of keys that cannot be had; default slog.Default()
}

// jwtAuth is the state behind JWT.
type jwtAuth struct {
	rules  identity.Rules
	keys   identity.Keys
	files  []*identity.File
	remote *identity.Remote // nil: there is no URL
}

// JWT is an AuthFunc for JSON Web Tokens, which must have an exp. Their claim "weir" may name what their bearer may do:
//
//	"weir": {"sub": ["prices*"], "pub": ["orders"], "history": ["prices*"], "rooms": ["staff"], "data": {…}}
//
// sub, pub and history become Grants if any of them is there, empty or null as well, rooms are joined at connect, and
// data is kept (Socket.Identity). A token that is presented for one topic has to grant that. JWT fails, without a Code,
// on options that contradict themselves and on keys that cannot be used; a URL is not asked yet.
func JWT(o JWTOptions) (AuthFunc, error) {
	a := &jwtAuth{rules: identity.Rules{
		Algorithms: o.Algorithms, Issuer: o.Issuer, Audience: o.Audience, PrincipalClaim: o.PrincipalClaim,
		Leeway: max(orDefault(o.Leeway, 5*time.Second), 0),
	}}
	if len(a.rules.Algorithms) == 0 {
		a.rules.Algorithms = []string{"RS256"}
	}
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	var errs []error
	for _, alg := range a.rules.Algorithms {
		if !slices.Contains(identity.Algorithms, alg) {
			errs = append(errs, fmt.Errorf("algorithm %q: want HS256, RS256, ES256 or EdDSA", alg))
		}
	}
	for i, k := range o.Keys {
		if err := a.addKey(k, log); err != nil {
			errs = append(errs, fmt.Errorf("keys[%d]: %w", i, err))
		}
	}
	errs = append(errs, a.addSets(o, log)...)
	if len(o.Keys) == 0 && o.JWKSFile == "" && o.JWKSURL == "" {
		errs = append(errs, errors.New("no keys: want one, a JWKS file or a JWKS URL"))
	}
	for _, k := range a.keys {
		if !slices.Contains(a.rules.Algorithms, k.Algorithm) {
			errs = append(errs, fmt.Errorf("a key for %s, which is not among the algorithms accepted", k.Algorithm))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a.authenticate, nil
}

func (a *jwtAuth) addKey(k JWTKey, log *slog.Logger) error {
	fits := func(key identity.Key, err error) (identity.Keys, error) {
		if err == nil && k.Algorithm != "" && k.Algorithm != key.Algorithm {
			err = fmt.Errorf("is a key for %s, not for %s", key.Algorithm, k.Algorithm)
		}
		return identity.Keys{key}, err
	}
	public := func(b []byte) (identity.Keys, error) { return fits(identity.NewPublic(k.ID, b)) }
	var keys identity.Keys
	var err error
	switch given := [3]bool{len(k.Secret) > 0, len(k.PEM) > 0, k.File != ""}; given {
	case [3]bool{true, false, false}:
		keys, err = fits(identity.NewSecret(k.ID, k.Secret))
	case [3]bool{false, true, false}:
		keys, err = public(k.PEM)
	case [3]bool{false, false, true}:
		return a.addFile(k.File, public, log)
	default:
		return errors.New("want exactly one of a secret, PEM and a file")
	}
	if err == nil {
		a.keys = append(a.keys, keys...)
	}
	return err
}

func (a *jwtAuth) addFile(path string, parse func([]byte) (identity.Keys, error), log *slog.Logger) error {
	f, err := identity.NewFile(path, parse, func(err error) {
		log.Error("keys of tokens not read: those before stay in force", "error", err)
	})
	a.files = append(a.files, f)
	return err
}

func (a *jwtAuth) addSets(o JWTOptions, log *slog.Logger) []error {
	var errs []error
	if o.JWKSFile != "" {
		if err := a.addFile(o.JWKSFile, identity.ParseSet, log); err != nil {
			errs = append(errs, fmt.Errorf("JWKS file: %w", err))
		}
	}
	if o.JWKSURL == "" {
		return errs
	}
	u, err := url.Parse(o.JWKSURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return append(errs, fmt.Errorf("JWKS URL %q: want https://host/path", o.JWKSURL))
	}
	a.remote = identity.NewRemote(o.JWKSURL, time.Now, func(n int, err error) {
		if err != nil {
			log.Warn("keys of tokens not fetched: those before stay in force", "error", err)
			return
		}
		log.Debug("keys of tokens fetched", "keys", n)
	})
	return errs
}

func (a *jwtAuth) authenticate(ctx context.Context, r AuthRequest) (Identity, error) {
	now := time.Now()
	keys := slices.Clone(a.keys)
	for _, f := range a.files {
		keys = append(keys, f.Keys(now)...)
	}
	c, err := a.rules.Verify(r.Token, keys, now)
	if a.remote != nil && (errors.Is(err, identity.ErrUnknownKey) || errors.Is(err, identity.ErrInvalid) && len(keys) > 0) {
		c, err = a.verifyRemote(ctx, r.Token, now)
	}
	if err != nil {
		return Identity{}, refusedJWT(err)
	}
	id := Identity{Principal: c.Principal, TokenID: c.ID, Expires: c.Expires.Add(a.rules.Leeway), Rooms: c.Rooms, Data: c.Data}
	if g := c.Grants; g != nil {
		id.Grants = &Grants{Subscribe: g.Subscribe, Publish: g.Publish, History: g.History}
	}
	return id, nil
}

// verifyRemote checks with the keys of the URL, and with newer ones if a token names a key that is not among them.
func (a *jwtAuth) verifyRemote(ctx context.Context, token string, now time.Time) (identity.Claims, error) {
	var c identity.Claims
	for _, unknown := range []bool{false, true} {
		keys, err := a.remote.Keys(ctx, unknown)
		if err != nil {
			return c, err
		}
		if c, err = a.rules.Verify(token, keys, now); !errors.Is(err, identity.ErrUnknownKey) {
			return c, err
		}
	}
	return c, identity.ErrUnknownKey
}

// refusedJWT is what a client is told: which of a few things is wrong, and never of which key.
func refusedJWT(err error) error {
	tell := func(code Code, why error) error { return &Error{Code: code, Reason: why.Error(), Cause: err} }
	switch {
	case errors.Is(err, identity.ErrMissing):
		return tell(ErrUnauthorized, identity.ErrMissing)
	case errors.Is(err, identity.ErrExpired):
		return tell(ErrTokenExpired, identity.ErrExpired)
	case errors.Is(err, identity.ErrTooEarly):
		return tell(ErrUnauthorized, identity.ErrTooEarly)
	case errors.Is(err, identity.ErrInvalid), errors.Is(err, identity.ErrUnknownKey):
		return tell(ErrUnauthorized, identity.ErrInvalid)
	}
	return tell(ErrUnavailable, errors.New("the token could not be checked"))
}

// Identity is who a client has proved to be and what it was granted, as Authenticate said at connect, or since, when
// the client sent a fresh token. Zero if nobody asked.
func (s *Socket) Identity() Identity {
	if p := s.proof(); p != nil {
		return p.Identity
	}
	return Identity{Principal: s.Principal()}
}

// may reports whether the grants of a socket's identity allow an action on a topic.
func (id *Identity) may(action Action, topic string) bool {
	g := id.Grants
	switch {
	case g == nil:
		return true
	case action == ActionSubscribe:
		return identity.Match(g.Subscribe, topic)
	case action == ActionHistory:
		return identity.Match(g.History, topic)
	case action == ActionPublish:
		return identity.Match(g.Publish, topic)
	}
	return true
}
