package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
	"github.com/streamweir/weir/internal/wire/ws"
)

func TestIntakeTakesAHeadSplitAnywhereWithWhatFollows(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	whole := upgradeHead("") + string(masked(ws.Text, "first")) + string(masked(ws.Text, "second"))
	for cut := 1; cut < len(whole); cut++ {
		conn := p.begin(whole[:cut])
		p.write(conn, whole[cut:])
		e := <-p.ends
		e.wantMessage("text", "first")
		e.wantMessage("text", "second")
		wantBytes(t, conn, switching)
		_ = conn.Close()
		<-e.closed
	}
}

func TestIntakeTakesAHeadByteByByte(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	head := upgradeHead("")
	conn := p.begin(head[:1])
	for i := 1; i < len(head); i++ {
		p.write(conn, head[i:i+1])
		p.loops[0].Pass()
	}
	<-p.ends
	wantBytes(t, conn, switching)
}

// A head longer than 16 KiB is for net/http to refuse, however it comes.
func TestIntakeLeavesAHeadThatIsTooLongToNetHTTP(t *testing.T) {
	head := upgradeHead("X-Long: " + strings.Repeat("x", 30_000) + "\r\n")
	for name, first := range map[string]int{"at once": len(head), "in two parts": 10_000, "end last": len(head) - 2} {
		t.Run(name, func(t *testing.T) {
			p := newPort(t, "127.0.0.1:0", 1, nil)
			got := make(chan string, 1)
			conn := p.begin(head[:first])
			go func() { got <- passedOn(p, len(head)) }()
			p.write(conn, head[first:])
			select {
			case text := <-got:
				if text != head {
					t.Errorf("net/http got %d bytes, not the %d sent", len(text), len(head))
				}
			case <-p.ends:
				t.Error("it was made a websocket")
				_ = p.intake.Close()
				<-got
			}
		})
	}
}

// passedOn is what net/http reads first of the next connection it is given.
func passedOn(p *port, n int) string {
	conn, err := p.intake.Accept()
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	b := make([]byte, n)
	n, _ = readFull(conn, b)
	return string(b[:n])
}

// What io.Copy reads of a connection passed on begins with what was read before: a proxy behind the page would
// lose it otherwise.
func TestPassedOnConnectionIsCopiedFromItsBeginning(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	const text = "POST / HTTP/1.1\r\n\r\nbody"
	conn := p.begin(text)
	server, err := p.intake.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	_ = conn.Close()
	var got bytes.Buffer
	if _, err := io.Copy(&got, server); err != nil || got.String() != text {
		t.Errorf("copied %q, %v; want %q", got.String(), err, text)
	}
}

// net/http ends a connection whose request it has not read whole in two steps, so that its answer is not lost.
func TestPassedOnConnectionCanBeHalfClosed(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	conn := p.begin("POST / HTTP/1.1\r\n\r\n")
	server, err := p.intake.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	half, ok := server.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("%T has no CloseWrite", server)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	p.write(conn, "more")
}

func TestIntakeDropsAHeadThatDoesNotComeInTime(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	head := upgradeHead("")
	quick, slow := p.begin(head[:20]), p.begin(head[:20])
	p.turn(headTimeout - 1)
	p.write(quick, head[20:])
	p.write(slow, head[20:21]) // a byte now and then does not prolong it
	<-p.ends
	wantBytes(t, quick, switching)
	p.turn(1)
	wantGone(t, slow)
}

// The time-out of a head that came in parts, and in time, is not that of whoever has its descriptor next.
func TestHeadTimeoutIsThatOfItsConnection(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	for range 20 { // until the kernel has given the same descriptor twice
		if p.overtaken() {
			return
		}
	}
	t.Fatal("no descriptor was used again: this tests nothing")
}

// overtaken has a connection of which half a header has come when the time of one before it is over, and reports
// whether the two had the same descriptor.
func (p *port) overtaken() bool {
	p.t.Helper()
	half := func() net.Conn {
		conn := p.dial(upgradeHead("")[:20])
		p.settle()
		return conn
	}
	rest := func(conn net.Conn) *end {
		p.write(conn, upgradeHead("")[20:])
		return <-p.ends
	}
	first := half()
	e := rest(first)
	fd := e.descriptor()
	p.turn(headTimeout - 1)
	_ = first.Close()
	<-e.closed
	second := half()
	p.turn(1)
	e = rest(second)
	again := e.descriptor()
	wantBytes(p.t, second, switching)
	_ = second.Close()
	<-e.closed
	return again == fd
}

