package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/weir"
)

// checkToken asks the configuration about a token, and prints what it says.
func checkToken(ctx context.Context, f fileFlags, token string, asJSON bool, s streams) error {
	c, err := f.load(s.err)
	if err != nil {
		return err
	}
	auth := c.Options.Authenticate
	if auth == nil {
		return fmt.Errorf("%s accepts no tokens: it has neither access.staticTokens nor access.jwt", f.path)
	}
	id, err := auth(ctx, weir.AuthRequest{Token: token, Action: weir.ActionConnect, Handshake: &weir.Handshake{}})
	if err != nil {
		return fmt.Errorf("refused: %w", failedCheck(err))
	}
	if err := revokedIn(&c.Options.Revoked, &id); err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	v := viewOfToken(&id)
	if !asJSON {
		return v.print(s)
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = s.out.Write(append(harmless(line), '\n'))
	return err
}

// failedCheck is the code with the reason that a server would log, which says more than the one a client is told.
func failedCheck(err error) error {
	var e *weir.Error
	if errors.As(err, &e) && e.Cause != nil {
		return fmt.Errorf("%w: %w", e.Code, e.Cause)
	}
	return err
}

func revokedIn(o *weir.RevokedOptions, id *weir.Identity) error {
	switch {
	case slices.Contains(o.Tokens, id.TokenID) && id.TokenID != "":
		return fmt.Errorf("%w: access.revoked.tokens has %s", weir.ErrTokenExpired, shown(id.TokenID))
	case slices.Contains(o.Principals, id.Principal):
		return fmt.Errorf("%w: access.revoked.principals has %s", weir.ErrForbidden, shown(id.Principal))
	}
	return nil
}

// tokenView is what a token says.
type tokenView struct {
	Principal string          `json:"principal"`
	ID        string          `json:"id,omitempty"`
	Expires   time.Time       `json:"expires,omitzero"`
	Grants    *grantsView     `json:"grants,omitempty"` // nil: what the configuration allows
	Rooms     []string        `json:"rooms,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
}

type grantsView struct {
	Subscribe []string `json:"subscribe"`
	Publish   []string `json:"publish"`
	History   []string `json:"history"`
}

func viewOfToken(id *weir.Identity) tokenView {
	v := tokenView{Principal: id.Principal, ID: id.TokenID, Expires: id.Expires, Rooms: id.Rooms, Data: id.Data}
	if g := id.Grants; g != nil {
		some := func(list []string) []string { return append([]string{}, list...) }
		v.Grants = &grantsView{some(g.Subscribe), some(g.Publish), some(g.History)}
	}
	return v
}

// print writes one line for each thing a token says.
func (v *tokenView) print(s streams) error {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%-10s %s\n", name, value) }
	line("principal", shown(v.Principal))
	line("id", cmp.Or(shown(v.ID), "none: only its principal can be revoked"))
	if v.Expires.IsZero() {
		line("ends", "never")
	} else {
		line("ends", fmt.Sprintf("%s (in %v)", v.Expires.UTC().Format(time.RFC3339), time.Until(v.Expires).Round(time.Second)))
	}
	for i, name := range []string{"subscribe", "publish", "history"} {
		if v.Grants == nil {
			line(name, "what the configuration allows")
			continue
		}
		line(name, cmp.Or(shownList([][]string{v.Grants.Subscribe, v.Grants.Publish, v.Grants.History}[i]), "nothing"))
	}
	if len(v.Rooms) > 0 {
		line("rooms", shownList(v.Rooms))
	}
	if v.Data != nil {
		line("data", string(harmless(v.Data)))
	}
	_, err := fmt.Fprint(s.out, b.String())
	return err
}

func shownList(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = shown(s)
	}
	return strings.Join(out, ", ")
}

// shown is a name as it is, or quoted if a terminal could take some of it for something else.
func shown(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` || strings.ContainsAny(name, ", ") {
		return q
	}
	return name
}
