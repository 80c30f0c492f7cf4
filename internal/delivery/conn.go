package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wheel"
)

// Peer is what a connection needs of whoever reads it.
//
//weir:loop
type Peer interface {
	// Cut closes the connection for that cause.
	Cut(base.Cause)
	// Reading stops or resumes the reading of the connection.
	Reading(on bool)
}

// Conn is the sending half of one connection: its sockets, and the outbox of their lanes.
//
//weir:loop
type Conn struct {
	box   outbox.Box
	shard *Shard
	peer  Peer

	sockets []*Socket
	next    *Conn    // in the list of dirty connections
	leaving *leaving // nil until Finish

	at      int32 // place among the shard's connections
	dialect base.Dialect
	dirty   bool
	paused  bool // not read, because of answers that the client does not take: see checkReading
	doomed  bool // to be cut, or being cut
}

// leaving is a connection that is closed once everything its events lanes hold is
// written, or when its time is over.
//
//weir:loop
type leaving struct {
	conn     *Conn
	cause    base.Cause
	deadline wheel.Timer
}

// Expire implements wheel.Expirer: the last packets did not go out in time.
func (l *leaving) Expire(*wheel.Timer, int64) { l.conn.peer.Cut(l.cause) }

// Open begins the sending half of a connection on this shard.
func (sh *Shard) Open(out outbox.Outlet, peer Peer) *Conn {
	c := &Conn{box: outbox.To(out), shard: sh, peer: peer, at: int32(len(sh.conns))}
	sh.conns = append(sh.conns, c)
	sh.connections.Add(1)
	return c
}

// Speak says which dialect the client speaks: the one its handshake has settled, and the first dialect if nobody says.
// Package packet must know it. It is called before the connection has a socket.
func (c *Conn) Speak(d base.Dialect) { c.dialect = d }

// Shard returns the shard that owns the connection.
//
//weir:any
func (c *Conn) Shard() *Shard { return c.shard }

// Sockets returns the sockets on the connection.
func (c *Conn) Sockets() []*Socket { return c.sockets }

// Writable says that Window or Control may have something now.
func (c *Conn) Writable() { c.markDirty() }

// OpenSocket makes a socket of namespace n: a member from the start, with its id
// as its room.
func (c *Conn) OpenSocket(n *Namespace, id, principal string, peer SocketPeer) *Socket {
	s := &Socket{ID: id, Principal: principal, Namespace: n, Peer: peer, conn: c}
	c.sockets = append(c.sockets, s)
	c.shard.use(n)
	n.on(c.shard).Add(s)
	n.sockets.Add(1)
	c.shard.sockets.Add(1)
	return s
}

// NewSocketID returns a fresh Socket.IO id for a socket on this connection.
//
//weir:any
func (c *Conn) NewSocketID() string { return newSocketID(c.shard.index) }

// Refuse queues a last packet of a namespace the client could not enter. It is
// never dropped; while such packets pile up the connection is not read.
func (c *Conn) Refuse(n *Namespace, f *base.Frame) {
	if c.closed() {
		return
	}
	c.shard.use(n)
	s := &Socket{Namespace: n, conn: c, closed: true, refusal: true}
	c.sockets = append(c.sockets, s)
	c.shard.force(s, packet.NewMessage(f))
	c.checkReading()
}

// maxRefused is how many namespaces a client may be refused before it is not
// read until it has taken the answers.
const maxRefused = 64

// Send queues a packet of the loop's own making: a CONNECT answer, an ack, an
// answer to a request. It is never dropped, unless the socket has left.
func (s *Socket) Send(f *base.Frame) {
	if !s.closed {
		s.shard().force(s, packet.NewMessage(f))
	}
}

// detach removes the socket from its namespace at once. What its topic lanes hold
// is booked as dropped; its events lane may still be written.
func (s *Socket) detach(cause base.Cause) {
	if s.closed {
		return
	}
	s.closed = true
	if s.Peer != nil {
		s.Peer.Gone(cause)
	}
	sh := s.shard()
	s.Namespace.on(sh).Remove(s)
	s.Namespace.sockets.Add(-1)
	sh.sockets.Add(-1)
	for len(s.lanes) > 0 {
		s.dropLane(s.lanes[len(s.lanes)-1], base.ReasonDisconnect)
	}
	if s.ties == nil {
		return
	}
	for id, sink := range s.ties.asked {
		delete(s.ties.asked, id)
		sink.Answered(s, Answer{Err: ErrClosed})
	}
}

// Close takes the socket out of its namespace. What its topic lanes hold is
// booked as dropped. last, if there is one, is its final packet: it and the events
// queued before are still written, and of the topic lanes what the kernel takes at
// once.
func (s *Socket) Close(cause base.Cause, last *base.Frame) {
	if s.closed {
		return
	}
	if last != nil {
		s.conn.hasten()
		s.shard().force(s, packet.NewMessage(last))
	} else {
		s.shard().closeEvents(s)
	}
	s.detach(cause)
	s.conn.reap(s)
}

// reap forgets a socket that has left and has nothing more to write.
func (c *Conn) reap(s *Socket) {
	if !s.closed || s.events != nil {
		return
	}
	for i, o := range c.sockets {
		if o == s {
			c.sockets[i] = c.sockets[len(c.sockets)-1]
			c.sockets[len(c.sockets)-1] = nil
			c.sockets = c.sockets[:len(c.sockets)-1]
			break
		}
	}
	if c.paused {
		c.markDirty() // flush looks whether reading can go on
	}
}

