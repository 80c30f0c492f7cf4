package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
)

// emit serves POST /api/emit.
func (a *api) emit(w http.ResponseWriter, r *http.Request) error {
	o, err := a.readObject(w, r)
	if err != nil {
		return err
	}
	request := takeEmit(o)
	if malformed := o.end(); malformed != nil {
		return malformed
	}
	if err := callerOf(r.Context()).admit(request.Namespace); err != nil {
		return err
	}
	if _, err := a.namespace(request.Namespace); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.PublishTimeout)
	defer cancel()
	wait, err := a.Publisher.Emit(ctx, request)
	if err != nil {
		return err
	}
	patience, stop := context.WithTimeout(r.Context(), a.ReceiptTimeout)
	defer stop()
	out := wait(patience)
	a.wrote(r, "emit", slog.String("namespace", request.Namespace), slog.String("event", request.Event), slog.Int("recipients", out.Subscribers))
	return writeJSON(w, http.StatusOK, emitted{
		Recipients: out.Subscribers, Queued: out.Queued, Coalesced: out.Coalesced, Dropped: out.Dropped, Rejected: out.Rejected,
		Complete: out.Complete && out.Nodes.Whole(), Nodes: out.Nodes,
	})
}

// emitted is the answer to POST /api/emit: what the event met at the lanes.
type emitted struct {
	Recipients int  `json:"recipients"`
	Queued     int  `json:"queued"`
	Coalesced  int  `json:"coalesced"` // in the place of an older one, under a topic's name
	Dropped    int  `json:"dropped"`   // older ones, to make room
	Rejected   int  `json:"rejected"`  // by full lanes
	Complete   bool `json:"complete"`  // all loops of all nodes have answered

	Nodes *Nodes `json:"nodes,omitempty"`
}

func takeEmit(o *object) *EmitRequest {
	e := &EmitRequest{Namespace: o.required("namespace"), Event: o.required("event")}
	if reserved[e.Event] {
		o.wrong("event", "%s is reserved by Socket.IO", strconv.Quote(e.Event))
	}
	var args []json.RawMessage
	o.into("args", "a list", &args)
	for _, arg := range args {
		e.Args = append(e.Args, arg)
	}
	if o.has("to") && o.has("rooms") {
		o.wrong("rooms", "give to or rooms, not both")
	}
	e.Rooms, e.Except = o.texts("rooms"), o.texts("except")
	e.Socket, e.Principal = o.recipient("to")
	return e
}

// reserved are the event names no side may emit (protocol.md 2.4).
var reserved = map[string]bool{
	"connect": true, "connect_error": true, "disconnect": true, "disconnecting": true,
	"newListener": true, "removeListener": true,
}
