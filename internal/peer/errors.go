package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamweir/weir/internal/wire/ws"
)

var (
	// ErrDisconnected says that the server took the client out of its namespace (DISCONNECT, 2.1). Official clients do
	// not come back.
	ErrDisconnected = errors.New("disconnected from the namespace by the server")
	// ErrClosePacket says that the server closed the session with Engine.IO's close packet (1.3).
	ErrClosePacket = errors.New("session closed by the server")
	// ErrOver is what a Machine answers after it has failed.
	ErrOver = errors.New("the connection is over")
)

// StatusError is an answer to the opening handshake other than 101.
type StatusError struct {
	Status     int           // of HTTP
	RetryAfter time.Duration // 0 if the server named none, or a date
	Body       string        // its first 200 bytes at most
}

func (e *StatusError) Error() string {
	text := "websocket handshake answered " + strconv.Itoa(e.Status)
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(", retry after %v", e.RetryAfter)
	}
	if e.Body != "" {
		text += fmt.Sprintf(": %q", e.Body)
	}
	return text
}

// ConnectError is CONNECT_ERROR: the server does not let the client into the namespace (2.2, 2.3).
type ConnectError struct {
	Message string
	Data    json.RawMessage // nil if there is none
}

func (e *ConnectError) Error() string {
	if len(e.Data) == 0 {
		return "namespace refused: " + e.Message
	}
	return fmt.Sprintf("namespace refused: %s %.200s", e.Message, e.Data)
}

// CloseError is a close frame of the server (RFC 6455 5.5.1).
type CloseError struct {
	Code   ws.CloseCode // NoStatus if the frame has none
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("closed by the server with %d %q", e.Code, e.Reason)
}
