package weir

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/hook"
	"github.com/streamweir/weir/internal/metrics"
)

// HookOptions name a backend of the application that is asked about clients over HTTP, so that an application in any
// language decides who comes in. docs/guide/security.md has the request, its signature and the answer.
//
// Connect is asked where Authenticate is at connect, and for a fresh token (weir:token): in namespaces with AuthRequired,
// and about tokens that are offered. Authenticate comes first, if there is one: who it knows is let in without a
// question, and a question is about who it says ErrUnauthorized of. What the answer grants is kept like that of a token,
// until it expires; a topic with AuthRequired asks nobody again. While a client waits to be let in, no goroutine of Outside waits
// with it; with a fresh token one does, of a quarter of Outside.Max at most: more are answered ErrBusy. A client that has proved
// nothing as it connected has no token to renew, and is answered ErrForbidden.
type HookOptions struct {
	Connect string // the URL, http:// or https://; "": nobody is asked
	// Secrets sign each request, of 32 bytes or more; at most 8. All of them sign, so that a new one can be known
	// everywhere before the old one goes. At least one.
	Secrets [][]byte
	// Timeout is how long a call may take, from its connection to the last byte of its answer; default 5 s. The wait for a place
	// comes before it, and ends with SocketIO.ConnectTimeout.
	Timeout time.Duration
	// MaxCalls is how many calls may be under way at a time, default 64, 10,000 at most; MaxWaiting how many clients may
	// wait for one of those to end, default 1000, 1,000,000 at most. Beyond it a client is refused with ErrBusy, as it is
	// when the memory budget is spent: each that waits takes 12 KiB and its question of 64 KiB at most.
	MaxCalls, MaxWaiting int
	MaxAnswerBytes       int // of an answer; default 64 KiB; 1 KiB to 1 MiB
	// BreakerCalls is how many calls in a row must find nobody (no connection, no answer in time, the status 502, 503 or
	// 504) until none is made for BreakerPause; then one tries. Defaults 5 and 5 s. Clients are refused meanwhile,
	// at once.
	BreakerCalls int
	BreakerPause time.Duration
	// CacheFor is how long an answer that lets a client in is good for others with the same token in the same namespace,
	// whatever else they send, but not beyond its expiresAt; 0: for nobody. At most CacheEntries answers (default 10,000;
	// 1,000,000 at most) of CacheBytes together (default 16 MiB) are kept: those not asked for longest give way. What has
	// no token is not kept.
	CacheFor                 time.Duration
	CacheEntries, CacheBytes int
	// Headers are the fields of a client's first request that the backend is told, at most 32; nil: Accept-Language, Authorization,
	// Cookie, Origin and User-Agent; empty: none.
	Headers []string
	CAFile  string // PEM: certificates whose word about the backend is believed; "": those of the system
}

// The defaults of HookOptions.
var defaultHookHeaders = []string{"Accept-Language", "Authorization", "Cookie", "Origin", "User-Agent"}

const maxHookHeaders = 32

func (o *HookOptions) numbers(p *problems) {
	within(p, "Hooks.Timeout", o.Timeout, 0, maxDuration)
	within(p, "Hooks.MaxCalls", o.MaxCalls, 0, 10_000)
	within(p, "Hooks.MaxWaiting", o.MaxWaiting, 0, 1_000_000)
	if o.MaxAnswerBytes != 0 {
		within(p, "Hooks.MaxAnswerBytes", o.MaxAnswerBytes, 1<<10, 1<<20)
	}
	within(p, "Hooks.BreakerCalls", o.BreakerCalls, 0, maxNumber)
	within(p, "Hooks.BreakerPause", o.BreakerPause, 0, maxDuration)
	within(p, "Hooks.CacheFor", o.CacheFor, 0, maxDuration)
	within(p, "Hooks.CacheEntries", o.CacheEntries, 0, 1_000_000)
	within(p, "Hooks.CacheBytes", o.CacheBytes, 0, maxNumber)
}

