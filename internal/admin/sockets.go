package admin

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/streamweir/weir/internal/base"
)

// maxRate bounds the clients per second of a disconnect: more is "at once".
const maxRate = 1_000_000

// join serves POST /api/sockets/join.
func (a *api) join(w http.ResponseWriter, r *http.Request) error {
	return a.moveRooms(w, r, "sockets/join", a.Sockets.Join)
}

// leave serves POST /api/sockets/leave.
func (a *api) leave(w http.ResponseWriter, r *http.Request) error {
	return a.moveRooms(w, r, "sockets/leave", a.Sockets.Leave)
}

func (a *api) moveRooms(w http.ResponseWriter, r *http.Request, action string,
	move func(context.Context, Filter, []string) (Reached, error),
) error {
	o, err := a.readObject(w, r)
	if err != nil {
		return err
	}
	if !o.has("rooms") {
		o.wrong("rooms", "missing")
	}
	f, rooms := o.filter(), o.texts("rooms")
	if malformed := o.end(); malformed != nil {
		return malformed
	}
	if len(rooms) == 0 {
		return refuse(base.CodeInvalid, "rooms: must not be empty")
	}
	if err := a.meaningful(r, f); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.PublishTimeout)
	defer cancel()
	out, err := move(ctx, f, rooms)
	if err != nil { // what was begun goes on
		a.wrote(r, action, slog.Any("filter", f), slog.Any("rooms", rooms), slog.Any("error", err))
		return err
	}
	a.wrote(r, action, slog.Any("filter", f), slog.Any("rooms", rooms), slog.Int("sockets", out.Sockets), slog.Int("skipped", out.Skipped))
	return writeJSON(w, http.StatusOK, out)
}

// meaningful refuses a filter of a namespace that is not the caller's, or of a namespace or topic that does not exist:
// that it means nobody would be an answer to another question.
func (a *api) meaningful(r *http.Request, f Filter) error {
	if err := callerOf(r.Context()).admit(f.Namespace); err != nil {
		return err
	}
	if f.Topic == "" {
		_, err := a.namespace(f.Namespace)
		return err
	}
	_, err := a.declared(f.Namespace, f.Topic)
	return err
}

// disconnect serves POST /api/sockets/disconnect.
func (a *api) disconnect(w http.ResponseWriter, r *http.Request) error {
	o, err := a.readObject(w, r)
	if err != nil {
		return err
	}
	d := DisconnectRequest{
		Filter: o.filter(), Rate: int(o.count("rate", maxRate)),
		Reconnect: o.flag("reconnect", true), DryRun: o.flag("dryRun", false),
	}
	if malformed := o.end(); malformed != nil {
		return malformed
	}
	if err := a.meaningful(r, d.Filter); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.PublishTimeout)
	defer cancel()
	out, err := a.Sockets.Disconnect(ctx, d)
	if err != nil {
		return err
	}
	if !d.DryRun {
		a.wrote(r, "sockets/disconnect", slog.Any("filter", d.Filter), slog.Int("rate", d.Rate),
			slog.Bool("reconnect", d.Reconnect), slog.Int("sockets", out.Sockets))
	}
	out.DryRun = d.DryRun
	return writeJSON(w, http.StatusOK, out)
}

// filter takes namespace and filter. Nobody is meant by accident: exactly one
// criterion must be given.
func (o *object) filter() Filter {
	f := Filter{Namespace: o.required("namespace")}
	inner := o.object("filter")
	if inner == nil {
		o.wrong("filter", "missing")
		return f
	}
	given := inner.n
	f.ID, f.Principal, f.Room = inner.text("id"), inner.text("principal"), inner.text("room")
	f.Topic, f.Address = inner.text("topic"), inner.address("address")
	if strings.HasSuffix(f.Topic, "*") {
		inner.wrong("topic", "want one topic by its name, not the pattern %q", f.Topic)
	}
	o.close(inner)
	if given != 1 {
		o.wrong("filter", "want exactly one of id, principal, room, topic and address")
	}
	return f
}

// drain serves POST /api/drain.
func (a *api) drain(w http.ResponseWriter, r *http.Request) error {
	if err := a.readNothing(w, r); err != nil {
		return err
	}
	p, err := a.State.Drain()
	if err != nil {
		return err
	}
	a.wrote(r, "drain")
	return writeJSON(w, http.StatusAccepted, p)
}

// readNothing reads a body that says nothing: an empty object is as good as none.
func (a *api) readNothing(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r)
	if err != nil || len(body) == 0 {
		return err
	}
	o, malformed := parseObject(body)
	if malformed == nil {
		malformed = o.end()
	}
	if malformed != nil {
		return malformed
	}
	return nil
}

// draining serves GET /api/drain: how far the drain is, or how long one would take.
func (a *api) draining(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, a.State.Draining())
}
