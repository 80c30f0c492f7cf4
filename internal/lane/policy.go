package lane

import (
	"time"

	"github.com/streamweir/weir/internal/base"
)

// Policy is what a topic's declaration says about its lanes. It is shared and
// never changes.
type Policy struct {
	Mode        base.Mode
	Overflow    base.Overflow
	MaxMessages int // entries queued and in flight; at least 1
	MaxBytes    int // their wire bytes; a larger single message is refused

	// Reliable topics only.
	MaxInFlight int           // how far the window reaches beyond the oldest unacknowledged message; at least 1
	AckTimeout  time.Duration // from when the peer's kernel had the message
	MaxRetries  int           // sends after the first; at most the constant MaxRetries
	Backoff     float64       // factor on AckTimeout for each further send; below 1 counts as 1

	Weight int // entries a lane may write before the next lane of its kind, from 1 to MaxWeight
}

// MaxWeight is the largest Policy.Weight.
const MaxWeight = 1000

// MaxRetries is the largest Policy.MaxRetries: how often a message was sent is counted in 16 bits.
const MaxRetries = 1<<16 - 2

// maxAckTimeout bounds what the backoff can grow to.
const maxAckTimeout = 10 * time.Minute

// ackTimeout is how long the tries-th send waits for its ack.
func (p *Policy) ackTimeout(tries int) int64 {
	if p.AckTimeout >= maxAckTimeout {
		return int64(p.AckTimeout)
	}
	d := float64(p.AckTimeout)
	for i := 1; i < tries && d < float64(maxAckTimeout) && p.Backoff > 1; i++ {
		d *= p.Backoff
	}
	return int64(min(d, float64(maxAckTimeout)))
}
