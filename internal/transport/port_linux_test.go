package transport_test

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
)

// upgradeHead is the head of a plain request to become a websocket; extra are further header lines.
func upgradeHead(extra string) string {
	return "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: weir\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + extra + "\r\n"
}

// switching is the answer to upgradeHead.
const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

// port is an intake on loopback whose clock only the test turns.
type port struct {
	t      testing.TB
	clock  atomic.Int64
	loops  []*looptest.Loop
	intake *transport.Intake
	ends   chan *end // each websocket
}

const headTimeout = 5 * time.Second

func newPort(t testing.TB, address string, loops int, change func(*port, *transport.IntakeOptions)) *port {
	t.Helper()
	p := &port{t: t, ends: make(chan *end, 4096)}
	var pollers []*transport.Poller
	for range loops {
		l := looptest.NewPolling(t, p.clock.Load)
		p.loops, pollers = append(p.loops, l), append(pollers, l.Poller)
	}
	ln := listen(t, address)
	o := transport.IntakeOptions{HeadTimeout: headTimeout, Arrive: p.arrive}
	if change != nil {
		change(p, &o)
	}
	var err error
	if p.intake, err = transport.NewIntake(ln, pollers, o); err != nil {
		t.Fatal(err)
	}
	p.intake.Start()
	t.Cleanup(func() { _ = p.intake.Close() })
	return p
}

// listen opens a port whose connections inherit its options.
func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// arrive makes a websocket of what arrives.
func (p *port) arrive(a *transport.Arrival) {
	e := newEnd(p.t, p.loops[a.Loop()], nil)
	e.socket = a.WebSocket(&transport.WebSocketOptions{Loop: e.loop, Now: p.clock.Load, Limit: testLimit})
	e.socket.Start(e)
	p.ends <- e
}

// turn moves the clock and lets every loop see it.
func (p *port) turn(d time.Duration) {
	p.clock.Add(int64(d))
	p.settle()
}

func (p *port) settle() {
	for _, l := range p.loops {
		l.Pass()
	}
}

// dial connects and writes the first bytes.
func (p *port) dial(text string) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.intake.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	p.write(conn, text)
	return conn
}

func (p *port) write(conn net.Conn, text string) {
	p.t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// begin is dial, and returns when the intake has read the text: it reads when it accepts.
func (p *port) begin(text string) net.Conn {
	p.t.Helper()
	before := descriptors(p.t)
	conn := p.dial(text)
	for descriptors(p.t) < before+2 { // the client's and the intake's
		p.settle()
	}
	p.settle()
	return conn
}

// open connects a websocket.
func (p *port) open() *end {
	p.t.Helper()
	conn := p.dial(upgradeHead(""))
	e := <-p.ends
	e.peer = conn
	wantBytes(p.t, conn, switching)
	return e
}

// wantBytes reads exactly want.
func wantBytes(t testing.TB, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := readFull(conn, got)
	if err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}

func readFull(conn net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = conn.Read(b[n:])
		n += more
	}
	return n, err
}

// wantGone reads until the connection has ended, and fails if anything comes.
func wantGone(t testing.TB, conn net.Conn) {
	t.Helper()
	b := make([]byte, 1)
	if n, err := conn.Read(b); n > 0 || err == nil {
		t.Fatalf("got %q, %v; want the end", b[:n], fmt.Sprint(err))
	}
}
