package eio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// ErrorCode is the code in the body of a refused request (1.1).
type ErrorCode int

// The codes of 1.1.
const (
	TransportUnknown   ErrorCode = 0
	SessionUnknown     ErrorCode = 1
	BadHandshakeMethod ErrorCode = 2
	BadRequest         ErrorCode = 3
	Forbidden          ErrorCode = 4
	UnsupportedVersion ErrorCode = 5
)

var errorMessages = [...]string{
	TransportUnknown:   "Transport unknown",
	SessionUnknown:     "Session ID unknown",
	BadHandshakeMethod: "Bad handshake method",
	BadRequest:         "Bad request",
	Forbidden:          "Forbidden",
	UnsupportedVersion: "Unsupported protocol version",
}

// String is the message clients know the code by.
func (c ErrorCode) String() string {
	if c < 0 || int(c) >= len(errorMessages) {
		return fmt.Sprintf("ErrorCode(%d)", int(c))
	}
	return errorMessages[c]
}

// Status is the HTTP status of the answer over polling: 403 for Forbidden, else 400. A failed websocket upgrade is
// always answered 400.
func (c ErrorCode) Status() int {
	if c == Forbidden {
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// Error is the refusal of a request. An empty Message stands for the code's own; a hook that forbids may give another.
type Error struct {
	Code    ErrorCode
	Message string
}

// Error is the message of the refusal, which is also the body of a failed websocket upgrade (1.1).
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Message
}

// AppendJSON appends the body of the answer: {"code":N,"message":"…"}.
func (e *Error) AppendJSON(dst []byte) []byte {
	message, err := json.Marshal(e.Error())
	if err != nil {
		message = []byte(`""`) // not reached: a string always encodes
	}
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = append(dst, message...)
	return append(dst, '}')
}
