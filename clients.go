package weir

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/streamweir/weir/internal/delivery"
)

// ClientOrder says which clients Clients lists first.
type ClientOrder = delivery.SortKey

// The orders of Clients.
const (
	ByLag   = delivery.ByLag   // age of the oldest waiting message
	ByBytes = delivery.ByBytes // bytes waiting
	ByDrops = delivery.ByDrops // messages dropped
	ByLoss  = delivery.ByLoss  // share dropped or replaced in the last seconds
)

// ClientQuery selects and orders clients; see Server.Clients.
type ClientQuery = delivery.Query

// Clients lists who lags, and what each lost: the first q.Limit sockets of this
// node in the order asked for. It looks at every client, in small steps that hold
// up nobody; those that come or go meanwhile may be missed. A Limit of 0 lists nobody.
// Errors: ErrUnknown for a Namespace or Topic that is not declared, ErrInvalid for a
// negative Limit, a Sort that is none of the orders, or an Address that is no IP address,
// ErrTimeout, and ErrDraining where the server does not run.
func (s *Server) Clients(ctx context.Context, q ClientQuery) ([]ClientView, error) {
	if s.state.Load() == stateNew {
		return nil, errNotRunning
	}
	if err := s.answerable(&q); err != nil {
		return nil, err
	}
	found, err := s.hub.Survey(ctx, q)
	return found.Clients, wrap(err, "")
}

// answerable refuses a question that only nobody would be the answer to, and writes its
// address as clients' are.
func (s *Server) answerable(q *ClientQuery) error {
	if q.Limit < 0 {
		return Errorf(ErrInvalid, fmt.Sprintf("a Limit of %d", q.Limit))
	}
	if q.Sort > ByLoss {
		return Errorf(ErrInvalid, fmt.Sprintf("Sort %d is none of the orders", q.Sort))
	}
	if q.Address != "" {
		addr, err := netip.ParseAddr(q.Address)
		if err != nil {
			return Errorf(ErrInvalid, fmt.Sprintf("Address %q: want an IP address without a port", brief(q.Address)))
		}
		q.Address = addr.Unmap().String()
	}
	if n := s.hub.Namespace(q.Namespace); n == nil && q.Namespace != "" {
		return Errorf(ErrUnknown, "unknown namespace "+brief(q.Namespace))
	}
	if q.Topic != "" && !s.hub.Declares(q.Namespace, q.Topic) {
		return Errorf(ErrUnknown, "unknown topic "+brief(q.Topic))
	}
	return nil
}

// CutClients lists the last state of clients the server has cut, newest first: up
// to 10,000 of the last hour, and no more than limit.
func (s *Server) CutClients(limit int) []ClientView { return s.hub.Cut(max(limit, 0)) }

// Unbalanced is how many lanes have been closed whose books did not add up
// (promise P5). It is 0, or there is a bug.
func (s *Server) Unbalanced() uint64 { return s.hub.Unbalanced.Load() }

// HeldBytes is what the server holds in memory for all clients, and the budget it
// must not exceed; 0 = none.
func (s *Server) HeldBytes() (held, budget int64) { return s.hub.Held(), s.hub.Budget() }
