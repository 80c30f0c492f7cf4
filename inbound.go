package weir

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/wire/sio"
)

// InboundAction says what becomes of an event beyond an InboundLimit.
type InboundAction string

// What becomes of an event beyond an InboundLimit.
const (
	// InboundThrottle, the default: it waits for its turn, and the client's connection is not read meanwhile, so that the client
	// sends at the rate it may. Nothing is lost, and its pings are not missed.
	InboundThrottle InboundAction = "throttle"
	// InboundDrop answers it with ErrLimited: in its ack, or without a callback by weir:error.
	InboundDrop InboundAction = "drop"
	// InboundDisconnect ends the client with weir:error, for the cause rate_limited. It may come back; the third time within ten
	// minutes it is told to go with a DISCONNECT, and official clients do not come back by themselves.
	InboundDisconnect InboundAction = "disconnect"
)

// InboundScope says what an InboundLimit counts together.
type InboundScope string

// What an InboundLimit counts together.
const (
	InboundPerSocket    InboundScope = "socket"    // the default: a client in a namespace
	InboundPerPrincipal InboundScope = "principal" // in all namespaces of the server; who has proved nothing counts by address
	InboundPerAddress   InboundScope = "address"   // of IPv6 a /64; a connection without an IP address is not counted
)

// InboundLimit bounds what clients may send: in no Window more than twice as much is let through, in the long run no more than
// Messages and Bytes, and whoever sends at most half of that in any Window is never stopped (docs/guide/security.md).
// Acks that somebody waits for are not counted.
type InboundLimit struct {
	// Events are the names it is about: a name, or a prefix that ends in "*"; default "*". Delivery events have both of their
	// names, "publish" and "weir:publish". The packets by which a client joins a namespace and leaves it are "connect" and
	// "disconnect": "*" means them too, other prefixes do not. A CONNECT beyond a limit is answered by CONNECT_ERROR; no drop
	// stops a DISCONNECT.
	Events string
	// Topics are the topics of delivery events it is about, as Events; "": any, and also events that have no topic.
	Topics string
	// Messages and Bytes, of arguments and attachments, in a Window; default 100 and 1 MiB; Off: any number, of one of them.
	Messages, Bytes int
	Window          time.Duration // default 1 s; 1 ms to an hour
	Action          InboundAction
	Per             InboundScope
	DryRun          bool // counts and logs what it would do, and lets everything through
}

// The defaults and bounds of an InboundLimit.
const (
	defaultInboundMessages = 100
	defaultInboundBytes    = 1 << 20
	defaultInboundWindow   = time.Second
	maxInboundLimits       = 32 // each costs every event
)

// rules are the limits as they are applied.
func (l *ServerLimits) rules() (list []guard.InboundRule) {
	for i := range l.Inbound {
		list = append(list, l.Inbound[i].rule())
	}
	return list
}

func (l *InboundLimit) rule() guard.InboundRule {
	actions := map[InboundAction]guard.InboundAction{
		"": guard.Throttle, InboundThrottle: guard.Throttle, InboundDrop: guard.Drop, InboundDisconnect: guard.Disconnect,
	}
	scopes := map[InboundScope]guard.InboundScope{
		"": guard.PerSocket, InboundPerSocket: guard.PerSocket, InboundPerPrincipal: guard.PerPrincipal, InboundPerAddress: guard.PerAddress,
	}
	return guard.InboundRule{
		Quota: guard.Quota{
			Messages: max(orDefault(l.Messages, defaultInboundMessages), 0),
			Bytes:    max(orDefault(l.Bytes, defaultInboundBytes), 0),
			Window:   orDefault(l.Window, defaultInboundWindow),
		},
		Events: orDefault(l.Events, "*"), Topics: l.Topics, Action: actions[l.Action], Per: scopes[l.Per], DryRun: l.DryRun,
	}
}

func (l *ServerLimits) validateInbound(p *problems, at string) {
	if len(l.Inbound) > maxInboundLimits {
		p.add("%s.Inbound: %d limits: want at most %d, each event is held against all", at, len(l.Inbound), maxInboundLimits)
	}
	for i := range l.Inbound {
		l.Inbound[i].validate(p, at+".Inbound", i)
	}
}

func (l *InboundLimit) validate(p *problems, list string, i int) {
	at := fmt.Sprintf("%s[%d]", list, i)
	pattern(p, at+".Events", l.Events)
	pattern(p, at+".Topics", l.Topics)
	l.validatePacket(p, at)
	within(p, at+".Messages", l.Messages, Off, math.MaxInt32)
	within(p, at+".Bytes", l.Bytes, Off, math.MaxInt32)
	if l.Messages == Off && l.Bytes == Off {
		p.add("%s.Messages: is Off, and so is Bytes: it would limit nothing", at)
	}
	if l.Window != 0 {
		within(p, at+".Window", l.Window, time.Millisecond, guard.MaxWindow)
	}
	switch l.Action {
	case "", InboundThrottle, InboundDrop, InboundDisconnect:
	default:
		p.add("%s.Action %q: want throttle, drop or disconnect", at, l.Action)
	}
	switch l.Per {
	case "", InboundPerSocket, InboundPerPrincipal, InboundPerAddress:
	default:
		p.add("%s.Per %q: want socket, principal or address", at, l.Per)
	}
}

// validatePacket refuses a limit of packets that would stop none.
func (l *InboundLimit) validatePacket(p *problems, at string) {
	packet := l.Events == guard.ConnectPacket || l.Events == guard.DisconnectPacket
	switch {
	case sio.Reserved(l.Events) && !packet:
		p.add("%s.Events %q: no client can send it", at, l.Events)
	case packet && l.Topics != "":
		p.add("%s.Topics %q: a %s has no topic", at, l.Topics, l.Events)
	case l.Events == guard.DisconnectPacket && l.Action == InboundDrop:
		p.add("%s.Action %q: would do nothing, a client that wants to go goes: limit \"connect\", or throttle", at, l.Action)
	}
}

// pattern refuses a pattern that would never match as its author thinks.
func pattern(p *problems, at, text string) {
	if prefix, _ := strings.CutSuffix(text, "*"); strings.Contains(prefix, "*") {
		p.add("%s %q: a * is at the end of a pattern", at, text)
	}
	if len(text) > maxTopicName {
		p.add("%s: a pattern of %d bytes: want at most %d", at, len(text), maxTopicName)
	}
}
