package transport

import "golang.org/x/sys/unix"

// Waits reports whether the loop is in Wait.
func (p *Poller) Waits() bool { return p.sleeping.Load() }

// Woken reports whether something would wake the loop from a sleep: an arrival it is not deaf to, or the bell.
func (p *Poller) Woken() bool {
	fds := []unix.PollFd{{Fd: int32(p.outer), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}

// Rung reports whether the loop has been woken since it last went to sleep.
func (p *Poller) Rung() bool { return p.rung.Load() }

// Pages is how many pages of its table a poller holds.
func (p *Poller) Pages() (n int) {
	for _, page := range p.table.pages {
		if page.entries != nil {
			n++
		}
	}
	return n
}
