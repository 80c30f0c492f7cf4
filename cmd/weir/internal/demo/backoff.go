package demo

import (
	"math/rand/v2"
	"time"
)

// Backoff is the wait between attempts to connect: doubling from First to Most, with full jitter, so that clients which
// were cut together do not come back together. The zero value does not wait.
type Backoff struct {
	First, Most time.Duration
	next        time.Duration
}

// Next returns how long to wait now: anything up to the current bound, but never less than atLeast, the server's
// Retry-After, which is spread by a quarter of itself.
func (b *Backoff) Next(atLeast time.Duration) time.Duration {
	bound := max(b.next, b.First)
	b.next = min(2*bound, b.Most)
	return max(jitter(bound), atLeast+jitter(atLeast/4))
}

// Reset starts afresh after a connection that was good.
func (b *Backoff) Reset() { b.next = 0 }

func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }
