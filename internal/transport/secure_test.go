package transport_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/transport"
)

// accepting has every connection of s accepted, and closed with the test.
func accepting(t testing.TB, s *transport.Secure) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = s.Close() })
}

func dialSecure(addr string) (*tls.Conn, error) {
	return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// wantEnds waits until n handshakes have ended that way.
func wantEnds(t testing.TB, s *transport.Secure, how transport.TLSEnd, n uint64) {
	t.Helper()
	for late := time.Now().Add(time.Minute); s.Ends(how) != n; {
		if time.Now().After(late) {
			t.Fatalf("%d handshakes have ended as %v, want %d", s.Ends(how), how, n)
		}
		<-time.After(time.Millisecond)
	}
}

func TestHandshakesThatAreSilentGiveWay(t *testing.T) {
	o := usual()
	o.Max = 2
	s, addr := listenSecure(t, o)
	accepting(t, s)
	silent := []net.Conn{dial(t, addr), dial(t, addr)}
	if _, err := silent[1].Write([]byte("\x16\x03\x01")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		conn, err := dialSecure(addr)
		if err != nil {
			t.Fatalf("an honest client behind silent ones: %v", err)
		}
		_ = conn.Close()
	}
	if n := s.Ends(transport.HandshakeGaveWay); n < 1 || n > 2 {
		t.Errorf("%d gave way, of 2 that were silent", n)
	}
}

// Those that wait for the server, and not the server for them, do not give way.
func TestWaveBeyondTheHandshakesAtOnceIsServedWhole(t *testing.T) {
	o := usual()
	o.Max, o.Compute = 3, 1
	s, addr := listenSecure(t, o)
	accepting(t, s)
	const clients = 100
	errs := make(chan error, clients)
	for range clients {
		go func() {
			conn, err := dialSecure(addr)
			if err == nil {
				err = conn.Close()
			}
			errs <- err
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	wantEnds(t, s, transport.HandshakeDone, clients)
}

func TestHandshakeHasItsTime(t *testing.T) {
	o := usual()
	o.Timeout = 20 * time.Millisecond
	s, addr := listenSecure(t, o)
	accepting(t, s)
	conn := dial(t, addr)
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	wantEnds(t, s, transport.HandshakeLate, 1)
}

func TestHTTPToATLSPortIsAnswered(t *testing.T) {
	s, addr := listenSecure(t, usual())
	accepting(t, s)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /?" + strings.Repeat("x", 20_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /socket.io/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
	} {
		conn := dial(t, addr)
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		want := "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
		if string(answer) != want || err != nil {
			t.Errorf("%.20q is answered %q, %v", request, answer, err)
		}
	}
	wantEnds(t, s, transport.HandshakeClear, 3)
}

func TestHandshakesEndAsTheyAreCounted(t *testing.T) {
	for how, end := range map[transport.TLSEnd]func(conn net.Conn){
		transport.HandshakeLeft:   func(conn net.Conn) { _ = conn.Close() },
		transport.HandshakeFailed: func(conn net.Conn) { _, _ = io.WriteString(conn, "no TLS and no HTTP") },
	} {
		t.Run(how.String(), func(t *testing.T) {
			s, addr := listenSecure(t, usual())
			accepting(t, s)
			end(dial(t, addr))
			wantEnds(t, s, how, 1)
		})
	}
	t.Run("reset", func(t *testing.T) {
		s, addr := listenSecure(t, usual())
		accepting(t, s)
		conn := dial(t, addr)
		if _, err := conn.Write([]byte("\x16\x03\x01")); err != nil {
			t.Fatal(err)
		}
		reset(t, conn)
		wantEnds(t, s, transport.HandshakeLeft, 1)
	})
	t.Run("version", func(t *testing.T) {
		o := usual()
		o.Config = &tls.Config{Certificates: certificate(), MinVersion: tls.VersionTLS13}
		s, addr := listenSecure(t, o)
		accepting(t, s)
		if _, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil { //nolint:gosec // the test's own
			t.Error("TLS 1.2 is let in")
		}
		wantEnds(t, s, transport.HandshakeFailed, 1)
	})
}

func TestCloseEndsHandshakesAndThoseWhoWait(t *testing.T) {
	o := usual()
	o.Max = 1
	s, addr := listenSecure(t, o)
	for range 3 {
		dial(t, addr)
	}
	done, err := dialSecure(addr) // waits for the silent one, and for somebody to accept it
	if err == nil {
		defer func() { _ = done.Close() }()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
}

func TestNeverStartedSecureLetsGoOfThePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := usual()
	o.Config = &tls.Config{Certificates: certificate()}
	s := transport.NewSecure(ln, o)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again, err := net.Listen("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

func TestPeerThatHasTLSAnswerAndNeverReadsIsBounded(t *testing.T) {
	if n := transport.StrayBytesAccepted(); n == 0 || n > 4<<10 {
		t.Errorf("%d bytes are kept of what TLS says by itself", n)
	}
}
