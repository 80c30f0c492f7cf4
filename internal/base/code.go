package base

import "net/http"

// Code is one row of the table of codes: what can go wrong, as clients,
// publishers and metrics name it (docs/errors.md is checked against
// this table).
type Code struct {
	Name      string
	Status    int    // HTTP status where the code appears in the management API
	Retryable bool   // whether the same request may succeed later
	Where     string // where it appears: API, ack, event, Go, metric
	Advice    string // what to do
}

// The codes.
var (
	CodeInvalid        = &Code{"invalid", http.StatusBadRequest, false, "API, ack, Go", "Mend the request; the reason names the field and the value."}
	CodeSchema         = &Code{"schema_violation", http.StatusBadRequest, false, "API, ack, event, Go, metric", "Mend the value: path says where it is wrong, rule which keyword of the JSON Schema it breaks."}
	CodeUnauthorized   = &Code{"unauthorized", http.StatusUnauthorized, false, "API, ack, event, Go, metric", "Send a valid token or key."}
	CodeTokenExpired   = &Code{"token_expired", http.StatusUnauthorized, false, "ack, event, Go, metric", "Get a fresh token; connected, send it as weir:token before the old one ends."}
	CodeForbidden      = &Code{"forbidden", http.StatusForbidden, false, "API, ack, event, Go, metric", "The key or principal lacks the right; the configuration decides."}
	CodeUnknown        = &Code{"unknown", http.StatusNotFound, false, "API, ack, Go", "Declare the namespace or topic, or mend its name."}
	CodeTooLarge       = &Code{"too_large", http.StatusRequestEntityTooLarge, false, "API, ack, Go, metric", "Send less, or raise maxQueuedBytesPerClient."}
	CodeBusy           = &Code{"busy", http.StatusTooManyRequests, true, "API, ack, Go, metric", "Wait and try again: inboxes are full, the topic holds most of the memory budget, or too many wait to be let in."}
	CodeLimited        = &Code{"limited", http.StatusTooManyRequests, true, "API, ack, event, Go, metric", "A limit of the configuration was reached; the reason names it."}
	CodeDraining       = &Code{"draining", http.StatusServiceUnavailable, true, "API, ack, Go", "The server is going away: try another node, or this one later."}
	CodeUnavailable    = &Code{"unavailable", http.StatusServiceUnavailable, true, "API, ack, event, Go, metric", "What the answer depends on, such as the tokens' issuer, could not be asked, or the topic's journal takes nothing: the disk is full, read-only or gone, or the broker is away. The reason or the server's log says why. Try again later."}
	CodeBackend        = &Code{"backend_unavailable", http.StatusServiceUnavailable, true, "ack, event, metric", "The backend that decides about clients (hooks.connect) cannot be reached, is late, or gives no answer that can be used; the server's log says which. Try again later."}
	CodeTimeout        = &Code{"timeout", http.StatusGatewayTimeout, true, "Go", "The client did not answer in time."}
	CodeDisconnected   = &Code{"disconnected", http.StatusGone, true, "Go", "The client has left."}
	CodeNoHandler      = &Code{"no_handler", http.StatusNotFound, false, "event, metric", "Register a handler for the event in this namespace."}
	CodeNotSubscribed  = &Code{"not_subscribed", http.StatusConflict, false, "ack", "Subscribe first."}
	CodeNeedsWebsocket = &Code{"needs_websocket", http.StatusForbidden, false, "ack, event", "The topic refuses long-polling (allowPolling): upgrade first."}
	CodeUnsupported    = &Code{"unsupported", http.StatusNotImplemented, false, "API, ack, Go", "This version of Weir does not have it."}
	CodeInternal       = &Code{"internal", http.StatusInternalServerError, false, "API, ack", "A handler failed; the server's log says how."}
)

// Codes lists the table in the order of docs/errors.md.
var Codes = []*Code{
	CodeInvalid, CodeSchema, CodeUnauthorized, CodeTokenExpired, CodeForbidden, CodeUnknown, CodeTooLarge, CodeBusy, CodeLimited, CodeDraining,
	CodeUnavailable, CodeBackend, CodeTimeout, CodeDisconnected, CodeNoHandler, CodeNotSubscribed, CodeNeedsWebsocket, CodeUnsupported, CodeInternal,
}

// Error is a code with what happened this time. Its text may reach a client.
type Error struct {
	Code   *Code
	Reason string
	Cause  error // for logs and errors.Is; never shown to a client
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return e.Code.Name
	}
	return e.Code.Name + ": " + e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is an Error with the same code, so that
// errors.Is(err, weir.ErrBusy) holds whatever the reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
