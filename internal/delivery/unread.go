package delivery

import (
	"sync/atomic"

	"github.com/streamweir/weir/internal/lane"
)

// Unread counts what a socket was sent by name and its client has not taken: answers and plain events on their way to its
// events lane, and what waits in that. Whoever makes answers for it asks Ready before the next one, so that what is held for a
// client that reads nothing is half of its events lane and one answer more:
//
//	handler ── direct ──> inbox ──> events lane ──> kernel
//	           coming                level
//	   ^                                │
//	   └── Ready: coming + level are less than half of what the lane may hold
//
// It is kept by whoever runs the socket's handlers, while there are any: see SocketPeer. The zero Unread is ready to use.
type Unread struct {
	coming atomic.Int64 // added to by whoever sends, taken off by the loop
	level  atomic.Int64 // of the lane; the loop's to write
	asked  atomic.Bool  // Ready has said no, and its socket is to be told when it would say yes
}

// How many messages and how many bytes are one number, so that both change at once.
const (
	unreadMessage = 1 << 40
	unreadBytes   = unreadMessage - 1
)

// half reports whether there is as much as half of what a lane of that policy may hold. What is coming is looked at first: the
// loop adds to the level before it takes off here, so that nothing is missed on its way.
func (u *Unread) half(p *lane.Policy) bool {
	n := u.coming.Load()
	n += u.level.Load()
	return 2*(n/unreadMessage) >= int64(p.MaxMessages) || 2*(n&unreadBytes) >= int64(p.MaxBytes)
}

// Ready reports whether the client has taken enough of what it was sent for the next answer to be made, u being the socket's.
// If not, SocketPeer.Taken is called once it has. Any goroutine may call it.
//
//weir:any
func (s *Socket) Ready(u *Unread) bool {
	p := &s.Namespace.events[0].Policy
	if !u.half(p) {
		return true
	}
	u.asked.Store(true)
	return !u.half(p) && u.asked.CompareAndSwap(true, false) // it may have drained before the loop could see that it was asked
}

// sending counts a message that is on its way to the socket's events lane, if anybody asks for that.
//
//weir:any
func (s *Socket) sending(d *direct) {
	if d.topic != nil || s.Peer == nil {
		return
	}
	if d.unread = s.Peer.Unread(); d.unread != nil {
		d.unread.coming.Add(unreadMessage + int64(d.msg.Frame(s.plain()).Len()))
	}
}

// landed takes a message off that was on its way.
//
//weir:loop
func (d *direct) landed() {
	if u := d.unread; u != nil {
		d.socket.noteUnread()
		u.coming.Add(-unreadMessage - int64(d.msg.Frame(d.socket.plain()).Len()))
		d.socket.noteUnread()
	}
}

// noteUnread follows every change of the events lane.
func (s *Socket) noteUnread() {
	if s.Peer == nil {
		return
	}
	u := s.Peer.Unread()
	if u == nil {
		return
	}
	var level int64
	if l := s.events; l != nil {
		level = unreadMessage*int64(l.Depth()) + int64(l.Bytes())
	}
	u.level.Store(level)
	if u.asked.Load() && !u.half(&s.Namespace.events[0].Policy) && u.asked.CompareAndSwap(true, false) {
		s.Peer.Taken()
	}
}

// Counts has u, which the socket's Peer has just begun to keep, know what waits already.
func (s *Socket) Counts() { s.noteUnread() }
