package weir

import (
	"context"

	"github.com/streamweir/weir/internal/delivery"
)

// ClientOrder says which clients Clients lists first.
type ClientOrder = delivery.SortKey

// The orders of Clients.
const (
	ByLag   = delivery.ByLag   // age of the oldest waiting message
	ByBytes = delivery.ByBytes // bytes waiting
	ByDrops = delivery.ByDrops // messages dropped
)

// ClientQuery selects and orders clients; see Server.Clients.
type ClientQuery = delivery.Query

// Clients lists who lags, and what each lost: the first q.Limit sockets of this
// node in the order asked for. It looks at every client, in small steps that hold
// up nobody; those that come or go meanwhile may be missed.
func (s *Server) Clients(ctx context.Context, q ClientQuery) ([]ClientView, error) {
	if s.state.Load() == stateNew {
		return nil, Errorf(ErrDraining, "the server is not running")
	}
	found, err := s.hub.Survey(ctx, q)
	return found.Clients, wrap(err, "")
}

// CutClients lists the last state of clients the server has cut, newest first: up
// to 10,000 of the last hour.
func (s *Server) CutClients(limit int) []ClientView { return s.hub.Cut(limit) }

// Unbalanced is how many lanes have been closed whose books did not add up
// (promise P5). It is 0, or there is a bug.
func (s *Server) Unbalanced() uint64 { return s.hub.Unbalanced.Load() }

// HeldBytes is what the server holds in memory for all clients, and the budget it
// must not exceed; 0 = none.
func (s *Server) HeldBytes() (held, budget int64) { return s.hub.Held(), s.hub.Budget() }
