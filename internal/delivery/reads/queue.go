package reads

import "slices"

// queue is first in, first out. The zero value is empty.
type queue[T any] struct {
	items []T
	at    int // of the first
}

// spare is how many places a queue keeps when it is empty.
const spare = 1024

func (q *queue[T]) len() int { return len(q.items) - q.at }

func (q *queue[T]) put(x T) { q.items = append(q.items, x) }

// take takes the first one out; there must be one.
func (q *queue[T]) take() (x T) {
	var none T
	x, q.items[q.at] = q.items[q.at], none
	q.at++
	switch {
	case q.at == len(q.items):
		q.items, q.at = q.items[:0], 0
		if cap(q.items) > spare {
			q.items = nil
		}
	case q.at >= spare && 2*q.at >= len(q.items):
		q.items, q.at = slices.Delete(q.items, 0, q.at), 0
	}
	return x
}

// keep takes out all but those of which ok is true.
func (q *queue[T]) keep(ok func(T) bool) {
	q.items = slices.DeleteFunc(slices.Delete(q.items, 0, q.at), func(x T) bool { return !ok(x) })
	q.at = 0
}
