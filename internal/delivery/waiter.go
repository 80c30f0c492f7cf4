package delivery

import "time"

// Waiter is where a shard sleeps, and what it hears there besides its inbox: the descriptors of an epoll driver. Any
// goroutine may call Wake.
//
//weir:loop
type Waiter interface {
	// Wait returns after d, after Wake, or when Dispatch has something to do. idle is asked once Wake is sure to be
	// noticed; if it says no, Wait returns at once.
	Wait(d time.Duration, idle func() bool)
	// Dispatch deals with what has come, without waiting, and reports whether anything had.
	Dispatch() bool
	// Wake ends a Wait that is under way or about to begin.
	//
	//weir:any
	Wake()
}
