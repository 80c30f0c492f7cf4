package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/streamweir/weir/internal/base"
)

// right is what a route asks of its caller (operating.md).
type right uint8

const (
	rightNone right = iota // health: no key needed
	rightPublish
	rightRead
	rightAdmin
	rightPProf // admin, unless Options.PProf
)

func (r right) String() string { return [...]string{"none", "publish", "read", "admin", "admin"}[r] }

// caller is who sends a request.
type caller struct {
	name  string // of the key; "local" without keys
	allow Allow
	keyed bool // holds a key: without one, pprof needs Options.PProf
}

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// wrote logs a write with the name of the key that asked for it.
func (a *api) wrote(r *http.Request, action string, attrs ...slog.Attr) {
	c := callerOf(r.Context())
	attrs = append(attrs, slog.String("action", action), slog.String("key", c.name), slog.String("from", r.RemoteAddr))
	a.Logger.LogAttrs(r.Context(), slog.LevelInfo, "management write", attrs...)
}

// identify finds out who sends r: by key, or without keys by the local rule.
func (a *api) identify(r *http.Request) (caller, error) {
	if a.open {
		return caller{name: "probe"}, nil
	}
	if a.Authorize == nil {
		if err := a.admitLocal(r); err != nil {
			return caller{}, refuse(base.CodeForbidden, "without keys, only this machine is served: %v", err)
		}
		return caller{name: "local", allow: Allow{Publish: true, Read: true, Admin: true}}, nil
	}
	token := tokenOf(r.Header)
	if token == "" {
		return caller{}, refuse(base.CodeUnauthorized, "send a key: Authorization: Bearer, or X-API-Key")
	}
	name, allow, ok := a.Authorize(token)
	if !ok {
		return caller{}, refuse(base.CodeUnauthorized, "the key is not valid")
	}
	return caller{name: name, allow: allow, keyed: true}, nil
}

func (a *api) admitLocal(r *http.Request) error {
	if a.Local == nil {
		return errNoRule
	}
	return a.Local(r)
}

var errNoRule = errors.New("and no rule says who that is")

// tokenOf is the key a request carries: Authorization: Bearer, else X-API-Key.
func tokenOf(h http.Header) string {
	scheme, token, found := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if token = strings.TrimSpace(token); found && token != "" && strings.EqualFold(scheme, "Bearer") {
		return token
	}
	return strings.TrimSpace(h.Get("X-API-Key"))
}

// confined reports whether a key is for some namespaces only.
func (c *caller) confined() bool { return c.allow.Namespaces != nil }

// mine reports whether a key is for a namespace.
func (c *caller) mine(namespace string) bool {
	return !c.confined() || slices.Contains(c.allow.Namespaces, namespace)
}

// admit refuses a namespace that a key is not for, whether there is one of that name or not.
func (c *caller) admit(namespace string) error {
	if c.mine(namespace) {
		return nil
	}
	return refuse(base.CodeForbidden, "key %q is not for namespace %q", c.name, namespace)
}

// callerOf is who has sent a request, as add has kept it.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return &c
}

// permit checks a right.
func (a *api) permit(c caller, need right) error {
	ok := true
	switch need {
	case rightPublish:
		ok = c.allow.Publish
	case rightRead:
		ok = c.allow.Read
	case rightAdmin:
		ok = c.allow.Admin
	case rightPProf:
		if !a.PProf && !c.keyed {
			return refuse(base.CodeForbidden, "profiles need an admin key, or management.pprof: true")
		}
		ok = a.PProf || c.allow.Admin
	case rightNone: // is not needed
	}
	if !ok {
		return refuse(base.CodeForbidden, "key %q lacks the right %q", c.name, need)
	}
	return nil
}
