// Package roster is who is in which room, and whom a target means. A namespace has a roster on
// each shard, of the sockets there.
//
// It is pure (architecture.md D6): it knows no shard, lane or lock, and a roster belongs to one goroutine.
// Only Watch, which the rosters of a namespace share, may be called by several.
//
// A member and a room point at each other, so that leaving costs the same whatever the number of
// members and of rooms:
//
//	member.Places()[i] = {room, at}  <───>  room.members[at] = {member, i}
package roster

// Member is who can be in a roster: in one at a time. What Mark and Places return is the
// roster's alone to change.
type Member[M any] interface {
	comparable
	// Identity is the member's id, a room of its own, and its principal, "" for none. Neither
	// changes while it is in.
	Identity() (id, principal string)
	// Mark is where a search notes that it is done with the member. At first it is 0.
	Mark() *uint32
	// Places are the rooms the member is in besides its own; nil if there are none. With want
	// they are there when it returns.
	Places(want bool) *Places[M]
	// Vacated says that the last place was given up: Places may be nil from now on.
	Vacated()
}

// Places are a member's side of the rooms it is in. The zero value has none.
type Places[M any] struct{ list []place[M] }

// place is one of them.
type place[M any] struct {
	room *room[M]
	at   int // index among the room's members
}

// Len is how many there are; nil has none.
func (p *Places[M]) Len() int {
	if p == nil {
		return 0
	}
	return len(p.list)
}

// all are the places; nil has none.
func (p *Places[M]) all() []place[M] {
	if p == nil {
		return nil
	}
	return p.list
}

// find returns which place is the one in the room of that name, -1 if none.
func (p *Places[M]) find(name string) int {
	for i, at := range p.all() {
		if at.room.name == name {
			return i
		}
	}
	return -1
}

// vacate gives up the i-th place.
func (p *Places[M]) vacate(i int) {
	last := len(p.list) - 1
	if i != last {
		moved := p.list[last]
		p.list[i] = moved
		moved.room.members[moved.at].place = int32(i)
	}
	p.list[last] = place[M]{}
	p.list = p.list[:last]
}

// room is a set of members that can be walked fast.
type room[M any] struct {
	name    string
	members []seat[M]
}

// seat is a room's side of a member in it.
type seat[M any] struct {
	member M
	place  int32  // index among the member's places
	since  uint32 // the last search begun when it was taken
}

// The memory of a room apart from its name, and of a member in it, in bytes.
const (
	roomBytes  = 160
	placeBytes = 32
)

// Roster is a set of members by id, principal and room.
type Roster[M Member[M]] struct {
	members    map[string]M
	principals map[string][]M
	rooms      map[string]*room[M]
	bytes      int64
	watch      *Watch
	search     search[M]
	round      uint32 // the last search begun; marks whom it is done with, and who came later
}

// New returns an empty roster that tells w of its rooms; nil: nobody asks.
func New[M Member[M]](w *Watch) *Roster[M] {
	r := new(Roster[M])
	r.Init(w)
	return r
}

// Init makes r, which is zero, what New returns.
func (r *Roster[M]) Init(w *Watch) {
	r.watch = w
	r.members, r.principals, r.rooms = make(map[string]M), make(map[string][]M), make(map[string]*room[M])
}

// Len is how many members there are.
func (r *Roster[M]) Len() int { return len(r.members) }

// Principals is how many principals they have, and Rooms how many rooms they are in besides
// their own.
func (r *Roster[M]) Principals() int { return len(r.principals) }

// Rooms is how many rooms there are, those of one member's id apart.
func (r *Roster[M]) Rooms() int { return len(r.rooms) }

// Bytes is what the rooms and the places in them hold.
func (r *Roster[M]) Bytes() int64 { return r.bytes }

// Find returns the member with that id.
func (r *Roster[M]) Find(id string) (m M, ok bool) {
	m, ok = r.members[id]
	return m, ok
}

// Add takes a member in. There must be none with its id.
func (r *Roster[M]) Add(m M) {
	id, principal := m.Identity()
	r.members[id] = m
	*m.Mark() = r.round // too late for a search under way
	r.watch.Joined(id, id)
	if principal != "" {
		r.principals[principal] = append(r.principals[principal], m)
	}
}

// Remove takes a member out, of all rooms first.
func (r *Roster[M]) Remove(m M) {
	id, principal := m.Identity()
	delete(r.members, id)
	for n := m.Places(false).Len(); n > 0; n = m.Places(false).Len() {
		r.quit(m, n-1)
	}
	r.watch.Left(id, id)
	if principal == "" {
		return
	}
	rest := r.principals[principal]
	for i, o := range rest {
		if o == m {
			last := len(rest) - 1
			rest[i] = rest[last]
			clear(rest[last:])
			rest = rest[:last]
			break
		}
	}
	if len(rest) == 0 {
		delete(r.principals, principal)
	} else {
		r.principals[principal] = rest
	}
}

// In reports whether a member is in the room of that name.
func In[M Member[M]](m M, name string) bool {
	id, _ := m.Identity()
	return name == id || m.Places(false).find(name) >= 0
}

// RoomsOf returns the rooms a member is in, its own first.
func RoomsOf[M Member[M]](m M) []string {
	id, _ := m.Identity()
	places := m.Places(false).all()
	names := make([]string, 0, len(places)+1)
	names = append(names, id)
	for _, p := range places {
		names = append(names, p.room.name)
	}
	return names
}

// Cost is how much Bytes grows when one more member joins a room.
func (r *Roster[M]) Cost(name string) int64 {
	if r.rooms[name] != nil {
		return placeBytes
	}
	return placeBytes + roomBytes + int64(len(name))
}

// Join puts a member into a room, if it is not in.
func (r *Roster[M]) Join(m M, name string) {
	if In(m, name) {
		return
	}
	r.bytes += r.Cost(name)
	to := r.rooms[name]
	if to == nil {
		to = &room[M]{name: name}
		r.rooms[name] = to
	}
	p := m.Places(true)
	p.list = append(p.list, place[M]{room: to, at: len(to.members)})
	to.members = append(to.members, seat[M]{m, int32(len(p.list) - 1), r.round})
	id, _ := m.Identity()
	r.watch.Joined(name, id)
}

// Leave takes a member out of a room, if it is in. Nobody leaves the room of its own id.
func (r *Roster[M]) Leave(m M, name string) {
	if i := m.Places(false).find(name); i >= 0 {
		r.quit(m, i)
	}
}

// quit gives up a member's i-th place.
func (r *Roster[M]) quit(m M, i int) {
	places := m.Places(false)
	p := places.list[i]
	from, last := p.room, len(p.room.members)-1
	if p.at != last {
		moved := from.members[last]
		from.members[p.at] = moved
		moved.member.Places(false).list[moved.place].at = p.at
	}
	clear(from.members[last:])
	from.members = from.members[:last]
	r.bytes -= placeBytes
	if last == 0 {
		delete(r.rooms, from.name)
		r.bytes -= roomBytes + int64(len(from.name))
	}
	places.vacate(i)
	if places.Len() == 0 {
		m.Vacated()
	}
	id, _ := m.Identity()
	r.watch.Left(from.name, id)
}
