package weir

import (
	"context"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// drainStep is how often a share of the clients is sent away.
const drainStep = 50 * time.Millisecond

// Drain leaves gently: no new client is let in, and those connected are sent away
// at Options.Drain.ClientsPerSecond, after what their events lanes hold has been
// written. Official clients come back by themselves, to another node. It returns
// when all have left, or ctx ends. Run calls it; call it yourself before
// http.Server.Shutdown of a mounted server, which does not see hijacked
// connections.
func (s *Server) Drain(ctx context.Context) error {
	if !s.state.CompareAndSwap(stateRunning, stateDraining) && !s.leaving() {
		return nil
	}
	s.draining.Do(func() { close(s.drained) })
	t := time.NewTicker(drainStep)
	defer t.Stop()
	var owed float64
	for s.connections() > 0 {
		owed += float64(s.opts.Drain.ClientsPerSecond) * drainStep.Seconds()
		if n := int(owed); n > 0 {
			owed -= float64(n)
			s.sendAway(n)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *Server) connections() (n int64) {
	for _, sh := range s.hub.Shards() {
		n += sh.Stats().Connections
	}
	return n
}

// sendAway ends n connections, spread over the shards.
func (s *Server) sendAway(n int) {
	shards := s.hub.Shards()
	for i, sh := range shards {
		share := n / len(shards)
		if i < n%len(shards) {
			share++
		}
		if share > 0 {
			sh.Post(departure{sh, share})
		}
	}
}

// departure is the task that sends some of a shard's connections away.
type departure struct {
	shard *delivery.Shard
	n     int
}

// Run implements base.Task.
func (d departure) Run() { d.shard.FinishSome(d.n, base.CauseDraining) }
