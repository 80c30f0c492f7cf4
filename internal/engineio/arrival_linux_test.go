package engineio_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
)

// pair is a server of two loops on a port of its own; each loop has a rig. What is
// accepted arrives on the first loop; sessions that begin over polling belong to the
// second.
type pair struct {
	rigs   [2]*rig
	intake *transport.Intake
	came   chan struct{} // a request to become a websocket

	arriving atomic.Pointer[chan struct{}] // if not nil: told of a request, which goes on when it is told to
	clock    atomic.Int64
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{came: make(chan struct{}, 64)}
	o := engineio.Options{Now: p.clock.Load}
	for i := range p.rigs {
		l := looptest.NewPolling(t, p.clock.Load)
		p.rigs[i] = &rig{t: t, loop: l, opened: make(chan *host, 64), hosts: map[*host]int64{}}
		o.Loops, o.Pollers = append(o.Loops, l), append(o.Pollers, l.Poller)
	}
	server, err := engineio.New(o, p)
	if err != nil {
		t.Fatal(err)
	}
	p.listen(t, server)
	return p
}

// listen serves HTTP on an intake.
func (p *pair) listen(t testing.TB, server *engineio.Server) {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.intake, err = transport.NewIntake(ln, []*transport.Poller{p.rigs[0].loop.Poller, p.rigs[1].loop.Poller}, transport.IntakeOptions{
		HeadTimeout: time.Minute,
		Arrive: func(a *transport.Arrival) {
			if arriving := p.arriving.Load(); arriving != nil {
				*arriving <- struct{}{}
				<-*arriving
			}
			server.Arrive(a)
			p.came <- struct{}{}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.intake.Start()
	web := httptest.NewUnstartedServer(server)
	_ = web.Listener.Close()
	web.Listener = p.intake
	web.Start()
	for _, r := range p.rigs {
		r.server, r.http = server, web
	}
	t.Cleanup(p.rigs[0].close)
}

// Admit, Assign and Open implement engineio.Acceptor.

func (p *pair) Admit(*http.Request) *engineio.Refusal { return nil }
func (p *pair) Assign(string) int                     { return 1 }

func (p *pair) Open(s *engineio.Session, h *engineio.Handshake) engineio.Host {
	return p.rigs[s.Loop()].Open(s, h)
}

// block holds a loop up until the function returned is called.
func block(l *looptest.Loop) (release func()) {
	blocked, gate := make(chan struct{}), make(chan struct{})
	l.Post(looptest.Task(func() { close(blocked); <-gate }))
	<-blocked
	return func() { close(gate) }
}

// upgrade asks for the websocket of a session and returns when the first loop has read that.
func (p *pair) upgrade(t testing.TB, h *host) net.Conn {
	t.Helper()
	conn := p.ask(t, h)
	<-p.came
	return conn
}

// ask is upgrade that does not wait.
func (p *pair) ask(t testing.TB, h *host) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.intake.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	request := "GET /socket.io/" + newWebSocket + "&sid=" + h.s.ID() + " HTTP/1.1\r\nHost: weir\r\n" + upgradeHeaders + "\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestUpgradeMovesToTheLoopOfItsSession(t *testing.T) {
	p := newPair(t)
	r := p.rigs[1]
	h, _ := r.pollingSession()
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	c.send("5", "4up")
	h.wantMessage("up")
	h.send("down")
	c.want("4down")
	if got := r.server.Stats(); got.Upgrades != 1 || got.WebSocket != 1 {
		t.Errorf("stats %+v", got)
	}
	_ = c.conn.Close()
	h.wantClosed(base.CauseTransportClose)
}

func TestUpgradeFindsItsSessionGoneWhileItMoves(t *testing.T) {
	p := newPair(t)
	r := p.rigs[1]
	h, _ := r.pollingSession()
	release := block(r.loop)
	r.loop.Post(looptest.Task(func() { h.s.Abort(base.CauseAdmin) }))
	conn := p.upgrade(t, h)
	release()
	a := rawAnswer{conn: conn, in: bufio.NewReader(conn)}
	a.read(t)
	a.want(t, 400, "Session ID unknown")
	h.wantClosed(base.CauseAdmin)
}

func TestUpgradeOfAClientThatResetsWhileItMoves(t *testing.T) {
	p := newPair(t)
	r := p.rigs[1]
	h, q := r.pollingSession()
	release := block(r.loop)
	conn := p.upgrade(t, h)
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	release()
	h.until(func() bool { return r.server.Stats().UpgradesFailed == 1 })
	waiting := h.waitingGet(q) // the session is none the worse
	h.send("still here")
	(<-waiting).want(t, 200, "4still here")
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
}

// A connection that is moved while the port is closed is closed with it.
func TestUpgradeMovesWhileThePortCloses(t *testing.T) {
	p := newPair(t)
	r := p.rigs[1]
	h, _ := r.pollingSession()
	before := openDescriptors(t)
	arriving := make(chan struct{})
	p.arriving.Store(&arriving)
	second := block(r.loop)
	conn := p.ask(t, h)
	<-arriving // on the first loop, as the second accepts nothing
	closed := make(chan error, 1)
	go func() { closed <- p.intake.Close() }()
	for { // until the loops have been told
		if _, err := p.intake.Accept(); err != nil {
			break
		}
	}
	arriving <- struct{}{}
	second()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 300)
	if n, err := conn.Read(got); err == nil {
		t.Errorf("read %q", got[:n])
	}
	_ = conn.Close()
	h.do(func() {}) // what had been moved has been dealt with
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// A server that has been closed refuses upgrades and newcomers that are on their way.
func TestUpgradeMovesWhileTheServerCloses(t *testing.T) {
	p := newPair(t)
	r := p.rigs[1]
	h, _ := r.pollingSession()
	release := block(r.loop)
	conn := p.upgrade(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = r.server.Close(ctx) // the session is left: it is aborted
	release()
	h.wantClosed(base.CauseShutdown)
	p.clock.Add(int64(2 * time.Second)) // how long the client's goodbye is waited for
	h.do(func() {})
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.HasSuffix(got, []byte{0x88, 0}) {
		t.Errorf("read %q, %v; want a close frame and the end", got, err)
	}
}

// Who comes to a server that is closing is told to come again, as by net/http.
func TestWebSocketArrivesAtAServerThatIsClosing(t *testing.T) {
	p := newPair(t)
	r := p.rigs[0]
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := r.dialRaw(newWebSocket, upgradeHeaders)
	a.want(t, 503, "Server shutting down")
	if a.header.Get("Retry-After") != "1" || !a.closes {
		t.Errorf("header %v", a.header)
	}
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
