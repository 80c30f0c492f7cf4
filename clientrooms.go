package weir

import (
	"fmt"
	"strings"

	"github.com/streamweir/weir/internal/identity"
)

// maxRoomName is how many bytes the name of a room may have that a client joins.
const maxRoomName = 256

// validateRooms refuses patterns under which a client could get at what is sent to another one: the id of a socket is a room
// as well, and ids may be known. They are of letters, digits, "-" and "_", so a prefix with anything else in it is none of theirs.
func (n *NamespaceOptions) validateRooms(p *problems, at string) {
	for i, pattern := range n.ClientRooms {
		prefix, open := strings.CutSuffix(pattern, "*")
		switch {
		case pattern == "" || len(pattern) > maxRoomName:
			p.add("%s.ClientRooms[%d] %q: want 1 to %d bytes", at, i, clipped(pattern), maxRoomName)
		case strings.Contains(prefix, "*"):
			p.add("%s.ClientRooms[%d] %q: a * is at the end of a pattern", at, i, pattern)
		case open && strings.IndexFunc(prefix, notOfAnID) < 0:
			p.add("%s.ClientRooms[%d] %q: would let clients into the rooms of other sockets, which are their ids: want a prefix with a character that no id has, such as \"chat:*\"", at, i, pattern)
		}
	}
}

// notOfAnID reports whether a socket's id never has a character.
func notOfAnID(c rune) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	return !letter && (c < '0' || c > '9') && c != '-' && c != '_'
}

// moveRoom is a client's weir:join {room} or weir:leave {room}. Loop.
func (r *request) moveRoom() {
	if r.s.deciding > 0 { // what a client asks for takes effect in the order it asked
		later := *r
		later.decide(len(r.arg.Raw), nil, nil, func(error) { later.moveRoomNow() })
		return
	}
	r.moveRoomNow()
}

func (r *request) moveRoomNow() {
	room := r.arg.Get("room").Str
	switch rooms := r.s.ns.opts.ClientRooms; {
	case len(room) > maxRoomName:
		r.refuse(coded(ErrInvalid, fmt.Sprintf("a room's name of %d bytes: want at most %d", len(room), maxRoomName)))
		return
	case !identity.Match(rooms, room):
		r.refuse(coded(ErrForbidden, "clients may not "+r.name+" the room "+clipped(room)+" (clientRooms)"))
		return
	}
	if r.name == "leave" {
		r.s.out().Leave(room)
	} else if err := r.s.out().Join(room); err != nil {
		r.refuse(wrap(err, ""))
		return
	}
	r.accept(map[string]any{"ok": true, "room": room})
}
