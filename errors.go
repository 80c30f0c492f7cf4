package weir

import (
	"context"
	"errors"
	"strings"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// Error is a problem with a code of docs/errors.md. Its text may be shown to a
// client; return one from a handler to choose what the client reads.
type Error = base.Error

// The errors callers branch on with errors.Is: it compares the code only.
var (
	ErrInvalid      = &Error{Code: base.CodeInvalid}
	ErrUnauthorized = &Error{Code: base.CodeUnauthorized}
	ErrForbidden    = &Error{Code: base.CodeForbidden}
	ErrUnknown      = &Error{Code: base.CodeUnknown}
	ErrTooLarge     = &Error{Code: base.CodeTooLarge}
	ErrBusy         = &Error{Code: base.CodeBusy}
	ErrLimited      = &Error{Code: base.CodeLimited}
	ErrDraining     = &Error{Code: base.CodeDraining}
	ErrUnavailable  = &Error{Code: base.CodeUnavailable}
	ErrTimeout      = &Error{Code: base.CodeTimeout}
	ErrDisconnected = &Error{Code: base.CodeDisconnected}
	ErrUnsupported  = &Error{Code: base.CodeUnsupported}
)

// errNotRunning is what a call says that only a running server can answer.
var errNotRunning = Errorf(ErrDraining, "the server is not running")

// Errorf returns an error of the given code, one of the Err… values, whose reason
// clients may read.
func Errorf(code *Error, reason string) *Error { return &Error{Code: code.Code, Reason: reason} }

// wrap turns an error of the rooms below into one with a code.
func wrap(err error, reason string) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	code := base.CodeInternal
	switch {
	case errors.Is(err, delivery.ErrUnknownTopic), errors.Is(err, delivery.ErrUnknownNamespace):
		code = base.CodeUnknown
	case errors.Is(err, delivery.ErrNothingKept):
		code = base.CodeInvalid
	case errors.Is(err, delivery.ErrTooLarge):
		code = base.CodeTooLarge
	case errors.Is(err, delivery.ErrBusy):
		code = base.CodeBusy
	case errors.Is(err, delivery.ErrClosed):
		code = base.CodeDraining
	case errors.Is(err, delivery.ErrTooManySubscriptions), errors.Is(err, delivery.ErrTooManyRooms),
		errors.Is(err, delivery.ErrTooManyTopics):
		code = base.CodeLimited
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		code = base.CodeTimeout
	}
	if reason == "" {
		reason = strings.TrimPrefix(err.Error(), code.Name+": ")
	}
	return &Error{Code: code, Reason: reason, Cause: err}
}
