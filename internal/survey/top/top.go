// Package top keeps those of many that come first by their ranks, in a heap with the last of them on top.
package top

import (
	"cmp"
	"container/heap"
)

// Rank is the place of an item: higher By comes first, and where that is equal the smaller ID does. With IDs that differ,
// which items are kept does not depend on the order in which they come.
type Rank struct {
	By int64
	ID string
}

// Compare is negative if r comes before o.
func (r Rank) Compare(o Rank) int { return cmp.Or(cmp.Compare(o.By, r.By), cmp.Compare(r.ID, o.ID)) }

// List keeps at most Most items. The zero List keeps none.
type List[T any] struct {
	Most  int
	Items []T
	ranks []Rank
}

// Takes reports whether an item of that rank would be kept.
func (t *List[T]) Takes(rank Rank) bool {
	return t.Most > 0 && (len(t.Items) < t.Most || rank.Compare(t.ranks[0]) < 0)
}

// Keep keeps an item if its rank is among the first.
func (t *List[T]) Keep(x T, rank Rank) {
	switch {
	case !t.Takes(rank):
	case len(t.Items) >= t.Most:
		t.Items[0], t.ranks[0] = x, rank
		heap.Fix((*order[T])(t), 0)
	default:
		t.ranks, t.Items = append(t.ranks, rank), append(t.Items, x)
		heap.Fix((*order[T])(t), len(t.Items)-1)
	}
}

// order implements heap.Interface.
type order[T any] List[T]

func (t *order[T]) Len() int           { return len(t.Items) }
func (t *order[T]) Less(i, j int) bool { return t.ranks[i].Compare(t.ranks[j]) > 0 }
func (t *order[T]) Swap(i, j int) {
	t.Items[i], t.Items[j] = t.Items[j], t.Items[i]
	t.ranks[i], t.ranks[j] = t.ranks[j], t.ranks[i]
}
func (t *order[T]) Push(any) {} // Keep does its work
func (t *order[T]) Pop() any { return nil }
