package weir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/op"
)

// RevokedOptions are tokens, by their ids (Identity.TokenID, the claim jti), and principals that are not accepted: for
// as long as the server lives. Each is of 1 to 256 bytes.
type RevokedOptions struct{ Tokens, Principals []string }

func (o *RevokedOptions) validate(p *problems, canAuth bool) {
	for name, list := range map[string][]string{"Tokens": o.Tokens, "Principals": o.Principals} {
		for i, entry := range list {
			if e := revocable(entry); e != nil {
				p.add("Revoked.%s[%d]: %s", name, i, e.Reason)
			}
		}
		if len(list) > 0 && !canAuth {
			p.add("Revoked.%s: neither Options.Authenticate nor Options.Hooks.Connect is set, so that nobody has a token", name)
		}
	}
}

// Revocation is a token, or whatever a principal shows, that is not accepted any more.
type Revocation struct {
	TokenID, Principal string    // exactly one is set: the token's id (Identity.TokenID, the claim jti), or the principal
	Until              time.Time // when it ends by itself; zero: it is one of Options.Revoked, and stays
	Since              time.Time // Revoke sets it
}

// maxRevoked is how far ahead a revocation may end: no token should live longer.
const maxRevoked = 366 * 24 * time.Hour

// Reasons as clients are told them. A token that is revoked is answered as one that has expired: a fresh one helps.
var (
	errTokenRevoked     = &Error{Code: ErrTokenExpired, Reason: "the token has been revoked"}
	errPrincipalRevoked = &Error{Code: ErrForbidden, Reason: "access has been revoked"}
)

func (r *Revocation) what() guard.Revoked {
	return guard.Revoked{Token: r.TokenID, Principal: r.Principal}
}

// Revoke has a token, or a principal, not be accepted any more until r.Until, in the place of an earlier revocation of the
// same, and ends the sockets that have proved who they are with it: weir:error (token_expired for a token, forbidden for a
// principal), then DISCONNECT; official clients do not come back by themselves. It returns how many those were, when they are
// told. All nodes of a cluster do so: those that cannot hear it now do when they can again. What the token of one topic has
// opened (subscribe with token) goes on. Until is when the token expires, or its principal's last token does: at most
// 366 days ahead. 65,536 revocations may be in force at a time. They are kept in memory: after a restart only
// Options.Revoked count, and what other nodes of a cluster know.
//
// Errors: ErrInvalid; ErrLimited when as many are in force as may be; then nothing is revoked. ErrTimeout, ErrBusy, and
// ErrDraining where the server does not run: then it is revoked, and some sockets may still be connected. With ErrTimeout
// the text names the nodes that have not answered.
func (s *Server) Revoke(ctx context.Context, r Revocation) (disconnected int, err error) {
	n, of, err := s.revoke(ctx, r)
	if err == nil {
		err = notAll(of)
	}
	return n, err
}

// notAll is the error of an answer that is not of all nodes; nil: it is.
func notAll(of *admin.Nodes) error {
	switch {
	case of.Whole():
		return nil
	case len(of.Missing) > 0:
		return missing(of.Missing).err()
	}
	return coded(ErrTimeout, "not all nodes have answered: this one has not heard yet which there are")
}