// Finish closes the connection once everything its events lanes hold is written,
// or when FinishTimeout is over. What its topic lanes hold is written as far as the
// kernel takes it.
func (c *Conn) Finish(cause base.Cause) {
	if c.leaving != nil || c.closed() {
		return
	}
	c.hasten()
	c.shard.leaving.Add(1)
	c.leaving = &leaving{conn: c, cause: cause}
	c.leaving.deadline.Init(c.leaving)
	c.shard.wheel.Schedule(&c.leaving.deadline, c.shard.now+int64(c.shard.hub.opts.FinishTimeout))
	c.markDirty()
}

// Close ends the connection's sending half, booking what its lanes hold as
// dropped by disconnect. The peer calls it when the connection is gone.
func (c *Conn) Close(cause base.Cause) {
	if c.closed() {
		return
	}
	sh := c.shard
	if c.leaving != nil {
		sh.leaving.Add(-1)
		sh.wheel.Stop(&c.leaving.deadline)
	}
	c.box.Close(base.ReasonDisconnect)
	for _, s := range c.sockets {
		sh.closeEvents(s)
		s.detach(cause)
	}
	c.sockets = nil
	last := len(sh.conns) - 1
	sh.conns[c.at] = sh.conns[last]
	sh.conns[c.at].at = c.at
	sh.conns[last] = nil
	sh.conns = sh.conns[:last]
	sh.connections.Add(-1)
}

// Closed reports whether Close was called.
func (c *Conn) Closed() bool { return c.closed() }

func (c *Conn) closed() bool { return c.box.Closed() }

// Depth is how many messages wait for the client, in all lanes.
func (c *Conn) Depth() (n int) {
	for _, s := range c.sockets {
		if s.events != nil {
			n += s.events.Depth()
		}
		for _, l := range s.lanes {
			n += l.Depth()
		}
		for _, c := range s.ties.catchUps() {
			n += c.Depth()
		}
	}
	return n
}

// Trim gives back memory that empty lanes do not need, and the empty lanes
// themselves that emits have made, unless they remember losses.
func (c *Conn) Trim() {
	c.box.Trim()
	for _, s := range c.sockets {
		for i := len(s.lanes) - 1; i >= 0; i-- {
			l := s.lanes[i]
			if !l.subscribed() && l.Depth() == 0 && (l.AllDropped() == 0 || len(s.lanes) > maxIdleLanes) {
				s.dropLane(l, base.ReasonDisconnect)
				continue
			}
			l.Trim()
		}
	}
}

// maxIdleLanes is how many empty lanes a socket may keep for their books alone.
const maxIdleLanes = 64

func (c *Conn) markDirty() {
	if c.dirty || c.closed() {
		return
	}
	c.dirty, c.next = true, nil
	sh := c.shard
	if sh.lastDirty == nil {
		sh.firstDirty = c
	} else {
		sh.lastDirty.next = c
	}
	sh.lastDirty = c
}

// markReady queues a lane that has something to write, which is done at once.
func (c *Conn) markReady(l *outLane) {
	c.box.Add(&l.Lane)
	c.markDirty()
}

// hasten writes what waits, in a flush delay or because the turn is not over, as far
// as the kernel takes it: before lanes are closed by the server's own decision.
func (c *Conn) hasten() {
	for c.box.Waiting() && c.box.Window() > 0 && c.write() {
	}
}

// Hasten writes at once what the connection takes of what waits, where its flush would come too late.
func (c *Conn) Hasten() {
	if !c.closed() {
		c.hasten()
	}
}

// Deaf says whether the client is not read now, for whatever reason. A Peer may implement it.
//
//weir:loop
type Deaf interface{ Deaf() bool }

// Hoarder says what its client makes the server hold besides what waits in lanes: what it has sent and what is not done yet. A
// Peer may implement it.
//
//weir:loop
type Hoarder interface {
	// Held is so many bytes.
	Held() int
}

// hoard is what the client makes the server hold besides what waits in lanes.
func (c *Conn) hoard() int {
	if p, ok := c.peer.(Hoarder); ok {
		return p.Held()
	}
	return 0
}

// deaf reports whether acks of the client are not heard now: their clocks stand still then (architecture.md D10).
func (c *Conn) deaf() bool {
	p, ok := c.peer.(Deaf)
	return ok && p.Deaf()
}

// checkReading stops reading while an events lane is full of answers, which are never dropped (architecture.md D1), and
// resumes it when the lane is less than half full. It is the last resort: whoever makes answers waits from half a lane on
// (Unread), so that only what comes of the loop itself gets here.
func (c *Conn) checkReading() {
	if full := c.full(); full != c.paused && !c.closed() {
		c.paused = full
		c.peer.Reading(!full)
	}
}

// full reports whether reading has to wait for some events lane to empty.
func (c *Conn) full() bool {
	refused := 0
	for _, s := range c.sockets {
		if s.refusal {
			refused++
		}
		if refused > maxRefused {
			return true
		}
		if l := s.events; l != nil && (l.Full() || c.paused && l.Half()) {
			return true
		}
	}
	return false
}

// Unread reports whether a client has not taken half of an events lane.
func (c *Conn) Unread() bool {
	for _, s := range c.sockets {
		if s.events != nil && s.events.Half() {
			return true
		}
	}
	return false
}
