package delivery

import "errors"

// What can be wrong with a request to this package; the root maps them to codes.
var (
	ErrUnknownTopic         = errors.New("unknown topic")
	ErrTooManySubscriptions = errors.New("too many subscriptions on this socket")
	ErrTooManyRooms         = errors.New("too many rooms on this socket")
)
