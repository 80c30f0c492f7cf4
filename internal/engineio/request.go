package engineio

import (
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// request is one HTTP request below Options.Path, on its HTTP goroutine.
type request struct {
	server  *Server
	w       http.ResponseWriter
	r       *http.Request
	query   eio.Request
	upgrade bool   // it asks to become a websocket
	shard   *shard // of the session, if there is a sid
	id      sid    // valid with shard
}

// check goes through protocol.md 1.1, "Order of checks", up to what only the
// session's loop knows.
func (rq *request) check(origin Origin) *Refusal {
	q := &rq.query
	switch {
	case !rq.server.opts.enabled(q.Transport):
		return refusal(eio.TransportUnknown)
	case !validOrigin(rq.r.Header.Get("Origin")):
		return refusal(eio.BadRequest)
	case origin == OriginRefused:
		return refusal(eio.Forbidden) // the only refusal counted under that code
	case rq.upgrade && q.Transport != WebSocket:
		return refusal(eio.BadRequest)
	case q.SID != "":
		return rq.checkSession()
	case rq.r.Method != http.MethodGet:
		return refusal(eio.BadHandshakeMethod)
	case q.Transport == WebSocket && !rq.upgrade:
		return refusal(eio.BadRequest)
	}
	return rq.checkHandshake()
}

func (rq *request) checkSession() *Refusal {
	s := rq.server
	id, i, ok := parseSID(rq.query.SID, s.opts.Node)
	if !ok || i >= len(s.shards) {
		return refusal(eio.SessionUnknown)
	}
	rq.id, rq.shard = id, s.shards[i]
	return nil
}

func (rq *request) checkHandshake() *Refusal {
	if rq.server.sessions.isClosing() {
		return shuttingDown()
	}
	if refused := rq.server.acceptor.Admit(rq.r); refused != nil {
		refused.counted = true
		return refused
	}
	if rq.query.Version() != 4 && !rq.upgrade { // a websocket learns it by being dropped
		return refusal(eio.UnsupportedVersion)
	}
	return nil
}

func (rq *request) serve() {
	switch known := rq.shard != nil; {
	case known && rq.upgrade:
		rq.probe()
	case known && rq.query.Transport != Polling:
		rq.mismatch()
	case known && rq.r.Method == http.MethodGet:
		rq.poll()
	case known && rq.r.Method == http.MethodPost:
		rq.post()
	case known:
		rq.other()
	case rq.upgrade:
		rq.openWebSocket()
	default:
		rq.openPolling()
	}
}

// refusal is the answer with a code of protocol.md 1.1.
func refusal(code eio.ErrorCode) *Refusal {
	return &Refusal{Status: code.Status(), Code: int(code), Message: code.String()}
}

func shuttingDown() *Refusal {
	return &Refusal{
		Status: http.StatusServiceUnavailable, Code: int(eio.Forbidden), Message: "Server shutting down",
		RetryAfter: time.Second, counted: true,
	}
}

// refuse answers over polling with JSON, and a websocket with the bare message
// and the end of the connection.
func (rq *request) refuse(f *Refusal) {
	e := eio.Error{Code: eio.ErrorCode(f.Code), Message: f.Message}
	if f.Code == 0 && f.Message == "" || f.Code < 0 || f.Code >= len(rq.server.stats.refused) {
		e.Code = eio.Forbidden
	}
	switch {
	case f.counted:
	case e.Code == eio.UnsupportedVersion:
		rq.obsolete()
	default:
		rq.server.stats.refused[e.Code].Add(1)
	}
	status := f.Status
	if status == 0 {
		status = e.Code.Status()
	}
	h := rq.w.Header()
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	body, contentType := e.AppendJSON(nil), "application/json"
	if rq.upgrade {
		body, contentType = []byte(e.Error()), "text/html"
		h.Set("Connection", "close")
		if status == http.StatusForbidden {
			status = http.StatusBadRequest
		}
	}
	rq.answer(transport.NewExchange(), transport.Answer{Status: status, Type: contentType, Body: body})
}

// obsolete counts a client that speaks an older Engine.IO, and tells of it.
func (rq *request) obsolete() {
	rq.server.stats.refused[eio.UnsupportedVersion].Add(1)
	if f := rq.server.opts.Obsolete; f != nil {
		f(rq.r)
	}
}

// answer writes the response to x and reports what became of packets.
func (rq *request) answer(x *transport.Exchange, a transport.Answer) {
	err := rq.server.responder.Respond(rq.w, rq.r, x, a)
	if a.Packets && rq.shard != nil {
		rq.report(x, err)
	}
}

func (rq *request) report(x *transport.Exchange, err error) {
	sh, id := rq.shard, rq.id
	sh.post(func() { sh.responded(id, x, err) })
}

// wait returns the loop's answer. If the request ends first, the client has
// gone; if the loop does, the client is told.
func (rq *request) wait(x *transport.Exchange) (transport.Answer, error) {
	a, err := x.Wait(rq.r.Context(), rq.shard.loop)
	if errors.Is(err, transport.ErrClosed) {
		rq.refuse(shuttingDown())
	}
	return a, err
}

// exchange posts a question to the session's loop and answers the request with
// what it says.
func (rq *request) exchange(ask func(id sid, x *transport.Exchange)) {
	x, id := transport.NewExchange(), rq.id
	rq.shard.post(func() { ask(id, x) })
	if a, err := rq.wait(x); err == nil {
		rq.answer(x, a)
	}
}

// mismatch: the transport is not the one that carries the session, or carries it
// without requests; a session that is not there comes first.
func (rq *request) mismatch() {
	rq.exchange(rq.shard.mismatch)
}

func (rq *request) other() {
	rq.exchange(rq.shard.other)
}

// poll is a GET of a session: it waits for packets.
func (rq *request) poll() {
	if !rq.patient() {
		return
	}
	x, sh, id := transport.NewExchange(), rq.shard, rq.id
	rq.await(x, func() { sh.get(id, x) })
}

// patient makes the heartbeat what ends the wait for packets, not the HTTP server's
// time-outs. False: the connection has ended. It is asked before anything is counted.
func (rq *request) patient() bool { return transport.Patient(rq.w, rq.r) == nil }

// await posts begin, waits for packets and writes them. It follows patient.
func (rq *request) await(x *transport.Exchange, begin func()) {
	rq.shard.post(begin)
	a, err := rq.wait(x)
	if err != nil {
		rq.report(x, err)
		return
	}
	rq.answer(x, a)
}

// post is a POST of a session: the loop says whether its body is wanted, and
// answers when the packets are handled.
func (rq *request) post() {
	x, sh, id, octets := transport.NewExchange(), rq.shard, rq.id, isOctetStream(rq.r)
	var s *Session // written and read on the loop
	sh.post(func() { s = sh.beginPost(id, x, octets) })
	a, err := rq.wait(x)
	if err == nil && a.Status == transport.Continue.Status {
		o := &rq.server.opts
		held := holding{hold: o.Hold}
		defer held.release()
		body, bodyErr := transport.ReadBody(rq.w, rq.r, o.MaxHTTPBufferSize, o.BodyTimeout, held.add)
		if bodyErr != nil {
			sh.post(func() { s.loseBody(x, bodyErr) })
			rq.w.Header().Set("Connection", "close")
			rq.answer(x, transport.Refuse(statusOf(bodyErr)))
			return
		}
		packets := eio.NewPayload(body)
		held.add(packets.Prepare())
		sh.post(func() { s.body(x, packets) })
		a, err = rq.wait(x)
	}
	if err != nil {
		sh.post(func() { s.loseBody(x, err); sh.parted(id) })
		return
	}
	if a.Parting {
		rq.part()
	}
	rq.answer(x, a)
}

// part ends the session its client has closed, before the answer says so.
func (rq *request) part() {
	select {
	case <-time.After(rq.server.opts.Straggle):
	case <-rq.r.Context().Done():
	}
	sh, id := rq.shard, rq.id
	sh.post(func() { sh.parted(id) })
}

// holding counts what a request keeps, for Options.Hold.
type holding struct {
	hold func(int)
	n    int
}

func (h *holding) add(n int) {
	h.n += n
	if h.hold != nil {
		h.hold(n)
	}
}

func (h *holding) release() { h.add(-h.n) }

// statusOf answers a body that did not come as it should.
func statusOf(err error) int {
	switch {
	case errors.Is(err, transport.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, transport.ErrBodyTimeout):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

func isOctetStream(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && mediaType == "application/octet-stream"
}

// openPolling makes a session; the request waits for its open packet.
func (rq *request) openPolling() {
	if !rq.patient() {
		return
	}
	n, ok := rq.newcomer(Polling, rq.server.acceptor.Assign)
	if !ok {
		rq.refuse(shuttingDown())
		return
	}
	n.exchange = transport.NewExchange()
	if c := rq.server.opts.Cookie; c != nil {
		c.set(rq.w.Header(), n.id.spell(rq.server.opts.Node, rq.shard.index))
	}
	sh := rq.shard
	rq.await(n.exchange, func() { sh.open(n) })
}

// newcomer is for the shard that assign names; false means that the server is closing.
func (rq *request) newcomer(name string, assign func(transport string) int) (newcomer, bool) {
	s := rq.server
	if !s.sessions.enter() {
		return newcomer{}, false
	}
	shard := assign(name)
	rq.id, rq.shard = newSID(), s.shards[shard]
	remote, _ := netip.ParseAddrPort(rq.r.RemoteAddr) // the zero value if it is no IP
	return newcomer{id: rq.id, handshake: Handshake{
		Header:     rq.r.Header,
		Host:       rq.r.Host,
		URL:        rq.r.URL,
		RemoteAddr: remote,
		TLS:        rq.r.TLS != nil,
		Time:       time.Now(),
		Transport:  name,
		Protocol:   base.EIO4, // others are refused: see checkHandshake and openWebSocket
	}}, true
}

// openWebSocket makes a session that begins as a websocket.
func (rq *request) openWebSocket() {
	u, ok := rq.accept()
	if !ok {
		return
	}
	if rq.query.Version() != 4 {
		rq.obsolete()
		_ = u.Conn.Close() // protocol.md 1.1: the client sees the connection drop
		return
	}
	n, ok := rq.newcomer(WebSocket, rq.server.acceptor.Assign)
	if !ok {
		_ = u.Conn.Close()
		return
	}
	if n.socket, ok = rq.socket(u); !ok {
		rq.server.sessions.leave()
		return
	}
	sh := rq.shard
	sh.post(func() { sh.open(n) })
}

// probe brings a websocket to a session that began as polling.
func (rq *request) probe() {
	x, sh, id := transport.NewExchange(), rq.shard, rq.id
	if rq.server.opts.NoUpgrades {
		rq.refuse(refusal(eio.BadRequest))
		return
	}
	sh.post(func() { sh.admitProbe(id, x) })
	a, err := rq.wait(x)
	if err != nil {
		return
	}
	if a.Status != http.StatusOK {
		rq.refuse(refusal(eio.SessionUnknown))
		return
	}
	u, ok := rq.accept()
	if !ok {
		return
	}
	if socket, ok := rq.socket(u); ok {
		sh.post(func() { sh.probe(id, socket) })
	}
}

// accept answers 101; false means that the request has been answered otherwise,
// or its connection is gone.
func (rq *request) accept() (transport.Upgraded, bool) {
	if !rq.checkUpgrade() {
		return transport.Upgraded{}, false
	}
	u, err := rq.server.sockets.Upgrade(rq.w, rq.r, rq.server.opts.UpgradeTimeout)
	if errors.Is(err, http.ErrNotSupported) {
		rq.refuse(refusal(eio.BadRequest))
	}
	return u, err == nil
}

// checkUpgrade answers an opening handshake that breaks RFC 6455.
func (rq *request) checkUpgrade() bool {
	if err := transport.CheckUpgrade(rq.r); err != nil {
		rq.w.Header().Set("Sec-WebSocket-Version", "13")
		rq.refuse(refusal(eio.BadRequest))
		return false
	}
	return true
}

func (rq *request) socket(u transport.Upgraded) (*transport.WebSocket, bool) {
	socket, err := rq.server.driver.WebSocket(u, rq.shard.sockets)
	return socket, err == nil
}
