package weir

import (
	"context"
	"fmt"
	"time"

	"github.com/streamweir/weir/internal/drain"
	"github.com/streamweir/weir/internal/link"
)

// Drain leaves gently: no new client is let in, and those connected are sent away
// at Options.Drain.ClientsPerSecond, after what their events lanes hold has been
// written. Official clients come back by themselves, to another node. Publishes are
// served until the last client has gone.
//
// There is one drain, which the end of Run's context, POST /api/drain and every call of Drain begin or join. It ends
// when all have left or Options.Drain.Timeout is over; then Run closes what is left, and returns. Drain waits for that
// end: nil, or an error that wraps context.DeadlineExceeded and says how many were still there. When ctx ends first it
// returns the error of ctx and the drain goes on. (These have no Code.) Call it before http.Server.Shutdown of a
// mounted server, which does not see hijacked connections. It returns nil at once where Run has not been called or has
// returned.
func (s *Server) Drain(ctx context.Context) error {
	if !s.leave() {
		return nil
	}
	select {
	case <-s.drain.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	if p := s.drain.Progress(); p.CutAtTimeout > 0 {
		return fmt.Errorf("drain: %d of %d clients were still there after %v: %w", p.CutAtTimeout, p.Clients, p.Took, context.DeadlineExceeded)
	}
	return nil
}

// leave begins the drain, if that has not been done; false when the server does not run.
func (s *Server) leave() bool {
	s.mu.Lock()
	begins := s.state.CompareAndSwap(stateRunning, stateDraining)
	if begins {
		s.wg.Add(1)
		go s.runDrain()
	}
	s.mu.Unlock()
	if !begins && !s.leaving() {
		return false
	}
	<-s.drain.Began() // its figures are there
	return true
}

// finishTimeout is how long the last packets of a client may take that is sent away.
const finishTimeout = 10 * time.Second

// runDrain ends when all clients have left, their time is over or everything is closed.
func (s *Server) runDrain() {
	defer s.wg.Done()
	s.drain.Run(s.closing)
}

func (s *Server) newDrain() *drain.Drain {
	o := s.opts.Drain
	return drain.New(drain.Options{Herd: link.Herd{Hub: s.hub}, PerSecond: o.ClientsPerSecond, Timeout: o.Timeout, Linger: finishTimeout + 5*time.Second, Logger: s.log})
}

// logStopped says how the drain went, once everything is closed.
func (s *Server) logStopped(err error) {
	p := s.drain.Progress()
	args := []any{"clients", p.Clients, "sent_away", p.SentAway, "cut", p.CutAtTimeout, "seconds", p.Took.Seconds()}
	switch {
	case err != nil:
		s.log.Error("stopped", append(args, "error", err)...)
	case p.CutAtTimeout > 0:
		s.log.Warn("stopped", args...)
	default:
		s.log.Info("stopped", args...)
	}
}
