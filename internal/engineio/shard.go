package engineio

import (
	"net/http"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/eio"
)

// shard is one loop and the sessions it owns. Its methods are called on the
// loop, but for post and what is atomic.
//
//weir:loop
type shard struct {
	server   *Server
	loop     base.Loop
	index    int
	sockets  *transport.WebSocketOptions
	sessions registry
	rhythm   rhythm
	count    atomic.Int64

	handshake Handshake // of the session being opened
}

func newShard(s *Server, index int) *shard {
	o := &s.opts
	sh := &shard{
		server: s, loop: o.Loops[index], index: index, sessions: newRegistry(),
		rhythm: newRhythm(o.PingInterval, o.PingTimeout),
	}
	sh.sockets = &transport.WebSocketOptions{Loop: sh.loop, Now: o.Now, Limit: o.MaxHTTPBufferSize, Hold: o.Hold, Pings: &s.stats.strays[StrayPing]}
	if l, ok := sh.loop.(interface{ Turns() *turns.Turns }); ok {
		sh.sockets.Turns = l.Turns()
	}
	if o.Pollers != nil {
		sh.sockets.Poller = o.Pollers[index]
	}
	return sh
}

// taskFunc is a task made of a function.
//
//weir:loop
type taskFunc func()

// Run implements base.Task.
func (f taskFunc) Run() { f() }

//weir:any
func (sh *shard) post(f func()) { sh.loop.Post(taskFunc(f)) }

// newcomer is a handshake on its way to its shard: over polling the GET that
// waits for the open packet, or a websocket.
type newcomer struct {
	id        sid
	handshake Handshake
	exchange  *transport.Exchange
	socket    *transport.WebSocket
}

// open makes the session.
func (sh *shard) open(n newcomer) {
	now := sh.server.opts.Now()
	s := &Session{
		shard:   sh,
		host:    nobody{},
		id:      n.id,
		addr:    n.handshake.RemoteAddr.Addr(),
		port:    n.handshake.RemoteAddr.Port(),
		ws:      n.socket,
		heart:   newHeartbeat(sh.rhythm, now, sh.rhythm.spread()),
		opening: true,
	}
	if s.ws != nil {
		s.ws.Start((*carrier)(s))
	} else {
		s.poll = &requests{heard: now}
		s.poll.Get(n.exchange)
	}
	sh.sessions.add(s)
	sh.count.Add(1)
	sh.server.stats.opened(s.Transport())

	sh.handshake = n.handshake
	s.host = sh.server.acceptor.Open(s, &sh.handshake)
	sh.handshake = Handshake{}
	if sh.server.sessions.isClosing() {
		s.Close(base.CauseShutdown) // it came after closeAll
	}
	s.arm()
	if s.state == open {
		s.host.Writable()
	}
}

func (sh *shard) remove(s *Session) {
	sh.sessions.remove(s)
	sh.count.Add(-1)
	sh.server.stats.closed(s.Transport())
}

// get, beginPost and admitProbe answer for sessions that are not there;
// "after close" is code 1 (protocol.md 1.4).

func (sh *shard) get(id sid, x *transport.Exchange) {
	if s := sh.meet(id); s != nil {
		s.get(x)
		return
	}
	x.Answer(sh.refuse(eio.SessionUnknown))
}

// meet is the session a request of its client meets, nil if there is none. Whether its time is over is decided by the
// clock, now: a timer fires up to a tick late.
func (sh *shard) meet(id sid) *Session {
	s := sh.sessions.get(id)
	if s == nil || s.ws != nil {
		return s
	}
	now := sh.server.opts.Now()
	if s.state == open && !s.paused && s.heart.over(sh.rhythm, now, s.lastHeard(), s.progress()) {
		s.abort(base.CausePingTimeout, nil)
	}
	if s.Expire(now); s.state == closed {
		return nil
	}
	return s
}

func (sh *shard) responded(id sid, x *transport.Exchange, err error) {
	if s := sh.sessions.get(id); s != nil {
		s.responded(x, err)
	}
}

// beginPost returns the session for the steps that follow.
func (sh *shard) beginPost(id sid, x *transport.Exchange, octets bool) *Session {
	s := sh.meet(id)
	if s == nil {
		x.Answer(sh.refuse(eio.SessionUnknown))
		return nil
	}
	s.beginPost(x, octets)
	return s
}

// mismatch answers a request whose transport does not carry the session by
// requests.
func (sh *shard) mismatch(id sid, x *transport.Exchange) {
	code := eio.BadRequest
	if s := sh.meet(id); s == nil || s.state != open { // one that only waits to tell its end is gone for others
		code = eio.SessionUnknown
	}
	x.Answer(sh.refuse(code))
}

// other answers a method that is neither GET nor POST (protocol.md 1.1).
func (sh *shard) other(id sid, x *transport.Exchange) {
	switch s := sh.meet(id); {
	case s == nil:
		x.Answer(sh.refuse(eio.SessionUnknown))
	case s.ws != nil:
		x.Answer(sh.refuse(eio.BadRequest))
	default:
		x.Answer(transport.Refuse(http.StatusInternalServerError))
	}
}

// admitProbe answers before the websocket of an upgrade is accepted.
func (sh *shard) admitProbe(id sid, x *transport.Exchange) {
	if sh.meet(id) == nil {
		x.Answer(transport.Refuse(http.StatusBadRequest))
		return
	}
	x.Answer(transport.OK)
}

// probe brings the websocket of an upgrade.
func (sh *shard) probe(id sid, socket *transport.WebSocket) {
	s := sh.meet(id)
	if s == nil { // it went meanwhile: a session that is closed has the websocket closed
		s = &Session{shard: sh, host: nobody{}, state: closed}
	}
	s.beginProbe(socket)
}

// refuse is the answer with an error of protocol.md 1.1, counted.
func (sh *shard) refuse(code eio.ErrorCode) transport.Answer {
	sh.server.stats.refused[code].Add(1)
	e := eio.Error{Code: code}
	return transport.Answer{Status: code.Status(), Type: "application/json", Body: e.AppendJSON(nil)}
}

func (sh *shard) closeAll() {
	for s := range sh.sessions.all() {
		s.Close(base.CauseShutdown)
	}
}

func (sh *shard) abortAll() {
	for s := range sh.sessions.all() {
		s.Abort(base.CauseShutdown)
	}
}

// nobody is a session's host until Acceptor.Open has returned one.
type nobody struct{}

func (nobody) Message([]byte, bool) error { return nil }
func (nobody) Writable()                  {}
func (nobody) Deadline(int64)             {}
func (nobody) Unread() bool               { return false }
func (nobody) Faulted(base.Cause)         {}
func (nobody) Closed(base.Cause, error)   {}
