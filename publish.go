package weir

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// Receipt is what a publisher is told.
type Receipt struct {
	MessageID string
	Offset    uint64 // place in the topic, from 1
	Epoch     string // numbering the offset belongs to
	Duplicate bool   // the id had been published before: nothing was done, and the counts are those of the first time
	// Subscribers is how many clients of this node the message is for. It and the counts
	// below are there where Publish waits for their lanes: for reliable topics and with
	// WithReceipt. Elsewhere it is NotCounted, which is not 0, and they are 0.
	Subscribers int
	// Rejected is how many lanes on this node refused the message because they were full or
	// it is too large for them. For those clients the promise of a reliable topic has
	// ended (P6).
	Rejected int
	// Queued is how many lanes have it, Coalesced in how many it took an older one's place,
	// and Dropped how many of those that have it let the oldest go for it. None of it is
	// final: what is queued may still be dropped.
	Queued, Coalesced, Dropped int
	// Spilled is for how many clients it waits in the topic's log, because they are behind (SpillToDisk).
	Spilled int
	// Complete says that all has come that Publish waits for. If it is false the context
	// ended first: the message is published, but the counts are only of what had been heard
	// until then. So they are where it is a Duplicate of a message whose lanes nobody had
	// asked about: nothing is known of them.
	Complete bool
}

// NotCounted is the Receipt.Subscribers of a message whose lanes nobody has waited for.
const NotCounted = -1

// PublishOption changes one publish. It may be used for several.
type PublishOption func(*publishing)

type publishing struct {
	pub     delivery.Publication
	receipt bool
	wrong   string // what is wrong with the options; "": nothing
}

// choose notes one choice of recipients: a field of the target that is still empty.
func (p *publishing) choose(option, value string, field *string) {
	switch {
	case value == "":
		p.wrong = option + ` of "": that would be nobody, or everybody`
	case *field != "":
		p.wrong = option + " given twice"
	}
	*field = value
}

// Key is the coalescing key of the message; it wins over the topic's pointer. "" is none.
func Key(key string) PublishOption { return func(p *publishing) { p.pub.Key = key } }

// maxID is how long the id of a message may be, in bytes: every client gets it.
const maxID = 256

// MessageID names the message: the metadata carries it, and publishing the same id again
// within five minutes does nothing. Publish fails with ErrInvalid if it is empty, longer
// than 256 bytes, or not UTF-8, which no client could acknowledge.
func MessageID(id string) PublishOption {
	return func(p *publishing) {
		switch {
		case id == "":
			p.wrong = `MessageID of "": that would be none`
		case len(id) > maxID:
			p.wrong = fmt.Sprintf("a MessageID of %d bytes: want at most %d", len(id), maxID)
		case !utf8.ValidString(id):
			p.wrong = "a MessageID that is not UTF-8"
		}
		p.pub.ID = id
	}
}

// TTL drops the message where it has not been written after d; 0 is the topic's, more
// than ten years any age. A negative one is ErrInvalid.
func TTL(d time.Duration) PublishOption {
	return func(p *publishing) {
		if d < 0 {
			p.wrong = "a negative TTL"
		}
		p.pub.TTL = d
	}
}

// ToSocket sends the message to one subscriber, by Socket.IO id. With ToPrincipal or
// InRoom only if it is theirs too: of several choices all must hold. Each of them may
// be given once, and not empty: else Publish fails with ErrInvalid.
func ToSocket(id string) PublishOption {
	return func(p *publishing) { p.choose("ToSocket", id, &p.pub.Target.Socket) }
}

// ToPrincipal sends the message to the subscribed sockets of one principal; combined as
// ToSocket.
func ToPrincipal(principal string) PublishOption {
	return func(p *publishing) { p.choose("ToPrincipal", principal, &p.pub.Target.Principal) }
}

// InRoom sends the message to the subscribers who are in a room; combined as ToSocket.
func InRoom(room string) PublishOption {
	return func(p *publishing) {
		var before string
		if p.pub.Target.Rooms != nil {
			before = p.pub.Target.Rooms[0]
		}
		p.choose("InRoom", room, &before)
		p.pub.Target.Rooms = []string{room}
	}
}

