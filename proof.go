package weir

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/base"
)

// proof is what a client has proved with its token, where that is more than who it is. It does not change: a fresh token
// makes a new one.
type proof struct {
	Identity
	token  string // sent since, in the place of the handshake's; "": none
	warnAt time.Time
}

// expiryNotice is how long before its end a client is told that its token expires, or half of what was left if that was less.
const expiryNotice = time.Minute

func newProof(id *Identity, token string, now time.Time) *proof {
	p := &proof{Identity: *id, token: token}
	if !id.Expires.IsZero() {
		p.warnAt = id.Expires.Add(-min(expiryNotice, id.Expires.Sub(now)/2))
	}
	return p
}

// proof is what the socket's client has proved, nil for nothing but who it is. Any goroutine.
func (s *Socket) proof() *proof {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasLocked().proof
}

// admitAs keeps what a client has proved that is let in. On the pool for calls to the outside.
func (s *Socket) admitAs(id *Identity) {
	s.mu.Lock()
	own := s.ownLocked()
	own.principal = id.Principal
	if id.hooked || !id.plain() {
		own.proof = newProof(id, "", time.Now())
	}
	s.mu.Unlock()
	if len(id.Rooms) > 0 {
		if _, err := s.joinEarly(id.Rooms); err != nil {
			s.ns.log.Warn("rooms of a token not joined", "principal", id.Principal, "error", err)
		}
	}
}

func notGranted(action Action, topic string) *Error {
	verb := map[Action]string{ActionSubscribe: "subscribing to ", ActionPublish: "publishing to ", ActionHistory: "reading the history of "}[action]
	return coded(ErrForbidden, "the token does not grant "+verb+clipped(topic))
}

// permission says what has to allow a request: may, which asks about a token. It is nil where what was proved allows
// the request, and err says that nothing could.
func (r *request) permission(action Action, t *TopicOptions) (may func(context.Context) error, err error) {
	s, token := r.s, r.arg.Get("token").Str
	topic, p := r.topic, s.proof()
	brought := token != "" && s.ns.door.opts.Auth
	if action == ActionPublish && !s.ns.opts.ClientPublish {
		return r.permissionByGrant(p, t, token, brought)
	}
	granted := p == nil || p.may(action, topic)
	switch {
	case granted && !t.AuthRequired:
		return nil, nil
	case brought, granted, token != "" && t.AuthRequired:
		return func(ctx context.Context) error { return s.authorize(ctx, action, topic, token) }, nil
	}
	return nil, notGranted(action, topic)
}

// permissionByGrant is permission to publish where nobody may but those whose token grants it (ClientPublishGranted).
func (r *request) permissionByGrant(p *proof, t *TopicOptions, token string, brought bool) (may func(context.Context) error, err error) {
	s, topic := r.s, r.topic
	granted := p != nil && p.Grants != nil && p.may(ActionPublish, topic)
	switch {
	case brought:
		return func(ctx context.Context) error {
			id, err := s.prove(ctx, ActionPublish, topic, token)
			if err == nil && id.Grants == nil {
				err = notGranted(ActionPublish, topic)
			}
			return err
		}, nil
	case granted && !t.AuthRequired:
		return nil, nil
	case t.AuthRequired && (granted || token != ""):
		return func(ctx context.Context) error { return s.authorize(ctx, ActionPublish, topic, token) }, nil
	}
	return nil, notGranted(ActionPublish, topic)
}

// freshToken is a client's weir:token {token}: it takes the place of the one it has come with. Loop.
func (r *request) freshToken() {
	token := r.arg.Get("token")
	switch {
	case !r.s.ns.door.opts.Auth:
		r.refuse(coded(ErrInvalid, "no token is asked for here"))
		return
	case token.Type != gjson.String || token.Str == "":
		r.refuse(coded(ErrInvalid, "want weir:token with {token: text}"))
		return
	}
	later, fresh := *r, token.Str
	later.decide(len(r.arg.Raw), func(ctx context.Context) error { return later.s.renew(ctx, fresh) }, nil, func(err error) {
		if err != nil {
			later.refuse(err)
			return
		}
		if later.s.endRevoked() { // since it was checked
			return
		}
		later.s.client.Expect()
		answer := map[string]any{"ok": true}
		if p := later.s.proof(); p != nil && !p.Expires.IsZero() {
			answer["expiresInMs"] = time.Until(p.Expires).Milliseconds()
		}
		later.accept(answer)
	})
}

// renew checks a fresh token, which must be its principal's, and keeps what it proves. On the pool for calls to the outside.
func (s *Socket) renew(ctx context.Context, token string) error {
	id, err := s.prove(ctx, ActionConnect, "", token)
	if err != nil {
		return err
	}
	if id.Principal != s.Principal() {
		return coded(ErrForbidden, "the token is another principal's")
	}
	p := newProof(&id, token, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ownLocked().proof = p
	return nil
}

// renewByHook asks the hook about a fresh token, and judges what it says. As the goroutine of the pool waits for the answer,
// few do at a time, or clients with such tokens would keep out all others. Who has come without proving anything is not
// asked about: it may come again with its token.
func (s *Socket) renewByHook(ctx context.Context, token string) (Identity, error) {
	if s.Principal() == "" && s.proof() == nil {
		return Identity{}, coded(ErrForbidden, "there is nothing to renew: the client has proved nothing as it connected")
	}
	srv := s.ns.srv
	defer srv.renewing.Add(-1)
	if srv.renewing.Add(1) > srv.mayRenew {
		return Identity{}, errCrowded
	}
	id, err := s.vouched(srv.hook.Answer(ctx, s.question(token)))
	return s.judge(id, err, ActionConnect, "")
}

// next is when something is to be said about what was proved; zero: never.
func (p *proof) next() time.Time {
	if p == nil || p.Expires.IsZero() || p.warnAt.IsZero() {
		return p.expires()
	}
	return p.warnAt
}

func (p *proof) expires() time.Time {
	if p == nil {
		return time.Time{}
	}
	return p.Expires
}

// DueIn implements link.Mortal.
func (l *loopSocket) DueIn() (d time.Duration, ok bool) {
	at := l.public().proof().next()
	return time.Until(at), !at.IsZero()
}

// Due implements link.Mortal: the client is told that its token ends soon, or it has ended.
func (l *loopSocket) Due() {
	s, now := l.public(), time.Now()
	p, d := s.proof(), s.out()
	switch {
	case d == nil || p.expires().IsZero():
	case !p.Expires.After(now):
		s.ns.srv.hub.CountCut(base.CauseTokenExpired)
		d.Expel(base.CauseTokenExpired, base.CodeTokenExpired, "the token has expired")
	case !p.warnAt.IsZero() && !p.warnAt.After(now):
		s.warnOfExpiry(p, now)
	}
}

// warnOfExpiry tells a client that its token ends soon, once. Loop.
func (s *Socket) warnOfExpiry(p *proof, now time.Time) {
	said := *p
	said.warnAt = time.Time{}
	s.mu.Lock()
	if own := s.ownLocked(); own.proof == p { // a fresh one has its own
		own.proof = &said
	}
	s.mu.Unlock()
	note, err := json.Marshal(map[string]int64{"expiresInMs": p.Expires.Sub(now).Milliseconds()})
	if err != nil {
		return // numbers always are encoded
	}
	if err := s.Emit(hasty, "weir:expiring", json.RawMessage(note)); err != nil {
		s.ns.log.Debug("weir:expiring not sent", "error", err)
	}
}
