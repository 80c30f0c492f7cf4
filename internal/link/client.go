package link

import (
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
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/wheel"
)

// Client is one connection: where the protocol half and the delivery half meet. Messages come in (backlog.go) and go through
// socketio to sockets, which are let in by entrance.go; what sockets are sent goes out through delivery to the session, which
// is the Outlet. All of it belongs to the session's shard.
//
//	begins   newClient
//	ends     Cut, by delivery or an operator ─┐
//	         Faulted, by the client's error ──┼─ the session ends ──> Closed, once
//	         the session's own deadlines ─────┘
//
//weir:loop
type Client struct {
	door    *Door
	session *engineio.Session
	out     *delivery.Conn
	rare    atomic.Pointer[rareClient] // nil: nothing of it; the loop's to change
	proto   socketio.Conn

	timer  wheel.Timer // for the first of its deadlines, or earlier
	since  int64       // when it came, by the hub's clock
	agent  uint32      // the kind of client, for its penalty and those who look: see guard.Agents
	joined guard.Membership
	late   bool // has not joined a namespace in time
	closed bool
}

var (
	_ engineio.Host      = (*Client)(nil)
	_ socketio.Entrance  = (*Client)(nil)
	_ delivery.Peer      = (*Client)(nil)
	_ delivery.Describer = (*Client)(nil)
	_ delivery.Addressed = (*Client)(nil)
	_ delivery.Deaf      = (*Client)(nil)
	_ delivery.Hoarder   = (*Client)(nil)
	_ outbox.Outlet      = (*engineio.Session)(nil)
)

// newClient is the client of a session that has just begun.
//
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
	if v := d.admission.Enter(c.Remote()); v != guard.Welcome { // others were faster since Admit
		d.refused[refusalOfVerdict[v]].Add(1)
		s.Close(base.CauseForcedClose)
	}
	d.Comers.Came(c.Remote())
	c.Deadline(0)
	return c
}

// Remote is the client's address: that of the other end, or what a proxy that is trusted says.
//
//weir:any
func (c *Client) Remote() netip.Addr { return c.session.RemoteAddr().Addr().Unmap() }

// Writable implements engineio.Host.
func (c *Client) Writable() { c.out.Writable() }

// Unread implements engineio.Host.
func (c *Client) Unread() bool { return c.out.Unread() }

// deadline is a kind of time at which something is to be done for a client.
type deadline uint8

const (
	joinOver   deadline = iota // the client has joined no namespace in time
	tokenOver                  // a token ends, or will soon
	lateDue                    // it is the turn of what has come too early
	sessionDue                 // the session has something to do
)

// Deadline implements engineio.Host.
func (c *Client) Deadline(at int64) {
	var d agenda.Set[deadline]
	if !c.closed {
		d.Add(joinOver, c.connectBy())
		d.Add(tokenOver, c.tokenDue())
		d.Add(lateDue, c.lateDue())
		d.Add(sessionDue, at)
	}
	c.out.Shard().Schedule(&c.timer, d.First())
}

// connectBy is when the client must have joined a namespace (protocol.md 2.1); 0 once
// it has, or is late, or its first CONNECT waits for its turn. Others have to have theirs in time: else who asks all the
// time for what there is not would stay for ever.
func (c *Client) connectBy() int64 {
	if c.joined == guard.HasJoined || c.late {
		return 0
	}
	by := c.since + int64(c.door.opts.ConnectTimeout)
	switch w := c.waiting(); {
	case w == nil || w.inflow == nil:
		return by
	case w.inflow.late != nil && w.inflow.waited == 0:
		return 0 // limits have its CONNECT wait: that is not the client's doing
	default:
		return by + w.inflow.waited
	}
}

// expelLate ends the session of a client that has joined no namespace in time, and reports whether this is one.
func (c *Client) expelLate(now int64) bool {
	by := c.connectBy()
	if by == 0 || now < by {
		return false
	}
	c.late = true
	c.session.Close(base.CauseForcedClose) // it may be closing already
	return true
}

// Expire implements wheel.Expirer: a heartbeat is due, or the client is late. The
// session, asked too early, names its deadline again.
func (c *Client) Expire(_ *wheel.Timer, now int64) {
	c.expelLate(now)
	c.lookAtTokens()
	c.lookAtLate(now) // after expelLate, whose time does not run while something waits
	c.session.Expire(now)
	c.trim()
}

// trim gives back what a connection that is idle does not need: once a heartbeat.
func (c *Client) trim() {
	c.out.Trim()
	c.trimMeters()
	for _, d := range c.out.Sockets() {
		if s, ok := d.Peer.(trimmer); ok {
			s.Trim()
		}
	}
}

// Closed implements engineio.Host: the session has ended, whoever ended it.
func (c *Client) Closed(cause base.Cause, err error) {
	c.closed = true
	c.door.admission.Leave(c.Remote(), c.joined)
	c.Deadline(0)
	c.finishBacklog()
	c.door.Hub.Hold(budget.Inbound, -c.proto.Held())
	c.abandon(cause)
	c.out.Close(cause)
	c.resign(func(*enrolment) bool { return true })
	c.forgetMeters(nil)
	c.tidy()
	if err != nil {
		c.door.opts.Log.Debug("session closed", "address", c.Remote(), "cause", cause.String(), "error", err)
	}
	switch cause {
	case base.CauseSlowConsumer, base.CauseMemoryBudget, base.CauseDraining, base.CauseAdmin, base.CauseRateLimited:
		// counted when it was decided
	default:
		c.door.Hub.CountCut(cause)
	}
}

// Faulted implements engineio.Host: what was queued before the client broke the protocol is written as far as it is
// taken, its CONNECT answer most of all.
func (c *Client) Faulted(cause base.Cause) {
	c.out.Hasten()
	c.finishBacklog()
	c.dismiss(cause)
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

// dismiss takes the connection's sockets out of their namespaces at once: what
// ends the session may take a while to tell the client. It follows finishBacklog.
func (c *Client) dismiss(cause base.Cause) {
	for _, s := range slices.Clone(c.out.Sockets()) {
		s.Close(cause, nil)
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

// Address implements delivery.Addressed.
func (c *Client) Address() string { return c.Remote().String() }

// Describe implements delivery.Describer.
func (c *Client) Describe(v *survey.Client) {
	v.Address, v.Server, v.Transport = c.Address(), c.door.opts.Name, c.session.Transport()
	v.Since, v.Agent = c.door.Hub.Time(c.since), c.door.Agents.Text(c.agent)
	c.describeLimits(v)
	if k, ok := c.session.Kernel(); ok {
		v.Kernel = &survey.Kernel{
			UnsentBytes: k.NotSent, RTTMs: float64(k.RTT.Microseconds()) / 1000, Retransmits: k.Retransmits,
		}
	}
}

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
