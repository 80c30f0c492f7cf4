package transport

import (
	"sync"

	"golang.org/x/sys/unix"
)

// carried are the descriptors on their way to a poller's loop inside a task, which does not run if the loop ends first.
// They are the poller's to close until they land.
type carried struct {
	mu     sync.Mutex
	fds    map[int]struct{}
	closed bool
}

// carry begins the way of a descriptor; false means that the poller is closed and the descriptor the caller's. Any
// goroutine may call it.
func (p *Poller) carry(fd int) bool {
	c := &p.under
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.fds == nil {
		c.fds = make(map[int]struct{})
	}
	c.fds[fd] = struct{}{}
	return true
}

// land ends the way of a descriptor, which is the caller's from here on; false means that Close has closed it. Any
// goroutine may call it.
//
//weir:loop
func (p *Poller) land(fd int) bool {
	c := &p.under
	c.mu.Lock()
	defer c.mu.Unlock()
	_, there := c.fds[fd]
	if delete(c.fds, fd); len(c.fds) == 0 {
		c.fds = nil // a map does not shrink
	}
	return there
}

// closeCarried closes what has not landed; the loop has ended.
func (p *Poller) closeCarried() {
	c := &p.under
	c.mu.Lock()
	defer c.mu.Unlock()
	for fd := range c.fds {
		_ = unix.Close(fd)
	}
	c.fds, c.closed = nil, true
}
