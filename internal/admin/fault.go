package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// refuse makes the error of one request.
func refuse(c *base.Code, format string, args ...any) *base.Error {
	return &base.Error{Code: c, Reason: fmt.Sprintf(format, args...)}
}

// statusError is an error under another HTTP status than its code's.
type statusError struct {
	err    *base.Error
	status int
}

func (e *statusError) Error() string { return e.err.Error() }

// fault is the body of a refusal (protocol.md 5).
type fault struct {
	Error faultBody `json:"error"`
}

type faultBody struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// known are the errors of the delivery half that mean something to a caller.
var known = []struct {
	err  error
	code *base.Code
}{
	{delivery.ErrUnknownTopic, base.CodeUnknown},
	{delivery.ErrTooLarge, base.CodeTooLarge},
	{delivery.ErrBusy, base.CodeBusy},
	{delivery.ErrClosed, base.CodeDraining},
	{delivery.ErrTooManyRooms, base.CodeLimited},
	{delivery.ErrTooManySubscriptions, base.CodeLimited},
	{delivery.ErrTooManyTopics, base.CodeLimited},
	{context.DeadlineExceeded, base.CodeBusy},
	{context.Canceled, base.CodeBusy}, // nobody reads the answer
}

// explain turns any error into a code and a reason the caller may read. What it
// does not know is logged and told as internal.
func (a *api) explain(r *http.Request, err error) (e *base.Error, status int) {
	var special *statusError
	if errors.As(err, &special) {
		return special.err, special.status
	}
	var coded *base.Error
	if errors.As(err, &coded) {
		return coded, coded.Code.Status
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return &base.Error{Code: k.code, Reason: err.Error()}, k.code.Status
		}
	}
	a.Logger.LogAttrs(r.Context(), slog.LevelError, "management request failed",
		slog.String("path", r.URL.Path), slog.Any("error", err))
	return refuse(base.CodeInternal, "the server's log says more"), base.CodeInternal.Status
}

// fail answers a request that err has ended before anything was written.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, status := a.explain(r, err)
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="weir"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	_ = writeJSON(w, status, faultOf(e)) // always JSON
}

func faultOf(e *base.Error) fault {
	message := e.Reason
	if message == "" {
		message = e.Code.Advice
	}
	return fault{faultBody{Code: e.Code.Name, Message: message, Retryable: e.Code.Retryable}}
}

// methodRefused answers 405 with the methods the path has.
func methodRefused(w http.ResponseWriter, method string, methods []route) error {
	var allow []string
	for _, m := range methods {
		allow = append(allow, m.method)
		if m.method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	list := strings.Join(allow, ", ")
	w.Header().Set("Allow", list)
	return &statusError{refuse(base.CodeInvalid, "method %s: want %s", method, list), http.StatusMethodNotAllowed}
}

// needsJournal answers what protocol.md 5 promises for later.
func needsJournal(http.ResponseWriter, *http.Request) error {
	return refuse(base.CodeUnsupported, "history and dead letters need the journal, which this version does not have")
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	line, err := encode(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header()["Content-Type"] = typeJSON
	w.WriteHeader(status)
	_, _ = w.Write(line) // the caller is gone if this fails
	return nil
}

// encode makes a line of JSON. Text is not escaped for HTML: payloads stay readable.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
