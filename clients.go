package weir

import (
	"context"
	"net/netip"

	"github.com/streamweir/weir/internal/survey"
)

// ClientOrder says which clients Clients lists first.
type ClientOrder uint8

// The orders of Clients, the largest first.
const (
	ClientsByLag   ClientOrder = iota // age of the oldest waiting message
	ClientsByBytes                    // bytes waiting
	ClientsByDrops                    // messages dropped since the client came
	ClientsByLoss                     // share dropped or replaced in the last seconds
)

// The numbers are those of package delivery: otherwise this does not compile.
var _ = [1]struct{}{}[uint8(ClientsByLoss)-uint8(survey.ByLoss)]

// ClientQuery selects and orders clients; see Server.Clients. A field that is not set means
// all of them.
type ClientQuery struct {
	Sort      ClientOrder
	Limit     int // how many are listed at most; 0: 100
	Namespace string
	Topic     string // clients with a lane of this topic, or of this pattern as it is declared; figures are then those lanes'
	Principal string
	Address   string // IP address without a port
	ID        string // Socket.IO id
}

// defaultClients is how many clients are listed where nobody says.
const defaultClients = 100

// Clients lists who lags, and what each lost: the first q.Limit sockets of this
// node in the order asked for. It looks at every client, in small steps that hold
// up nobody; those that come or go meanwhile may be missed.
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
	found, err := s.hub.Survey(ctx, survey.Query{
		Sort: survey.SortKey(q.Sort), Limit: orDefault(q.Limit, defaultClients), Namespace: q.Namespace, Topic: q.Topic,
		Principal: q.Principal, Address: q.Address, ID: q.ID,
	})
	return viewsOf(found.Clients), wrap(err, "")
}

// answerable refuses a question that only nobody would be the answer to, and writes its
// address as clients' are.
func (s *Server) answerable(q *ClientQuery) error {
	if q.Limit < 0 {
		return Errorf(ErrInvalid, "a Limit of %d", q.Limit)
	}
	if q.Sort > ClientsByLoss {
		return Errorf(ErrInvalid, "Sort %d is none of the orders", q.Sort)
	}
	if q.Address != "" {
		addr, err := netip.ParseAddr(q.Address)
		if err != nil {
			return Errorf(ErrInvalid, "Address %q: want an IP address without a port", clipped(q.Address))
		}
		q.Address = addr.Unmap().String()
	}
	if n := s.hub.Namespace(q.Namespace); n == nil && q.Namespace != "" {
		return coded(ErrUnknown, "unknown namespace "+clipped(q.Namespace))
	}
	if q.Topic != "" && !s.hub.Declares(q.Namespace, q.Topic) {
		return coded(ErrUnknown, "unknown topic "+clipped(q.Topic))
	}
	return nil
}

// CutClients lists the last state of clients the server has cut, newest first: up
// to 10,000 of the last hour, and no more than limit; 0 is 100, less than that nobody.
func (s *Server) CutClients(limit int) []ClientView {
	return viewsOf(s.hub.Cut(max(orDefault(limit, defaultClients), 0)))
}

// Unbalanced is how many lanes have been closed whose books did not add up
// (promise P5). It is 0, or there is a bug.
func (s *Server) Unbalanced() uint64 { return s.hub.Unbalanced.Load() }

// HeldBytes is what the server holds in memory for all clients, and the budget it
// must not exceed, both in bytes; a budget of 0 is none.
func (s *Server) HeldBytes() (held, budget int64) { return s.hub.Held(), s.hub.Budget() }
