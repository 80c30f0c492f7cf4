package delivery

import (
	"errors"
	"fmt"
)

// What can be wrong with a request to this package; the root maps them to codes.
var (
	ErrUnknownNamespace     = errors.New("unknown namespace")
	ErrUnknownTopic         = errors.New("unknown topic")
	ErrTooManySubscriptions = errors.New("too many subscriptions on this socket")
	ErrNothingKept          = errors.New("nothing is kept for a snapshot (the topic has snapshotMaxKeys: 0)")
	ErrNoHistory            = errors.New("nothing that was published is kept of the topic (it has no history and no retention)")
	ErrTooManyRooms         = errors.New("too many rooms on this socket")

	// ErrTooManyTopics says that a namespace has as many topics made from patterns as it
	// may have, and somebody uses each.
	ErrTooManyTopics = errors.New("too many topics at a time in this namespace")

	// ErrBusy says that there was no room in an inbox before the caller's context
	// ended.
	ErrBusy = errors.New("busy: the server cannot take more now")

	// ErrBudget says that the topic holds most of an exhausted memory budget, or that
	// the budget is spent.
	ErrBudget = fmt.Errorf("%w: the memory budget is spent", ErrBusy)

	// ErrClosed says that the hub, or the socket spoken to, is gone.
	ErrClosed = errors.New("closed")
)
