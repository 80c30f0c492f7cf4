package roster

import "sync"

// Change is what happened to a room on this node: it is created before its first member joins and deleted after
// the last has left. A socket's id is a room of its own (protocol.md 2.7).
type Change struct {
	Namespace, Room string
	Socket          string // who joined or left; "" for Created and Deleted
	Kind            Kind
}

// Kind names what happened, as Socket.IO's adapter does.
type Kind string

// The changes of a room.
const (
	Created Kind = "create-room"
	Joined  Kind = "join-room"
	Left    Kind = "leave-room"
	Deleted Kind = "delete-room"
)

// Watch counts the members of a namespace's rooms over all its rosters and tells about changes, one after another, in
// their order. Any goroutine may call its methods; those of nil do nothing: nobody asks.
type Watch struct {
	namespace string
	tell      func(Change)

	mu      sync.Mutex
	members map[string]int
	changes []Change // not told yet
	telling bool     // somebody is at it
}

// NewWatch returns the watch of one namespace. tell must not block; it may be called by any goroutine that calls the watch,
// one at a time, and may itself call it.
func NewWatch(namespace string, tell func(Change)) *Watch {
	return &Watch{namespace: namespace, tell: tell, members: make(map[string]int)}
}

// Joined says that a socket has joined a room.
func (w *Watch) Joined(room, socket string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	if w.members[room]++; w.members[room] == 1 {
		w.changes = append(w.changes, Change{Namespace: w.namespace, Room: room, Kind: Created})
	}
	w.changes = append(w.changes, Change{Namespace: w.namespace, Room: room, Socket: socket, Kind: Joined})
	w.mu.Unlock()
	w.report()
}

// Left says that it has left it.
func (w *Watch) Left(room, socket string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.changes = append(w.changes, Change{Namespace: w.namespace, Room: room, Socket: socket, Kind: Left})
	if w.members[room]--; w.members[room] == 0 {
		delete(w.members, room)
		w.changes = append(w.changes, Change{Namespace: w.namespace, Room: room, Kind: Deleted})
	}
	w.mu.Unlock()
	w.report()
}

// report tells what has changed in the order it did, without the lock: one shard at a time does so, for all.
func (w *Watch) report() {
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
