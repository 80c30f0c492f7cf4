package engineio

import (
	"time"

	"github.com/streamweir/weir/internal/transport"
)

// Heartbeat lets tests give the heartbeat what a kernel would say.
type Heartbeat struct{ h heartbeat }

func NewHeartbeat(interval, timeout time.Duration) *Heartbeat {
	return &Heartbeat{newHeartbeat(interval, timeout, 0)}
}

func (b *Heartbeat) Ask(at time.Duration, p transport.Progress) string {
	return [...]string{wait: "wait", ping: "ping", dead: "dead"}[b.h.expire(int64(at), 0, p)]
}

func (b *Heartbeat) Written(at time.Duration, p transport.Progress) {
	if b.h.take() {
		b.h.handed(int64(at), p)
	}
}
