package weir

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// Code says what went wrong, as clients, publishers and metrics name it: docs/errors.md has
// the table, with what to do. It is an error itself: errors.Is(err, weir.ErrBusy) holds for
// every error with that code, and a handler may return one that needs no reason. A Code that
// is not one of these counts as "internal".
type Code string

// The codes that Go callers meet.
const (
	ErrInvalid      Code = "invalid"          // an argument, a name or a payload is not what it must be; the reason names it
	ErrSchema       Code = "schema_violation" // a value is not as its JSON Schema says; the reason names the path and the rule
	ErrUnauthorized Code = "unauthorized"     // the token is wrong
	ErrTokenExpired Code = "token_expired"    // the token was good, and is no longer
	ErrForbidden    Code = "forbidden"        // the right is lacking
	ErrUnknown      Code = "unknown"          // no such namespace or topic is declared
	ErrTooLarge     Code = "too_large"        // larger than the lane's limit of bytes
	ErrBusy         Code = "busy"             // no room in the time given, or the memory budget is spent; retryable
	ErrLimited      Code = "limited"          // a limit was reached, the reason names it; retryable
	ErrDraining     Code = "draining"         // the server does not run yet, leaves, or has stopped; retryable elsewhere or later
	ErrUnavailable  Code = "unavailable"      // what the answer depends on could not be asked, the topic's journal takes nothing, or the broker is away; retryable
	ErrTimeout      Code = "timeout"          // the context ended before there was an answer; retryable
	ErrDisconnected Code = "disconnected"     // the client has left, or was not let in
	ErrUnsupported  Code = "unsupported"      // this version does not have it
)

// Codes that only clients meet.
const (
	codeNoHandler      Code = "no_handler"
	codeNotSubscribed  Code = "not_subscribed"
	codeNeedsWebsocket Code = "needs_websocket"
	codeInternal       Code = "internal"
	codeBackend        Code = "backend_unavailable"
)

// codes are the rows of the table by name.
var codes = func() map[Code]*base.Code {
	table := make(map[Code]*base.Code, len(base.Codes))
	for _, c := range base.Codes {
		table[Code(c.Name)] = c
	}
	return table
}()

// row is the code's in the table.
func (c Code) row() *base.Code {
	if r := codes[c]; r != nil {
		return r
	}
	return base.CodeInternal
}

// Error implements error: the code's name.
func (c Code) Error() string { return string(c) }

// Retryable reports whether the same request may succeed later.
func (c Code) Retryable() bool { return c.row().Retryable }

// Status is the HTTP status of the code, for handlers that pass an error on.
func (c Code) Status() int { return c.row().Status }

// Error is a problem with a code. Its text, code and reason, may be shown to a client;
// return one from a handler to choose what the client reads. Whatever a method of this
// package returns as an error is an *Error, unless it says otherwise.
type Error struct {
	Code   Code
	Reason string
	Cause  error // for logs and errors.Is; never shown to a client; may be nil
}

// Error implements error: the code's name and the reason.
func (e *Error) Error() string {
	if e.Reason == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the error's Code, or an Error with the same code, so that
// errors.Is(err, weir.ErrBusy) holds whatever the reason.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Code:
		return t == e.Code
	case *Error:
		return t.Code == e.Code
	}
	return false
}

// Errorf returns an error of a code, one of the Err… constants, with a reason that clients
// may read, made as fmt.Errorf makes it: what %w stands for is the Cause, and its text is in
// the reason.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Reason: err.Error(), Cause: errors.Unwrap(err)}
}

// coded is Errorf for a reason that is no format.
func coded(code Code, reason string) *Error { return &Error{Code: code, Reason: reason} }

// errNotRunning is what a call says that only a running server can answer.
var errNotRunning = coded(ErrDraining, "the server is not running")

// known is the part of an error that a client may know of; nil: none.
func known(err error) *Error {
	var e *Error
	var code Code
	switch {
	case errors.As(err, &e):
		if codes[e.Code] == nil {
			return nil
		}
		return e
	case errors.As(err, &code) && codes[code] != nil:
		return &Error{Code: code}
	}
	return nil
}

// outward turns an error with a code of the internal packages into one of this package.
func outward(err error) error {
	if err == nil || known(err) != nil {
		return err
	}
	b, ok := errors.AsType[*base.Error](err)
	if !ok {
		return err
	}
	return &Error{Code: Code(b.Code.Name), Reason: b.Reason, Cause: b.Cause}
}

// inward is the opposite, for the management API.
func inward(err error) error {
	e := known(err)
	if e == nil {
		return err
	}
	return &base.Error{Code: e.Code.row(), Reason: e.Reason, Cause: e.Cause}
}

// wrap turns an error of the rooms below into one with a code.
func wrap(err error, reason string) error {
	if err == nil {
		return nil
	}
	err = outward(err)
	if known(err) != nil {
		return err
	}
	code := codeInternal
	switch {
	case errors.Is(err, delivery.ErrUnknownTopic), errors.Is(err, delivery.ErrUnknownNamespace):
		code = ErrUnknown
	case errors.Is(err, delivery.ErrNothingKept):
		code = ErrInvalid
	case errors.Is(err, delivery.ErrTooLarge):
		code = ErrTooLarge
	case errors.Is(err, delivery.ErrLog):
		code = ErrUnavailable
	case errors.Is(err, delivery.ErrBusy):
		code = ErrBusy
	case errors.Is(err, delivery.ErrClosed):
		code = ErrDraining
	case errors.Is(err, delivery.ErrTooManySubscriptions), errors.Is(err, delivery.ErrTooManyRooms),
		errors.Is(err, delivery.ErrTooManyTopics):
		code = ErrLimited
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		code = ErrTimeout
	}
	if reason == "" {
		reason = strings.TrimPrefix(err.Error(), string(code)+": ")
	}
	return &Error{Code: code, Reason: reason, Cause: err}
}
