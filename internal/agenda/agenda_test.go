package agenda_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/agenda"
)

type kind uint8

type deadline struct {
	at   int64
	kind kind
}

// model is the naive set: a slice that is sorted.
type model []deadline

func (m *model) add(k kind, at int64) {
	if at != 0 {
		*m = append(*m, deadline{at, k})
	}
	slices.SortFunc(*m, func(a, b deadline) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind)) })
}

func (m *model) first() int64 {
	if len(*m) == 0 {
		return 0
	}
	return (*m)[0].at
}

func (m *model) take(now int64) (kind, bool) {
	if len(*m) == 0 || (*m)[0].at > now {
		return 0, false
	}
	k := (*m)[0].kind
	*m = (*m)[1:]
	return k, true
}

// Whatever is added and taken, the set is what a sorted list would be.
func TestSetIsASortedList(t *testing.T) {
	for range 5000 {
		var s agenda.Set[kind]
		var m model
		kinds := rand.Perm(agenda.Most)
		for step := range 30 {
			if len(kinds) > 0 && rand.IntN(2) == 0 {
				k, at := kind(kinds[0]), rand.Int64N(6)
				kinds = kinds[1:]
				s.Add(k, at)
				m.add(k, at)
			} else {
				now := rand.Int64N(7)
				got, gotOK := s.Take(now)
				want, wantOK := m.take(now)
				if got != want || gotOK != wantOK {
					t.Fatalf("step %d: Take(%d) = %d, %t, want %d, %t", step, now, got, gotOK, want, wantOK)
				}
			}
			if s.First() != m.first() {
				t.Fatalf("step %d: First = %d, want %d", step, s.First(), m.first())
			}
		}
	}
}

func TestSetAllocatesNothing(t *testing.T) {
	sum := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		var s agenda.Set[kind]
		for k := range kind(agenda.Most) {
			s.Add(k, int64(100-k))
		}
		for _, ok := s.Take(96); ok; _, ok = s.Take(96) {
		}
		sum += s.First()
	}); n != 0 || sum == 0 {
		t.Errorf("%v allocations, sum %d", n, sum)
	}
}

func TestSetRefusesTheNinth(t *testing.T) {
	var s agenda.Set[kind]
	for k := range kind(agenda.Most) {
		s.Add(k, 1)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.Add(agenda.Most, 1)
}
