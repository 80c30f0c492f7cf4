package engineio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// Server is the http.Handler of one Engine.IO endpoint.
type Server struct {
	opts      Options
	acceptor  Acceptor
	shards    []*shard
	driver    *transport.Driver
	responder transport.Responder
	sockets   transport.TCPOptions
	files     *clientFiles
	sessions  *tracker
	stats     stats
}

// New returns a server, or every problem of the options at once.
func New(opts Options, acceptor Acceptor) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("engine.io options: %w", err)
	}
	silence := opts.PingInterval + opts.PingTimeout
	s := &Server{
		opts:      opts,
		acceptor:  acceptor,
		driver:    transport.NewDriver(),
		responder: transport.Responder{Compress: !opts.NoHTTPCompression, Stall: silence},
		sockets: transport.TCPOptions{
			NotSentLowat: opts.NotSentLowat, UserTimeout: silence, Deflate: opts.PerMessageDeflate,
		},

		sessions: newTracker(),
		files:    &clientFiles{files: opts.ClientFiles, compress: !opts.NoHTTPCompression},
	}
	for i := range opts.Loops {
		s.shards = append(s.shards, newShard(s, i))
	}
	return s, nil
}

// TCPOptions are what the server sets on websockets when they are accepted.
// A listener of the server's own sets them on every connection
// (transport.Listener), so that polling has them too.
func (s *Server) TCPOptions() transport.TCPOptions { return s.sockets }

// Sessions is the number of sessions of the loop with this index. Any goroutine
// may call it.
func (s *Server) Sessions(loop int) int { return int(s.shards[loop].count.Load()) }

// ServeHTTP answers one request of a client. Requests outside Options.Path get
// 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, s.opts.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.limitBody(w, r)
	origin := s.opts.CheckOrigin(r)
	if s.opts.CORS.headers(w.Header(), r, origin) && isPreflight(r) {
		s.opts.CORS.preflight(w.Header(), r)
		w.WriteHeader(http.StatusNoContent) // without Content-Length: RFC 9110 8.6
		return
	}
	if s.files.serve(w, r, name) {
		return
	}
	rq := request{
		server:  s,
		w:       w,
		r:       r,
		query:   eio.ParseQuery(r.URL.RawQuery),
		upgrade: transport.IsUpgrade(r),
	}
	if refusal := rq.check(origin); refusal != nil {
		rq.refuse(refusal)
		return
	}
	rq.serve()
}

// limitBody bounds how long a body may trickle that nobody wants to read:
// net/http drains it after the answer.
func (s *Server) limitBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	// Where a wrapped ResponseWriter has no deadlines, the HTTP server's own hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.opts.BodyTimeout))
}

// Close stops the intake, closes every session with base.CauseShutdown and
// waits until they are gone; when ctx ends first the rest is aborted and ctx's
// error returned. No goroutine of the server is left after it; requests of an
// HTTP server that runs on are that server's. The loops must run until Close
// returns, or be done. Idempotent.
func (s *Server) Close(ctx context.Context) error {
	idle := s.sessions.close()
	for _, sh := range s.shards {
		sh.post(sh.closeAll)
	}
	err := s.await(ctx, idle)
	if err != nil {
		for _, sh := range s.shards {
			sh.post(sh.abortAll)
		}
	}
	s.driver.Close()
	return err
}

// await waits until the last session is gone, with the loops that are done
// theirs are.
func (s *Server) await(ctx context.Context, idle <-chan struct{}) error {
	for _, sh := range s.shards {
		select {
		case <-idle:
			return nil
		case <-ctx.Done():
			return errors.Join(errors.New("close engine.io server: sessions are left"), context.Cause(ctx))
		case <-sh.loop.Done():
		}
	}
	return nil
}
