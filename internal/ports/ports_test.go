package ports_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/ports"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const anyPort = "127.0.0.1:0"

func newSet(t *testing.T) *ports.Set {
	s := ports.New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// says is a port whose answer is its name.
func says(name, addr string) ports.Spec {
	return ports.Spec{Name: name, Addr: addr, HeaderTimeout: time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })}
}

func ask(t *testing.T, a net.Addr) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + a.String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// free reports whether a port can be listened on.
func free(t *testing.T, a net.Addr) bool {
	t.Helper()
	ln, err := net.Listen("tcp", a.String())
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}

func TestEveryPortAnswersUntilClose(t *testing.T) {
	s := newSet(t)
	specs := []ports.Spec{says("one", anyPort), says("two", anyPort)}
	if err := s.Open(specs); err != nil {
		t.Fatal(err)
	}
	one, two := s.Addr("one"), s.Addr("two")
	if err := s.Open(specs); err != nil || s.Addr("one") != one {
		t.Errorf("opened again: %v, %v", s.Addr("one"), err)
	}
	if s.Addr("three") != nil {
		t.Error("a port nobody opened has an address")
	}
	s.Serve("one")
	if a := ask(t, one); a != "one" {
		t.Errorf("the first to be served answers %q", a)
	}
	s.Serve()
	s.Serve()
	if a, b := ask(t, one), ask(t, two); a != "one" || b != "two" {
		t.Errorf("answers %q and %q", a, b)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if !free(t, one) || !free(t, two) {
		t.Error("a port is open after Close")
	}
}

func TestAllPortsOpenOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := newSet(t)
	var opened net.Addr
	first := says("first", anyPort)
	first.Accept = func(ln net.Listener) (net.Listener, error) {
		opened = ln.Addr()
		return ln, nil
	}
	second, third := says("second", taken.Addr().String()), says("third", "nowhere:x")
	second.Title = `the "second"`
	err = s.Open([]ports.Spec{first, second, third})
	if err == nil || !strings.Contains(err.Error(), `the "second": listen`) || !strings.Contains(err.Error(), "third: listen") {
		t.Errorf("want the errors of both: %v", err)
	}
	if s.Addr("first") != nil || !free(t, opened) {
		t.Error("the first port stays open")
	}
	if err := s.Open([]ports.Spec{first}); err != nil || s.Addr("first") == nil {
		t.Errorf("a second try: %v", err)
	}
}

func TestPortOfTheSameSetIsSteppedAsideFor(t *testing.T) {
	s := newSet(t)
	taken, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	same := taken.Addr().String()
	aside := says("aside", same)
	aside.NextFree = true
	if err := s.Open([]ports.Spec{aside}); err == nil {
		t.Error("another process's port was stepped aside for")
	}
	_ = taken.Close()
	if err := s.Open([]ports.Spec{says("first", same), aside}); err != nil {
		t.Fatal(err)
	}
	s.Serve()
	if a := s.Addr("aside"); a.String() == same || ask(t, a) != "aside" {
		t.Errorf("aside is at %v", a)
	}
}

// starter is a listener that takes the place of the set's.
type starter struct {
	net.Listener
	started, closed int
}

func (s *starter) Start() { s.started++ }

func (s *starter) Close() error {
	s.closed++
	return s.Listener.Close()
}

func TestWhatAcceptsInAListenersPlaceIsStartedAndClosed(t *testing.T) {
	for _, serve := range []bool{true, false} {
		s := newSet(t)
		in := &starter{}
		spec := says("x", anyPort)
		spec.Accept = func(ln net.Listener) (net.Listener, error) {
			in.Listener = ln
			return in, nil
		}
		if err := s.Open([]ports.Spec{spec}); err != nil {
			t.Fatal(err)
		}
		if serve {
			s.Serve()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if (in.started == 1) != serve || in.closed == 0 || !free(t, in.Addr()) {
			t.Errorf("served %v: started %d times, closed %d times", serve, in.started, in.closed)
		}
	}
}

func TestAcceptThatFailsFailsOpen(t *testing.T) {
	s := newSet(t)
	broken := errors.New("broken")
	spec := says("x", anyPort)
	spec.Accept = func(ln net.Listener) (net.Listener, error) { return nil, errors.Join(broken, ln.Close()) }
	if err := s.Open([]ports.Spec{spec}); !errors.Is(err, broken) {
		t.Errorf("Open: %v", err)
	}
}

// TestIPv4IsIPv4: 0.0.0.0 is every address of IPv4, and none of IPv6.
func TestIPv4IsIPv4(t *testing.T) {
	s := newSet(t)
	if err := s.Open([]ports.Spec{says("four", "0.0.0.0:0")}); err != nil {
		t.Fatal(err)
	}
	s.Serve()
	_, port, _ := net.SplitHostPort(s.Addr("four").String())
	if conn, err := net.Dial("tcp6", net.JoinHostPort("::1", port)); err == nil {
		_ = conn.Close()
		t.Error("0.0.0.0 takes connections over IPv6")
	}
	if conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", port)); err != nil {
		t.Error(err)
	} else {
		_ = conn.Close()
	}
}

// TestIdleConnectionsEndAfterKeepAlive: a connection between two requests is kept for Spec.KeepAlive.
func TestIdleConnectionsEndAfterKeepAlive(t *testing.T) {
	s := newSet(t)
	spec := says("short", anyPort)
	spec.KeepAlive = time.Millisecond
	if err := s.Open([]ports.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	s.Serve()
	conn, err := net.Dial("tcp", s.Addr("short").String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(b), "short") {
		t.Errorf("read %q, %v", b, err)
	}
}
