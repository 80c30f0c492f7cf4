package roster

import (
	"reflect"
	"slices"
)

// search finds the members a target means, each once, in as many steps as it takes: a
// roster of 50,000, or a room, is never walked in one. One search at a time goes on in a
// roster, so one mark in each member, and one in each seat, is enough:
//
//	*Member.Mark() == round   found, excepted, or not yet here when the search began
//	seat.since == round       the member has come into the room since
//
// Between two slices members come and go. Lists are walked from their end to their
// beginning: who comes stands behind those still to be seen, and is marked; who goes
// leaves its place to the last member, so one that is still to be seen moves to where it
// still will be, and one that is not to be found is known by its mark. So nobody who
// stays is passed over, nobody is found twice, and who comes later is not found. Who
// leaves a room of the target's meanwhile may be left out, though another of them takes
// it in. The zero search is none.
type search[M any] struct {
	to    *Target
	found []M
	looks int // what is left of the slice

	nth     int             // the list that is walked, of the target's Except and Rooms in a row
	entered bool            // it has been begun
	left    int             // how many of its first members are still to be seen
	all     reflect.MapIter // in the roster's members: a range over a map that pauses
}

// manyRooms is how many comparisons of two rooms' names cost as much as a look at a member.
const manyRooms = 2

// Begin begins a search for those a target, which must stay as it is, means: whoever
// comes from now on is not found. The search before is done or given up.
func (r *Roster[M]) Begin(t *Target) {
	r.nextRound()
	f := &r.search
	f.to, f.nth, f.entered = t, 0, false
	f.all.Reset(reflect.Value{})
}

// Search goes on with the search that was begun and appends to found whom it finds,
// until it has looked at so many members or is done. It returns how many looks are left,
// which may be negative. Who is found is meant when it is found: it may have left the
// roster since.
func (r *Roster[M]) Search(found []M, looks int) (all []M, left int, done bool) {
	f := &r.search
	f.found, f.looks = found, looks
	if done = r.goOn(); done {
		f.to = nil
	}
	all, f.found = f.found, nil
	return all, f.looks, done
}

// goOn goes on until the slice is used up or the search is done.
func (r *Roster[M]) goOn() (done bool) {
	f := &r.search
	t := f.to
	switch {
	case t.Socket != "":
		if m, ok := r.members[t.Socket]; ok {
			r.lookWhole(m)
		}
		return true
	case t.Principal != "":
		return r.walkPrincipal()
	}
	for ; f.nth < len(t.Except)+len(t.Rooms); f.nth++ {
		if !r.walkRoom() {
			return false
		}
	}
	return t.Rooms != nil || r.walkAll()
}

// look marks a member, and finds it unless its room is excepted.
func (r *Roster[M]) look(m M) {
	f := &r.search
	f.looks--
	mark := m.Mark()
	if *mark == r.round {
		return
	}
	*mark = r.round
	if f.nth >= len(f.to.Except) {
		f.found = append(f.found, m)
	}
}

// lookWhole finds a member if the whole target means it, which takes longer the more
// rooms there are to compare.
func (r *Roster[M]) lookWhole(m M) {
	f := &r.search
	t := f.to
	f.looks -= 1 + (len(t.Rooms)+len(t.Except))*m.Places(false).Len()/manyRooms
	mark := m.Mark()
	if *mark == r.round {
		return
	}
	*mark = r.round
	was := func(name string) bool { return r.was(m, name) }
	_, principal := m.Identity()
	if (t.Principal == "" || principal == t.Principal) &&
		(t.Rooms == nil || slices.ContainsFunc(t.Rooms, was)) && !slices.ContainsFunc(t.Except, was) {
		f.found = append(f.found, m)
	}
}

// was reports whether a member has been in a room since before the search.
func (r *Roster[M]) was(m M, name string) bool {
	id, _ := m.Identity()
	return name == id || slices.ContainsFunc(m.Places(false).all(), func(p place[M]) bool {
		return p.room.name == name && p.room.members[p.at].since != r.round
	})
}

// walkPrincipal goes on through the members of the target's principal.
func (r *Roster[M]) walkPrincipal() (done bool) {
	f := &r.search
	members := r.principals[f.to.Principal]
	f.enter(len(members))
	for f.left = min(f.left, len(members)); f.left > 0 && f.looks > 0; f.left-- {
		r.lookWhole(members[f.left-1])
	}
	return f.leave()
}

// walkRoom goes on through the nth room; the one whose id it is belongs to it.
func (r *Roster[M]) walkRoom() (done bool) {
	f := &r.search
	if f.looks <= 0 {
		return false
	}
	name := ""
	if i := f.nth - len(f.to.Except); i < 0 {
		name = f.to.Except[f.nth]
	} else {
		name = f.to.Rooms[i]
	}
	var members []seat[M]
	if at := r.rooms[name]; at != nil {
		members = at.members
	}
	if f.enter(len(members)) {
		f.looks--
		if m, ok := r.members[name]; ok {
			r.look(m)
		}
	}
	for f.left = min(f.left, len(members)); f.left > 0 && f.looks > 0; f.left-- {
		if at := members[f.left-1]; at.since != r.round {
			r.look(at.member)
		} else {
			f.looks--
		}
	}
	return f.leave()
}

// walkAll goes on through all members.
func (r *Roster[M]) walkAll() (done bool) {
	f := &r.search
	if f.enter(0) {
		f.all.Reset(reflect.ValueOf(r.members))
	}
	for f.looks > 0 {
		if !f.all.Next() {
			f.all.Reset(reflect.Value{})
			return true
		}
		if m, ok := f.all.Value().Interface().(M); ok {
			r.look(m)
		}
	}
	return false
}

// enter begins a list of n members, if it is not begun.
func (f *search[M]) enter(n int) (begun bool) {
	if f.entered {
		return false
	}
	f.entered, f.left = true, n
	return true
}

// leave ends a list if all its members have been seen.
func (f *search[M]) leave() (done bool) {
	if f.left > 0 {
		return false
	}
	f.entered = false
	return true
}

// nextRound makes all members unseen, and all seats taken before.
func (r *Roster[M]) nextRound() {
	if r.round++; r.round > 0 {
		return
	}
	r.round = 1 // numbers are used up
	for _, m := range r.members {
		*m.Mark() = 0
	}
	for _, at := range r.rooms {
		for i := range at.members {
			at.members[i].since = 0
		}
	}
}
