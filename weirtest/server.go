package weirtest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
)

const (
	loopback    = "127.0.0.1:0"
	defaultPath = "/socket.io/"
	defaultName = "default"
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
// on it before, and returns when it serves. A server that the application has made itself goes to [Serve]. When the
// test ends, so does the server; the test fails if Run returns an error, or if the books of a lane do not balance:
// [weir.Server.Unbalanced]. Clients of [Dial] have left before that.
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
	name, _ := attach.FirstDoor(srv)
	return begin(t, srv, "http://"+srv.Addr(name).String())
}

// Serve serves an application's own server at a free port of 127.0.0.1 and returns when it does: what [Server.URL]
// names is the first of its doors, mounted in a net/http server, besides the ports that its options open. A server that
// does not run yet runs until the test ends, as one of [NewServer] does; one that the application runs, and has waited
// for (Ready), goes on.
func Serve(t testing.TB, srv *weir.Server) *Server {
	t.Helper()
	web := httptest.NewServer(srv)
	t.Cleanup(web.Close) // the last of all: the server sends its clients away over it
	return begin(t, srv, web.URL)
}

// begin runs a server, unless somebody does, until the test ends.
func begin(t testing.TB, srv *weir.Server, url string) *Server {
	t.Helper()
	if _, path := attach.FirstDoor(srv); path != defaultPath {
		url += path
	}
	s := &Server{t: t, weir: srv, url: url, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go s.run(ctx)
	t.Cleanup(func() { s.stop(cancel) })
	soon, done := context.WithTimeout(ctx, patience)
	defer done()
	if err := srv.Ready(soon); err != nil {
		t.Fatalf("the server does not serve: %v", err)
	}
	return s
}

// forTest fills in what a test needs, in a copy.
func forTest(t testing.TB, o weir.Options) weir.Options {
	if len(o.Servers) == 0 || o.Addr != "" || len(o.Namespaces) > 0 {
		o.Addr = loopback
	}
	o.Servers = slices.Clone(o.Servers)
	for i := range o.Servers {
		if s := &o.Servers[i]; o.Addr == "" || cmp.Or(s.Name, defaultName) != defaultName { // that one has o.Addr
			s.Addr = loopback
		} else {
			s.Addr = ""
		}
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
	if err := s.weir.Run(ctx); !errors.Is(err, weir.ErrInvalid) { // that is: the application runs it
		s.err = err
	}
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

// URL is where the first of the server's doors is, http://127.0.0.1:PORT: what a client is given. If the options have a
// path other than /socket.io/, it ends in that.
func (s *Server) URL() string { return s.url }

// Weir is the server itself.
func (s *Server) Weir() *weir.Server { return s.weir }
