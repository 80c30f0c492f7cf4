package roster

// SetRound makes that the number of the last search begun.
func (r *Roster[M]) SetRound(n uint32) { r.round = n }

// Done reports whether the search under way, or the last, is done with a member.
func (r *Roster[M]) Done(m M) bool { return *m.Mark() == r.round }

// What a room holds apart from its name, and a member in it.
const (
	RoomBytes  = roomBytes
	PlaceBytes = placeBytes
)
