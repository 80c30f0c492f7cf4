package weir

import (
	"net/netip"

	"github.com/streamweir/weir/internal/roster"
)

// Events are callbacks for an embedder's own bookkeeping, called one at a time, in
// the order of what happened, by a goroutine of their own: soon after it, not before
// the server goes on. They may block and may call any method of the server. While
// one does not return, up to 32,768 calls (16 MiB) wait; what is beyond that is
// dropped and counted (weir_events_dropped_total). A panic is logged and counted
// (weir_events_panics_total). The end of Run waits up to 5 s for the last of them.
type Events struct {
	Connected    func(ConnectedEvent)
	Disconnected func(DisconnectedEvent)
	Subscribed   func(SubscribedEvent)
	Cut          func(CutEvent)
	AuthRejected func(AuthRejectedEvent)
	Room         func(RoomEvent)
}

// RoomEvent is one change of a room on this node, told in the order of the changes.
type RoomEvent = roster.Change

// What happens to a room: Socket.IO's adapter events create-room, join-room,
// leave-room and delete-room (protocol.md 2.7).
const (
	RoomCreated = roster.Created
	RoomJoined  = roster.Joined
	RoomLeft    = roster.Left
	RoomDeleted = roster.Deleted
)

// ConnectedEvent says that a socket has joined its namespace.
type ConnectedEvent struct {
	Server, Namespace, ID, Principal, Transport string
	Address                                     netip.Addr
}

// DisconnectedEvent says that a socket has left its namespace.
type DisconnectedEvent struct{ Server, Namespace, ID, Principal, Reason string }

// SubscribedEvent says that a socket has subscribed to a topic, or no longer does.
type SubscribedEvent struct {
	Namespace, ID, Principal, Topic string
	Subscribed                      bool
}

// CutEvent says that the server has cut a connection, and the last state of its
// clients.
type CutEvent struct {
	Cause   string
	Clients []ClientView
}

// AuthRejectedEvent says that a token was refused.
type AuthRejectedEvent struct {
	Action           Action
	Namespace, Topic string
	Address          netip.Addr
	Reason           string
}