func (o *HookOptions) validate(p *problems, asked bool) {
	o.numbers(p)
	if o.Connect == "" {
		return
	}
	if why := wrongHookURL(o.Connect); why != "" {
		p.add("Hooks.Connect: %s", why)
	}
	if !asked {
		p.add("Hooks.Connect: no server has Auth, so nobody would be asked about")
	}
	if n := len(o.Secrets); n < 1 || n > hook.MaxSecrets {
		p.add("Hooks.Secrets: %d of them: want 1 to %d, for requests are signed", n, hook.MaxSecrets)
	}
	for i, secret := range o.Secrets {
		if len(secret) < hook.MinSecret {
			p.add("Hooks.Secrets[%d]: %d bytes: want %d or more", i, len(secret), hook.MinSecret)
		}
	}
	if n := len(o.Headers); n > maxHookHeaders {
		p.add("Hooks.Headers: %d of them: want at most %d", n, maxHookHeaders)
	}
	for i, name := range o.Headers {
		if !isFieldName(name) {
			p.add("Hooks.Headers[%d] %q: want the name of a header field", i, name)
		}
	}
	if _, err := o.roots(); err != nil {
		p.add("Hooks.CAFile: %w", err)
	}
}

// wrongHookURL says why nobody can be asked at a URL; its sentence has nothing of it.
func wrongHookURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return "want https://host/path, or http://"
	case u.User != nil:
		return "has a user or password: requests are signed, want none"
	case u.Fragment != "":
		return "has a fragment, which is never sent: want none"
	}
	return ""
}

// isFieldName reports whether a name can be that of a header field (RFC 9110 5.1).
func isFieldName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// roots are the certificates of CAFile; nil: those of the system.
func (o *HookOptions) roots() (*x509.CertPool, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: has no certificate in PEM", o.CAFile)
	}
	return pool, nil
}

// newHook returns nil where nobody is asked.
func (s *Server) newHook(o *HookOptions) (*hook.Connect, error) {
	if o.Connect == "" {
		return nil, nil
	}
	roots, err := o.roots()
	if err != nil {
		return nil, fmt.Errorf("Hooks.CAFile: %w", err)
	}
	headers := o.Headers
	if headers == nil {
		headers = defaultHookHeaders
	}
	return hook.NewConnect(hook.ConnectOptions{
		Options: hook.Options{
			Name: "connect", URL: o.Connect, Secrets: o.Secrets, Timeout: orDefault(o.Timeout, 5*time.Second),
			Max: orDefault(o.MaxCalls, 64), Waiting: orDefault(o.MaxWaiting, 1000), MaxAnswer: orDefault(o.MaxAnswerBytes, 64<<10),
			After: orDefault(o.BreakerCalls, 5), Pause: orDefault(o.BreakerPause, 5*time.Second), Roots: roots,
			Claim: func(n int) error { return s.hub.Claim(budget.Hooks, n) }, Hold: s.hub.Holder(budget.Hooks), Log: s.log,
		},
		Headers: headers, CacheFor: o.CacheFor, CacheEntries: orDefault(o.CacheEntries, 10_000), CacheBytes: orDefault(o.CacheBytes, 16<<20),
	}), nil
}

// hookFigures are those of a scrape.
func (s *Server) hookFigures() (list []metrics.Hook) {
	if s.hook == nil {
		return nil
	}
	st := s.hook.Stats()
	f := metrics.Hook{Hook: "connect", Running: st.Running, Waiting: st.Waiting, Open: st.Breaker != hook.Closed, Calls: map[string]uint64{}, Took: st.Took}
	for _, r := range hook.Results() {
		f.Calls[r.String()] = st.Results[r]
	}
	return append(list, f)
}

// asksHook reports whether the hook has the word about a client of whom Authenticate has said err.
func (s *Server) asksHook(err error) bool { return s.hook != nil && errors.Is(err, ErrUnauthorized) }

// question is what the hook is asked about the socket's client, who shows a token.
func (s *Socket) question(token string) *hook.Question {
	h := s.Handshake()
	return &hook.Question{
		Server: s.ns.door.opts.Name, Namespace: s.ns.path, Token: token, Auth: h.Auth, Header: h.Header, Query: h.URL.RawQuery,
		Address: s.client.Remote().String(), TLS: h.TLS,
	}
}

