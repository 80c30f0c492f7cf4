package delivery

import "sync"

// RoomChange is what happened to a room on this node: it is created before its first member joins and deleted after
// the last has left. A socket's id is a room of its own (protocol.md 2.7).
type RoomChange struct {
	Namespace, Room string
	Socket          string // who joined or left; "" for RoomCreated and RoomDeleted
	Kind            RoomKind
}

// RoomKind names what happened, as Socket.IO's adapter does.
type RoomKind string

// What happens to a room.
const (
	RoomCreated RoomKind = "create-room"
	RoomJoined  RoomKind = "join-room"
	RoomLeft    RoomKind = "leave-room"
	RoomDeleted RoomKind = "delete-room"
)

// roomWatch counts the members of one namespace's rooms over all shards and tells about changes, one after another.
type roomWatch struct {
	namespace string
	tell      func(RoomChange)

	mu      sync.Mutex
	members map[string]int
	changes []RoomChange // not told yet
	telling bool         // somebody is at it
}

// joined may be called by any shard; nil means that nobody asks.
func (w *roomWatch) joined(room, socket string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	if w.members[room]++; w.members[room] == 1 {
		w.changes = append(w.changes, RoomChange{Namespace: w.namespace, Room: room, Kind: RoomCreated})
	}
	w.changes = append(w.changes, RoomChange{Namespace: w.namespace, Room: room, Socket: socket, Kind: RoomJoined})
	w.mu.Unlock()
	w.report()
}

// left is the other end of joined.
func (w *roomWatch) left(room, socket string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.changes = append(w.changes, RoomChange{Namespace: w.namespace, Room: room, Socket: socket, Kind: RoomLeft})
	if w.members[room]--; w.members[room] == 0 {
		delete(w.members, room)
		w.changes = append(w.changes, RoomChange{Namespace: w.namespace, Room: room, Kind: RoomDeleted})
	}
	w.mu.Unlock()
	w.report()
}

// report tells what has changed in the order it did, without the lock: one shard at a time does so, for all.
func (w *roomWatch) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.telling {
		return
	}
	w.telling = true
	for len(w.changes) > 0 {
		batch := w.changes
		w.changes = nil
		w.mu.Unlock()
		for _, c := range batch {
			w.tell(c)
		}
		w.mu.Lock()
	}
	w.telling = false
}
