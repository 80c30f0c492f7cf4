package admin

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// Revocations are the tokens and principals that are not accepted. Methods may be called from any goroutine.
type Revocations interface {
	// Revoke notes one until its end, and ends the sockets it concerns: as many as it returns. With an error it may have been
	// noted all the same.
	Revoke(ctx context.Context, r Revocation) (disconnected int, of *Nodes, err error)
	Lift(ctx context.Context, r Revocation) (*Nodes, error)
	List() []Revocation // newest first
}

// Revocation is one entry of GET /api/revoke. Exactly one of Token and Principal is set.
type Revocation struct {
	Token      string    `json:"jti,omitempty"`
	Principal  string    `json:"principal,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	Until      time.Time `json:"until,omitzero"`       // when it ends by itself
	Configured bool      `json:"configured,omitempty"` // it is in the configuration, and stays
}

// maxRevokedFor is what forMs may be: 366 days. Whoever takes the revocation has the same bound.
const maxRevokedFor = 366 * 24 * time.Hour

// The most revocations that one answer lists, and how many do if nobody says.
const (
	maxRevocations     = 10_000
	defaultRevocations = 1000
)

// revoke serves POST /api/revoke.
func (a *api) revoke(w http.ResponseWriter, r *http.Request) error {
	o, err := a.readObject(w, r)
	if err != nil {
		return err
	}
	v := o.revocation(time.Now())
	if malformed := o.end(); malformed != nil {
		return malformed
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.PublishTimeout)
	defer cancel()
	n, of, err := a.Revocations.Revoke(ctx, v)
	attrs := []slog.Attr{slog.String("jti", v.Token), slog.String("principal", v.Principal), slog.Time("until", v.Until), slog.Int("disconnected", n)}
	if err != nil { // it may be revoked, and some sockets not ended
		a.wrote(r, "revoke", append(attrs, slog.Any("error", err))...)
		return err
	}
	a.wrote(r, "revoke", attrs...)
	return writeJSON(w, http.StatusOK, struct {
		Disconnected int       `json:"disconnected"`
		Until        time.Time `json:"until"`
		Nodes        *Nodes    `json:"nodes,omitempty"`
	}{n, v.Until, of})
}

// revocation takes jti or principal, and forMs or until.
func (o *object) revocation(now time.Time) (v Revocation) {
	named := o.has("jti") != o.has("principal")
	ends := o.has("forMs") != o.has("until")
	v.Token, v.Principal = o.text("jti"), o.text("principal")
	period, until := o.count("forMs", maxRevokedFor.Milliseconds()), o.text("until")
	switch {
	case !named:
		o.wrong("jti", "want exactly one of jti and principal")
	case !ends:
		o.wrong("forMs", "want exactly one of forMs and until: how long its tokens may still live")
	case until == "":
		v.Until = now.Add(time.Duration(period) * time.Millisecond)
	default:
		var err error
		if v.Until, err = time.Parse(time.RFC3339, until); err != nil {
			o.wrong("until", "want a time such as 2030-01-02T15:04:05Z, not %s", excerpt([]byte(until)))
		}
	}
	return v
}

// unrevoke serves DELETE /api/revoke.
func (a *api) unrevoke(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	v := Revocation{Token: q.text("jti"), Principal: q.text("principal")}
	if (v.Token == "") == (v.Principal == "") {
		q.wrong("jti", "want exactly one of jti and principal")
	}
	if err := q.end(); err != nil {
		return err
	}
	of, err := a.Revocations.Lift(r.Context(), v)
	if err != nil {
		return err
	}
	a.wrote(r, "revoke/delete", slog.String("jti", v.Token), slog.String("principal", v.Principal))
	return writeJSON(w, http.StatusOK, struct {
		Lifted int    `json:"lifted"`
		Nodes  *Nodes `json:"nodes,omitempty"`
	}{1, of})
}

// revoked serves GET /api/revoke.
func (a *api) revoked(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	token, principal := q.text("jti"), q.text("principal")
	limit := q.count("limit", defaultRevocations, 1, maxRevocations)
	if err := q.end(); err != nil {
		return err
	}
	answer := struct {
		Revoked []Revocation `json:"revoked"`
		Total   int          `json:"total"`
	}{Revoked: []Revocation{}}
	for _, v := range a.Revocations.List() {
		if token != "" && v.Token != token || principal != "" && v.Principal != principal {
			continue
		}
		if answer.Total++; len(answer.Revoked) < limit {
			answer.Revoked = append(answer.Revoked, v)
		}
	}
	return writeJSON(w, http.StatusOK, answer)
}

// noRevocations is an API whose server keeps none.
type noRevocations struct{}

func (noRevocations) Revoke(context.Context, Revocation) (int, *Nodes, error) {
	return 0, nil, errNoRevocations
}
func (noRevocations) Lift(context.Context, Revocation) (*Nodes, error) { return nil, errNoRevocations }
func (noRevocations) List() []Revocation                               { return nil }

var errNoRevocations = refuse(base.CodeUnsupported, "this server keeps no revocations")
