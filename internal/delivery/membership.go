package delivery

// membership is who is in one namespace on one shard: by id, principal and room.
// The topics' subscribers are kept with the topics. Loop only.
type membership struct {
	sockets    map[string]*Socket
	principals map[string][]*Socket
	rooms      map[string]*room
	round      uint64 // the last recipient search; marks sockets already found
	watch      *roomWatch
}

func newMembership(w *roomWatch) *membership {
	return &membership{
		watch:   w,
		sockets: make(map[string]*Socket), principals: make(map[string][]*Socket), rooms: make(map[string]*room),
	}
}

// room is a set of sockets that can be walked fast: each member knows its place.
type room struct {
	name    string
	members []*Socket
}

// place is a socket's seat in a room.
type place struct {
	room *room
	at   int
}

func (m *membership) add(s *Socket) {
	m.sockets[s.ID] = s
	m.watch.joined(s.ID, s.ID) // its own room
	if s.Principal != "" {
		m.principals[s.Principal] = append(m.principals[s.Principal], s)
	}
}

func (m *membership) remove(s *Socket) {
	delete(m.sockets, s.ID)
	for len(s.rooms) > 0 {
		m.leave(s, s.rooms[len(s.rooms)-1].room.name)
	}
	s.rooms = nil
	m.watch.left(s.ID, s.ID)
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
	}
	s.rooms = append(s.rooms, place{room: r, at: len(r.members)})
	r.members = append(r.members, s)
	m.watch.joined(name, s.ID)
}

// leave takes s out of a room, if it is there.
func (m *membership) leave(s *Socket, name string) {
	for i, p := range s.rooms {
		if p.room.name != name {
			continue
		}
		r, last := p.room, len(p.room.members)-1
		moved := r.members[last]
		r.members[p.at] = moved
		r.members[last] = nil
		r.members = r.members[:last]
		if moved != s {
			moved.seat(r).at = p.at
		}
		if last == 0 {
			delete(m.rooms, r.name)
		}
		s.rooms[i] = s.rooms[len(s.rooms)-1]
		s.rooms = s.rooms[:len(s.rooms)-1]
		m.watch.left(name, s.ID)
		return
	}
}

// each calls f once for every socket in any of rooms and in none of except;
// no rooms means all sockets. f may close the socket it is given.
func (m *membership) each(rooms, except []string, f func(*Socket)) {
	m.round++
	round := m.round
	m.mark(except, round)
	visit := func(s *Socket) {
		if s.seen != round {
			s.seen = round
			f(s)
		}
	}
	if rooms == nil {
		for _, s := range m.sockets {
			visit(s)
		}
		return
	}
	for _, name := range rooms {
		if s := m.sockets[name]; s != nil {
			visit(s)
		}
		if r := m.rooms[name]; r != nil {
			for i := len(r.members) - 1; i >= 0; i-- { // backwards: f may remove the one it is given
				if i < len(r.members) {
					visit(r.members[i])
				}
			}
		}
	}
}

// mark makes the sockets of rooms count as found already.
func (m *membership) mark(rooms []string, round uint64) {
	for _, name := range rooms {
		if s := m.sockets[name]; s != nil {
			s.seen = round
		}
		if r := m.rooms[name]; r != nil {
			for _, s := range r.members {
				s.seen = round
			}
		}
	}
}
