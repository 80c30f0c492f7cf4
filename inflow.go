package weir

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/link"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/wire/sio"
)

// How an event is held against the limits of its server (ServerLimits.Inbound), before anything is made of it:
//
//	Event ── an ack that a delivery waits for ──────────────────────────> its lane; the server has asked for it
//	      └─ judge ─┬─ within all limits, or only tried ────────────────> take
//	                ├─ throttle ── link.Client.Delay ··> its turn ───────^
//	                ├─ drop ──> limited, in its ack or by weir:error
//	                └─ disconnect ──> weir:error, and the end of the connection; the third time DISCONNECT
//
// CONNECT and DISCONNECT of a namespace are held against the same limits: they cost more than an event, authentication, checks
// and hooks (door.Admits, loopSocket.mayLeave).

// weirNames are the delivery events' names with "weir:", by those without.
var weirNames = func() map[string]string {
	m := make(map[string]string, len(deliveryEvents))
	for name := range deliveryEvents {
		m[name] = "weir:" + name
	}
	return m
}()

// admits reports whether an event may go on now. One that may not has been dealt with, or will arrive later.
func (l *loopSocket) admits(in *socketio.Incoming) bool {
	if l.public().settles(in) {
		return false
	}
	load := guard.Load{Name: in.Name, Alias: l.alias(in.Name), Bytes: in.Bytes()}
	if load.Alias != "" && l.client.Inbound().Topics() && len(in.Args) <= l.ns.request {
		load.Topic = topicOf(in)
	}
	v := l.client.Judge(l.ns.d, l.public().out().Principal, &load)
	if v.Dry != nil {
		l.ns.door.beyond(l.client, l, l.ns.path, in.Name, v.Dry)
	}
	if v.Action == guard.Pass {
		return true
	}
	l.ns.door.beyond(l.client, l, l.ns.path, in.Name, v.Rule)
	switch v.Action {
	case guard.Throttle:
		return !l.late(in, v.At)
	case guard.Drop:
		l.dropped(in, v.Rule, load.Alias != "")
	default:
		l.sendAway(v.Rule)
	}
	return false
}

// stray holds an answer against the limits that nobody waits for: of those that somebody does there are as many as the server
// has asked for.
func (l *loopSocket) stray(args []byte, attachments [][]byte) {
	in := socketio.Incoming{Name: "ack", Args: args, Attachments: attachments}
	v := l.client.Judge(l.ns.d, l.public().out().Principal, &guard.Load{Name: in.Name, Alias: "weir:ack", Bytes: in.Bytes()})
	switch v.Action {
	case guard.Throttle:
		l.client.Delay(strayAnswer{}, v.At, 0)
	case guard.Disconnect:
		l.sendAway(v.Rule)
	default: // nothing would come of it
	}
}

// strayAnswer is an answer that nobody waits for, in its turn.
type strayAnswer struct{}

// Arrive implements link.Late.
func (strayAnswer) Arrive() {}

// alias is the other name of a delivery event, "" of an event of the application.
func (l *loopSocket) alias(name string) string {
	if bare, own := strings.CutPrefix(name, "weir:"); own {
		return bare
	}
	if len(l.ns.opts.Topics) > 0 {
		return weirNames[name]
	}
	return ""
}

// topicOf is the topic that a delivery event is about, nil if it names none. It is a view of the event.
func topicOf(in *socketio.Incoming) []byte {
	texts, _ := sio.TextFields(in.Args, [...]string{"topic", "topic"})
	return texts[0]
}

// settles reports whether an event is an ack that a delivery has waited for, and takes it. There are as many of those as the
// server has sent: they are not counted. An ack of nothing is an event like any other.
//
//weir:loop
func (s *Socket) settles(in *socketio.Incoming) bool {
	if in.Name != "weir:ack" && (in.Name != "ack" || len(s.ns.opts.Topics) == 0) || len(in.Args) > s.ns.request {
		return false
	}
	texts, ok := sio.TextFields(in.Args, ackFields)
	if !ok || !s.out().Ack(string(texts[0]), string(texts[1])) {
		return false
	}
	if in.HasID {
		s.answer(in.ID, map[string]any{"ok": true, "settled": true})
	}
	return true
}

// lateEvent is an event that waits for its turn.
//
//weir:loop
type lateEvent struct {
	l  *loopSocket
	in socketio.Incoming
}

var _ link.Late = (*lateEvent)(nil)

// Arrive implements link.Late.
func (e *lateEvent) Arrive() {
	if !e.l.gone.Load() {
		e.l.take(e.in)
	}
}

// late has an event wait for its turn; false: its client is leaving, so that it cannot.
func (l *loopSocket) late(in *socketio.Incoming, at int64) bool {
	if l.client.Leaving() {
		return false
	}
	e := &lateEvent{l, *in}
	if !in.Owned {
		e.in.Args, e.in.Owned = bytes.Clone(in.Args), true
	}
	return l.client.Delay(e, at, in.Bytes())
}

// dropped tells a client that its event is not dealt with, and why; a delivery event is counted as one that was refused.
func (l *loopSocket) dropped(in *socketio.Incoming, r *guard.InboundRule, delivery bool) {
	s, body := l.public(), refusalOf(beyondRule(r))
	if delivery {
		s.ns.srv.count.requests.Add(body.Code)
	}
	if in.HasID {
		s.answer(in.ID, body)
		return
	}
	body.Event = clipped(in.Name)
	s.tell(body)
}

