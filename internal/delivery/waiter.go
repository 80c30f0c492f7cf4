package delivery

import "time"

// Waiter is where a shard sleeps, and what it hears there besides its inbox: the descriptors of an epoll driver. All
// methods but Wake are called by the loop.
type Waiter interface {
	// Wait returns after d, after Wake, or when Dispatch has something to do. idle is asked once Wake is sure to be
	// noticed; if it says no, Wait returns at once.
	Wait(d time.Duration, idle func() bool)
	// Dispatch deals with what has come, without waiting, and reports whether anything had.
	Dispatch() bool
	// Wake ends a Wait that is under way or about to begin. Any goroutine may call it.
	Wake()
}

// bell is the Waiter of a shard without descriptors of its own.
type bell struct {
	rung  chan struct{} // holds one token while there is something the loop has not seen
	sleep *time.Timer
}

func newBell() *bell {
	b := &bell{rung: make(chan struct{}, 1), sleep: time.NewTimer(time.Hour)}
	b.sleep.Stop()
	return b
}

func (b *bell) Wait(d time.Duration, idle func() bool) {
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

func (b *bell) Dispatch() bool { return false }

func (b *bell) Wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}
