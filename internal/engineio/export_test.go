package engineio

import (
	"time"

	"github.com/streamweir/weir/internal/transport"
)

// Heartbeat lets tests give the heartbeat what a kernel would say.
type Heartbeat struct {
	h heartbeat
	r rhythm
}

func NewHeartbeat(interval, timeout time.Duration) *Heartbeat {
	r := rhythm{interval: int64(interval), timeout: int64(timeout), spare: new(beats)}
	return &Heartbeat{newHeartbeat(r, 0, 0), r}
}

func (b *Heartbeat) Ask(at time.Duration, p transport.Progress) string {
	return [...]string{wait: "wait", ping: "ping", dead: "dead"}[b.h.expire(b.r, int64(at), 0, p)]
}

func (b *Heartbeat) Written(at time.Duration, p transport.Progress) {
	if b.h.take() {
		b.h.handed(int64(at), p)
	}
}

// BeatExactly makes first pings come when the interval is over.
func (s *Server) BeatExactly() {
	for _, sh := range s.shards {
		sh.rhythm.early = 0
	}
}

// Rhythm is a server's.
type Rhythm struct{ r rhythm }

// NewRhythm is that of a server with these times.
func NewRhythm(interval, timeout time.Duration) Rhythm { return Rhythm{newRhythm(interval, timeout)} }

// Spread is by how much the first ping of one more session is early.
func (r Rhythm) Spread() time.Duration { return time.Duration(r.r.spread()) }

// Holds reports whether a POST waits to be handled. Loop.
func (s *Session) Holds() bool { return s.poll != nil && s.poll.post != nil }
