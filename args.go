package weir

import (
	"context"
	"encoding/json"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/ask"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Binary is bytes that go out as a binary part wherever they stand in an argument:
// in a struct, a typed slice, behind a pointer. ([]byte itself is a binary part as
// an argument and inside map[string]any and []any; elsewhere encoding/json makes it
// a base64 string.) Received binary parts decode into it.
type Binary []byte

// MarshalJSON implements json.Marshaler. What it returns is for Weir, which makes a
// binary part of it: it means nothing to other readers.
func (b Binary) MarshalJSON() ([]byte, error) { return args.Binary(b).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler: a base64 string, as binary parts are while
// they are decoded.
func (b *Binary) UnmarshalJSON(data []byte) error { return (*args.Binary)(b).UnmarshalJSON(data) }

// Args are the arguments of an event or an answer, as the client wrote them. They do not
// change, so any goroutine may read them, as long as it likes.
type Args struct{ in args.Args }

// JSON returns the arguments as raw JSON, byte for byte, attachments as
// placeholder objects. It must not be changed.
func (a *Args) JSON() []json.RawMessage { return a.in.JSON() }

// Attachments returns the binary parts in the order of their placeholders. They must not
// be changed.
func (a *Args) Attachments() [][]byte { return a.in.Attachments() }

// Len is the number of arguments.
func (a *Args) Len() int { return a.in.Len() }

// Decode decodes the arguments into the given pointers by encoding/json, in
// order; binary parts decode into []byte, wherever they stand. Arguments beyond
// the pointers are ignored; a pointer without an argument is left as it is, and nil
// passes over one. The error is ErrInvalid, and says in JSON's words what does not fit.
func (a *Args) Decode(into ...any) error { return wrap(a.in.Decode(into...), "") }

// Values decodes the arguments into plain values: maps, slices, strings,
// json.Number, booleans, nil, and []byte for binary parts. What Values returns can
// be emitted again unchanged. The error is ErrInvalid.
func (a *Args) Values() ([]any, error) {
	values, err := a.in.Values()
	return values, wrap(err, "")
}

// Reply is one client's answer to a broadcast that asked for one.
type Reply struct {
	Socket string // Socket.IO id
	Args   *Args  // nil where there is an Err
	Err    error  // ErrDisconnected if the client left without an answer, ErrBusy or ErrTooLarge if its lane refused the event, ErrTooLarge if there was no room for its answer
	Node   string // the name of the node that has the client (ClusterOptions.Node); "" where there is no cluster
}

// repliesOf are the answers to a question as the application gets them.
func repliesOf(found []ask.Reply, node string) []Reply {
	if len(found) == 0 {
		return nil
	}
	list, all := make([]Reply, len(found)), make([]Args, len(found))
	for i := range found {
		list[i] = Reply{Socket: found[i].Socket, Err: wrap(found[i].Err, ""), Node: node}
		if found[i].Err == nil {
			all[i].in = found[i].Args
			list[i].Args = &all[i]
		}
	}
	return list
}

// question begins a question that goes out through that many shards; see ask.New.
func (n *Namespace) question(ctx context.Context, shards int) (*ask.Question, context.Context, context.CancelFunc) {
	return ask.New(ctx, n.d.NextAckID(), shards, n.srv.stopped, n.srv.answersRoom(budget.Mailboxes, maxAnswers))
}

// emission encodes an event; with a question the client is to answer it.
func (n *Namespace) emission(event string, values []any, q *ask.Question) (e delivery.Emission, err error) {
	h := sio.EventHeader{Namespace: n.path}
	if q != nil {
		h.ID, h.HasID = q.ID(), true
		e.AckID, e.Acks = q.ID(), q
	}
	e.Frame, e.First, err = packet.Event(h, event, values)
	return e, wrap(err, "")
}
