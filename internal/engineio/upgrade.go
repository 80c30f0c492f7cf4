package engineio

import (
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// noopEvery is how often a waiting GET is ended while the client wants to leave
// polling (protocol.md 1.7).
const noopEvery = 100 * time.Millisecond

// link is a websocket and the session it belongs to, which it carries, probes,
// or, dismissed, ignores.
type link struct {
	session *Session
	socket  *transport.WebSocket
}

// upgrade is the change from polling to websocket (protocol.md 1.7):
//
//	client              server
//	2probe  ----------> 3probe; from now on a GET that waits is ended with 6
//	(its GET and POST are over)
//	5       ----------> websocket carries the session
//
// What is written until 5 goes to a GET, or stays with the host while none
// waits; after it, nothing is written before the last response has arrived. So
// nothing is lost or reordered.
type upgrade struct {
	probe  *link // nil: none
	probed bool  // 2probe came
	noopAt int64
	giveUp int64
}

// earliest is at, or an earlier time at which the upgrade wants to be asked.
func (u *upgrade) earliest(at int64) int64 {
	if u.probe == nil {
		return at
	}
	at = min(at, u.giveUp)
	if u.probed {
		at = min(at, u.noopAt)
	}
	return at
}

// beginProbe takes a second transport. One too many is closed at once; the
// session is not affected.
func (s *Session) beginProbe(l *link) {
	l.socket.Start(l)
	if s.state != open || s.ws != nil || s.upgrade.probe != nil {
		l.socket.Close()
		return
	}
	now := s.now()
	s.upgrade = upgrade{probe: l, giveUp: now + int64(s.shard.server.opts.UpgradeTimeout)}
	s.arm(now)
}

// endProbe closes the probing websocket, if there is one; the session goes on.
func (s *Session) endProbe() {
	if l := s.upgrade.probe; l != nil {
		s.upgrade = upgrade{}
		s.shard.server.stats.upgradesFailed.Add(1)
		l.socket.Close()
	}
}

func (s *Session) expireUpgrade(now int64) {
	u := &s.upgrade
	if u.probe == nil {
		return
	}
	if now >= u.giveUp {
		s.endProbe()
		return
	}
	if u.probed && now >= u.noopAt {
		u.noopAt = now + int64(noopEvery)
		if s.poll.Window() > 0 {
			s.poll.EndGet(eio.Noop)
		}
	}
}

// probePacket takes a packet from the probing websocket.
func (s *Session) probePacket(l *link, p eio.Packet) {
	switch {
	case p.Type == eio.Ping && string(p.Data) == "probe":
		frame := transport.AppendText(nil, []byte("3probe"))
		if n, err := l.socket.Write(frame); n < len(frame) || err != nil {
			s.endProbe()
			return
		}
		now := s.now()
		s.upgrade.probed, s.upgrade.noopAt = true, now+int64(noopEvery)
		s.arm(now)
	case p.Type == eio.Upgrade:
		s.change(l)
	default:
		s.endProbe()
	}
}

// change makes the websocket carry the session.
func (s *Session) change(l *link) {
	now := s.now()
	s.upgrade = upgrade{}
	s.ws = l
	s.poll.EndGet(eio.Noop)
	s.heart.moved(now, l.socket.Progress())
	if s.paused {
		l.socket.Pause()
	}
	s.shard.server.stats.upgraded()
	s.dropPolling()
	s.arm(now)
	s.host.Writable()
}

// Message is called by the websocket.
func (l *link) Message(data []byte, binary bool) error {
	s := l.session
	p := eio.Packet{Type: eio.Message, Data: data, Binary: true}
	if !binary {
		var err error
		if p, err = eio.ParsePacket(data); err != nil {
			return l.malformed(err)
		}
	}
	switch {
	case l == s.ws && s.state == open:
		return s.packet(p)
	case l == s.upgrade.probe:
		s.probePacket(l, p)
	}
	return nil
}

func (l *link) malformed(err error) error {
	s := l.session
	switch l {
	case s.ws:
		return s.fault(base.CauseParseError, err)
	case s.upgrade.probe:
		s.endProbe()
	}
	return nil
}

// Writable is called by the websocket.
func (l *link) Writable() {
	s := l.session
	switch {
	case l == s.ws && s.state == open:
		s.noteHanded()
		s.host.Writable()
	case l != s.ws && s.state != closed:
		l.pong()
	}
}

// pong answers a ping frame on a websocket whose Control nobody asks for.
func (l *link) pong() {
	if frame := l.socket.Control(nil); len(frame) > 0 {
		if n, err := l.socket.Write(frame); n < len(frame) || err != nil {
			l.socket.Abort()
		}
	}
}

// Closed is called by the websocket.
func (l *link) Closed(cause base.Cause, err error) {
	s := l.session
	switch l {
	case s.ws:
		if s.state == open {
			s.begin(cause, err)
		}
		s.finish()
	case s.upgrade.probe:
		s.endProbe()
	}
}
