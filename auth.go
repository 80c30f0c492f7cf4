package weir

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/hook"
)

// StaticTokens is an AuthFunc for a fixed table from principal to token. Tokens
// are compared in constant time; a wrong one, or none, is ErrUnauthorized. StaticTokens fails
// on an empty principal or token, or a token given twice; the error has no Code.
func StaticTokens(tokens map[string]string) (AuthFunc, error) {
	table, err := guard.NewStaticTokens(tokens)
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, r AuthRequest) (Identity, error) {
		principal, err := table.Authenticate(r.Token)
		if err != nil {
			return Identity{}, &Error{Code: ErrUnauthorized, Reason: err.Error(), Cause: err}
		}
		return Identity{Principal: principal}, nil
	}, nil
}

// proves reports whether the client has to prove who it is, or wants to.
func (s *Socket) proves() bool {
	return s.ns.door.opts.Auth && (s.ns.opts.AuthRequired || s.token("") != "")
}

// check decides whether a client is let in: its token, then the namespace's checks in order. Where the hook has the word about
// who the client is, check returns what that is to be asked.
func (a *admission) check(ctx context.Context) (*hook.Question, error) {
	s := a.s
	if !a.proved && s.proves() {
		r, err := s.presents(ActionConnect, "", "")
		if err != nil {
			return nil, err
		}
		id, err := s.authenticate(ctx, r)
		if s.ns.srv.asksHook(err) {
			return s.question(r.Token), nil
		}
		if id, err = s.judge(id, err, ActionConnect, ""); err != nil {
			return nil, err
		}
		s.admitAs(&id)
	}
	s.ns.mu.RLock()
	checks := s.ns.admit
	s.ns.mu.RUnlock()
	for _, f := range checks {
		if err := s.ns.asked(ctx, "Use", s, f); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// decision is the task that lets a client in, or not.
//
//weir:loop
type decision struct {
	s   *Socket
	err error
}

// Run implements base.Task.
func (d decision) Run() {
	s := d.s
	if s.gone.Load() {
		return
	}
	if d.err == nil {
		d.err = s.stillAccepted() // it may have been revoked since it was checked
	}
	if d.err == nil {
		d.err = s.enroll()
	}
	if d.err == nil {
		s.client.Accept(s.loop())
		return
	}
	message, data := connectRefusal(d.err)
	s.client.Refuse(s.loop(), message, data)
}

// errManyConnections is what a client is told that would be one too many of its principal.
var errManyConnections = &Error{Code: ErrLimited, Reason: "as many connections of this principal are open as may be (limits.perPrincipal)"}

// enroll counts a client that is about to be let in for its principal.
//
//weir:loop
func (s *Socket) enroll() error {
	principal := s.Principal()
	if s.client.Enroll(s.ns.path, principal) {
		return nil
	}
	s.ns.srv.refusesPrincipal(s.ns.door, principal, s.client.Remote())
	return errManyConnections
}

func connectRefusal(err error) (message string, data []byte) {
	var ce *ConnectError
	e := known(err)
	switch {
	case errors.As(err, &ce):
		if ce.Data != nil {
			data, _ = args.Marshal(ce.Data) // data that cannot be encoded is left out
		}
		return ce.Message, data
	case e != nil:
		data, _ = json.Marshal(map[string]any{"code": e.Code, "retryable": e.Code.Retryable()})
		return e.Error(), data
	default:
		return string(ErrForbidden), nil
	}
}

// token finds the client's token: in the payload, else where it came with the
// handshake (protocol.md 4).
func (s *Socket) token(payload string) string {
	h := s.Handshake()
	if p := s.proof(); p != nil && payload == "" {
		payload = p.token
	}
	return guard.FindToken(guard.TokenSources{
		Payload:       payload,
		Auth:          gjson.GetBytes(h.Auth, "token").Str,
		Authorization: h.Header.Get("Authorization"),
		Protocols:     h.Header.Values("Sec-WebSocket-Protocol"),
		Query:         h.URL.Query().Get("token"),
	})
}

// refusedToken counts and logs that a token was not accepted, and returns what the client
// is told. Only a wrong token counts against the address: neither a right that a good one
// lacks nor that nobody could find out is a guess.
func (s *Socket) refusedToken(err error, action Action, topic string, addr netip.Addr) *Error {
	e := known(err)
	log := s.ns.log.With("action", action, "topic", topic, "address", addr, "error", err)
	level := slog.LevelWarn
	if _, ok := errors.AsType[refusal](err); ok {
		level = slog.LevelDebug // who asks a hook has a log of its own
	}
	switch {
	case e == nil:
		s.ns.count.authUnavailable.Add(1)
		log.Error("token not checked: Authenticate failed")
		return &Error{Code: ErrUnavailable, Reason: "the token could not be checked", Cause: err}
	case errors.Is(e, ErrUnavailable):
		s.ns.count.authUnavailable.Add(1)
		log.Error("token not checked")
		return e
	}
	s.ns.count.authRejected.Add(1)
	log.Log(context.Background(), level, "token refused")
	if !errors.Is(e, ErrUnauthorized) {
		return e
	}
	if until, blocked := s.ns.srv.failures.Fail(addr, time.Now()); blocked {
		s.ns.log.Warn("address refused: too many wrong tokens", "address", addr, "until", until.UTC().Format(time.RFC3339), "lift", "DELETE /api/refused")
	}
	return e
}

// presents is what a client presents its token for, unless its address has presented too many that were wrong.
func (s *Socket) presents(action Action, topic, payloadToken string) (r AuthRequest, err error) {
	if srv := s.ns.srv; srv.failures.Blocked(s.client.Remote(), time.Now()) {
		srv.count.authLimited.Add(1)
		return r, coded(ErrLimited, "too many refused tokens from this address")
	}
	return AuthRequest{
		Token: s.token(payloadToken), Action: action, Namespace: s.ns.path, Topic: topic,
		Principal: s.Principal(), Handshake: s.Handshake(),
	}, nil
}

// prove asks Authenticate, about a fresh token the hook too, and judges what they say. Who the hook has let in has to prove nothing
// more for a topic. It runs on the pool for calls to the outside.
func (s *Socket) prove(ctx context.Context, action Action, topic, payloadToken string) (Identity, error) {
	r, err := s.presents(action, topic, payloadToken)
	if err != nil {
		return Identity{}, err
	}
	if p := s.proof(); p != nil && p.hooked && payloadToken == "" {
		return s.judge(p.Identity, nil, action, topic)
	}
	id, err := s.authenticate(ctx, r)
	if action == ActionConnect && s.ns.srv.asksHook(err) {
		return s.renewByHook(ctx, r.Token)
	}
	return s.judge(id, err, action, topic)
}

// judge counts a wrong token against the client's address; what a good one grants must have the topic it is presented for. Any
// goroutine.
func (s *Socket) judge(id Identity, err error, action Action, topic string) (Identity, error) {
	srv, addr := s.ns.srv, s.client.Remote()
	if err == nil {
		err = s.ns.srv.accepts(&id)
	}
	if err == nil && !id.may(action, topic) {
		err = notGranted(action, topic)
	}
	if err == nil || err == error(errPanicked) || errors.Is(err, errUnheard) { //nolint:errorlint // this very one: not the token's fault
		return id, err
	}
	e := s.refusedToken(err, action, topic, addr)
	if errors.Is(e, ErrUnavailable) {
		return id, e
	}
	if f := srv.opts.Events.AuthRejected; f != nil {
		f(AuthRejectedEvent{Action: action, Namespace: s.ns.path, Topic: topic, Address: addr, Reason: e.Reason})
	}
	return id, e
}

// authorize is prove for who needs no more than its answer.
func (s *Socket) authorize(ctx context.Context, action Action, topic, payloadToken string) error {
	_, err := s.prove(ctx, action, topic, payloadToken)
	return err
}
