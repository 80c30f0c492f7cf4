package systemtest_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir"
)

// held is what a process holds that nobody collects.
type held struct{ descriptors, goroutines int }

// holds counts. What Go's own poller needs for the first connection of a process is there by then.
func holds(t *testing.T) held {
	t.Helper()
	ln, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	http.DefaultClient.CloseIdleConnections()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return held{len(open), runtime.NumGoroutine()}
}

// wantNoMore waits until no more is held than before.
func wantNoMore(t *testing.T, before held) {
	t.Helper()
	var now held
	defer func() { t.Logf("before %+v, now %+v", before, now) }()
	eventually(t, "descriptors and goroutines are back", func() bool {
		now = holds(t)
		return now.descriptors <= before.descriptors && now.goroutines <= before.goroutines
	})
}

// unstarted is a server of two shards on addresses.
func unstarted(t *testing.T, addresses ...string) *weir.Server {
	t.Helper()
	o := weir.Options{Shards: 2, Logger: slog.New(slog.DiscardHandler), Drain: weir.DrainOptions{ClientsPerSecond: 1 << 20, Timeout: 1}}
	for i, a := range addresses {
		o.Servers = append(o.Servers, weir.ServerOptions{
			Name: []string{"default", "second"}[i], Addr: a, Namespaces: []weir.NamespaceOptions{{Path: []string{"/", "/second"}[i]}},
		})
	}
	srv, err := weir.New(withDriver(o))
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

const anyPort = "127.0.0.1:0"

// Whatever connections there are when a server ends, it lets go of them all.
func TestRunLeavesNothingBehind(t *testing.T) {
	before := holds(t)
	srv := unstarted(t, anyPort, anyPort)
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	var conns []net.Conn
	send := func(text string) net.Conn {
		conn := connect(t, addr(srv))
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		return conn
	}
	for range 5 {
		conns = append(conns, dial(t, addr(srv), "/", nil, dialOptions{}).conn)
		send("")
		send(upgradeRequest(wsQuery, keyFields)[:50])
		send("POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n")
		newPoller(t, addr(srv))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	wantNoMore(t, before)
}

// A server that cannot open all its ports opens none, and has nothing when Run has said so.
func TestRunOnATakenPortLeavesNothingBehind(t *testing.T) {
	before := holds(t)
	ln, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	if err := unstarted(t, anyPort, ln.Addr().String()).Listen(); err == nil {
		t.Error("Listen took a port that is taken")
	}
	if err := unstarted(t, anyPort, ln.Addr().String()).Run(t.Context()); err == nil {
		t.Error("Run took a port that is taken")
	}
	_ = ln.Close()
	wantNoMore(t, before)
}

// Run with a context that has ended is how a server that listens is closed without having served.
func TestListenAndRunThatIsOverLeaveNothingBehind(t *testing.T) {
	before := holds(t)
	srv := unstarted(t, anyPort, anyPort)
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, addr(srv)) // nobody accepts it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	_ = conn.Close()
	wantNoMore(t, before)
}

// withoutDescriptors says that this process is the child of a test that takes descriptors away.
const withoutDescriptors = "WEIR_TEST_WITHOUT_DESCRIPTORS"

// inChild runs the test in a process of its own, whose limits may be lowered, and reports whether it has: false in there.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(withoutDescriptors) != "" {
		return false
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=5m")
	child.Env = append(os.Environ(), withoutDescriptors+"=1", "WEIR_TEST_DRIVER=epoll")
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return true
}

// A server that cannot make its epolls does not run, and says so to whoever asks.
func TestRunWithoutDescriptorsLeavesNothingBehind(t *testing.T) {
	if inChild(t) {
		return
	}
	before := holds(t)
	srv := unstarted(t, anyPort)
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	err := srv.Run(t.Context())
	if restored := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); restored != nil {
		t.Fatal(restored)
	}
	if err == nil {
		t.Error("Run made epolls without descriptors")
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/?EIO=4&transport=none", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a server that does not run answers %d", w.Code)
	}
	wantNoMore(t, before)
}

// A connection that cannot be accepted is counted where the one on call looks, and let in when there is room again.
func TestConnectionsWithoutADescriptorAreCounted(t *testing.T) {
	if inChild(t) {
		return
	}
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}})
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	free, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	tight := limit
	tight.Cur = uint64(free.Fd()) + 1 // the client's
	_ = free.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, addr(srv))
	_, err = io.WriteString(conn, "GET /socket.io/?EIO=4&transport=none HTTP/1.1\r\nHost: weir\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lack of descriptors is counted", func() bool {
		return metric(t, srv, "weir_handshakes_refused_total", `reason="no_room"`) > 0
	})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("not served once there is room: %v", err)
	}
}
