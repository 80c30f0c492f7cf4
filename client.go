package weir

import (
	"bytes"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/agenda"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/wheel"
)

// client is one connection: where the protocol half and the delivery half meet.
// Bytes come in as engineio.Host and go through socketio to sockets; what sockets
// are sent goes out through delivery to the session, which is the Outlet. All of
// it belongs to the session's shard.
//
//weir:loop
type client struct {
	door    *door
	session *engineio.Session
	out     *delivery.Conn
	rare    atomic.Pointer[rareClient] // nil: nothing of it; the loop's to change
	proto   socketio.Conn

	timer  wheel.Timer // for the first of its deadlines, or earlier
	since  int64
	agent  uint32 // the kind of client, for its penalty and those who look: see guard.Agents
	joined guard.Membership
	late   bool // has not joined a namespace in time
	closed bool
}

// rareClient is what few clients have.
type rareClient struct {
	shake *engineio.Handshake // nil if nobody can ask for it; does not change
	waiting
}

// waiting is what waits for somebody else at a connection, or because of them.
type waiting struct {
	undecided []*Socket // CONNECT requests
	pauses    int       // reasons not to read
	backlog   []message // what had been read when reading was held: at most one batch
	reading   *reading  // reading is held for it
	resuming  bool
}

// message is an Engine.IO message that waits in a backlog.
type message struct {
	data   []byte
	binary bool
}

// held is what the budget counts for a message that waits: of many small ones their
// places take most.
func (m *message) held() int { return len(m.data) + 64 }

var (
	_ engineio.Host      = (*client)(nil)
	_ socketio.Entrance  = (*client)(nil)
	_ delivery.Peer      = (*client)(nil)
	_ delivery.Describer = (*client)(nil)
	_ delivery.Addressed = (*client)(nil)
	_ outbox.Outlet      = (*engineio.Session)(nil)
)

//weir:loop
func newClient(d *door, s *engineio.Session, h *engineio.Handshake) *client {
	sh := d.srv.hub.Shards()[s.Loop()]
	c := &client{door: d, session: s, agent: d.srv.agents.Came(h.Header), since: sh.Now()}
	if d.curious.Load() {
		kept := *h
		c.rare.Store(&rareClient{shake: &kept})
	}
	c.out = sh.Open(s, c)
	c.out.Speak(base.NewDialect(base.JSON, h.Protocol))
	c.timer.Init(c)
	if !d.admission.Enter() { // others were faster since Admit
		d.refused[refusedFull].Add(1)
		s.Close(base.CauseForcedClose)
	}
	d.srv.comers.Came(c.address())
	c.Deadline(0)
	return c
}

// handshake is what is known of the request, nil if it was not kept. Any goroutine.
//
//weir:any
func (c *client) handshake() *engineio.Handshake {
	if x := c.rare.Load(); x != nil {
		return x.shake
	}
	return nil
}

// waiting returns what waits, nil if nothing does.
func (c *client) waiting() *waiting {
	if x := c.rare.Load(); x != nil {
		return &x.waiting
	}
	return nil
}

// waits returns what waits, to be added to; tidy follows when less does.
func (c *client) waits() *waiting {
	if c.rare.Load() == nil {
		c.rare.Store(new(rareClient))
	}
	return c.waiting()
}

// tidy forgets what waits once nothing does.
func (c *client) tidy() {
	x := c.rare.Load()
	if x != nil && x.shake == nil && !x.resuming && x.pauses == 0 && x.reading == nil && len(x.undecided)+len(x.backlog) == 0 {
		c.rare.Store(nil)
	}
}

//weir:any
func (c *client) address() netip.Addr { return c.session.RemoteAddr().Addr().Unmap() }

// Message implements engineio.Host. While reading is held, the rest of the batch
// that had been read waits here, so that a limit stops the client at the very
// message that reached it.
func (c *client) Message(data []byte, binary bool) error {
	if by := c.connectBy(); by != 0 && c.door.srv.hub.Now() >= by { // decided by the clock: the timer is late, or the step
		c.late = true
		c.session.Close(base.CauseForcedClose)
		return nil
	}
	if w := c.waiting(); w != nil && (w.pauses > 0 || len(w.backlog) > 0) {
		if len(data) <= engineio.Owned {
			data = bytes.Clone(data)
		}
		m := message{data, binary}
		w.backlog = append(w.backlog, m)
		c.door.srv.hub.Hold(budget.Inbound, m.held())
		return nil
	}
	return c.take(data, binary)
}

