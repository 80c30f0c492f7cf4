package roster

// Target says who is meant of those in a roster: whom each field that is set means. The zero
// target means all.
type Target struct {
	Socket    string   // the member with this id
	Principal string   // those of this principal
	Rooms     []string // those in any of these, an id being a room of its own; nil: wherever they are, empty: nobody
	Except    []string // but not those in any of these
}

// Narrows reports whether not all are meant.
func (t *Target) Narrows() bool {
	return t.Socket != "" || t.Principal != "" || t.Rooms != nil || t.Except != nil
}
