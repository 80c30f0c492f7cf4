package weir

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/wheel"
	"github.com/streamweir/weir/internal/wire/sio"
)

// client is one connection: where the protocol half and the delivery half meet.
// Bytes come in as engineio.Host and go through socketio to sockets; what sockets
// are sent goes out through delivery to the session, which is the Outlet. All of
// it belongs to the session's shard.
type client struct {
	door    *door
	session *engineio.Session
	proto   socketio.Conn
	out     *delivery.Conn
	shake   *engineio.Handshake // nil if nobody can ask for it
	agent   uint64              // the kind of client, for its penalty
	since   int64
	waiting []*Socket // CONNECT requests not decided yet

	timer     wheel.Timer // the earlier of the session's deadline and connectBy
	deadline  int64
	connectBy int64     // 0 once a namespace was joined
	holds     int       // reasons not to read
	backlog   []message // what had been read when reading was held: at most one batch
	resuming  bool
	closed    bool
	joined    guard.Membership
}

// message is an Engine.IO message that waits in a backlog.
type message struct {
	data   []byte
	binary bool
}

var (
	_ engineio.Host      = (*client)(nil)
	_ socketio.Door      = (*client)(nil)
	_ delivery.Peer      = (*client)(nil)
	_ delivery.Describer = (*client)(nil)
	_ delivery.Outlet    = (*engineio.Session)(nil)
)

func newClient(d *door, s *engineio.Session, h *engineio.Handshake) *client {
	sh := d.srv.hub.Shards()[s.Loop()]
	c := &client{door: d, session: s, agent: guard.Agent(h.Header), since: sh.Now()}
	if d.curious.Load() {
		c.shake = h
	}
	c.proto = socketio.New(c, d.opts.SocketIO.MaxHTTPBufferSize)
	c.out = sh.Open(s, c)
	c.timer.Init(c)
	if !d.admission.Enter() { // others were faster since Admit
		d.refused[refusedFull].Add(1)
		s.Close(base.CauseForcedClose)
	}
	c.connectBy = sh.Now() + int64(d.opts.SocketIO.ConnectTimeout)
	d.srv.comers.Came(c.address())
	c.schedule()
	return c
}

func (c *client) address() netip.Addr { return c.session.RemoteAddr().Addr().Unmap() }

// Message implements engineio.Host. While reading is held, the rest of the batch
// that had been read waits here, so that a limit stops the client at the very
// message that reached it.
func (c *client) Message(data []byte, binary bool) error {
	if c.holds > 0 || len(c.backlog) > 0 {
		c.backlog = append(c.backlog, message{bytes.Clone(data), binary})
		c.door.srv.hub.Hold(len(data))
		return nil
	}
	return c.handle(data, binary)
}

func (c *client) handle(data []byte, binary bool) error {
	before := c.proto.Held()
	err := c.proto.Message(data, binary)
	c.door.srv.hub.Hold(c.proto.Held() - before)
	if err != nil {
		c.door.log.Debug("client broke the protocol", "address", c.address(), "error", err)
		c.dismiss(base.CauseParseError)
	}
	return err
}

// dismiss takes the connection's sockets out of their namespaces at once: what
// ends the session may take a while to tell the client.
func (c *client) dismiss(cause base.Cause) {
	for _, s := range slices.Clone(c.out.Sockets()) {
		s.Close(cause, nil)
	}
}

// Writable implements engineio.Host.
func (c *client) Writable() { c.out.Writable() }

// Deadline implements engineio.Host.
func (c *client) Deadline(at int64) {
	c.deadline = at
	c.schedule()
}

func (c *client) schedule() {
	at := c.deadline
	if c.connectBy != 0 && (at == 0 || c.connectBy < at) {
		at = c.connectBy
	}
	if c.closed {
		at = 0
	}
	c.out.Shard().Schedule(&c.timer, at)
}

// Expire implements wheel.Expirer: a heartbeat is due, or the client has not
// joined a namespace in time (protocol.md 2.1).
func (c *client) Expire(_ *wheel.Timer, now int64) {
	if c.connectBy != 0 && now >= c.connectBy {
		c.connectBy = 0
		c.session.Close(base.CauseForcedClose)
		c.schedule()
		return
	}
	if c.deadline != 0 && now >= c.deadline {
		c.deadline = 0
		c.session.Expire(now)
		c.out.Trim()
	}
	c.schedule()
}

// Closed implements engineio.Host.
func (c *client) Closed(cause base.Cause, err error) {
	c.closed = true
	c.door.admission.Leave(c.joined)
	c.schedule()
	c.door.srv.hub.Hold(-c.proto.Held())
	c.dropBacklog()
	for _, s := range c.waiting {
		s.Gone(cause)
	}
	c.waiting = nil
	c.out.Close(cause)
	if err != nil {
		c.door.log.Debug("session closed", "address", c.address(), "cause", cause.String(), "error", err)
	}
	switch cause {
	case base.CauseSlowConsumer, base.CauseMemoryBudget, base.CauseDraining, base.CauseAdmin:
		// counted when it was decided
	default:
		c.door.srv.hub.CountCut(cause)
	}
}