// take handles a message, or has a large one read first.
func (c *client) take(data []byte, binary bool) error {
	if !binary && len(data) > largeText && c.readAside(data) {
		return nil
	}
	return c.handle(data, binary)
}

func (c *client) handle(data []byte, binary bool) error {
	before := c.proto.Held()
	return c.handled(before, c.proto.Message(c, data, binary))
}

// handled counts what is kept since then of a packet whose attachments are missing, and returns what was wrong.
func (c *client) handled(before int, err error) error {
	c.door.srv.hub.Hold(budget.Inbound, c.proto.Held()-before)
	if err != nil {
		c.door.log.Debug("client broke the protocol", "address", c.address(), "error", err)
	}
	return err
}

// Faulted implements engineio.Host: what was queued before the client broke the protocol is written as far as it is
// taken, its CONNECT answer most of all.
func (c *client) Faulted(cause base.Cause) {
	c.out.Hasten()
	c.finishBacklog()
	c.dismiss(cause)
}

// dismiss takes the connection's sockets out of their namespaces at once: what
// ends the session may take a while to tell the client. It follows finishBacklog.
func (c *client) dismiss(cause base.Cause) {
	for _, s := range slices.Clone(c.out.Sockets()) {
		s.Close(cause, nil)
	}
}

// Writable implements engineio.Host.
func (c *client) Writable() { c.out.Writable() }

// deadline is a kind of time at which something is to be done for a client.
type deadline uint8

const (
	joinOver   deadline = iota // the client has joined no namespace in time
	sessionDue                 // the session has something to do
)

// Deadline implements engineio.Host.
func (c *client) Deadline(at int64) {
	var d agenda.Set[deadline]
	if !c.closed {
		d.Add(joinOver, c.connectBy())
		d.Add(sessionDue, at)
	}
	c.out.Shard().Schedule(&c.timer, d.First())
}

// connectBy is when the client must have joined a namespace (protocol.md 2.1); 0 once
// it has, or is late.
func (c *client) connectBy() int64 {
	if c.joined == guard.HasJoined || c.late {
		return 0
	}
	return c.since + int64(c.door.opts.SocketIO.ConnectTimeout)
}

// Expire implements wheel.Expirer: a heartbeat is due, or the client is late. The
// session, asked too early, names its deadline again.
func (c *client) Expire(_ *wheel.Timer, now int64) {
	if by := c.connectBy(); by != 0 && now >= by {
		c.late = true
		c.session.Close(base.CauseForcedClose) // it may be closing already
	}
	c.session.Expire(now)
	c.trim()
}

// trim gives back what a connection that is idle does not need: once a heartbeat.
func (c *client) trim() {
	c.out.Trim()
	for _, d := range c.out.Sockets() {
		if s, ok := d.Peer.(*loopSocket); ok {
			s.trim()
		}
	}
}

