package weir

import (
	"context"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/ask"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Binary is bytes that go out as a binary part wherever they stand in an argument:
// in a struct, a typed slice, behind a pointer. ([]byte itself is a binary part as
// an argument and inside map[string]any and []any; elsewhere encoding/json makes it
// a base64 string.) Received binary parts decode into it.
type Binary = args.Binary

// Args are the arguments of an event or an answer, as the client wrote them.
type Args = args.Args

// Reply is one client's answer to a broadcast that asked for one. Its Err is
// ErrDisconnected if the client left without an answer.
type Reply = ask.Reply

// question begins a question that goes out through that many shards; see ask.New.
func (n *Namespace) question(ctx context.Context, shards int) (*ask.Question, context.Context, context.CancelFunc) {
	return ask.New(ctx, n.d.NextAckID(), shards, n.srv.stopped)
}

// emission encodes an event; with a question the client is to answer it.
func (n *Namespace) emission(event string, values []any, q *ask.Question) (e delivery.Emission, err error) {
	h := sio.EventHeader{Namespace: n.path}
	if q != nil {
		h.ID, h.HasID = q.ID(), true
		e.AckID, e.Acks = q.ID(), q
	}
	e.Frame, e.First, err = packet.Event(h, event, values)
	return e, err
}
