package delivery

import (
	"reflect"
	"slices"
)

// lookCost is how many sockets a search may look at for what an offer costs: each is
// somewhere else in memory.
const lookCost = 2

// search finds the sockets a target means, each once, in as many steps as it takes: a
// namespace of 50,000 sockets, or a room, is never walked in one. One search at a time
// goes on in a membership, so one mark in each socket, and one in each seat, is enough:
//
//	Socket.seen == round    found, excepted, or not yet here when the search began
//	seat.since == round     the socket has come into the room since
//
// Between two slices members come and go. Lists are walked from their end to their
// beginning: who comes stands behind those still to be seen, and is marked; who goes
// leaves its place to the last member, so one that is still to be seen moves to where it
// still will be, and one that is not to be found is known by its mark. So nobody who
// stays is passed over, nobody is found twice, and who comes later is not found. Who
// leaves a room of the target's meanwhile may be left out, though another of them takes
// it in. The zero search is none.
type search struct {
	of    *underWay // whose chosen it fills; nil: no search is under way
	to    *Target
	looks int // what is left of the slice

	nth     int             // the list that is walked, of the target's Except and Rooms in a row
	entered bool            // it has been begun
	left    int             // how many of its first members are still to be seen
	all     reflect.MapIter // in the namespace's sockets: a range over a map that pauses
}

// choose goes on finding whom a job is for until spent reaches most. If the search of
// another stream's job is under way it helps that one first.
func (sh *Shard) choose(n *Namespace, to *Target, u *underWay, most int) (done bool) {
	m := sh.namespaces[n]
	for sh.spent < most {
		if m.search.of == nil {
			m.begin(to, u)
		}
		of, looks := m.search.of, (most-sh.spent)*lookCost
		m.search.looks = looks
		if done = m.goOn(); done {
			of.choosing, of.left = false, len(of.chosen)
			m.search.of, m.search.to = nil, nil
		}
		sh.spent += (looks - m.search.looks) / lookCost
		if done && of == u {
			return true
		}
	}
	return false
}

// begin begins a search: whoever comes from now on is not found.
func (m *membership) begin(t *Target, u *underWay) {
	m.nextRound()
	f := &m.search
	f.of, f.to, f.nth, f.entered = u, t, 0, false
}

// goOn goes on with the search under way, until the slice is used up or it is done.
func (m *membership) goOn() (done bool) {
	f := &m.search
	t := f.to
	switch {
	case t.Socket != "":
		if s := m.sockets[t.Socket]; s != nil {
			m.lookWhole(s)
		}
		return true
	case t.Principal != "":
		return m.walkPrincipal()
	}
	for ; f.nth < len(t.Except)+len(t.Rooms); f.nth++ {
		if !m.walkRoom() {
			return false
		}
	}
	return t.Rooms != nil || m.walkAll()
}

// look marks a socket, and finds it unless its room is excepted.
func (m *membership) look(s *Socket) {
	f := &m.search
	f.looks--
	if s.seen == m.round {
		return
	}
	s.seen = m.round
	if f.nth >= len(f.to.Except) {
		f.of.chosen = append(f.of.chosen, s)
	}
}

// lookWhole finds a socket if the whole target means it, which takes longer the more
// rooms there are to compare.
func (m *membership) lookWhole(s *Socket) {
	f := &m.search
	t := f.to
	f.looks -= 1 + (len(t.Rooms)+len(t.Except))*len(s.ties.rooms())/lookCost
	if s.seen == m.round {
		return
	}
	s.seen = m.round
	was := func(name string) bool { return m.was(s, name) }
	if (t.Principal == "" || s.Principal == t.Principal) &&
		(t.Rooms == nil || slices.ContainsFunc(t.Rooms, was)) && !slices.ContainsFunc(t.Except, was) {
		f.of.chosen = append(f.of.chosen, s)
	}
}

// was reports whether a socket has been in a room since before the search.
func (m *membership) was(s *Socket, name string) bool {
	return name == s.ID || slices.ContainsFunc(s.ties.rooms(), func(p place) bool {
		return p.room.name == name && p.room.members[p.at].since != m.round
	})
}

// walkPrincipal goes on through the sockets of the target's principal.
func (m *membership) walkPrincipal() (done bool) {
	f := &m.search
	members := m.principals[f.to.Principal]
	f.enter(len(members))
	for f.left = min(f.left, len(members)); f.left > 0 && f.looks > 0; f.left-- {
		m.lookWhole(members[f.left-1])
	}
	return f.leave()
}

// walkRoom goes on through the nth room; the one whose id it is belongs to it.
func (m *membership) walkRoom() (done bool) {
	f := &m.search
	if f.looks <= 0 {
		return false
	}
	name := ""
	if i := f.nth - len(f.to.Except); i < 0 {
		name = f.to.Except[f.nth]
	} else {
		name = f.to.Rooms[i]
	}
	var members []seat
	if r := m.rooms[name]; r != nil {
		members = r.members
	}
	if f.enter(len(members)) {
		f.looks--
		if s := m.sockets[name]; s != nil {
			m.look(s)
		}
	}
	for f.left = min(f.left, len(members)); f.left > 0 && f.looks > 0; f.left-- {
		if at := members[f.left-1]; at.since != m.round {
			m.look(at.socket)
		} else {
			f.looks--
		}
	}
	return f.leave()
}

// walkAll goes on through the namespace.
func (m *membership) walkAll() (done bool) {
	f := &m.search
	if f.enter(0) {
		f.all.Reset(reflect.ValueOf(m.sockets))
	}
	for f.looks > 0 {
		if !f.all.Next() {
			f.all.Reset(reflect.Value{})
			return true
		}
		m.look(f.all.Value().Interface().(*Socket))
	}
	return false
}

// enter begins a list of n members, if it is not begun.
func (f *search) enter(n int) (begun bool) {
	if f.entered {
		return false
	}
	f.entered, f.left = true, n
	return true
}

// leave ends a list if all its members have been seen.
func (f *search) leave() (done bool) {
	if f.left > 0 {
		return false
	}
	f.entered = false
	return true
}

// nextRound makes all sockets unseen, and all seats taken before.
func (m *membership) nextRound() {
	if m.round++; m.round > 0 {
		return
	}
	m.round = 1 // numbers are used up
	for _, s := range m.sockets {
		s.seen = 0
	}
	for _, r := range m.rooms {
		for i := range r.members {
			r.members[i].since = 0
		}
	}
}
