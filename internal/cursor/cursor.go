// Package cursor is how far a subscriber has got in a topic (architecture.md D12). A lane that is behind holds a
// cursor, and so does a client that is away. A cursor is small, can be written down, and means the same on every shard
// and node that reads the topic's log. The package is pure.
package cursor

import "slices"

// Cursor is a place in the order of a topic: everything up to Floor is done, which is acknowledged or given up, and some of
// what comes behind. The zero Cursor with a topic and an epoch is the beginning.
//
//	offsets  1 2 3 4 5 6 7 8 9
//	done     x x x . x x . x .      Floor 3, then 5-6 and 8
//
// The runs of offsets done beyond the floor are MaxSpans at most. A cursor that would need more of them forgets that the newest are
// done: they come again, which at least once allows. It never says that something is done that is not.
//
// A cursor is a value: of two copies one must not be changed.
type Cursor struct {
	Topic string
	Epoch string // the numbering that the offsets belong to
	Floor uint64

	spans []span // ascending, with a gap before each
}

// span is offsets that are done, both ends included.
type span struct{ first, last uint64 }

// The bounds: MaxSpans is how many runs of offsets beyond the floor a cursor remembers, MaxOffset is the highest offset of any
// log.
const (
	MaxSpans  = 64
	MaxOffset = 1<<63 - 1
)

// At returns the cursor of who has been given everything up to an offset and has done all of it but what is open, which is
// in any order.
func At(topic, epoch string, upto uint64, open []uint64) Cursor {
	c := Cursor{Topic: topic, Epoch: epoch}
	c.Given(0, upto, open)
	return c
}

// Given says that of what is behind one offset, up to another, all is done but what is open. It sorts open.
func (c *Cursor) Given(after, upto uint64, open []uint64) {
	slices.Sort(open)
	from := after + 1
	for _, o := range open {
		if o > upto {
			break
		}
		if o > from {
			c.DoneRun(from, o-1)
		}
		from = max(from, o+1)
	}
	if from <= upto {
		c.DoneRun(from, upto)
	}
}

// Has reports whether an offset is done.
func (c *Cursor) Has(offset uint64) bool {
	if offset <= c.Floor {
		return true
	}
	i := c.behind(offset)
	return i < len(c.spans) && c.spans[i].first <= offset
}

// behind is the first span that ends at an offset or behind it.
func (c *Cursor) behind(offset uint64) int {
	i, _ := slices.BinarySearchFunc(c.spans, offset, func(s span, o uint64) int {
		if s.last < o {
			return -1
		}
		return 1
	})
	return i
}

// Top is the highest offset that is done.
func (c *Cursor) Top() uint64 {
	if n := len(c.spans); n > 0 {
		return c.spans[n-1].last
	}
	return c.Floor
}

// Done says that an offset is done.
func (c *Cursor) Done(offset uint64) { c.DoneRun(offset, offset) }

// DoneRun says that the offsets from first to last are done.
func (c *Cursor) DoneRun(first, last uint64) {
	first, last = max(first, 1), min(last, MaxOffset)
	if last < first || last <= c.Floor {
		return
	}
	if first <= c.Floor+1 {
		c.raise(last)
		return
	}
	i := c.behind(first - 1) // one that ends right before it, or reaches into it
	j := i
	for j < len(c.spans) && c.spans[j].first <= last+1 {
		first, last = min(first, c.spans[j].first), max(last, c.spans[j].last)
		j++
	}
	c.spans = slices.Replace(c.spans, i, j, span{first, last})
	if len(c.spans) > MaxSpans {
		c.spans = c.spans[:MaxSpans]
	}
}

// raise moves the floor to an offset, and past the spans that it then touches.
func (c *Cursor) raise(floor uint64) {
	c.Floor = floor
	n := 0
	for n < len(c.spans) && c.spans[n].first-1 <= c.Floor {
		c.Floor = max(c.Floor, c.spans[n].last)
		n++
	}
	c.spans = slices.Delete(c.spans, 0, n)
}

// Join adds what another cursor of the same topic and epoch says is done.
func (c *Cursor) Join(o *Cursor) {
	c.DoneRun(1, o.Floor)
	for _, s := range o.spans {
		c.DoneRun(s.first, s.last)
	}
}

// Equal reports whether two cursors say the same.
func (c *Cursor) Equal(o *Cursor) bool {
	return c.Topic == o.Topic && c.Epoch == o.Epoch && c.Floor == o.Floor && slices.Equal(c.spans, o.spans)
}

// Clone returns a copy that shares nothing.
func (c *Cursor) Clone() Cursor {
	d := *c
	d.spans = slices.Clone(c.spans)
	return d
}
