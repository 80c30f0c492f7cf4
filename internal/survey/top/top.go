// Package top keeps those of many with the highest ranks, in a heap with the least on top.
package top

import "container/heap"

// List keeps at most Most items. The zero List keeps none.
type List[T any] struct {
	Most  int
	Items []T
	ranks []int64
}

// Takes reports whether an item of that rank would be kept.
func (t *List[T]) Takes(rank int64) bool {
	return t.Most > 0 && (len(t.Items) < t.Most || rank > t.ranks[0])
}

// Keep keeps an item if its rank is among the highest.
func (t *List[T]) Keep(x T, rank int64) {
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
func (t *order[T]) Less(i, j int) bool { return t.ranks[i] < t.ranks[j] }
func (t *order[T]) Swap(i, j int) {
	t.Items[i], t.Items[j] = t.Items[j], t.Items[i]
	t.ranks[i], t.ranks[j] = t.ranks[j], t.ranks[i]
}
func (t *order[T]) Push(any) {} // Keep does its work
func (t *order[T]) Pop() any { return nil }
