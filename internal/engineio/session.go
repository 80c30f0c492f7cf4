package engineio

import (
	"errors"
	"net/netip"
	"time"

	"github.com/streamweir/weir/internal/agenda"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// Session is one Engine.IO session (protocol.md 1): an identity that outlives a
// change of transport.
//
//	open --Close, Abort, the peer, a fault, no heartbeat--> closing --transport done--> closed
//
// Host.Closed is called with the change to closed, in a step of its own.
//
//weir:loop
type Session struct {
	shard *shard
	host  Host
	addr  netip.Addr // of the peer at the handshake, as port
	port  uint16

	opening bool // the open packet waits for Control
	cut     bool // the last Write was taken in part
	paused  bool

	id    sid
	state sessionState

	// Transports: poll carries the session until ws does. After the upgrade
	// poll stays until its last request is over.
	poll *requests
	ws   *transport.WebSocket

	heart      heartbeat
	transition *transition // nil: neither upgrading nor ending
}

// transition is what a session is in the middle of: while it is open an upgrade, or the host's last words; after that its
// end.
type transition struct {
	upgrade *upgrade
	ending  ending
	parting bool   // the host may write one last time, though no GET waits
	words   []byte // the host's last words, a payload for the last GET
}

// ending is why a session ended, for Host.Closed, and the packet that the last GET is told.
type ending struct {
	cause base.Cause
	last  eio.PacketType // over polling
	err   error
}

type sessionState uint8

const (
	open sessionState = iota
	closing
	closed
)

// errSilent is why a session ends whose peer takes bytes and sends none.
var errSilent = errors.New("engineio: no byte came for maxSilence")

// errClosed stops a decoder whose session has been closed by what it decoded.
var errClosed = errors.New("engineio: session closed")

// ID is the session id. It is a credential: it must not be logged or shown.
//
//weir:any
func (s *Session) ID() string { return s.id.spell(s.shard.server.opts.Node, s.shard.index) }

// Loop is the index in Options.Loops of the session's loop.
//
//weir:any
func (s *Session) Loop() int { return s.shard.index }

// Transport is Polling or WebSocket.
func (s *Session) Transport() string {
	if s.ws != nil {
		return WebSocket
	}
	return Polling
}

// RemoteAddr is the peer's address at the handshake.
//
//weir:any
func (s *Session) RemoteAddr() netip.AddrPort { return netip.AddrPortFrom(s.addr, s.port) }

// Window is how many bytes Write takes now; 0 while the connection takes none,
// and after Close. A single packet may exceed it.
func (s *Session) Window() int {
	switch {
	case s.state != open:
		return 0
	case s.ws == nil && s.parts():
		return s.roomForWords()
	case s.ws == nil:
		return s.poll.Window()
	case s.poll != nil && s.poll.Writing():
		return 0 // what polling was given last has to arrive first
	}
	return s.ws.Window()
}

// Write hands over whole server frames, or the rest of a frame of which an
// earlier Write took a part. It returns how many bytes were taken; after fewer
// than len(p) Window is 0 until Host.Writable. It keeps nothing of p. After an
// error the session ends by itself. how is for polling: whether the response may
// be compressed.
func (s *Session) Write(p []byte, how base.Packing) (int, error) {
	if s.Window() == 0 {
		return 0, nil
	}
	if s.ws == nil {
		if s.parts() && s.poll.Window() == 0 {
			s.transition.words = transport.Payload(p)
			return len(p), nil
		}
		return s.poll.Write(p, how)
	}
	n, err := s.ws.Write(p)
	s.cut = n < len(p)
	if err == nil {
		s.noteHanded()
	}
	return n, err
}

// Deflates reports whether Write takes compressed frames: the session is carried by
// a websocket that has agreed to permessage-deflate.
func (s *Session) Deflates() bool { return s.ws != nil && s.ws.Deflates() }

// noteHanded tells the heartbeat that the websocket has all of the batch with
// the ping.
func (s *Session) noteHanded() {
	if s.heart.phase() == taken && !s.cut && s.ws.Window() > 0 {
		s.heart.handed(s.now(), s.ws.Progress())
	}
}

// Control appends the control packets that wait, as server frames; they count
// as sent and belong at the front of the next Write, at a frame boundary. It
// appends nothing while Window is 0.
func (s *Session) Control(dst []byte) []byte {
	if s.Window() == 0 {
		return dst
	}
	if s.opening {
		s.opening = false
		dst = s.appendOpen(dst)
	}
	if s.heart.take() {
		dst = transport.AppendText(dst, eio.Ping.Text())
	}
	if s.ws != nil {
		dst = s.ws.Control(dst)
	}
	return dst
}

func (s *Session) appendOpen(dst []byte) []byte {
	o := &s.shard.server.opts
	return transport.AppendText(dst, eio.AppendOpen(make([]byte, 0, 128), eio.OpenPacket{
		SID:          s.ID(),
		Upgrades:     o.upgrades(s.Transport()),
		PingInterval: o.PingInterval,
		PingTimeout:  o.PingTimeout,
		MaxPayload:   o.MaxHTTPBufferSize,
	}))
}

// Unsent is how many bytes handed over the peer's kernel has not acknowledged,
// -1 where that is unknown; over polling, how many of a response are not
// written. It costs a system call.
func (s *Session) Unsent() int {
	if s.ws != nil {
		return s.ws.Unsent()
	}
	return s.poll.Unsent()
}

// Kernel is what the operating system knows of the connection, false over
// polling and where it does not tell. It costs a system call.
func (s *Session) Kernel() (transport.Kernel, bool) {
	if s.ws == nil {
		return transport.Kernel{}, false
	}
	return s.ws.Kernel()
}

// Pause stops reading from the peer; messages already received may still be
// delivered. It never counts against the peer's heartbeat, but while the peer itself does not take what waits for it
// (Host.Unread): then it has to show life by taking something, as its pong cannot come. Idempotent.
func (s *Session) Pause() {
	s.paused = true
	if s.ws != nil {
		s.ws.Pause()
	}
}

// Resume reads on. Messages that waited come in a step of their own.
// Idempotent.
func (s *Session) Resume() {
	if !s.paused {
		return
	}
	s.paused = false
	s.heart.spare(s.now())
	if s.ws != nil {
		s.ws.Resume()
	} else {
		s.poll.heard = s.now()
	}
	if s.poll != nil && s.poll.post != nil {
		s.shard.post(s.handleWaiting)
	}
}

// Close ends the session in order: the peer is told, and what was written
// before still arrives. Window is 0 from now on and no Message comes.
// Host.Closed follows when the transport is done, at the latest after
// Options.CloseTimeout. Idempotent; the first cause counts.
func (s *Session) Close(cause base.Cause) {
	if s.state != open {
		return
	}
	if s.ws != nil || s.poll.Waiting() {
		s.end(cause, nil, eio.Close)
		return
	}
	s.begin(cause, nil)
	s.awaitGet(s.shard.server.opts.CloseTimeout)
}

// awaitGet gives the client of a closing session that long to come for its last packet.
func (s *Session) awaitGet(d time.Duration) {
	s.poll.giveUp = s.now() + int64(d)
	s.arm()
}

// Abort ends the session at once. Host.Closed follows in a step of its own.
// Idempotent, also after Close; the first cause counts.
func (s *Session) Abort(cause base.Cause) { s.abort(cause, nil) }

func (s *Session) abort(cause base.Cause, err error) {
	if s.state == closed {
		return
	}
	if s.state == open {
		s.begin(cause, err)
	}
	if s.ws != nil {
		s.ws.Abort()
		return
	}
	s.poll.EndGet(eio.Close)
	s.finish()
}

// end closes in order without waiting for a GET: one that waits is answered
// with the packet last.
func (s *Session) end(cause base.Cause, err error, last eio.PacketType) {
	s.begin(cause, err)
	if s.ws != nil {
		s.ws.Close()
		s.arm()
		return
	}
	s.poll.EndGet(last)
	s.finish()
}

// begin leaves the state open; the caller ends the transport.
func (s *Session) begin(cause base.Cause, err error) {
	var words []byte
	if s.transition != nil {
		words = s.transition.words
	}
	s.state = closing
	s.endProbe()
	s.transition = &transition{ending: ending{cause, eio.Close, err}, words: words}
	if s.poll != nil && s.poll.post != nil {
		s.poll.EndPost(s.poll.post.exchange, s.shard.refuse(eio.SessionUnknown))
		s.poll.post = nil
	}
}

// finish leaves the registry and reports to the host.
func (s *Session) finish() {
	if s.state == closed {
		return
	}
	s.state = closed
	s.arm()
	s.shard.remove(s)
	s.shard.post(s.report)
}

func (s *Session) report() {
	s.host.Closed(s.transition.ending.cause, s.transition.ending.err)
	s.shard.server.sessions.leave()
}

// deadline is a kind of time at which something is to be done for a session. Of those due together the first is dealt
// with first.
type deadline uint8

const (
	probeOver  deadline = iota // the upgrade has taken too long
	noopDue                    // the GET that waits is to be ended, so that the client can leave polling
	silenceDue                 // nothing has come for MaxSilence
	beatDue                    // the heartbeat wants to be asked
	farewell                   // no GET came for the last packet
)

// deadlines are those the session has now.
func (s *Session) deadlines() (d agenda.Set[deadline]) {
	switch s.state {
	case open:
		d.Add(beatDue, s.heart.deadline(s.rhythm()))
		if !s.paused {
			d.Add(silenceDue, s.silentAt())
		}
		if u := s.upgrade(); u != nil {
			d.Add(probeOver, u.giveUp)
			if u.probed {
				d.Add(noopDue, u.noopAt)
			}
		}
	case closing:
		if s.ws == nil {
			d.Add(farewell, s.poll.giveUp)
		}
	case closed: // waits for nothing
	}
	return d
}

// arm gives the host the earliest of the session's deadlines. It follows every change of one; silence alone, which every
// byte puts off, is looked at again when its time has come.
func (s *Session) arm() {
	d := s.deadlines()
	s.host.Deadline(d.First())
}

// Rearm has Host.Deadline called: the host has a deadline of its own beside the session's.
func (s *Session) Rearm() { s.arm() }

// Expire is called when the deadline given to Host.Deadline is reached, or earlier; now is Options.Now.
func (s *Session) Expire(now int64) {
	if s.state == closed {
		return
	}
	d := s.deadlines()
	for what, ok := d.Take(now); ok; what, ok = d.Take(now) {
		s.expire(what, now)
	}
	s.arm()
}

// expire deals with what is due, unless what was due before it has changed that.
func (s *Session) expire(what deadline, now int64) {
	switch {
	case what == farewell:
		s.finish()
	case s.state != open:
	case what == probeOver:
		s.endProbe()
	case what == noopDue:
		s.releaseGet(now)
	case what == silenceDue:
		s.abort(base.CausePingTimeout, errSilent)
	case what == beatDue:
		s.expireBeat(now)
	}
}

// rhythm is that of the heartbeat now.
func (s *Session) rhythm() rhythm {
	r := s.shard.rhythm
	r.deaf = s.paused
	return r
}

func (s *Session) expireBeat(now int64) {
	if s.paused && !s.host.Unread() {
		s.heart.spare(now)
	}
	switch s.heart.expire(s.rhythm(), now, s.lastHeard(), s.progress()) {
	case dead:
		s.abort(base.CausePingTimeout, nil)
	case ping:
		s.host.Writable()
	case wait:
	}
}

// silentAt is when the peer has been silent for too long; not while we do not read.
func (s *Session) silentAt() int64 { return s.lastHeard() + int64(s.shard.server.opts.MaxSilence) }

func (s *Session) lastHeard() int64 {
	if s.ws != nil {
		return s.ws.LastRead()
	}
	return s.poll.heard
}

func (s *Session) progress() transport.Progress {
	if s.ws != nil {
		return s.ws.Progress()
	}
	return s.poll.Progress()
}

func (s *Session) now() int64 { return s.shard.server.opts.Now() }

// packet takes one packet from the transport that carries the session. After
// an error the session is closing.
func (s *Session) packet(p eio.Packet) error {
	switch p.Type {
	case eio.Message:
		return s.message(p.Data, p.Binary)
	case eio.Pong:
		if s.heart.phase() < taken {
			s.stray(StrayPong)
		}
		s.heart.pong(s.shard.rhythm, s.now())
		s.arm()
	case eio.Close:
		s.left()
		return errClosed
	case eio.Ping: // a client's in Engine.IO 3 only
		return s.misuse(base.CauseTransportError, errors.New("engineio: ping from a client"))
	case eio.Open, eio.Upgrade, eio.Noop: // stray ones are ignored (protocol.md 1.3)
		s.stray(StrayOther)
	}
	return nil
}

func (s *Session) stray(k Stray) { s.shard.server.stats.strays[k].Add(1) }

// Held is how many bytes are kept of a message of the peer's that is incomplete, or waits for its turn; of a body that has come
// whole, what is left of it. One that is still coming belongs to its request, which has a time limit.
func (s *Session) Held() int {
	switch {
	case s.ws != nil:
		return s.ws.Held()
	case s.poll != nil && s.poll.post != nil:
		return s.poll.post.payload.Left()
	default:
		return 0
	}
}

func (s *Session) message(data []byte, binary bool) error {
	if err := s.host.Message(data, binary); err != nil {
		return s.fault(base.CauseParseError, err)
	}
	if s.state != open {
		return errClosed
	}
	return nil
}
