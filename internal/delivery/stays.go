package delivery

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/roster"
)

// stays is when a socket with lanes that are behind has been in which room, once for all of these lanes. What was sent
// to a room is for who was in it when it was sent, wherever its client is when it reads.
//
//	stays   room "red"  from moment 7 to moment 9, again from moment 12
//	lag     moment 7: after 40    moment 9: after 52    moment 12: after 52
//	        of what "red" got, 41 to 52 is for this lane, and what is behind 52
//
// Rooms without an entry are those in which it has been all the time, or never. A socket that enters a thousand rooms
// with a thousand lanes behind so costs a thousand of each, and not a million.
//
//weir:loop
type stays struct {
	lags   int               // lanes of the socket that are behind
	moment uint64            // the newest one
	unsure uint64            // the last one in which a message was under way of which it was not known whether a lane would be given it
	rooms  map[string][]span // those it has entered or left since the first of those lanes fell behind; ascending
	ended  int               // spans that have ended
	forgot uint64            // spans that were forgotten although a lane may have been owed something of them
	names  []string          // rooms of which records may be for it, but that of its id; nil: to be made. It never changes: who reads has it
	held   int               // bytes of all that, counted in the budget
}

// span is when a socket was in a room, by moments. in is 0 if it was before there were any, out if it still is.
type span struct{ in, out uint64 }

// moment is how far the stream had come for one lane when its socket entered or left rooms. One is kept where that has changed.
type moment struct {
	number uint64
	after  uint64 // the last message that was begun with
	open   bool   // the lane was not given it, and will not be if it is not under way any more
}

// What the budget counts for each, in account "lanes".
const (
	enteredBytes = 64
	spanBytes    = int(unsafe.Sizeof(span{}))
	momentBytes  = int(unsafe.Sizeof(moment{}))
	nameBytes    = int(unsafe.Sizeof(""))
)

// maxEnded is how many spans that have ended are kept for a socket. Beyond it the oldest are forgotten: what its lanes
// were owed of them is booked as lost, and told.
const maxEnded = 256

// stays are those of a socket with a lane that is behind.
func (s *Socket) stays() *stays { return s.ties.stays }

// stay takes note of a lane that falls behind.
func (sh *Shard) stay(g *lag) {
	t := g.lane.socket.tied()
	if t.stays == nil {
		t.stays = &stays{}
	}
	t.stays.lags++
	t.stays.moment++
	g.born, g.forgotBefore = t.stays.moment, t.stays.forgot
}

// leaveStay takes note of a lane that is behind no more.
func (sh *Shard) leaveStay(g *lag) {
	s := g.lane.socket
	st := s.stays()
	sh.hub.Hold(budget.Lanes, -momentBytes*len(g.moments))
	if st.lags--; st.lags == 0 {
		sh.hub.Hold(budget.Lanes, -st.held)
		s.ties.stays = nil
		s.untie()
	}
}

// hold counts bytes of a socket's stays more, or less.
func (sh *Shard) hold(st *stays, bytes int) {
	st.held += bytes
	sh.hub.Hold(budget.Lanes, bytes)
}

// markRooms says which moment it is for all lanes of a socket that are behind: another one, where the stream has
// brought anything since the last.
func (sh *Shard) markRooms(s *Socket, st *stays) (now uint64) {
	held, next, unsure := 0, st.moment+1, false
	for _, l := range s.lanes {
		if !l.lagging() {
			continue
		}
		g, local := sh.lags[l], &l.topic.local[sh.index]
		given := l.from == local.begun && g.place.Counted(l.from) // and not where its subscription began
		m := moment{next, max(local.begun, l.from), !given}
		unsure = unsure || (l.from < local.begun && local.orders != nil && local.orders.State.begun)
		if n := len(g.moments); n > 0 && g.moments[n-1].after == m.after {
			continue // counted says when it was given it after all
		}
		g.moments = append(g.moments, m)
		held += momentBytes
		st.moment = next
	}
	sh.spent += len(s.lanes) / lanesForOffer
	sh.hub.Hold(budget.Lanes, held)
	if unsure {
		st.unsure = st.moment
	}
	return st.moment
}

