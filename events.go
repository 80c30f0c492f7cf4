package weir

import (
	"net/netip"

	"github.com/streamweir/weir/internal/roomwatch"
)

// Events are callbacks for an embedder's own bookkeeping. They are called on the
// server's loops and must not block.
type Events struct {
	Connected    func(ConnectedEvent)
	Disconnected func(DisconnectedEvent)
	Subscribed   func(SubscribedEvent)
	Cut          func(CutEvent)
	AuthRejected func(AuthRejectedEvent)
	Room         func(RoomEvent)
}

// RoomEvent is one change of a room on this node, told in the order of the changes.
type RoomEvent = roomwatch.Change

// What happens to a room: Socket.IO's adapter events create-room, join-room,
// leave-room and delete-room (protocol.md 2.7).
const (
	RoomCreated = roomwatch.Created
	RoomJoined  = roomwatch.Joined
	RoomLeft    = roomwatch.Left
	RoomDeleted = roomwatch.Deleted
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
