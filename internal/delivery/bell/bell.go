// Package bell is where a loop without descriptors of its own sleeps (delivery.Waiter).
package bell

import "time"

// Bell is rung by any goroutine.
type Bell struct {
	rung  chan struct{} // holds one token while there is something the loop has not seen
	sleep *time.Timer
}

// New returns a bell.
func New() *Bell {
	b := &Bell{rung: make(chan struct{}, 1), sleep: time.NewTimer(time.Hour)}
	b.sleep.Stop()
	return b
}

// Wait returns after d or when the bell has rung; at once if idle says no.
func (b *Bell) Wait(d time.Duration, idle func() bool) {
	if !idle() {
		return
	}
	b.sleep.Reset(d)
	defer b.sleep.Stop()
	select {
	case <-b.rung:
	case <-b.sleep.C:
	}
}

// Dispatch has nothing to deal with.
func (b *Bell) Dispatch() bool { return false }

// Wake rings it.
func (b *Bell) Wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}
