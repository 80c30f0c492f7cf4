package weirtest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

const (
	loopback    = "127.0.0.1:0"
	defaultPath = "/socket.io/"
	patience    = 30 * time.Second // for what is a matter of milliseconds
)

// Server is a Weir server that runs as long as its test.
type Server struct {
	t    testing.TB
	weir *weir.Server
	url  string

	err   error         // what Run returned
	ended chan struct{} // closed after err
}

// NewServer starts a server with the options on free ports of 127.0.0.1, whatever addresses they name, calls each setup
// on it before, and returns when it serves. When the test ends, so does the server; the test fails if Run returns an
// error, or if the books of a lane do not balance: [weir.Server.Unbalanced]. Clients of [Dial] have left before that.
//
// What the options leave open is as it suits a test: the log goes to the test's, and clients are sent away at once.
func NewServer(t testing.TB, o weir.Options, setup ...func(*weir.Server)) *Server {
	t.Helper()
	o = forTest(t, o)
	srv, err := weir.New(o)
	if err != nil {
		t.Fatalf("weir.New: %v", err)
	}
	for _, f := range setup {
		f(srv)
	}
	if err := srv.Listen(); err != nil {
		t.Fatalf("listen: %v", err)
	}
	first := weir.ServerOptions{}
	if len(o.Servers) > 0 {
		first = o.Servers[0]
	}
	addr := srv.Addr(cmp.Or(first.Name, "default")).String()
	s := &Server{t: t, weir: srv, url: "http://" + addr, ended: make(chan struct{})}
	if path := cmp.Or(first.SocketIO.Path, defaultPath); path != defaultPath {
		s.url += path
	}
	ctx, cancel := context.WithCancel(context.Background())
	go s.run(ctx)
	t.Cleanup(func() { s.stop(cancel) })
	if err := answers(addr); err != nil {
		t.Fatalf("the server does not serve: %v", err)
	}
	return s
}

// forTest fills in what a test needs, in a copy.
func forTest(t testing.TB, o weir.Options) weir.Options {
	if len(o.Servers) == 0 {
		o.Addr = loopback
	}
	o.Servers = slices.Clone(o.Servers)
	for i := range o.Servers {
		o.Servers[i].Addr = loopback
	}
	if o.Management.Addr != "" {
		o.Management.Addr = loopback
	}
	if o.Management.Probes != "" {
		o.Management.Probes = loopback
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	o.Drain.ClientsPerSecond = cmp.Or(o.Drain.ClientsPerSecond, 1<<20)
	o.Drain.Timeout = cmp.Or(o.Drain.Timeout, time.Second)
	return o
}

// run ends with ctx, or because the server cannot run.
func (s *Server) run(ctx context.Context) {
	defer close(s.ended)
	s.err = s.weir.Run(ctx)
}

// stop ends the server and checks how it went.
func (s *Server) stop(cancel context.CancelFunc) {
	s.t.Helper()
	cancel()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Errorf("Run has not returned %v after its context ended", patience)
		return
	}
	if s.err != nil {
		s.t.Errorf("Run: %v", s.err)
	}
	if n := s.weir.Unbalanced(); n != 0 {
		s.t.Errorf("%d lanes were closed whose books do not balance", n)
	}
}

// answers waits until there is an HTTP server at addr. OPTIONS * is answered by net/http itself: handlers, limits and
// metrics of the server know nothing of it.
func answers(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // everything is read
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "OPTIONS * HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		err = fmt.Errorf("OPTIONS * answered %.100q", answer)
	}
	return err
}

// URL is where the first of the server's doors is, http://127.0.0.1:PORT: what a client is given. If the options have a
// path other than /socket.io/, it ends in that.
func (s *Server) URL() string { return s.url }

// Weir is the server itself.
func (s *Server) Weir() *weir.Server { return s.weir }
