// Package agenda is the few deadlines that one owner has, in order. It is pure: times are arguments.
//
// An owner that would keep a timer for each, or multiplex one by hand, states them all in one place instead, whenever one of
// them has changed, arms its timer for the first, and when that fires takes those that are due one by one.
package agenda

// Most is how many deadlines a Set may hold.
const Most = 8

// Set is deadlines of different kinds, ordered by time, those of one time by kind. The zero Set is empty. It holds no
// memory besides itself: it is made to live on the stack, from what its owner has anyway.
type Set[K ~uint8] struct {
	n     int
	times [Most]int64
	kinds [Most]K
}

// Add adds a deadline; a time of 0 is none. A kind is added once. It panics for the ninth.
func (s *Set[K]) Add(kind K, at int64) {
	if at == 0 {
		return
	}
	i := s.n
	for ; i > 0 && (s.times[i-1] > at || s.times[i-1] == at && s.kinds[i-1] > kind); i-- {
		s.times[i], s.kinds[i] = s.times[i-1], s.kinds[i-1]
	}
	s.times[i], s.kinds[i] = at, kind
	s.n++
}

// First is the earliest time; 0 if there is none.
func (s *Set[K]) First() int64 {
	if s.n == 0 {
		return 0
	}
	return s.times[0]
}

// Take removes the earliest deadline if it is due at now, that time itself included.
func (s *Set[K]) Take(now int64) (kind K, ok bool) {
	if s.n == 0 || s.times[0] > now {
		return kind, false
	}
	kind = s.kinds[0]
	s.n--
	copy(s.times[:s.n], s.times[1:])
	copy(s.kinds[:s.n], s.kinds[1:])
	return kind, true
}
