package delivery

import (
	"slices"
	"unsafe"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/roster"
)

// stays is what a socket with lanes that are behind remembers of its rooms, once for all of these lanes: in which it has been all the
// time, and which it has entered since. What was sent to a room is for who was in it when it was sent.
//
//	stays   room "red" entered in moment 7
//	lag     moment 5: after 40   moment 7: after 52      so what "red" got up to 52 is not for this lane
//
// A socket that enters a thousand rooms with a thousand lanes behind so costs a thousand of each, and not a million.
//
//weir:loop
type stays struct {
	lags    int               // lanes of the socket that are behind
	moment  uint64            // counts the times when it has entered rooms
	entered map[string]uint64 // rooms it has entered since the first of those lanes fell behind, and in which moment
	left    uint64            // counts the rooms it has left
	names   []string          // its rooms but that of its id; nil: to be made. It never changes: who reads has it
}

// moment is how far the stream had come, for one lane, when its socket entered rooms. One is kept where that has changed.
type moment struct{ number, after uint64 }

// What the budget counts for each, in account "lanes".
const (
	enteredBytes = 64
	momentBytes  = int(unsafe.Sizeof(moment{}))
	nameBytes    = int(unsafe.Sizeof(""))
)

// stays are those of a socket with a lane that is behind.
func (s *Socket) stays() *stays { return s.ties.stays }

// stay takes note of a lane that falls behind.
func (sh *Shard) stay(g *lag) {
	t := g.lane.socket.tied()
	if t.stays == nil {
		t.stays = &stays{}
	}
	t.stays.lags++
	g.born, g.leftBefore = t.stays.moment, t.stays.left
}

// leaveStay takes note of a lane that is behind no more.
func (sh *Shard) leaveStay(g *lag) {
	s := g.lane.socket
	st := s.stays()
	held := momentBytes * len(g.moments)
	if st.lags--; st.lags == 0 {
		held += enteredBytes*len(st.entered) + nameBytes*len(st.names)
		s.ties.stays = nil
		s.untie()
	}
	sh.hub.Hold(budget.Lanes, -held)
}

// entered takes note of rooms that a socket with stays has entered.
func (sh *Shard) entered(s *Socket, rooms []string) {
	st := s.stays()
	sh.moved(st)
	st.moment++
	if st.entered == nil {
		st.entered = make(map[string]uint64, len(rooms))
	}
	held := -len(st.entered) * enteredBytes
	for _, room := range rooms {
		st.entered[room] = st.moment
	}
	held += len(st.entered) * enteredBytes
	for _, l := range s.lanes {
		if !l.lagging() {
			continue
		}
		g := sh.lags[l]
		after := max(l.topic.local[sh.index].begun, l.from)
		if n := len(g.moments); n == 0 || g.moments[n-1].after != after {
			g.moments = append(g.moments, moment{st.moment, after})
			held += momentBytes
		}
		if g.read != nil {
			g.read.upto = min(g.read.upto, after)
		}
	}
	sh.spent += len(s.lanes) / lanesForOffer
	sh.hub.Hold(budget.Lanes, held)
}

// lanesForOffer is how many lanes can be looked at, at most, for what an offer costs.
const lanesForOffer = 4

// leftRoom takes note of a room that a socket leaves.
func (sh *Shard) leftRoom(s *Socket, room string) {
	if s.ties == nil || s.ties.stays == nil || !roster.In(s, room) {
		return
	}
	st := s.ties.stays
	sh.moved(st)
	st.left++
	if _, since := st.entered[room]; since {
		delete(st.entered, room)
		sh.hub.Hold(budget.Lanes, -enteredBytes)
	}
}

// moved forgets the list of rooms, which is not what it was.
func (sh *Shard) moved(st *stays) {
	sh.hub.Hold(budget.Lanes, -nameBytes*len(st.names))
	st.names = nil
}

// otherRooms are the rooms of a socket with stays but that of its id. The list never changes.
func (s *Socket) otherRooms() []string {
	st := s.stays()
	if st.names == nil && s.ties.places.Len() > 0 {
		st.names = slices.Clip(s.Rooms()[1:])
		s.Namespace.hub.Hold(budget.Lanes, nameBytes*len(st.names))
	}
	return st.names
}

// before reports whether a record with that offset was sent to a room before the lane's socket was in it.
func (g *lag) before(room string, offset uint64) bool {
	at, since := g.lane.socket.stays().entered[room]
	if !since || at <= g.born {
		return false
	}
	after := uint64(0)
	for i := len(g.moments) - 1; i >= 0; i-- {
		if m := g.moments[i]; m.number <= at {
			after = m.after
			break
		}
	}
	return offset <= after
}

// hasLeft reports whether the socket has left a room since the lane fell behind.
func (g *lag) hasLeft() bool { return g.lane.socket.stays().left != g.leftBefore }
