// Package fair is lines of work that have turns, so that a long one does not hold up
// the others: each keeps its own order, and between them there is none.
//
//	Add ──> line of a   [ item item … ]  ──┐
//	        line of b   [ item ]         ──┼─ Next ──> work on it for a while ──> Return
//	        line of c   [ item item ]    ──┘
//
// It is pure (architecture.md D6) and belongs to one goroutine. A line exists only while there
// is something in it.
package fair

// Line is items in order. State is what its user keeps of the first of them, which
// may take many turns; it must be reset when the item is done.
type Line[T, State any] struct {
	State State

	home  **Line[T, State] // where its owner looks for it, nil there once it is empty
	next  *Line[T, State]
	items []T // from head on
	head  int
}

// Empty reports whether nothing is left.
func (l *Line[T, State]) Empty() bool { return l.head == len(l.items) }

// First is the item whose turn it is; there must be one.
func (l *Line[T, State]) First() T { return l.items[l.head] }

// Pop ends the first item.
func (l *Line[T, State]) Pop() {
	clear(l.items[l.head : l.head+1])
	if l.head++; l.Empty() {
		l.items, l.head = l.items[:0], 0
	}
}

func (l *Line[T, State]) push(item T) {
	if len(l.items) == cap(l.items) && l.head > len(l.items)/2 { // move up instead of growing
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	l.items = append(l.items, item)
}

// Lines are those that have something to do, in the order of their turns. The zero
// Lines has none.
type Lines[T, State any] struct {
	first, last *Line[T, State]
	spare       []*Line[T, State]
}

// maxSpare bounds the empty lines kept for reuse.
const maxSpare = 64

// Any reports whether there is anything to do.
func (q *Lines[T, State]) Any() bool { return q.first != nil }

// Add appends an item to the line at home; if there is none it makes one, whose turn
// comes last.
func (q *Lines[T, State]) Add(home **Line[T, State], item T) {
	if *home == nil {
		*home = q.take()
		(*home).home = home
		q.push(*home)
	}
	(*home).push(item)
}

// Next takes out the line whose turn it is; there must be one. Return ends the turn.
func (q *Lines[T, State]) Next() *Line[T, State] {
	l := q.first
	if q.first, l.next = l.next, nil; q.first == nil {
		q.last = nil
	}
	return l
}

// Return puts a line behind the others, or if it is empty takes it from its owner.
func (q *Lines[T, State]) Return(l *Line[T, State]) {
	if !l.Empty() {
		q.push(l)
		return
	}
	*l.home, l.home = nil, nil
	if len(q.spare) < maxSpare {
		q.spare = append(q.spare, l)
	}
}

func (q *Lines[T, State]) push(l *Line[T, State]) {
	if q.last == nil {
		q.first = l
	} else {
		q.last.next = l
	}
	q.last = l
}

func (q *Lines[T, State]) take() *Line[T, State] {
	n := len(q.spare) - 1
	if n < 0 {
		return new(Line[T, State])
	}
	l := q.spare[n]
	q.spare[n], q.spare = nil, q.spare[:n]
	return l
}
