package link

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

// Client is one connection: where the protocol half and the delivery half meet.
// Bytes come in as engineio.Host and go through socketio to sockets; what sockets
// are sent goes out through delivery to the session, which is the Outlet. All of
// it belongs to the session's shard.
//
//weir:loop
type Client struct {
	door    *Door
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
	undecided []Socket  // CONNECT requests
	pauses    int       // reasons not to read
	backlog   []message // what had been read when reading was held: at most one batch
	reading   *reading  // reading is held for it
	tokens    bool      // a socket's token ends some day
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
	_ engineio.Host      = (*Client)(nil)
	_ socketio.Entrance  = (*Client)(nil)
	_ delivery.Peer      = (*Client)(nil)
	_ delivery.Describer = (*Client)(nil)
	_ delivery.Addressed = (*Client)(nil)
	_ outbox.Outlet      = (*engineio.Session)(nil)
)

//weir:loop
func newClient(d *Door, s *engineio.Session, h *engineio.Handshake) *Client {
	sh := d.Hub.Shards()[s.Loop()]
	c := &Client{door: d, session: s, agent: d.Agents.Came(h.Header), since: sh.Now()}
	if d.Curious.Load() {
		kept := *h
		c.rare.Store(&rareClient{shake: &kept})
	}
	c.out = sh.Open(s, c)
	c.out.Speak(base.NewDialect(base.JSON, h.Protocol))
	c.timer.Init(c)
	if !d.admission.Enter() { // others were faster since Admit
		d.refused[full].Add(1)
		s.Close(base.CauseForcedClose)
	}
	d.Comers.Came(c.Remote())
	c.Deadline(0)
	return c
}

// Handshake is what is known of the request, nil if it was not kept.
//
//weir:any
func (c *Client) Handshake() *engineio.Handshake {
	if x := c.rare.Load(); x != nil {
		return x.shake
	}
	return nil
}

// waiting returns what waits, nil if nothing does.
func (c *Client) waiting() *waiting {
	if x := c.rare.Load(); x != nil {
		return &x.waiting
	}
	return nil
}

// waits returns what waits, to be added to; tidy follows when less does.
func (c *Client) waits() *waiting {
	if c.rare.Load() == nil {
		c.rare.Store(new(rareClient))
	}
	return c.waiting()
}

// tidy forgets what waits once nothing does.
func (c *Client) tidy() {
	x := c.rare.Load()
	if x != nil && x.shake == nil && !x.tokens && !x.resuming && x.pauses == 0 && x.reading == nil && len(x.undecided)+len(x.backlog) == 0 {
		c.rare.Store(nil)
	}
}

// Remote is the address of the other end, a proxy's where there is one.
//
//weir:any
func (c *Client) Remote() netip.Addr { return c.session.RemoteAddr().Addr().Unmap() }

// Message implements engineio.Host. While reading is held, the rest of the batch
// that had been read waits here, so that a limit stops the client at the very
// message that reached it.
func (c *Client) Message(data []byte, binary bool) error {
	if by := c.connectBy(); by != 0 && c.door.Hub.Now() >= by { // decided by the clock: the timer is late, or the step
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
		c.door.Hub.Hold(budget.Inbound, m.held())
		return nil
	}
	return c.take(data, binary)
}

// take handles a message, or has a large one read first.
func (c *Client) take(data []byte, binary bool) error {
	if !binary && len(data) > largeText && c.readAside(data) {
		return nil
	}
	return c.handle(data, binary)
}

func (c *Client) handle(data []byte, binary bool) error {
	before := c.proto.Held()
	return c.handled(before, c.proto.Message(c, data, binary))
}

// handled counts what is kept since then of a packet whose attachments are missing, and returns what was wrong.
func (c *Client) handled(before int, err error) error {
	c.door.Hub.Hold(budget.Inbound, c.proto.Held()-before)
	if err != nil {
		c.door.opts.Log.Debug("client broke the protocol", "address", c.Remote(), "error", err)
	}
	return err
}

// Faulted implements engineio.Host: what was queued before the client broke the protocol is written as far as it is
// taken, its CONNECT answer most of all.
func (c *Client) Faulted(cause base.Cause) {
	c.out.Hasten()
	c.finishBacklog()
	c.dismiss(cause)
}