// Closed implements engineio.Host.
func (c *client) Closed(cause base.Cause, err error) {
	c.closed = true
	c.door.admission.Leave(c.joined)
	c.Deadline(0)
	c.finishBacklog()
	c.door.srv.hub.Hold(budget.Inbound, -c.proto.Held())
	if w := c.waiting(); w != nil {
		for _, s := range w.undecided {
			s.loop().Gone(cause)
		}
		w.undecided = nil
	}
	c.out.Close(cause)
	c.tidy()
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
	c.finishBacklog()
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

// punish refuses a slow client for a while (protocol.md 4).
func (c *client) punish() {
	var penalty time.Duration
	for _, s := range c.out.Sockets() {
		if ns := c.door.namespaces.Find(s.Namespace.Path); ns != nil {
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
		c.pause()
	}
}

// pause stops reading from the client until as many calls of resume have followed.
func (c *client) pause() {
	w := c.waits()
	if w.pauses++; w.pauses == 1 && !c.closed {
		c.session.Pause()
	}
}

func (c *client) resume() {
	w := c.waiting()
	if w.pauses--; w.pauses == 0 && !c.closed && !w.resuming {
		c.catchUp(w)
	}
	c.tidy()
}

// catchUp handles the backlog, as far as reading is not held again, and reads on.
func (c *client) catchUp(w *waiting) {
	w.resuming = true
	defer func() { w.resuming = false }()
	for len(w.backlog) > 0 {
		m := w.backlog[0]
		w.backlog[0] = message{}
		w.backlog = w.backlog[1:]
		c.door.srv.hub.Hold(budget.Inbound, -m.held())
		if err := c.take(m.data, m.binary); err != nil {
			c.dropBacklog()
			c.session.Fault(base.CauseParseError, err)
			return
		}
		if w.pauses > 0 || c.closed {
			return
		}
	}
	w.backlog = nil
	c.session.Resume()
}

// finishBacklog handles what had been read of a client that is leaving: one batch at
// most. Its handlers get all that had arrived.
func (c *client) finishBacklog() {
	w := c.waiting()
	if w == nil {
		return
	}
	within := w.resuming
	w.resuming = true // so that it is not forgotten meanwhile
	defer func() { w.resuming = within }()
	if r := w.reading; r != nil {
		c.release(w, r)
		w.pauses--
		c.handleLast(message{data: r.data})
	}
	for len(w.backlog) > 0 {
		m := w.backlog[0]
		w.backlog[0] = message{}
		w.backlog = w.backlog[1:]
		c.door.srv.hub.Hold(budget.Inbound, -m.held())
		c.handleLast(m)
	}
	w.backlog = nil
}

// dropBacklog forgets what a client had sent after it had broken the protocol.
func (c *client) dropBacklog() {
	w := c.waiting()
	if w == nil {
		return
	}
	for _, m := range w.backlog {
		c.door.srv.hub.Hold(budget.Inbound, -m.held())
	}
	w.backlog = nil
}

// Address implements delivery.Addressed.
func (c *client) Address() string { return c.address().String() }

// Describe implements delivery.Describer.
func (c *client) Describe(v *survey.Client) {
	v.Address, v.Server, v.Transport = c.Address(), c.door.opts.Name, c.session.Transport()
	v.Since, v.Agent = c.door.srv.hub.Time(c.since), c.door.srv.agents.Text(c.agent)
	if k, ok := c.session.Kernel(); ok {
		v.Kernel = &survey.Kernel{
			UnsentBytes: k.NotSent, RTTMs: float64(k.RTT.Microseconds()) / 1000, Retransmits: k.Retransmits,
		}
	}
}

// MaxPacket implements socketio.Entrance.
func (c *client) MaxPacket() int { return c.door.opts.SocketIO.MaxHTTPBufferSize }

// Connect implements socketio.Entrance: a client asks to join a namespace.
func (c *client) Connect(path string, auth []byte) {
	n := c.door.namespaces.Find(path)
	if n == nil {
		c.proto.Leave(path)
		c.out.Refuse(c.door.srv.lobby, packet.ConnectError(path, "Invalid namespace", nil))
		return
	}
	s := newSocket(n, c, auth)
	if !n.decides(s) {
		c.accept(s)
		return
	}
	s.loop().apply()
	w := c.waits()
	w.undecided = append(w.undecided, s)
	s.ask(&admission{s, s.until()}, len(auth))
}

// accept lets a socket in: it is a member before the answer is queued, and what
// handlers emit comes after (protocol.md 2.3).
func (c *client) accept(s *Socket) {
	c.decided(s)
	if c.closed || !c.proto.Accept(s.ns.path, s.loop()) {
		return
	}
	if c.joined == guard.NeverJoined {
		c.joined = guard.HasJoined
		c.door.admission.Joined()
	}
	d := s.loop().enter()
	d.Send(packet.Connect(s.ns.path, d.ID))
	s.ns.welcome(s)
}

// refuse answers a CONNECT with CONNECT_ERROR; the session goes on.
func (c *client) refuse(s *Socket, message string, data []byte) {
	c.decided(s)
	if c.closed {
		return
	}
	c.proto.Leave(s.ns.path)
	c.out.Refuse(s.ns.d, packet.ConnectError(s.ns.path, message, data))
	s.loop().Gone(base.CauseForbidden)
}

// decided takes a socket off the list of those undecided, if it is on it.
func (c *client) decided(s *Socket) {
	if w := c.waiting(); w != nil {
		w.undecided = slices.DeleteFunc(w.undecided, func(u *Socket) bool { return u == s })
		c.tidy()
	}
}
