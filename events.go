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

// RoomEvent is one change of a room on this node, told in the order of the changes: it is
// created before its first member joins and deleted after the last has left. A socket's id
// is a room of its own.
type RoomEvent struct {
	Namespace, Room string
	Socket          string // who joined or left, by Socket.IO id; "" for RoomCreated and RoomDeleted
	Kind            RoomChange
}

// RoomChange is what happens to a room, by the name of Socket.IO's adapter event.
type RoomChange string

// What happens to a room.
const (
	RoomCreated RoomChange = "create-room"
	RoomJoined  RoomChange = "join-room"
	RoomLeft    RoomChange = "leave-room"
	RoomDeleted RoomChange = "delete-room"
)

// watch returns what delivery tells about rooms; nil: nobody asks.
func (e *Events) watch() func(roster.Change) {
	f := e.Room
	if f == nil {
		return nil
	}
	return func(c roster.Change) {
		f(RoomEvent{Namespace: c.Namespace, Room: c.Room, Socket: c.Socket, Kind: RoomChange(c.Kind)})
	}
}

// ConnectedEvent says that a socket has joined its namespace.
type ConnectedEvent struct {
	Server    string // ServerOptions.Name
	Namespace string
	ID        string // Socket.IO id
	Principal string // "" if nobody asked
	Transport string // polling or websocket
	Address   netip.Addr
}

// DisconnectedEvent says that a socket has left its namespace.
type DisconnectedEvent struct {
	Server    string // ServerOptions.Name
	Namespace string
	ID        string // Socket.IO id
	Principal string // "" if nobody asked
	Reason    string // Socket.IO's, such as "transport close": see docs/errors.md
}

// SubscribedEvent says that a socket has subscribed to a topic, or no longer does.
type SubscribedEvent struct {
	Namespace, ID, Principal, Topic string
	Subscribed                      bool
}

// CutEvent says that the server has cut a connection, and the last state of its
// clients.
type CutEvent struct {
	Cause   string       // see docs/errors.md, close causes
	Clients []ClientView // one for each namespace that the connection was in
}

// AuthRejectedEvent says that a token was refused.
type AuthRejectedEvent struct {
	Action           Action
	Namespace, Topic string
	Address          netip.Addr
	Reason           string // as the client is told
}