// dismiss takes the connection's sockets out of their namespaces at once: what
// ends the session may take a while to tell the client. It follows finishBacklog.
func (c *Client) dismiss(cause base.Cause) {
	for _, s := range slices.Clone(c.out.Sockets()) {
		s.Close(cause, nil)
	}
}

// Writable implements engineio.Host.
func (c *Client) Writable() { c.out.Writable() }

// deadline is a kind of time at which something is to be done for a client.
type deadline uint8

const (
	joinOver   deadline = iota // the client has joined no namespace in time
	tokenOver                  // a token ends, or will soon
	sessionDue                 // the session has something to do
)

// Deadline implements engineio.Host.
func (c *Client) Deadline(at int64) {
	var d agenda.Set[deadline]
	if !c.closed {
		d.Add(joinOver, c.connectBy())
		d.Add(tokenOver, c.tokenDue())
		d.Add(sessionDue, at)
	}
	c.out.Shard().Schedule(&c.timer, d.First())
}

// connectBy is when the client must have joined a namespace (protocol.md 2.1); 0 once
// it has, or is late.
func (c *Client) connectBy() int64 {
	if c.joined == guard.HasJoined || c.late {
		return 0
	}
	return c.since + int64(c.door.opts.ConnectTimeout)
}

// Expire implements wheel.Expirer: a heartbeat is due, or the client is late. The
// session, asked too early, names its deadline again.
func (c *Client) Expire(_ *wheel.Timer, now int64) {
	if by := c.connectBy(); by != 0 && now >= by {
		c.late = true
		c.session.Close(base.CauseForcedClose) // it may be closing already
	}
	c.lookAtTokens()
	c.session.Expire(now)
	c.trim()
}

// trim gives back what a connection that is idle does not need: once a heartbeat.
func (c *Client) trim() {
	c.out.Trim()
	for _, d := range c.out.Sockets() {
		if s, ok := d.Peer.(trimmer); ok {
			s.Trim()
		}
	}
}

// Closed implements engineio.Host.
func (c *Client) Closed(cause base.Cause, err error) {
	c.closed = true
	c.door.admission.Leave(c.joined)
	c.Deadline(0)
	c.finishBacklog()
	c.door.Hub.Hold(budget.Inbound, -c.proto.Held())
	if w := c.waiting(); w != nil {
		for _, s := range w.undecided {
			s.Gone(cause)
		}
		w.undecided = nil
	}
	c.out.Close(cause)
	c.tidy()
	if err != nil {
		c.door.opts.Log.Debug("session closed", "address", c.Remote(), "cause", cause.String(), "error", err)
	}
	switch cause {
	case base.CauseSlowConsumer, base.CauseMemoryBudget, base.CauseDraining, base.CauseAdmin:
		// counted when it was decided
	default:
		c.door.Hub.CountCut(cause)
	}
}

