package engineio

import (
	"encoding/binary"
	"iter"
	"slices"
)

// registry is the sessions of a loop by their ids. Its map is keyed by eight of an id's
// random bytes, which costs a session a third less than the whole id. Of two sessions
// that share them, once in 2^64, the later is one of others.
//
//weir:loop
type registry struct {
	first  map[uint64]*Session
	others []*Session
}

func newRegistry() registry { return registry{first: map[uint64]*Session{}} }

func (id *sid) key() uint64 { return binary.LittleEndian.Uint64(id[:]) }

func (r *registry) add(s *Session) {
	if r.first[s.id.key()] == nil {
		r.first[s.id.key()] = s
		return
	}
	r.others = append(r.others, s)
}

func (r *registry) remove(s *Session) {
	if r.first[s.id.key()] == s {
		delete(r.first, s.id.key())
		return
	}
	r.others = slices.DeleteFunc(r.others, func(o *Session) bool { return o == s })
}

// get returns the session with that id, nil if there is none.
func (r *registry) get(id sid) *Session {
	if s := r.first[id.key()]; s != nil && s.id == id {
		return s
	}
	for _, s := range r.others {
		if s.id == id {
			return s
		}
	}
	return nil
}

// all yields every session; they may be removed meanwhile.
func (r *registry) all() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for _, s := range r.first {
			if !yield(s) {
				return
			}
		}
		for _, s := range slices.Clone(r.others) {
			if !yield(s) {
				return
			}
		}
	}
}
