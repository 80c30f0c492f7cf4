package swarm

// sequence is what a connection has got of the numbers 0, 1, 2, …; its zero value has nothing. The first number seen is
// where it begins: what was sent before it came is not missing.
type sequence struct {
	next   int64  // one above the highest
	recent uint64 // bit i: next-1-i was seen
	first  int64
}

// window is how far back a sequence knows what it has seen. Of what is older it takes each for a repetition.
const window = 64

// verdict is what a number is to a sequence.
type verdict struct {
	gap       int64 // numbers skipped before it
	disorder  bool  // one above it came before
	late      bool  // it was counted in a gap
	duplicate bool
}

func (s *sequence) take(n int64) verdict {
	switch {
	case s.next == 0:
		*s = sequence{next: n + 1, recent: 1, first: n}
		return verdict{}
	case n >= s.next:
		gap := n - s.next
		s.recent = s.recent<<(gap+1) | 1 // nothing is left of it after a long gap
		s.next = n + 1
		return verdict{gap: gap}
	}
	back := s.next - 1 - n
	if back >= window || s.recent>>back&1 == 1 {
		return verdict{duplicate: true}
	}
	s.recent |= 1 << back
	return verdict{disorder: true, late: n > s.first}
}