// Cut implements delivery.Peer: the client does not keep up, or has to go.
func (c *Client) Cut(cause base.Cause) {
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
func (c *Client) punish() {
	var penalty time.Duration
	for _, s := range c.out.Sockets() {
		penalty = max(penalty, c.door.reception.Penalty(s.Namespace.Path))
	}
	if penalty == 0 { // it is in no namespace
		penalty = c.door.opts.SlowPenalty
	}
	c.door.Penalties.Offend(guard.PenaltyKey(c.Remote(), c.agent), penalty, c.door.Hub.Time(c.out.Shard().Now()))
}

// Reading implements delivery.Peer.
func (c *Client) Reading(on bool) {
	if on {
		c.Resume()
	} else {
		c.Pause()
	}
}

// Pause stops reading from the client until as many calls of Resume have followed.
func (c *Client) Pause() {
	w := c.waits()
	if w.pauses++; w.pauses == 1 && !c.closed {
		c.session.Pause()
	}
}

// Resume ends what Pause began.
func (c *Client) Resume() {
	w := c.waiting()
	if w.pauses--; w.pauses == 0 && !c.closed && !w.resuming {
		c.catchUp(w)
	}
	c.tidy()
}

// catchUp handles the backlog, as far as reading is not held again, and reads on.
func (c *Client) catchUp(w *waiting) {
	w.resuming = true
	defer func() { w.resuming = false }()
	for len(w.backlog) > 0 {
		m := w.backlog[0]
		w.backlog[0] = message{}
		w.backlog = w.backlog[1:]
		c.door.Hub.Hold(budget.Inbound, -m.held())
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
func (c *Client) finishBacklog() {
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
		c.door.Hub.Hold(budget.Inbound, -m.held())
		c.handleLast(m)
	}
	w.backlog = nil
}

// dropBacklog forgets what a client had sent after it had broken the protocol.
func (c *Client) dropBacklog() {
	w := c.waiting()
	if w == nil {
		return
	}
	for _, m := range w.backlog {
		c.door.Hub.Hold(budget.Inbound, -m.held())
	}
	w.backlog = nil
}

// Address implements delivery.Addressed.
func (c *Client) Address() string { return c.Remote().String() }

// Describe implements delivery.Describer.
func (c *Client) Describe(v *survey.Client) {
	v.Address, v.Server, v.Transport = c.Address(), c.door.opts.Name, c.session.Transport()
	v.Since, v.Agent = c.door.Hub.Time(c.since), c.door.Agents.Text(c.agent)
	if k, ok := c.session.Kernel(); ok {
		v.Kernel = &survey.Kernel{
			UnsentBytes: k.NotSent, RTTMs: float64(k.RTT.Microseconds()) / 1000, Retransmits: k.Retransmits,
		}
	}
}

// MaxPacket implements socketio.Entrance.
func (c *Client) MaxPacket() int { return c.door.opts.Engine.MaxHTTPBufferSize }

// Connect implements socketio.Entrance: a client asks to join a namespace.
func (c *Client) Connect(path string, auth []byte) {
	switch s, ask := c.door.reception.Apply(c, path, auth); {
	case s == nil:
		c.proto.Leave(path)
		c.out.Refuse(c.door.Lobby, packet.ConnectError(path, "Invalid namespace", nil))
	case ask == nil:
		c.Accept(s)
	default:
		w := c.waits()
		w.undecided = append(w.undecided, s)
		ask()
	}
}

// Accept lets a socket in: it is a member before the answer is queued, and what
// handlers emit comes after (protocol.md 2.3).
func (c *Client) Accept(s Socket) {
	c.decided(s)
	if c.closed || !c.proto.Accept(s.Behind().Path, s) {
		return
	}
	if c.joined == guard.NeverJoined {
		c.joined = guard.HasJoined
		c.door.admission.Joined()
	}
	s.Enter()
}

// Refuse answers a CONNECT with CONNECT_ERROR; the session goes on.
func (c *Client) Refuse(s Socket, message string, data []byte) {
	c.decided(s)
	if c.closed {
		return
	}
	n := s.Behind()
	c.proto.Leave(n.Path)
	c.out.Refuse(n, packet.ConnectError(n.Path, message, data))
	s.Gone(base.CauseForbidden)
}

// Left says that a socket of the client has left its namespace.
func (c *Client) Left(path string) { c.proto.Leave(path) }

// Out is the connection's sending half.
//
//weir:any
func (c *Client) Out() *delivery.Conn { return c.out }

// Shard is the loop that owns the client.
//
//weir:any
func (c *Client) Shard() *delivery.Shard { return c.out.Shard() }

// Transport is polling or websocket.
func (c *Client) Transport() string { return c.session.Transport() }

// RemoteAddr is the address and port of the other end.
//
//weir:any
func (c *Client) RemoteAddr() netip.AddrPort { return c.session.RemoteAddr() }

// Waits reports whether the client keeps a list of what waits.
func (c *Client) Waits() bool {
	w := c.waiting()
	return w != nil && (w.pauses > 0 || len(w.undecided)+len(w.backlog) > 0)
}

// ExpireWhileClosing lets the time to join run out for the client, over polling, after its session was closed; it reports
// whether a time is set for its end. It is for a test.
func (c *Client) ExpireWhileClosing() (armed bool) {
	was := c.joined
	c.joined = guard.NeverJoined
	c.session.Close(base.CauseForcedClose)
	c.out.Shard().Schedule(&c.timer, 0) // it has fired
	c.Expire(nil, c.connectBy())
	armed, c.joined = c.timer.Armed(), was
	return armed
}

// decided takes a socket off the list of those undecided, if it is on it.
func (c *Client) decided(s Socket) {
	if w := c.waiting(); w != nil {
		w.undecided = slices.DeleteFunc(w.undecided, func(u Socket) bool { return u == s })
		c.tidy()
	}
}
