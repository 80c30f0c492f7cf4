package delivery

import "github.com/streamweir/weir/internal/roomwatch"

// membership is who is in one namespace on one shard: by id, principal and room.
// The topics' subscribers are kept with the topics. Loop only.
type membership struct {
	sockets    map[string]*Socket
	principals map[string][]*Socket
	rooms      map[string]*room
	search     search           // for the recipients of a job
	round      uint32           // the last search begun; marks who it has seen, and who came later
	bytes      int64            // of rooms and the places in them
	orders     *stream          // what is emitted here and not delivered yet; nil: nothing
	watch      *roomwatch.Watch // nil: nobody asks
}

func newMembership(w *roomwatch.Watch) *membership {
	return &membership{
		watch:   w,
		sockets: make(map[string]*Socket), principals: make(map[string][]*Socket), rooms: make(map[string]*room),
	}
}

// room is a set of sockets that can be walked fast. Each member knows its seat, and each
// seat which place of its socket it is, so that leaving costs the same whatever the
// number of members and of rooms.
type room struct {
	name    string
	members []seat
}

// seat is a room's side of a socket in it.
type seat struct {
	socket *Socket
	place  int32  // index among the socket's places
	since  uint32 // the last search begun when it was taken
}

// place is a socket's side of it.
type place struct {
	room *room
	at   int // index among the room's members
}

// What the budget counts for a room, apart from its name, and for a socket in it.
const (
	roomBytes  = 160
	placeBytes = 32
)

// ties are what few sockets have: the rooms it is in besides that of its id, questions
// to it that are not answered, and snapshots it has not read.
type ties struct {
	places []place
	asked  map[uint64]AckSink
	crowd  *crowd // nil: the lanes are few
	behind []*catchUp
}

// tied returns the socket's ties, to be added to; untie follows when there are less.
func (s *Socket) tied() *ties {
	if s.ties == nil {
		s.ties = new(ties)
	}
	return s.ties
}

// untie forgets them once there are none.
func (s *Socket) untie() {
	if t := s.ties; t != nil && len(t.places)+len(t.asked)+len(t.behind) == 0 && t.crowd == nil {
		s.ties = nil
	}
}

// rooms are the places taken; nil has none.
func (t *ties) rooms() []place {
	if t == nil {
		return nil
	}
	return t.places
}

// catchUps are the snapshots it has not read; nil has none.
func (t *ties) catchUps() []*catchUp {
	if t == nil {
		return nil
	}
	return t.behind
}

// asker is who waits for the answer with that id, nil if nobody does.
func (t *ties) asker(id uint64) AckSink {
	if t == nil {
		return nil
	}
	return t.asked[id]
}

// vacate gives up the i-th place.
func (t *ties) vacate(i int) {
	last := len(t.places) - 1
	if i != last {
		moved := t.places[last]
		t.places[i] = moved
		moved.room.members[moved.at].place = int32(i)
	}
	t.places[last] = place{}
	t.places = t.places[:last]
}

// find returns which place is the one in the room of that name, -1 if none.
func (t *ties) find(name string) int {
	for i, p := range t.rooms() {
		if p.room.name == name {
			return i
		}
	}
	return -1
}

func (m *membership) add(s *Socket) {
	m.sockets[s.ID] = s
	s.seen = m.round           // too late for a search under way
	m.watch.Joined(s.ID, s.ID) // its own room
	if s.Principal != "" {
		m.principals[s.Principal] = append(m.principals[s.Principal], s)
	}
}

func (m *membership) remove(s *Socket) {
	delete(m.sockets, s.ID)
	for n := len(s.ties.rooms()); n > 0; n = len(s.ties.rooms()) {
		m.quit(s, n-1)
	}
	m.watch.Left(s.ID, s.ID)
	if s.Principal == "" {
		return
	}
	rest := m.principals[s.Principal]
	for i, o := range rest {
		if o == s {
			rest[i] = rest[len(rest)-1]
			rest[len(rest)-1] = nil
			rest = rest[:len(rest)-1]
			break
		}
	}
	if len(rest) == 0 {
		delete(m.principals, s.Principal)
	} else {
		m.principals[s.Principal] = rest
	}
}

// join puts s into a room.
func (m *membership) join(s *Socket, name string) {
	if s.in(name) {
		return
	}
	r := m.rooms[name]
	if r == nil {
		r = &room{name: name}
		m.rooms[name] = r
		m.bytes += roomBytes + int64(len(name))
	}
	m.bytes += placeBytes
	t := s.tied()
	t.places = append(t.places, place{room: r, at: len(r.members)})
	r.members = append(r.members, seat{s, int32(len(t.places) - 1), m.round})
	m.watch.Joined(name, s.ID)
}

// leave takes s out of a room, if it is there.
func (m *membership) leave(s *Socket, name string) {
	if i := s.ties.find(name); i >= 0 {
		m.quit(s, i)
	}
}

// quit gives up a socket's i-th place.
func (m *membership) quit(s *Socket, i int) {
	p := s.ties.places[i]
	r, last := p.room, len(p.room.members)-1
	if p.at != last {
		moved := r.members[last]
		r.members[p.at] = moved
		moved.socket.ties.places[moved.place].at = p.at
	}
	r.members[last] = seat{}
	r.members = r.members[:last]
	m.bytes -= placeBytes
	if last == 0 {
		delete(m.rooms, r.name)
		m.bytes -= roomBytes + int64(len(r.name))
	}
	s.ties.vacate(i)
	s.untie()
	m.watch.Left(r.name, s.ID)
}
