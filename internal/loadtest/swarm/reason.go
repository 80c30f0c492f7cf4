package swarm

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// subscribeError is an answer to a subscribe request that is no yes.
type subscribeError struct{ code string }

func (e *subscribeError) Error() string { return "subscribe: " + e.code }

var errUnread = errors.New("the server reads nothing")

const (
	connectErrorPrefix = "connect_error: "
	disconnect         = "disconnect"
	maxReason          = 80 // bytes of a reason that the server has written
)

// final reports whether the official client does not come back after an end like this: the server has put it out of
// the namespace, or not let it in (protocol.md 2.3).
func final(why string) bool {
	return why == disconnect || strings.HasPrefix(why, connectErrorPrefix)
}

// reason names an error.
func reason(err error) string {
	if name := kernelReason(err); name != "" {
		return name
	}
	var (
		status  *peer.StatusError
		refused *peer.ConnectError
		closed  *peer.CloseError
		denied  *subscribeError
		frame   *ws.Error
		packet  *eio.ParseError
		message *sio.Error
	)
	switch {
	case errors.As(err, &status):
		return fmt.Sprintf("http_%d", status.Status)
	case errors.As(err, &refused):
		return clip(connectErrorPrefix + refused.Message)
	case errors.As(err, &denied):
		return clip(denied.Error())
	case errors.As(err, &closed):
		return fmt.Sprintf("close_%d", closed.Code)
	case errors.Is(err, peer.ErrDisconnected):
		return disconnect
	case errors.Is(err, peer.ErrClosePacket):
		return "close_packet"
	case errors.Is(err, errUnread):
		return "unread"
	case errors.As(err, &frame), errors.As(err, &packet), errors.As(err, &message):
		return "bad_message"
	case errors.Is(err, io.EOF):
		return "eof"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return "bad_handshake"
}

func clip(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return s[:maxReason]
}
