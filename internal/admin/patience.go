package admin

import (
	"context"
	"time"
)

// patience is a context that ends some time after begin, or with its parent, as one of
// context.WithTimeout does; but a timer is made only when somebody waits for its end,
// which hardly any publish does. It may be used again after end, of one goroutine at a
// time.
type patience struct {
	parent context.Context
	until  time.Time
	armed  context.Context // nil: nobody has waited
	cancel context.CancelFunc
}

func (p *patience) begin(parent context.Context, d time.Duration) {
	p.parent, p.until = parent, time.Now().Add(d)
}

// end lets go of what the waiting took.
func (p *patience) end() {
	if p.cancel != nil {
		p.cancel()
	}
	*p = patience{}
}

func (p *patience) now() context.Context {
	if p.armed != nil {
		return p.armed
	}
	return p.parent
}

// Deadline implements context.Context.
func (p *patience) Deadline() (time.Time, bool) {
	if at, ok := p.parent.Deadline(); ok && at.Before(p.until) {
		return at, true
	}
	return p.until, true
}

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} {
	if p.armed == nil {
		p.armed, p.cancel = context.WithDeadline(p.parent, p.until)
	}
	return p.armed.Done()
}

// Err implements context.Context.
func (p *patience) Err() error { return p.now().Err() }

// Value implements context.Context.
func (p *patience) Value(key any) any { return p.now().Value(key) }