// Cut implements delivery.Peer: the client does not keep up, or has to go.
func (c *client) Cut(cause base.Cause) {
	switch cause {
	case base.CauseSlowConsumer, base.CauseMemoryBudget:
		c.punish()
		c.dismiss(cause)
		c.session.Abort(cause)
	default:
		c.dismiss(cause)
		c.session.Close(cause)
	}
}

// leave ends all namespaces of the connection with a DISCONNECT, then the
// connection.
func (c *client) leave() {
	for _, s := range slices.Clone(c.out.Sockets()) {
		s.Close(base.CauseServerDisconnect, disconnectFrame(s.Namespace.Path))
	}
	c.out.Finish(base.CauseServerDisconnect)
}

// punish refuses a slow client for a while (design 5.4).
func (c *client) punish() {
	var penalty time.Duration
	for _, s := range c.out.Sockets() {
		if ns := c.door.namespaces[s.Namespace.Path]; ns != nil {
			penalty = max(penalty, orDefault(ns.opts.SlowPenalty, defaultSlowPenalty))
		}
	}
	c.door.srv.penalties.Offend(guard.PenaltyKey(c.address(), c.agent), orDefault(penalty, defaultSlowPenalty), c.door.srv.hub.Time(c.out.Shard().Now()))
}

// Reading implements delivery.Peer.
func (c *client) Reading(on bool) {
	if on {
		c.resume()
	} else {
		c.hold()
	}
}

// hold stops reading from the client until as many calls of resume have followed.
func (c *client) hold() {
	if c.holds++; c.holds == 1 && !c.closed {
		c.session.Pause()
	}
}

func (c *client) resume() {
	if c.holds--; c.holds > 0 || c.closed || c.resuming {
		return
	}
	c.resuming = true
	defer func() { c.resuming = false }()
	for len(c.backlog) > 0 {
		m := c.backlog[0]
		c.backlog[0] = message{}
		c.backlog = c.backlog[1:]
		c.door.srv.hub.Hold(-len(m.data))
		if err := c.handle(m.data, m.binary); err != nil {
			c.dropBacklog()
			c.session.Close(base.CauseParseError)
			return
		}
		if c.holds > 0 || c.closed {
			return
		}
	}
	c.backlog = nil
	c.session.Resume()
}

// dropBacklog forgets what a client that is gone had sent.
func (c *client) dropBacklog() {
	for _, m := range c.backlog {
		c.door.srv.hub.Hold(-len(m.data))
	}
	c.backlog = nil
}

// Describe implements delivery.Describer.
func (c *client) Describe(v *delivery.ClientView) {
	v.Address, v.Server, v.Transport = c.address().String(), c.door.opts.Name, c.session.Transport()
	v.Since = c.door.srv.hub.Time(c.since)
	if k, ok := c.session.Kernel(); ok {
		v.Kernel = &delivery.KernelView{
			UnsentBytes: k.NotSent, RTTMs: float64(k.RTT.Microseconds()) / 1000, Retransmits: k.Retransmits,
		}
	}
}

// Connect implements socketio.Door: a client asks to join a namespace.
func (c *client) Connect(path string, auth []byte) {
	n := c.door.namespaces[path]
	if n == nil {
		c.proto.Leave(path)
		c.out.Refuse(c.door.srv.lobby, connectError(path, "Invalid namespace", nil))
		return
	}
	s := newSocket(n, c, auth)
	if !n.decides(c) {
		c.accept(s)
		return
	}
	c.waiting = append(c.waiting, s)
	s.enqueue(jobFunc(s.admit), len(auth))
}

// accept lets a socket in: it is a member before the answer is queued, and what
// handlers emit comes after (protocol.md 2.3).
func (c *client) accept(s *Socket) {
	c.decided(s)
	if c.closed || !c.proto.Accept(s.ns.path, s) {
		return
	}
	if c.connectBy = 0; !c.joined {
		c.joined = guard.HasJoined
		c.door.admission.Joined()
	}
	c.schedule()
	s.open(c.out.OpenSocket(s.ns.d, s.id, s.principal, s))
	s.d.Send(base.NewFrame(64, func(dst []byte) []byte { return sio.AppendConnect(dst, s.ns.path, s.id, "") }))
	s.ns.welcome(s)
}

// refuse answers a CONNECT with CONNECT_ERROR; the session goes on.
func (c *client) refuse(s *Socket, message string, data []byte) {
	c.decided(s)
	if c.closed {
		return
	}
	c.proto.Leave(s.ns.path)
	c.out.Refuse(s.ns.d, connectError(s.ns.path, message, data))
	s.Gone(base.CauseForbidden)
}

func (c *client) decided(s *Socket) {
	for i, w := range c.waiting {
		if w == s {
			c.waiting[i] = c.waiting[len(c.waiting)-1]
			c.waiting = c.waiting[:len(c.waiting)-1]
			return
		}
	}
}

func connectError(path, message string, data []byte) *base.Frame {
	return base.NewFrame(len(path)+len(message)+len(data)+32, func(dst []byte) []byte {
		return sio.AppendConnectError(dst, path, message, data)
	})
}

func disconnectFrame(path string) *base.Frame {
	return base.NewFrame(len(path)+8, func(dst []byte) []byte { return sio.AppendDisconnect(dst, path) })
}
