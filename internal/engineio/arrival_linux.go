package engineio

import (
	"strings"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// Arrive is ServeHTTP for requests to become a websocket that come without net/http, on the loop where they came. What
// is not for the endpoint itself is passed on.
//
//weir:loop
func (s *Server) Arrive(a *transport.Arrival) {
	r := a.Request
	if name, ok := strings.CutPrefix(r.URL.Path, s.opts.Path); !ok || name != "" {
		a.PassOn()
		return
	}
	origin := s.opts.CheckOrigin(r)
	s.opts.CORS.headers(a.Header(), r, origin)
	rq := request{server: s, w: a, r: r, query: eio.ParseQuery(r.URL.RawQuery), upgrade: true}
	if refusal := rq.check(origin); refusal != nil {
		rq.refuse(refusal)
		a.Refuse()
		return
	}
	if !rq.checkUpgrade() {
		a.Refuse()
		return
	}
	to := 0
	if rq.shard != nil {
		to = rq.shard.index
	} else {
		to = s.acceptor.Assign(WebSocket)
	}
	if to != a.Loop() {
		moved := rq // so that only who moves costs an object
		a.Move(to, moved.land)
		return
	}
	rq.land(a)
}

// land goes on with a request on the loop it is for.
//
//weir:loop
func (rq *request) land(a *transport.Arrival) {
	if rq.shard != nil {
		rq.bring(a)
		return
	}
	rq.open(a)
}

// open makes a session that begins as a websocket, on its loop.
//
//weir:loop
func (rq *request) open(a *transport.Arrival) {
	sh := rq.server.shards[a.Loop()]
	if rq.query.Version() != 4 {
		rq.obsolete()
		a.WebSocket(sh.sockets).Abort() // protocol.md 1.1: the client sees the connection drop
		return
	}
	n, ok := rq.newcomer(WebSocket, func(string) int { return a.Loop() })
	if !ok {
		rq.refuse(shuttingDown())
		a.Refuse()
		return
	}
	n.socket = a.Greeted(sh.sockets)
	sh.open(n)
}

// bring is the websocket of an upgrade, on its session's loop.
//
//weir:loop
func (rq *request) bring(a *transport.Arrival) {
	sh := rq.shard
	switch {
	case rq.server.opts.NoUpgrades:
		rq.refuse(refusal(eio.BadRequest))
	case sh.meet(rq.id) == nil:
		rq.refuse(refusal(eio.SessionUnknown))
	default:
		sh.probe(rq.id, a.WebSocket(sh.sockets))
		return
	}
	a.Refuse()
}
