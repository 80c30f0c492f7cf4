package transport_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
	"github.com/streamweir/weir/internal/wire/ws"
)

// event is what a receiver was told.
type event struct {
	kind  string // "text", "binary", "writable", "closed"
	data  string
	cause base.Cause
	err   error
}

// end is one websocket under test with its receiver; its fields but the
// channels belong to the loop.
type end struct {
	t      testing.TB
	loop   *looptest.Loop
	driver *transport.Driver
	socket *transport.WebSocket
	peer   net.Conn // the client's side

	messages chan event // text and binary
	closed   chan event
	room     chan struct{} // writable was called
	refuse   error         // what Message returns
	after    atomic.Int32  // calls after Closed
}

const testLimit = 1 << 20

// driver is what holds a connection.
type driver string

const (
	goroutine driver = "goroutine"
	epoll     driver = "epoll"
)

// drivers runs a test over each driver of this system.
func drivers(t *testing.T, test func(t *testing.T, d driver)) {
	all := []driver{goroutine}
	if transport.Epoll {
		all = append(all, epoll)
	}
	for _, d := range all {
		t.Run(string(d), func(t *testing.T) { test(t, d) })
	}
}

func (d driver) loop(t testing.TB, now func() int64) *looptest.Loop {
	if d == epoll {
		return looptest.NewPolling(t, now)
	}
	return looptest.New(t)
}

func newEnd(t testing.TB, loop *looptest.Loop, client net.Conn) *end {
	return &end{
		t: t, loop: loop, driver: transport.NewDriver(), peer: client,
		messages: make(chan event, 4096), closed: make(chan event, 2), room: make(chan struct{}, 1),
	}
}

// realTime is the clock of tests that do not turn it.
func realTime() func() int64 {
	start := time.Now()
	return func() int64 { return int64(time.Since(start)) }
}

// connect makes a websocket of the server's side of a connection.
func (d driver) connect(t testing.TB, server, client net.Conn, ahead ...byte) *end {
	t.Helper()
	return d.connectAt(t, realTime(), server, client, ahead...)
}

// connectAt is connect with a clock.
func (d driver) connectAt(t testing.TB, now func() int64, server, client net.Conn, ahead ...byte) *end {
	t.Helper()
	e := newEnd(t, d.loop(t, now), client)
	var err error
	e.socket, err = e.driver.WebSocket(transport.Upgraded{Conn: server, Ahead: ahead}, &transport.WebSocketOptions{
		Loop: e.loop, Poller: e.loop.Poller, Now: now, Limit: testLimit,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		e.driver.Close()
	})
	e.loop.Do(func() { e.socket.Start(e) })
	return e
}

func (e *end) Message(data []byte, binary bool) error {
	kind := "text"
	if binary {
		kind = "binary"
	}
	e.count()
	e.messages <- event{kind: kind, data: string(data)}
	return e.refuse
}

func (e *end) Writable() {
	e.count()
	select {
	case e.room <- struct{}{}:
	default:
	}
}

func (e *end) Closed(cause base.Cause, err error) {
	e.closed <- event{kind: "closed", cause: cause, err: err}
	e.after.Store(1)
}

func (e *end) count() {
	if e.after.Load() != 0 {
		e.t.Error("called after Closed")
	}
}

// write hands over all of p, waiting for room as often as it takes.
func (e *end) write(p []byte) {
	for len(p) > 0 {
		var window int
		e.loop.Do(func() {
			if window = e.socket.Window(); window > 0 {
				n, err := e.socket.Write(p)
				if err != nil {
					e.t.Errorf("write: %v", err)
				}
				p = p[n:]
			}
		})
		if window == 0 {
			<-e.room
		}
	}
}

func (e *end) send(op ws.Opcode, payload string) {
	e.t.Helper()
	if _, err := e.peer.Write(masked(op, payload)); err != nil {
		e.t.Fatal(err)
	}
}

