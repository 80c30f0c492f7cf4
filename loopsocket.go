package weir

import (
	"bytes"
	"errors"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/link"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/workers"
)

// loopSocket is a Socket as its loop, the protocol half and the delivery half know it. It is the same struct under
// another name, so that embedders see none of its methods and an idle client pays for no second object.
//
//weir:loop
type loopSocket Socket

var (
	_ link.Socket         = (*loopSocket)(nil)
	_ delivery.SocketPeer = (*loopSocket)(nil)
	_ workers.Owner       = (*desk)(nil)
)

// loop is the socket as its loop knows it.
//
//weir:loop
func (s *Socket) loop() *loopSocket { return (*loopSocket)(s) }

// public is the socket as the application knows it. Any goroutine.
//
//weir:any
func (l *loopSocket) public() *Socket { return (*Socket)(l) }

// socketOf is the Socket that delivery's sends for. Any goroutine.
func socketOf(d *delivery.Socket) (s *Socket, ok bool) {
	l, ok := d.Peer.(*loopSocket)
	return l.public(), ok
}

// apply gives a socket that others decide about the id it will have.
func (l *loopSocket) apply() {
	s := l.public()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ownLocked().id = s.client.Out().NewSocketID()
}

// Behind implements link.Socket.
func (l *loopSocket) Behind() *delivery.Namespace { return l.ns.d }

// Enter implements link.Socket.
func (l *loopSocket) Enter() {
	d := l.enter()
	d.Send(packet.Connect(l.ns.path, d.ID))
	l.ns.welcome(l.public())
	if l.public().proof() != nil {
		l.client.Expect()
	}
}

// enter makes the socket a member and returns its sending half.
func (l *loopSocket) enter() *delivery.Socket {
	s, c := l.public(), l.client
	id, principal := s.identity()
	if id == "" {
		id = c.Out().NewSocketID()
	}
	d := c.Out().OpenSocket(s.ns.d, id, principal, l)
	s.ns.srv.hub.Hold(budget.Inbound, l.Keeps()) // until it is Gone
	s.mu.Lock()
	s.member.Store(d)
	early := s.hasLocked().early
	if own := s.own; own != nil {
		own.id, own.principal, own.early = "", "", nil
		if own.bare() {
			s.own = nil
		}
	}
	s.mu.Unlock()
	if err := d.Lodge(early...); err != nil {
		s.ns.log.Warn("room not joined", "socket", id, "error", err)
	}
	return d
}

// Keeps is how many bytes the auth object has that the client has joined with. It does not change.
func (l *loopSocket) Keeps() int {
	s := l.public()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hasLocked().auth)
}

// Event implements socketio.Socket: an event has arrived.
func (l *loopSocket) Event(in socketio.Incoming) {
	l.ns.count.received.Add(1)
	l.ns.count.receivedBytes.Add(uint64(in.Bytes()))
	if !l.gone.Load() && (l.client.Inbound() == nil || l.admits(&in)) {
		l.take(in)
	}
}

// take makes of an event what it means: a request, or a job for its handlers.
func (l *loopSocket) take(in socketio.Incoming) {
	s := l.public()
	if s.deliveryEvent(&in) {
		return
	}
	raw := in.Args
	if !in.Owned {
		raw = bytes.Clone(raw)
	}
	j := new(eventJob)
	j.Name, j.Args, j.socket, j.id, j.asks = in.Name, Args{args.New(raw, 1, in.Attachments)}, s, in.ID, in.HasID
	l.enqueue(j, in.Bytes())
}

// Answered implements socketio.Socket: a client's ack.
func (l *loopSocket) Answered(id uint64, args []byte, attachments [][]byte) {
	awaited := l.public().out().Answer(id, delivery.Answer{Args: args, Attachments: attachments})
	if awaited || l.gone.Load() {
		return
	}
	l.ns.count.strays.Add(1)
	if l.client.Inbound() != nil {
		l.stray(args, attachments)
	}
}

// Left implements socketio.Socket: the client's DISCONNECT.
func (l *loopSocket) Left() {
	if l.gone.Load() || l.client.Inbound() == nil || l.mayLeave() {
		l.leave()
	}
}

// leave ends the socket of a client that wants to go.
func (l *loopSocket) leave() { l.public().out().Close(base.CauseClientDisconnect, nil) }

// Gone implements delivery.SocketPeer.
func (l *loopSocket) Gone(cause base.Cause) {
	s := l.public()
	d := s.out()
	var rooms []string
	if d != nil && s.ns.hears() { // before the lock: Namespace.mu is taken before Socket.mu, see docs/locks.md
		rooms = d.Rooms()
	}
	s.mu.Lock()
	own := s.ownLocked()
	own.reason, own.rooms = cause.SocketReason(), rooms
	if cause.Expels() {
		s.expelled.Store(true)
	}
	s.gone.Store(true)
	if own.cancel != nil {
		own.cancel(errors.New(own.reason))
	}
	if own.asking != nil {
		own.asking()
	}
	s.mu.Unlock()
	s.client.Left(s.ns.path)
	l.release()
	if d != nil {
		s.ns.srv.hub.Hold(budget.Inbound, -l.Keeps())
		s.ns.farewell(s, cause.SocketReason())
	}
}