// lanesForOffer is how many lanes can be looked at, at most, for what an offer costs.
const lanesForOffer = 4

// entered takes note of rooms that a socket with stays has entered.
func (sh *Shard) entered(s *Socket, rooms []string) {
	st := s.stays()
	now := sh.markRooms(s, st)
	for _, room := range rooms {
		if list := st.rooms[room]; st.unsure != now && len(list) > 0 && list[len(list)-1].out == now {
			list[len(list)-1].out = 0 // nothing was sent while it was out
			st.ended--
			continue
		}
		sh.addSpan(st, room, span{in: now})
	}
	sh.renamed(st)
	for _, l := range s.lanes {
		if !l.lagging() {
			continue
		}
		g := sh.lags[l]
		if after := g.moments[len(g.moments)-1].after; g.read != nil { // it has not looked for these rooms, of which the last message may be for it
			g.read.upto = min(g.read.upto, max(after, 1)-1)
		}
	}
}

func (sh *Shard) addSpan(st *stays, room string, x span) {
	if st.rooms == nil {
		st.rooms = make(map[string][]span)
	}
	list, known := st.rooms[room]
	st.rooms[room] = append(list, x)
	held := spanBytes
	if !known {
		held += enteredBytes
	}
	sh.hold(st, held)
}

// leftRoom takes note of a room that a socket leaves.
func (sh *Shard) leftRoom(s *Socket, room string) {
	if s.ties == nil || s.ties.stays == nil || !roster.In(s, room) || room == s.ID {
		return
	}
	st := s.ties.stays
	now := sh.markRooms(s, st)
	list := st.rooms[room]
	if n := len(list); n == 0 || list[n-1].out > 0 {
		sh.addSpan(st, room, span{out: now})
	} else {
		list[n-1].out = now
	}
	if st.ended++; st.ended > maxEnded {
		sh.tidy(s, st)
	}
}

// renamed has the list of rooms made anew.
func (sh *Shard) renamed(st *stays) {
	sh.hold(st, -nameBytes*len(st.names))
	st.names = nil
}

// otherRooms are the rooms of a socket with stays of which records may be for it, but that of its id. The list never changes.
func (s *Socket) otherRooms() []string {
	st := s.stays()
	if st.names != nil || s.ties.places.Len()+len(st.rooms) == 0 {
		return st.names
	}
	st.names = make([]string, 0, s.ties.places.Len()+len(st.rooms))
	st.names = append(st.names, s.Rooms()[1:]...)
	for room, list := range st.rooms {
		if list[len(list)-1].out > 0 {
			st.names = append(st.names, room)
		}
	}
	s.shard().hold(st, nameBytes*len(st.names))
	return st.names
}

// wasIn reports whether the lane's socket was in a room when a record with that offset was sent to it, as far as is remembered.
func (g *lag) wasIn(room string, offset uint64) bool {
	list, known := g.lane.socket.stays().rooms[room]
	if !known {
		return true // all the time, or it would not have been looked for
	}
	for _, x := range list {
		switch {
		case x.out > 0 && x.out <= g.born: // before the lane fell behind
		case x.in > g.born && !g.at(x.in).before(offset):
		case x.out == 0 || !g.at(x.out).behind(offset):
			return true
		}
	}
	return false
}

// before reports whether a message comes behind the moment: the last one begun with does, if the lane was given it.
func (m moment) before(offset uint64) bool { return offset > m.after || (offset == m.after && !m.open) }

// behind reports whether a message comes behind the moment: the last one begun with does, if the lane was not given it.
func (m moment) behind(offset uint64) bool { return offset > m.after || (offset == m.after && m.open) }

// at is a moment as the lane knows it.
func (g *lag) at(number uint64) moment {
	i, _ := slices.BinarySearchFunc(g.moments, number+1, func(m moment, n uint64) int { return cmp.Compare(m.number, n) })
	if i == 0 {
		return moment{}
	}
	return g.moments[i-1]
}

