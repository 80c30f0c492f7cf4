package transport

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/streamweir/weir/internal/wire/ws"
)

// IsUpgrade reports whether a request asks to become a websocket. Upgrades to
// anything else are ordinary requests.
func IsUpgrade(r *http.Request) bool {
	return ws.HeaderHasToken(r.Header.Values("Connection"), "upgrade") &&
		ws.HeaderHasToken(r.Header.Values("Upgrade"), "websocket")
}

// ErrBadUpgrade is returned for an opening handshake that breaks RFC 6455 4.2.1.
var ErrBadUpgrade = errors.New("transport: bad websocket handshake")

// CheckUpgrade checks the opening handshake; the error is an ErrBadUpgrade.
func CheckUpgrade(r *http.Request) error {
	switch version := r.Header.Get("Sec-WebSocket-Version"); {
	case r.Method != http.MethodGet:
		return fmt.Errorf("%w: method %s", ErrBadUpgrade, r.Method)
	case version != "13":
		return fmt.Errorf("%w: version %q", ErrBadUpgrade, version)
	case !ws.ValidKey(r.Header.Get("Sec-WebSocket-Key")):
		return fmt.Errorf("%w: key is not 16 bytes of base64", ErrBadUpgrade)
	}
	return nil
}

// Upgraded is a connection whose opening handshake is done.
type Upgraded struct {
	Conn    net.Conn // tuned, without deadlines
	Ahead   []byte   // what was already read from it
	Deflate bool     // permessage-deflate is agreed
}

// Upgrade takes the connection of a request that passed CheckUpgrade from its
// HTTP server and answers 101 within timeout. After an error the connection is
// closed, unless it could not be taken over: http.ErrNotSupported, with no answer
// written.
func (o TCPOptions) Upgrade(w http.ResponseWriter, r *http.Request, timeout time.Duration) (Upgraded, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return Upgraded{}, fmt.Errorf("take over connection: %w", err)
	}
	ahead := leftover(rw.Reader)
	conn, rest := unwrapRead(conn)
	ahead = append(ahead, rest...)
	extension, agreed := "", false
	if o.Deflate {
		extension, agreed = ws.AcceptDeflate(r.Header.Values("Sec-WebSocket-Extensions"))
	}
	if err := o.accept(conn, switching{
		key:       r.Header.Get("Sec-WebSocket-Key"),
		extension: extension,
		protocol:  ws.Subprotocol(r.Header.Values("Sec-WebSocket-Protocol")),
	}, timeout); err != nil {
		closeNow(conn)
		return Upgraded{}, fmt.Errorf("accept websocket of %v: %w", conn.RemoteAddr(), err)
	}
	return Upgraded{Conn: conn, Ahead: ahead, Deflate: agreed}, nil
}

func (o TCPOptions) accept(conn net.Conn, s switching, timeout time.Duration) error {
	// A connection that cannot be tuned has ended as a rule, and the write says so.
	_ = o.Tune(conn)
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := conn.Write(s.append(nil)); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// switching is what the answer that makes a connection a websocket says.
type switching struct {
	key       string
	extension string // "": none is agreed to
	protocol  string // "": none was offered
}

// append appends the answer (RFC 6455 4.2.2).
func (s switching) append(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = ws.AppendAccept(dst, s.key)
	if s.extension != "" {
		dst = append(dst, "\r\nSec-WebSocket-Extensions: "...)
		dst = append(dst, s.extension...)
	}
	if s.protocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, s.protocol...)
	}
	return append(dst, "\r\n\r\n"...)
}

// leftover copies what r has read ahead, so that its buffer is not kept.
func leftover(r *bufio.Reader) []byte {
	ahead, _ := r.Peek(r.Buffered()) // cannot fail: they are there
	return append([]byte(nil), ahead...)
}

// AppendText appends one text message as the frame a server sends.
func AppendText(dst, text []byte) []byte { return ws.AppendFrame(dst, ws.Text, text) }