// vouched makes of an answer of the hook what it says of a client. It runs on any goroutine, and is followed by judge.
func (s *Socket) vouched(a hook.Answer, err error) (Identity, error) {
	switch {
	case err != nil:
		s.ns.count.authUnavailable.Add(1)
		return Identity{}, unheard(err)
	case !a.Allow:
		return Identity{}, turnedAway(&a)
	case !a.Expires.IsZero() && !a.Expires.After(time.Now()):
		return Identity{}, coded(ErrTokenExpired, "what lets the client in has expired")
	}
	id := Identity{
		Principal: a.Principal, TokenID: a.TokenID, Expires: a.Expires, Rooms: slices.Clone(a.Rooms), Data: slices.Clone(a.Data), hooked: true,
	}
	if g := a.Grants; g != nil {
		id.Grants = &Grants{Subscribe: g.Subscribe, Publish: g.Publish, History: g.History}
	}
	return id, nil
}

// errUnheard is behind what a client is told because the hook has not answered; the log has said why, and not for each client.
var errUnheard = errors.New("the hook has not answered")

// refusal is behind what a client is told because the hook says so.
type refusal struct{ *ConnectError }

func (r refusal) Unwrap() error { return r.ConnectError }

// turnedAway is what a client is told that the hook does not let in: its message and data, or the code in their place.
func turnedAway(a *hook.Answer) *Error {
	e := coded(orDefault(Code(a.Code), ErrForbidden), a.Message)
	ce := &ConnectError{Message: orDefault(a.Message, string(e.Code)), Data: map[string]any{"code": e.Code, "retryable": e.Code.Retryable()}}
	if a.Data != nil {
		ce.Data = slices.Clone(a.Data)
	}
	e.Cause = refusal{ce}
	return e
}

// unheard is what a client is told in place of an answer of the hook.
func unheard(err error) *Error {
	e := &Error{Code: codeBackend, Cause: errUnheard}
	switch {
	case errors.Is(err, hook.ErrTooLong):
		e.Code, e.Reason = ErrTooLarge, err.Error()
		return e
	case errors.Is(err, hook.ErrQuestion):
		e.Code, e.Reason = ErrInvalid, hook.ErrQuestion.Error()
		return e
	}
	switch hook.ResultOf(err) {
	case hook.Full:
		e.Code, e.Reason = errCrowded.Code, errCrowded.Reason
	case hook.Left: // if its client has not, then its time is over
		e.Code, e.Reason = errOverdue.Code, errOverdue.Reason
	case hook.Ended:
		e.Code, e.Reason = ErrDraining, "the server is going away"
	case hook.Unreachable:
		e.Reason = "the application's backend cannot be reached"
	case hook.Late:
		e.Reason = "the application's backend has not answered in time"
	case hook.Broken:
		e.Reason = "the application's backend does not answer, and is not asked for a while"
	default: // a status, a redirect, what makes no sense
		e.Reason = "the application's backend has given no answer that can be used"
	}
	return e
}

// askHook has the hook decide about a client that wants in. Nothing waits for the answer: it goes on with the admission
// when it comes.
func (a *admission) askHook(q *hook.Question) {
	s := a.s
	ctx, cancel := context.WithDeadline(context.Background(), a.until)
	if !s.asking(cancel) {
		cancel()
		return // its client has left: nobody waits for the answer
	}
	s.ns.srv.hook.Ask(ctx, q, func(answer hook.Answer, err error) {
		s.asking(nil)
		cancel()
		a.heard(answer, err)
	})
}

// heard goes on with an answer of the hook.
func (a *admission) heard(answer hook.Answer, err error) {
	s := a.s
	id, err := s.vouched(answer, err)
	if id, err = s.judge(id, err, ActionConnect, ""); err == nil {
		s.admitAs(&id)
	}
	if err != nil || !s.ns.checks() {
		s.client.Shard().Post(decision{s, err})
		return
	}
	s.post(func() { s.ask(&admission{s, a.until, true}, 0) }) // the checks of Use
}
