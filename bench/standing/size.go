package main

import "time"

// size is how large and long the trials are.
type size struct {
	most   int           // clients
	atMost time.Duration // of each phase
	once   bool          // one pair of each
}

// full is what the figures are made with.
var full = size{most: 1 << 30, atMost: time.Hour}

// quick is enough to see that a row works.
func quick(clients int) size { return size{most: clients, atMost: time.Second, once: true} }

func (s size) clients(n int) int                  { return min(n, s.most) }
func (s size) time(d time.Duration) time.Duration { return min(d, s.atMost) }

// pairs is how often each variant of a row is run, in turn.
func (s size) pairs(n int) int {
	if s.once {
		return 1
	}
	return n
}
