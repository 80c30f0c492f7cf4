package engineio

import (
	"time"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// While the client wants to leave polling, a GET that waits is ended (protocol.md 1.7): the first at once, those that
// come later after a while, which grows from noopFirst to noopMost: a client that has not seen our 3probe yet comes
// again, and must neither wait long nor spin.
const (
	noopFirst = 10 * time.Millisecond
	noopMost  = 100 * time.Millisecond
)

// overtaken is how old a GET may be that came with our reading 5 and yet was sent after it, on another connection: it is
// answered as after the upgrade.
const overtaken = 2 * noopFirst

// upgrade is the change from polling to websocket (protocol.md 1.7):
//
//	client              server
//	2probe  ----------> 3probe; from now on a GET that waits is ended with 6
//	(its GET and POST are over)
//	5       ----------> websocket carries the session
//
// Packets written before 5 go to a GET, or stay with the host while none waits;
// after 5 the websocket is written to only when the last response has arrived.
// So nothing is lost or reordered.
//
//weir:loop
type upgrade struct {
	socket *transport.WebSocket
	probed bool // 2probe came
	noopAt int64
	pause  int64 // how long the next GET waits for its noop
	gotAt  int64 // when the last GET came since 2probe, if one did
	giveUp int64
}

// got takes note of a GET.
func (u *upgrade) got(now int64) {
	if u == nil || !u.probed {
		return
	}
	u.gotAt, u.noopAt = now, now+u.pause
	u.pause = min(2*u.pause, int64(noopMost))
}

// upgrade is the one under way, nil if there is none.
func (s *Session) upgrade() *upgrade {
	if s.transition == nil {
		return nil
	}
	return s.transition.upgrade
}

// beginProbe takes a second transport. One too many is closed at once; the
// session is not affected.
func (s *Session) beginProbe(socket *transport.WebSocket) {
	socket.Start(&latecomer{s, socket})
	if s.state != open || s.ws != nil || s.upgrade() != nil {
		socket.Close()
		return
	}
	now := s.now()
	s.transition = &transition{upgrade: &upgrade{socket: socket, giveUp: now + int64(s.shard.server.opts.UpgradeTimeout)}}
	s.arm()
}

// endProbe closes the probing websocket, if there is one; the session goes on.
func (s *Session) endProbe() {
	if u := s.upgrade(); u != nil {
		s.transition = nil
		s.shard.server.stats.upgradesFailed.Add(1)
		u.socket.Close()
	}
}

// releaseGet ends the GET that waits, once its client has probed.
func (s *Session) releaseGet(now int64) {
	u := s.upgrade()
	if u == nil || !u.probed {
		return
	}
	u.noopAt = now + int64(noopMost)
	if s.poll.Window() > 0 {
		s.poll.EndGet(eio.Noop)
	}
}

// probePacket takes a packet from the probing websocket.
func (s *Session) probePacket(p eio.Packet) {
	u := s.upgrade()
	now := s.now()
	switch {
	case now >= u.giveUp: // decided by the clock: the timer is late
		s.endProbe()
	case p.Type == eio.Ping && string(p.Data) == eio.Probe:
		frame := transport.AppendText(nil, eio.AppendPacket(nil, eio.Pong, eio.Probe))
		if n, err := u.socket.Write(frame); n < len(frame) || err != nil {
			s.endProbe()
			return
		}
		u.probed, u.noopAt, u.pause = true, now, int64(noopFirst)
		s.releaseGet(now)
		s.arm()
	case p.Type == eio.Upgrade:
		s.change()
	default:
		s.endProbe()
	}
}

// change makes the probing websocket carry the session.
func (s *Session) change() {
	now := s.now()
	if u := s.upgrade(); u.pause > int64(noopFirst) && now-u.gotAt < int64(overtaken) {
		s.poll.RefuseGet(s.shard.refuse(eio.BadRequest))
	}
	s.ws, s.transition = s.upgrade().socket, nil
	s.poll.EndGet(eio.Noop)
	s.heart.moved(now, s.ws.Progress())
	if s.paused {
		s.ws.Pause()
	}
	s.shard.server.stats.upgraded()
	s.dropPolling()
	s.arm()
	s.host.Writable()
}