// revoke is Revoke, and says which nodes have answered.
func (s *Server) revoke(ctx context.Context, r Revocation) (disconnected int, of *admin.Nodes, err error) {
	now := time.Now()
	if err := r.valid(now); err != nil {
		return 0, nil, err
	}
	if err := s.revoked.Add(r.what(), now, r.Until); err != nil {
		return 0, nil, &Error{Code: ErrLimited, Reason: err.Error(), Cause: err}
	}
	if !s.running() {
		return 0, nil, errNotRunning
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	begun, err := s.beginEnding(ctx, r.what())
	there, of := s.fleet.tell(ctx, s.revoked.Known(r.what()))
	here, ended := endingsOf(ctx, begun)
	return here + there, of, wrap(errors.Join(err, ended), "")
}

func (r *Revocation) valid(now time.Time) error {
	if err := r.names(); err != nil {
		return err
	}
	switch {
	case !r.Until.After(now):
		return coded(ErrInvalid, "a revocation has to end, and later than now: when the token expires, or the last one of the principal")
	case r.Until.Sub(now) > maxRevoked:
		return coded(ErrInvalid, "a revocation ends within 366 days; one without an end belongs into the configuration")
	}
	return nil
}

// names reports what is wrong with what is to be revoked.
func (r *Revocation) names() error {
	if (r.TokenID == "") == (r.Principal == "") {
		return coded(ErrInvalid, "want exactly one of a token's id and a principal")
	}
	if e := revocable(cmp.Or(r.TokenID, r.Principal)); e != nil {
		return e
	}
	return nil
}

// revocable reports what is wrong with the name of a token or principal.
func revocable(name string) *Error {
	switch {
	case name == "":
		return coded(ErrInvalid, "is empty")
	case len(name) > guard.MaxRevokedBytes:
		return coded(ErrInvalid, fmt.Sprintf("is longer than %d bytes: %q", guard.MaxRevokedBytes, clipped(name)))
	case !utf8.ValidString(name):
		return coded(ErrInvalid, "is not UTF-8")
	}
	return nil
}

// beginEnding begins to end the sockets of whoever is revoked, in all namespaces: in each before any is waited for, so that
// one that is slow leaves none out.
func (s *Server) beginEnding(ctx context.Context, what guard.Revoked) (begun []*delivery.Doing, err error) {
	var errs []error
	why, cause := revokedAs(what)
	for path, ns := range s.byPath.All() {
		if !ns.door.opts.Auth {
			continue // nobody has proved anything there
		}
		o := &op.Op{Kind: op.Disconnect, Namespace: path, Cause: cause, Reason: why.Reason, Only: op.Only{Token: what.Token}}
		o.Target.Principal = what.Principal
		d, err := s.hub.Begin(ctx, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		begun = append(begun, d)
	}
	return begun, errors.Join(errs...)
}

// endingsOf waits for what beginEnding has begun, and returns how many sockets those were.
func endingsOf(ctx context.Context, begun []*delivery.Doing) (n int, err error) {
	var errs []error
	for _, d := range begun {
		out, err := d.Wait(ctx)
		n, errs = n+out.Done, append(errs, err)
	}
	return n, errors.Join(errs...)
}

// revokedAs is how whoever shows something revoked is refused, and why cut.
func revokedAs(what guard.Revoked) (*Error, base.Cause) {
	if what.Token != "" {
		return errTokenRevoked, base.CauseTokenExpired
	}
	return errPrincipalRevoked, base.CauseForbidden
}

// Unrevoke takes a revocation back, on all nodes: those that cannot hear it now do so when they can again. Errors:
// ErrUnknown when there is none in force, ErrInvalid for one of Options.Revoked.
func (s *Server) Unrevoke(r Revocation) error {
	_, err := s.lift(context.Background(), r)
	return err
}

// lift is Unrevoke, and says which nodes have answered.
func (s *Server) lift(ctx context.Context, r Revocation) (*admin.Nodes, error) {
	if err := r.names(); err != nil {
		return nil, err
	}
	if s.revoked.Fixed(r.what()) {
		return nil, coded(ErrInvalid, "the configuration revokes it: that ends when the file does not, with a reload")
	}
	var v guard.Revocation
	var was bool
	if s.opts.Cluster.Broker == nil {
		was = s.revoked.Lift(r.what(), time.Now())
	} else {
		v, was = s.revoked.Withdraw(r.what(), time.Now())
	}
	if !was {
		return nil, coded(ErrUnknown, "it is not revoked")
	}
	_, of := s.fleet.tell(ctx, v)
	return of, nil
}

// Revocations are those in force, newest first, those of Options.Revoked last.
func (s *Server) Revocations() (list []Revocation) {
	for _, v := range s.revoked.List(time.Now()) {
		list = append(list, Revocation{TokenID: v.Token, Principal: v.Principal, Since: v.Since, Until: v.Until})
	}
	return list
}

// accepts reports whether what a client has proved is revoked, and counts that.
func (s *Server) accepts(id *Identity) error {
	what, is := s.revoked.Of(id.TokenID, id.Principal, time.Now())
	if !is {
		return nil
	}
	s.count.authRevoked.Add(1)
	why, _ := revokedAs(what)
	return why
}

// stillAccepted is accepts for what the socket has proved before. Revoke looks for sockets after it has noted what is
// revoked; who asks on the loop is either found or finds that.
//
//weir:loop
func (s *Socket) stillAccepted() error {
	id := s.Identity()
	return s.ns.srv.accepts(&id)
}

// endRevoked ends the socket if what it has proved is revoked, and reports whether it was.
//
//weir:loop
func (s *Socket) endRevoked() bool {
	id := s.Identity()
	what, is := s.ns.srv.revoked.Of(id.TokenID, id.Principal, time.Now())
	d := s.out()
	if !is || d == nil {
		return false
	}
	why, cause := revokedAs(what)
	s.ns.srv.hub.CountCut(cause)
	d.Expel(cause, why.Code.row(), why.Reason)
	return true
}

// TokenID implements delivery.Tokened.
func (l *loopSocket) TokenID() string { return l.public().Identity().TokenID }

// revocations implements admin.Revocations.
type revocations struct{ s *Server }

// Revoke implements admin.Revocations.
func (a revocations) Revoke(ctx context.Context, r admin.Revocation) (int, *admin.Nodes, error) {
	n, of, err := a.s.revoke(ctx, Revocation{TokenID: r.Token, Principal: r.Principal, Until: r.Until})
	return n, of, inward(err)
}

// Lift implements admin.Revocations.
func (a revocations) Lift(ctx context.Context, r admin.Revocation) (*admin.Nodes, error) {
	of, err := a.s.lift(ctx, Revocation{TokenID: r.Token, Principal: r.Principal})
	return of, inward(err)
}

// List implements admin.Revocations.
func (a revocations) List() (list []admin.Revocation) {
	for _, r := range a.s.Revocations() {
		list = append(list, admin.Revocation{Token: r.TokenID, Principal: r.Principal, Since: r.Since, Until: r.Until, Configured: r.Until.IsZero()})
	}
	return list
}