func (e *end) descriptor() (fd int) {
	e.loop.Do(func() { fd = e.socket.Descriptor() })
	return fd
}

// Clients have the addresses net/http would have given them, also IPv4 ones on a port for both.
func TestArrivalHasTheAddressOfItsPeer(t *testing.T) {
	for name, tc := range map[string]struct{ listen, dial string }{
		"IPv4":                   {"127.0.0.1:0", "127.0.0.1"},
		"IPv6":                   {"[::1]:0", "::1"},
		"IPv4 on a port of both": {"[::]:0", "127.0.0.1"},
		"IPv6 on a port of both": {"[::]:0", "::1"},
	} {
		t.Run(name, func(t *testing.T) {
			addresses := make(chan string, 1)
			p := newPort(t, tc.listen, 1, func(p *port, o *transport.IntakeOptions) {
				o.Arrive = func(a *transport.Arrival) {
					addresses <- a.Request.RemoteAddr
					a.PassOn()
				}
			})
			_, number, err := net.SplitHostPort(p.intake.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", net.JoinHostPort(tc.dial, number))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			p.write(conn, upgradeHead(""))
			server, err := p.intake.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = server.Close() }()
			if got := <-addresses; got != server.RemoteAddr().String() || got != conn.LocalAddr().String() {
				t.Errorf("address %s, want %s, for net/http it is %s", got, conn.LocalAddr(), server.RemoteAddr())
			}
		})
	}
}

// What is set on the listening socket reaches websockets and what net/http gets.
func TestAcceptedConnectionsInheritTheirOptions(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, func(p *port, o *transport.IntakeOptions) {
		o.Socket = transport.TCPOptions{NotSentLowat: 4096, UserTimeout: 45 * time.Second}
	})
	want := map[int]int{unix.TCP_NODELAY: 1, unix.TCP_NOTSENT_LOWAT: 4096, unix.TCP_USER_TIMEOUT: 45_000}
	e := p.open()
	e.loop.Do(func() {
		for name, value := range want {
			if got, err := unix.GetsockoptInt(e.socket.Descriptor(), unix.IPPROTO_TCP, name); got != value || err != nil {
				t.Errorf("websocket: option %d is %d, %v; want %d", name, got, err, value)
			}
		}
	})
	p.dial("GET / HTTP/1.1\r\n\r\n")
	server, err := p.intake.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	for name, value := range want {
		if got := option(t, transport.Below(server), name); got != value {
			t.Errorf("net/http: option %d is %d, want %d", name, got, value)
		}
	}
}

func TestIntakeCloseLetsGoOfEverything(t *testing.T) {
	before := descriptors(t)
	p := newPort(t, "127.0.0.1:0", 2, nil)
	half := p.begin(upgradeHead("")[:30])
	other := p.begin("GET / HTTP/1.1\r\n\r\n") // it waits for Accept
	address := p.intake.Addr().String()
	for range 2 {
		if err := p.intake.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantGone(t, half)
	wantGone(t, other)
	if _, err := p.intake.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("the port is open after close")
	}
	for _, l := range p.loops {
		l.Stop()
	}
	_, _ = half.Close(), other.Close()
	wantNoMoreDescriptors(t, before)
}

