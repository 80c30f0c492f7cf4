package weir

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/delivery"
)

// PublishOption changes one publish. It may be used for several.
type PublishOption func(*publishing)

// publishing is a publication with its options.
type publishing struct {
	pub     delivery.Publication
	room    string // "": any
	receipt bool   // the lanes' answers are waited for, whatever the topic's mode
	wrong   string // what is wrong with the options; "": nothing
}

// choose notes one choice of recipients: a field that is still empty.
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
	return func(p *publishing) { p.choose("InRoom", room, &p.room) }
}

// WithReceipt waits, at most until the publish's context ends, for what every lane
// did with the message; Receipt.Complete says whether that was long enough.
func WithReceipt() PublishOption { return func(p *publishing) { p.receipt = true } }

// Publish gives a message to the subscribers of a topic. payload: json.RawMessage goes out verbatim, []byte as a binary part,
// anything else as encoding/json makes it; it must not be changed after the call. JSON that is not UTF-8 is ErrInvalid: it
// would end the connection of every client that got it.
//
// It waits for room in the server's inboxes as long as ctx allows, which is for ever with context.Background(), and for a
// reliable topic until every lane has answered, or ctx ends: see Receipt.Complete. Where the topic has a journal it returns
// when the message is written, of a BEST_EFFORT topic after a second at most if the disk hangs: see Receipt.Unkept. Errors:
// ErrUnknown, ErrInvalid, ErrTooLarge, ErrBusy, ErrLimited (ServerLimits.TopicsPerNamespace), ErrDraining, ErrUnavailable
// (the topic's journal takes nothing, or the broker is away; best-effort messages still reach who has room); then nobody gets
// the message.
func (s *Server) Publish(ctx context.Context, namespace, topic string, payload any, opts ...PublishOption) (Receipt, error) {
	n := s.byPath.Find(namespace)
	if n == nil {
		return Receipt{}, coded(ErrUnknown, "unknown namespace "+namespace)
	}
	return n.Publish(ctx, topic, payload, opts...)
}

// Publish is Server.Publish for this namespace; its errors are the same.
func (n *Namespace) Publish(ctx context.Context, topic string, payload any, opts ...PublishOption) (Receipt, error) {
	p, err := newPublishing(payload, opts)
	if err != nil {
		return Receipt{}, err
	}
	pending, err := n.begin(ctx, byApplication, topic, &p.pub, p.receipt)
	if err != nil {
		return Receipt{}, err
	}
	if p.receipt || n.d.Declared(topic).Reliable() {
		return countedReceipt(ctx, pending), nil
	}
	return placedReceipt(pending), nil
}

// newPublishing is what is to be published of a payload, as the options have it.
func newPublishing(payload any, opts []PublishOption) (p *publishing, err error) {
	p = new(publishing)
	for _, o := range opts {
		o(p)
	}
	if p.wrong != "" {
		return nil, coded(ErrInvalid, p.wrong)
	}
	if p.room != "" {
		p.pub.Target.Rooms = []string{p.room}
	}
	p.pub.Payload, p.pub.Binary, err = encodePayload(payload)
	return p, err
}

// encodePayload is a payload as it goes out: JSON, or binary.
func encodePayload(payload any) (data []byte, binary bool, err error) {
	switch v := payload.(type) {
	case []byte:
		return v, true, nil
	case json.RawMessage:
		if err := args.CheckText(v); err != nil {
			return nil, false, coded(ErrInvalid, "payload: "+err.Error())
		}
		return v, false, nil
	default:
		if data, err = args.Marshal(v); err != nil {
			return nil, false, Errorf(ErrInvalid, "payload of type %T: %v", v, err)
		}
		return data, false, nil
	}
}

// begin is the one way of a publication into the hub. It does not wait for the receipt:
//
//	Go      Namespace.Publish ─┐                                    ┌─ placedReceipt, or countedReceipt
//	HTTP    publisher.Publish ─┼─> begin ─> hub.Publish ─> Pending ─┼─ the answer's body, by internal/admin
//	client  request.publish ───┘                                    └─ the ack of its event
//
// What a schema is about is held to it here, on the goroutine of whoever publishes, before the id is looked at: a worker's, for
// a client.
func (n *Namespace) begin(ctx context.Context, from publisherKind, topic string, p *delivery.Publication, receipt bool) (*delivery.Pending, error) {
	if n.srv.state.Load() == stateStopped { // while it drains, those who are still there are served
		return nil, coded(ErrDraining, "the server has stopped")
	}
	if _, err := n.topic(topic); err != nil {
		return nil, err
	}
	if err := n.checkPublication(from, topic, p); err != nil {
		return nil, err
	}
	pending, err := n.srv.hub.Publish(ctx, n.d, topic, p, receipt)
	if err != nil {
		return nil, wrap(err, "topic "+topic+": "+err.Error())
	}
	if !pending.Duplicate {
		n.srv.fleet.publish(ctx, n, topic, pending.MessageID, p)
	}
	return pending, nil
}