// counted takes note that the lane has counted a message, which it owes its client from now on. One to a room that its
// socket had left before any lane was behind cannot be read back, as nobody has noted that.
func (g *lag) counted(f *fanOut) {
	if n := len(g.moments); n > 0 && g.moments[n-1].after == f.msg.Offset {
		g.moments[n-1].open = false
	}
	if f.toAllMembers() || len(f.target.Rooms) == 0 {
		return
	}
	s, room := g.lane.socket, f.target.Rooms[0]
	if _, known := s.stays().rooms[room]; !known && !roster.In(s, room) {
		g.strayed = true
	}
}

// excused reports whether the lane may have counted something that it does not find.
func (g *lag) excused() bool { return g.strayed || g.lane.socket.stays().forgot != g.forgotBefore }

// tidy forgets what no lane needs any more, and of what has ended the older half, if that was too little.
func (sh *Shard) tidy(s *Socket, st *stays) {
	low := st.moment + 1 // no lane needs spans that have ended before
	for _, l := range s.lanes {
		if l.lagging() {
			low = min(low, sh.lags[l].needs(st.moment+1))
		}
	}
	st.drop(low, low)
	if st.ended > maxEnded/2 {
		var outs []uint64
		for _, list := range st.rooms {
			for _, x := range list {
				if x.out > 0 {
					outs = append(outs, x.out)
				}
			}
		}
		slices.Sort(outs)
		st.drop(outs[len(outs)/2]+1, low)
		st.forgot++
	}
	sh.renamed(st)
	sh.hold(st, st.size()-st.held)
	sh.dropMoments(s, st)
	for _, l := range s.lanes {
		if l.lagging() && sh.lags[l].read != nil {
			sh.lags[l].read.upto = sh.lags[l].place.At // it has looked for rooms of which nothing is known any more
		}
	}
	sh.spent += len(s.lanes)
}

// needs is the first moment behind which the lane has not read, or else most.
func (g *lag) needs(most uint64) uint64 {
	i, _ := slices.BinarySearchFunc(g.moments, g.place.At+1, func(m moment, at uint64) int { return cmp.Compare(m.after, at) })
	if i == len(g.moments) {
		return most
	}
	return g.moments[i].number
}

// drop forgets spans that have ended before a moment. A room in which the socket has been since before low it has been
// in all the time, as far as any lane is concerned.
func (st *stays) drop(before, low uint64) {
	for room, list := range st.rooms {
		was := len(list)
		list = slices.DeleteFunc(list, func(x span) bool { return x.out > 0 && x.out < before })
		st.ended -= was - len(list)
		if len(list) == 0 || (len(list) == 1 && list[0].out == 0 && list[0].in < low) {
			delete(st.rooms, room)
		} else {
			st.rooms[room] = list
		}
	}
}

// size is what the budget counts for it.
func (st *stays) size() int {
	bytes := nameBytes * len(st.names)
	for _, list := range st.rooms {
		bytes += enteredBytes + spanBytes*len(list)
	}
	return bytes
}

// dropMoments forgets moments that no span begins or ends with.
func (sh *Shard) dropMoments(s *Socket, st *stays) {
	var numbers []uint64
	for _, list := range st.rooms {
		for _, x := range list {
			numbers = append(numbers, x.in, x.out)
		}
	}
	slices.Sort(numbers)
	held := 0
	for _, l := range s.lanes {
		if !l.lagging() {
			continue
		}
		g := sh.lags[l]
		was, kept, n := len(g.moments), 0, 0
		for i, m := range g.moments { // m stands for all numbers up to the next one's
			for n < len(numbers) && numbers[n] < m.number {
				n++
			}
			last := i == was-1
			if last || (n < len(numbers) && numbers[n] < g.moments[i+1].number) {
				g.moments[kept] = m
				kept++
			}
		}
		g.moments = slices.Clip(g.moments[:kept])
		held += momentBytes * (kept - was)
	}
	sh.hub.Hold(budget.Lanes, held)
}