func TestIntakeThatNeverStartedLetsGoOfThePort(t *testing.T) {
	before := descriptors(t)
	ln := listen(t, "127.0.0.1:0")
	l := looptest.NewPolling(t, realTime())
	in, err := transport.NewIntake(ln, []*transport.Poller{l.Poller, l.Poller}, transport.IntakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	l.Stop()
	wantNoMoreDescriptors(t, before)
}

// descriptors counts those of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// wantNoMoreDescriptors waits until no more are open than before. There may be fewer: connections of the test that ran before end
// when they have ended.
func wantNoMoreDescriptors(t testing.TB, before int) {
	t.Helper()
	for late := time.Now().Add(time.Minute); descriptors(t) > before; {
		if time.Now().After(late) {
			t.Fatalf("%d descriptors are open, %d were before", descriptors(t), before)
		}
		<-time.After(time.Millisecond)
	}
}

// A moved connection belongs to the loop it was moved to.
func TestArrivalMoves(t *testing.T) {
	from := make(chan int, 1)
	p := newPort(t, "127.0.0.1:0", 2, func(p *port, o *transport.IntakeOptions) {
		o.Arrive = func(a *transport.Arrival) {
			from <- a.Loop()
			a.Move(1-a.Loop(), p.arrive)
		}
	})
	for _, cut := range []int{len(upgradeHead("")), 30} { // at once, and watched before
		conn := p.begin(upgradeHead("")[:cut])
		p.write(conn, upgradeHead("")[cut:]+string(masked(ws.Text, "early")))
		e := <-p.ends
		if e.loop == p.loops[<-from] {
			t.Fatal("it did not move")
		}
		wantBytes(t, conn, switching)
		e.wantMessage("text", "early")
		if _, err := conn.Write(masked(ws.Text, "late")); err != nil {
			t.Fatal(err)
		}
		e.wantMessage("text", "late")
	}
}

// exhausted says that this process is the child of TestIntakePausesWhileDescriptorsHaveRunOut.
const exhausted = "WEIR_TEST_EXHAUSTED"

// When descriptors have run out, accepting pauses: it costs no turns of the loop, is counted, and goes on afterwards.
func TestIntakePausesWhileDescriptorsHaveRunOut(t *testing.T) {
	if os.Getenv(exhausted) == "" { // the limit is the process's: another one is lowered
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=5m")
		child.Env = append(os.Environ(), exhausted+"=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	const clients = 40
	p := newPort(t, "127.0.0.1:0", 1, nil)
	loop := p.loops[0]
	blocked, release := make(chan struct{}), make(chan struct{})
	loop.Post(looptest.Task(func() { close(blocked); <-release }))
	<-blocked
	var conns []net.Conn
	for range clients {
		conns = append(conns, p.dial(upgradeHead("")))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowered := limit
	lowered.Cur = uint64(descriptors(t)) - 1 + clients/2 // one was for counting
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	close(release)
	for failed := uint64(0); failed == 0; failed = p.intake.Failed.Load() {
		loop.Pass()
	}
	taken := len(p.ends)
	loop.Pass()
	slept := loop.Slept()
	for range 200 { // no time passes
		loop.Do(func() {})
	}
	if turns := loop.Slept() - slept; turns > 210 {
		t.Errorf("the loop woke up %d times for 200 tasks", turns)
	}
	p.turn(49 * time.Millisecond)
	if got := p.intake.Failed.Load(); got != 1 || len(p.ends) != taken {
		t.Errorf("failed %d times, %d connections were accepted in the pause", got, len(p.ends)-taken)
	}
	p.turn(time.Millisecond) // none is free yet
	if got := p.intake.Failed.Load(); got != 2 {
		t.Errorf("failed %d times after the second attempt", got)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	p.turn(50 * time.Millisecond)
	for _, conn := range conns {
		wantBytes(t, conn, switching)
	}
}

func TestRefusalIsAWholeResponse(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, func(p *port, o *transport.IntakeOptions) {
		o.Arrive = func(a *transport.Arrival) {
			a.Header().Set("Retry-After", "7")
			a.WriteHeader(http.StatusServiceUnavailable)
			a.WriteHeader(http.StatusOK) // the first counts
			for _, part := range []string{"not ", "now"} {
				if n, err := a.Write([]byte(part)); n != len(part) || err != nil {
					t.Errorf("write: %d, %v", n, err)
				}
			}
			a.Refuse()
		}
	})
	got, err := io.ReadAll(p.dial(upgradeHead("")))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(got), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if lines[0] != "HTTP/1.1 503 Service Unavailable" || body != "not now" {
		t.Errorf("response %q", got)
	}
	for _, want := range []string{"Retry-After: 7", "Content-Length: 7", "Connection: close"} {
		if !strings.Contains(head, "\r\n"+want) {
			t.Errorf("no %q in %q", want, head)
		}
	}
}

// Where requests are not kept, the next one's header holds nothing of the one before.
func TestArrivalsDoNotSeeEachOthersHeaders(t *testing.T) {
	headers := make(chan http.Header, 1)
	p := newPort(t, "127.0.0.1:0", 1, func(p *port, o *transport.IntakeOptions) {
		o.Keep = func() bool { return false }
		arrive := o.Arrive
		o.Arrive = func(a *transport.Arrival) {
			headers <- a.Request.Header.Clone()
			arrive(a)
		}
	})
	for i, extra := range []string{"X-One: 1\r\nX-Both: a\r\nX-Both: b\r\n", "X-Two: 2\r\n", "X-Both: c\r\n"} {
		p.dial(upgradeHead(extra))
		h := <-headers
		want := []int{2, 0, 1}[i]
		if got := len(h["X-Both"]); got != want || (h.Get("X-One") != "") != (i == 0) || (h.Get("X-Two") != "") != (i == 1) {
			t.Errorf("request %d: header %v", i, h)
		}
	}
}