func (e *end) wantMessage(kind, data string) {
	e.t.Helper()
	if got := <-e.messages; got.kind != kind || got.data != data {
		e.t.Fatalf("message %s %.40q, want %s %.40q", got.kind, got.data, kind, data)
	}
}

func (e *end) wantClosed(cause base.Cause) event {
	e.t.Helper()
	got := <-e.closed
	if got.cause != cause {
		e.t.Fatalf("closed with %v (%v), want %v", got.cause, got.err, cause)
	}
	e.driver.Close() // nothing of the connection is left to report
	e.loop.Pass()
	if len(e.closed) > 0 {
		e.t.Fatal("closed twice")
	}
	return got
}

func masked(op ws.Opcode, payload string) []byte {
	return ws.AppendMasked(nil, op, [4]byte{1, 2, 3, 4}, []byte(payload))
}

// reset ends a connection by RST.
func reset(t testing.TB, conn net.Conn) {
	t.Helper()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// tcpPair is a TCP connection over loopback.
func tcpPair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, client
}

// tlsPair is a TLS connection over loopback.
func tlsPair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	certificates := ts.TLS.Certificates
	ts.Close()
	s, c := tcpPair(t)
	server = tls.Server(s, &tls.Config{Certificates: certificates})
	client = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	shaken := make(chan error, 1)
	go func() { shaken <- server.(*tls.Conn).Handshake() }()
	if err := errors.Join(client.(*tls.Conn).Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// certificate is a test's own.
func certificate() []tls.Certificate {
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	defer ts.Close()
	return ts.TLS.Certificates
}

// listenSecure returns TLS on a port, and where that is.
func listenSecure(t testing.TB, o transport.SecureOptions) (*transport.Secure, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.Config == nil {
		o.Config = &tls.Config{Certificates: certificate()}
	}
	s := transport.NewSecure(&transport.Listener{Listener: ln, Options: transport.TCPOptions{NotSentLowat: 4 << 10}}, o)
	s.Start()
	t.Cleanup(func() { _ = s.Close() })
	return s, ln.Addr().String()
}

// usual are the options of most tests.
func usual() transport.SecureOptions {
	return transport.SecureOptions{Timeout: 10 * time.Second, Max: 100, Compute: 2}
}

// securePair is a connection of a Secure over loopback.
func securePair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	s, addr := listenSecure(t, usual())
	client, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = s.Accept(); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// reader decodes what the peer reads.
type reader struct {
	conn   net.Conn
	dec    ws.Decoder
	frames []string // "text:…", "pong:…", "close:…"
}

func newReader(conn net.Conn) *reader {
	return &reader{conn: conn, dec: ws.NewDecoder(64<<20, ws.Client)}
}

func (r *reader) Message(op ws.Opcode, payload []byte) error { return r.Control(op, payload) }

func (r *reader) Control(op ws.Opcode, payload []byte) error {
	names := map[ws.Opcode]string{ws.Text: "text", ws.Binary: "binary", ws.Ping: "ping", ws.Pong: "pong", ws.Close: "close"}
	r.frames = append(r.frames, fmt.Sprintf("%s:%s", names[op], bytes.Clone(payload)))
	return nil
}

// next returns the next frame, or the error that ended the connection.
func (r *reader) next() (string, error) {
	buf := make([]byte, 64<<10)
	for len(r.frames) == 0 {
		n, err := r.conn.Read(buf)
		if derr := r.dec.Decode(buf[:n], r); derr != nil {
			return "", derr
		}
		if err != nil && len(r.frames) == 0 {
			return "", err
		}
	}
	f := r.frames[0]
	r.frames = r.frames[1:]
	return f, nil
}

func (r *reader) want(t testing.TB, frame string) {
	t.Helper()
	got, err := r.next()
	if err != nil || got != frame {
		t.Fatalf("peer got %.60q, %v; want %.60q", got, err, frame)
	}
}

func (r *reader) wantEOF(t testing.TB) {
	t.Helper()
	if got, err := r.next(); !errors.Is(err, io.EOF) {
		t.Fatalf("peer got %.60q, %v; want the end", got, err)
	}
}