// WithReceipt waits, at most until the publish's context ends, for what every lane
// did with the message; Receipt.Complete says whether that was long enough.
func WithReceipt() PublishOption { return func(p *publishing) { p.receipt = true } }

// Publish gives a message to the subscribers of a topic. payload: json.RawMessage
// goes out verbatim, []byte as a binary part, anything else as encoding/json makes
// it; it must not be changed after the call. JSON that is not UTF-8 is ErrInvalid: it
// would end the connection of every client that got it.
//
// It waits for room in the server's inboxes as long as ctx allows, and for a
// reliable topic until every lane has answered, or ctx ends: see Receipt.Complete.
// Errors: ErrUnknown, ErrInvalid, ErrTooLarge, ErrBusy, ErrLimited (ServerLimits.TopicsPerNamespace),
// ErrDraining, ErrUnavailable (the topic's journal takes nothing; best-effort messages still reach who has room); then nobody gets the message.
func (s *Server) Publish(ctx context.Context, namespace, topic string, payload any, opts ...PublishOption) (Receipt, error) {
	n := s.byPath.Find(namespace)
	if n == nil {
		return Receipt{}, coded(ErrUnknown, "unknown namespace "+namespace)
	}
	return n.Publish(ctx, topic, payload, opts...)
}

// Publish is Server.Publish for this namespace; its errors are the same.
func (n *Namespace) Publish(ctx context.Context, topic string, payload any, opts ...PublishOption) (Receipt, error) {
	var p publishing
	for _, o := range opts {
		o(&p)
	}
	if p.wrong != "" {
		return Receipt{}, coded(ErrInvalid, p.wrong)
	}
	switch v := payload.(type) {
	case []byte:
		p.pub.Payload, p.pub.Binary = v, true
	case json.RawMessage:
		if err := args.CheckText(v); err != nil {
			return Receipt{}, coded(ErrInvalid, "payload: "+err.Error())
		}
		p.pub.Payload = v
	default:
		raw, err := args.Marshal(v)
		if err != nil {
			return Receipt{}, Errorf(ErrInvalid, "payload of type %T: %v", v, err)
		}
		p.pub.Payload = raw
	}
	return n.srv.publish(ctx, n, topic, &p.pub, p.receipt)
}

// publish is the way of a publication from Go: it waits for the receipt of a reliable topic, or where one is asked for.
func (s *Server) publish(ctx context.Context, n *Namespace, topic string, p *delivery.Publication, receipt bool) (Receipt, error) {
	pending, err := n.begin(ctx, topic, p, receipt)
	if err != nil {
		return Receipt{}, err
	}
	r := Receipt{MessageID: pending.MessageID, Offset: pending.Offset, Epoch: pending.Epoch, Duplicate: pending.Duplicate}
	if !receipt && n.d.Declared(topic).Spec.Policy.Mode != base.AtLeastOnce {
		r.Subscribers, r.Complete = NotCounted, true
		return r, nil
	}
	out := pending.Receipt(ctx)
	r.Subscribers, r.Rejected, r.Complete = out.Subscribers, out.Rejected, out.Complete
	r.Queued, r.Coalesced, r.Dropped, r.Spilled = out.Queued, out.Coalesced, out.Dropped, out.Spilled
	if !pending.Heard() {
		r.Subscribers = NotCounted
	}
	return r, nil
}

// begin is the one way of a publication into the hub: Go, HTTP and clients. It
// does not wait for the receipt.
func (n *Namespace) begin(ctx context.Context, topic string, p *delivery.Publication, receipt bool) (*delivery.Pending, error) {
	if n.srv.state.Load() == stateStopped { // while it drains, those who are still there are served
		return nil, coded(ErrDraining, "the server has stopped")
	}
	if _, err := n.topic(topic); err != nil {
		return nil, err
	}
	pending, err := n.srv.hub.Publish(ctx, n.d, topic, p, receipt)
	if err != nil {
		return nil, wrap(err, "topic "+topic+": "+err.Error())
	}
	return pending, nil
}