// beyondRule is what a client is told of a rule.
func beyondRule(r *guard.InboundRule) error { return coded(ErrLimited, r.Says+" (limits.inbound)") }

// sendAway ends the client that has sent too much: its connection, with which it may come back, and the third time its
// socket for good.
func (l *loopSocket) sendAway(r *guard.InboundRule) {
	s, c := l.public(), l.client
	if c.Leaving() {
		return
	}
	why := refusalOf(beyondRule(r))
	out := c.Out()
	out.RecordCut(base.CauseRateLimited)
	if s.ns.srv.strikes.Strike(c.Offender(s.Principal()), time.Now()) {
		s.out().Expel(base.CauseRateLimited, base.CodeLimited, why.Reason)
		return
	}
	s.tell(why)
	s.expelled.Store(true) // what waits for its handlers is not handled
	c.SendAway(base.CauseRateLimited)
}

// Admits implements link.Reception.
//
//weir:loop
func (d *door) Admits(c *link.Client, path string, auth []byte) bool {
	meters := d.srv.lobby // of all paths that are none
	if n := d.namespaces.Find(path); n != nil {
		meters = n.d
	}
	v := c.Judge(meters, "", &guard.Load{Name: guard.ConnectPacket, Packet: true, Bytes: len(auth)})
	if v.Dry != nil {
		d.beyond(c, nil, path, guard.ConnectPacket, v.Dry)
	}
	if v.Action == guard.Pass {
		return true
	}
	d.beyond(c, nil, path, guard.ConnectPacket, v.Rule)
	if v.Action == guard.Throttle {
		return !c.Delay(&lateConnect{c, path, auth}, v.At, len(auth))
	}
	message, data := connectRefusal(beyondRule(v.Rule))
	c.Decline(path, message, data)
	if v.Action == guard.Disconnect && !c.Leaving() {
		d.sendAway(c)
	}
	return false
}

// sendAway ends a client that asks too often to join namespaces. The third time its sockets are told to stay away, too.
//
//weir:loop
func (d *door) sendAway(c *link.Client) {
	c.Out().RecordCut(base.CauseRateLimited)
	if d.srv.strikes.Strike(c.Offender(""), time.Now()) {
		for _, s := range slices.Clone(c.Out().Sockets()) {
			s.Close(base.CauseRateLimited, packet.Disconnect(s.Namespace.Path))
		}
	}
	c.SendAway(base.CauseRateLimited)
}

// lateConnect is a CONNECT that waits for its turn.
//
//weir:loop
type lateConnect struct {
	c    *link.Client
	path string
	auth []byte
}

// Arrive implements link.Late.
func (e *lateConnect) Arrive() { e.c.Join(e.path, e.auth) }

// mayLeave reports whether the client's DISCONNECT is dealt with now. It is later, at its turn, or has been.
func (l *loopSocket) mayLeave() bool {
	v := l.client.Judge(l.ns.d, l.public().out().Principal, &guard.Load{Name: guard.DisconnectPacket, Packet: true})
	if v.Dry != nil {
		l.ns.door.beyond(l.client, l, l.ns.path, guard.DisconnectPacket, v.Dry)
	}
	if v.Action == guard.Pass {
		return true
	}
	l.ns.door.beyond(l.client, l, l.ns.path, guard.DisconnectPacket, v.Rule)
	if v.Action == guard.Throttle {
		return !l.client.Delay(lateLeave{l}, v.At, 0)
	}
	l.sendAway(v.Rule)
	return false
}

// lateLeave is a DISCONNECT that waits for its turn.
//
//weir:loop
type lateLeave struct{ l *loopSocket }

// Arrive implements link.Late.
func (e lateLeave) Arrive() { e.l.leave() }

// beyond notes who has sent more than a rule allows, with the socket that has, if there is one: the first time in the log, after
// that once a minute.
//
//weir:loop
func (d *door) beyond(c *link.Client, l *loopSocket, path, name string, r *guard.InboundRule) {
	if !c.NoteNow() {
		return
	}
	key := guard.RefusalKey{Kind: link.RefusedInbound, Addr: c.Remote(), Detail: r.Says}
	if !d.srv.refusals.Note(key, time.Now(), time.Time{}) {
		return
	}
	said := "a client has sent more than limits.inbound allows"
	if r.DryRun {
		said = "a client has sent more than limits.inbound would allow: nothing was done, dryRun is set"
	}
	var socket, principal string
	if l != nil {
		socket, principal = l.public().ID(), l.public().Principal()
	}
	d.log.Warn(said, "namespace", clipped(path), "socket", socket, "principal", principal, "address", c.Remote(),
		"event", clipped(name), "rule", r.Says, "action", r.Action.String())
}

// sweepDoors forgets principals and addresses that have sent nothing lately, and those that have not come.
func (s *Server) sweepDoors() {
	for _, d := range s.doors {
		d.Sweep(s.hub.Now())
	}
}

// inboundFigures are those of the limits of a server that has some.
func (d *door) inboundFigures() metrics.Inbound {
	x := metrics.Inbound{Server: d.opts.Name, Throttled: int(d.Throttled.Load()), Senders: d.Inbound.Senders()}
	for a := guard.Throttle; a <= guard.Disconnect; a++ {
		for _, dry := range []bool{false, true} {
			x.Beyond = append(x.Beyond, metrics.Beyond{Action: a.String(), DryRun: dry, Events: d.Inbound.Beyond(a, dry)})
		}
	}
	return x
}
