package engineio_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/streamweir/weir/internal/wire/ws"
)

// socket is a websocket client.
type socket struct {
	t      testing.TB
	conn   net.Conn
	in     *bufio.Reader
	dec    ws.Decoder
	frames []string // "text", "binary:…", "close:…", "pong:…"
}

const upgradeHeaders = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// rawAnswer is the answer to a request made by hand, and its connection.
type rawAnswer struct {
	response
	conn   net.Conn
	in     *bufio.Reader
	closes bool // Connection: close
}

// raw sends a request as it is.
func (r *rig) raw(request string) rawAnswer {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.http.Listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		r.t.Fatal(err)
	}
	a := rawAnswer{conn: conn, in: bufio.NewReader(conn)}
	a.read(r.t)
	return a
}

// read takes the next response of the connection; 100 and 101 have no body.
func (a *rawAnswer) read(t testing.TB) {
	t.Helper()
	res, err := http.ReadResponse(a.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.status, a.header, a.closes = res.StatusCode, res.Header, res.Close
	if res.StatusCode < 200 {
		return
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	a.body = string(body)
}

func (r *rig) dialRaw(query, headers string) rawAnswer {
	r.t.Helper()
	return r.raw("GET /socket.io/" + query + " HTTP/1.1\r\nHost: weir\r\n" + headers + "\r\n")
}

// dial makes a websocket; query has the sid of an upgrade.
func (r *rig) dial(query string) *socket {
	r.t.Helper()
	a := r.dialRaw(query, upgradeHeaders)
	if a.status != http.StatusSwitchingProtocols {
		r.t.Fatalf("upgrade answered %d %s", a.status, a.body)
	}
	return &socket{t: r.t, conn: a.conn, in: a.in, dec: ws.NewDecoder(1<<24, ws.Client)}
}

const newWebSocket = "?EIO=4&transport=websocket"

// webSocketSession makes a session and reads its open packet.
func (r *rig) webSocketSession() (*host, *socket) {
	r.t.Helper()
	c := r.dial(newWebSocket)
	h := <-r.opened
	if open := c.next(); len(open) == 0 || open[0] != '0' {
		r.t.Fatalf("first frame %q", open)
	}
	return h, c
}

func (c *socket) Message(op ws.Opcode, payload []byte) error {
	if op == ws.Binary {
		return c.Control(op, payload)
	}
	c.frames = append(c.frames, string(payload))
	return nil
}

func (c *socket) Control(op ws.Opcode, payload []byte) error {
	names := map[ws.Opcode]string{ws.Binary: "binary", ws.Close: "close", ws.Pong: "pong"}
	c.frames = append(c.frames, fmt.Sprintf("%s:%s", names[op], bytes.Clone(payload)))
	return nil
}

// read returns the next frame, or the error that ended the connection.
func (c *socket) read() (string, error) {
	buf := make([]byte, 64<<10)
	for len(c.frames) == 0 {
		n, err := c.in.Read(buf)
		if derr := c.dec.Decode(buf[:n], c); derr != nil {
			return "", derr
		}
		if err != nil && len(c.frames) == 0 {
			return "", err
		}
	}
	f := c.frames[0]
	c.frames = c.frames[1:]
	return f, nil
}

func (c *socket) next() string {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *socket) want(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		if got := c.next(); got != want {
			c.t.Fatalf("frame %.60q, want %.60q", got, want)
		}
	}
}

func (c *socket) write(op ws.Opcode, payload string) {
	c.t.Helper()
	if _, err := c.conn.Write(ws.AppendMasked(nil, op, [4]byte{9, 8, 7, 6}, []byte(payload))); err != nil {
		c.t.Fatal(err)
	}
}

func (c *socket) send(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		c.write(ws.Text, p)
	}
}

// wantClosed answers the server's close frame and waits for the end.
func (c *socket) wantClosed() {
	c.t.Helper()
	c.want("close:")
	c.write(ws.Close, "")
	c.wantEOF()
}

func (c *socket) wantEOF() {
	c.t.Helper()
	if f, err := c.read(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("frame %.60q, %v; want the end", f, err)
	}
}
