package lane

// Pool keeps what nobody needs now of things that are needed while there is something
// in a lane: at most as many as have been needed at a time since the last Trim but one.
// The zero Pool is empty.
type Pool[T any] struct {
	free []*T
	idle int // the first of free that have not been needed since the last Trim
}

// Len is how many it keeps.
func (p *Pool[T]) Len() int { return len(p.free) }

// Take returns the thing last put, nil if there is none.
func (p *Pool[T]) Take() *T {
	n := len(p.free) - 1
	if n < 0 {
		return nil
	}
	x := p.free[n]
	p.free[n], p.free = nil, p.free[:n]
	p.idle = min(p.idle, n)
	return x
}

// Put gives it something that is as good as new.
func (p *Pool[T]) Put(x *T) { p.free = append(p.free, x) }

// Trim forgets what has not been needed since it was last called, and returns it.
func (p *Pool[T]) Trim() (gone []*T) {
	if p.idle > 0 {
		gone = p.free[:p.idle]
		p.free = append([]*T(nil), p.free[p.idle:]...)
	}
	p.idle = len(p.free)
	return gone
}

// Drop forgets everything, and returns it.
func (p *Pool[T]) Drop() (gone []*T) {
	gone, p.free, p.idle = p.free, nil, 0
	return gone
}
