package weir

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/wire/sio"
)

// deliveryEvents are StreamFence's bare names; with "weir:" before them they always
// mean delivery (design 5.4).
var deliveryEvents = map[string]bool{"subscribe": true, "unsubscribe": true, "publish": true, "ack": true}

// request is a delivery event of a client.
type request struct {
	s     *Socket
	name  string // without "weir:"
	topic string
	arg   gjson.Result
	id    uint64
	asks  bool
}

// deliveryEvent handles subscribe, unsubscribe, publish and ack. It reports false
// for an event of the application. Loop.
func (s *Socket) deliveryEvent(in *socketio.Event) bool {
	name, own := strings.CutPrefix(in.Name, "weir:")
	if !own && (!deliveryEvents[name] || len(s.ns.opts.Topics) == 0) {
		return false
	}
	var buf [4][]byte
	args := sio.SplitArgs(in.Args, buf[:0])
	if name == "ack" && len(args) > 1 && s.ack(in, args[1]) {
		return true
	}
	r := &request{s: s, name: name, id: in.ID, asks: in.HasID}
	if len(args) > 1 {
		r.arg = gjson.ParseBytes(args[1])
	}
	topic := r.arg.Get("topic")
	if !own && (!r.arg.IsObject() || topic.Type != gjson.String) {
		return false
	}
	r.topic = topic.Str
	switch {
	case name == "history":
		r.refuse(Errorf(ErrUnsupported, "history needs the journal, which this version of Weir does not have"))
	case !deliveryEvents[name]:
		r.refuse(&Error{Code: base.CodeNoHandler, Reason: "there is no event weir:" + brief(name)})
	case r.topic == "":
		r.refuse(Errorf(ErrInvalid, "want an object with the topic's name: {topic: \"…\"}"))
	default:
		r.serve(in)
	}
	return true
}

// ack takes an acknowledgement; it reports false if the argument is none. There is
// one for every reliable delivery: nothing is allocated but its two strings.
func (s *Socket) ack(in *socketio.Event, arg []byte) bool {
	topic, ok := sio.StringField(arg, "topic")
	if !ok || topic == "" {
		return false
	}
	id, _ := sio.StringField(arg, "messageId")
	s.out().Ack(topic, id)
	if in.HasID {
		s.answer(in.ID, map[string]any{"ok": true})
	}
	return true
}

func (r *request) serve(in *socketio.Event) {
	switch r.name {
	case "unsubscribe":
		r.unsubscribe()
	case "subscribe":
		r.subscribe()
	case "publish":
		r.publish(in)
	}
}

// accept answers the client's callback, if it has one. Loop.
func (r *request) accept(body any) {
	if r.asks {
		r.s.answer(r.id, body)
	}
}

// refuse answers the callback, or without one emits weir:error. Loop.
func (r *request) refuse(err error) {
	body := refusalOf(err)
	body.Topic = brief(r.topic)
	r.s.ns.srv.count.requests.Add(body.Code)
	if r.asks {
		r.s.answer(r.id, body)
		return
	}
	r.s.tell(body)
}

func (r *request) unsubscribe() {
	if !r.s.out().Unsubscribe(r.topic) {
		r.refuse(&Error{Code: base.CodeNotSubscribed, Reason: "not subscribed to " + r.topic})
		return
	}
	r.s.subscribed(r.topic, false)
	r.accept(map[string]any{"ok": true, "topic": r.topic})
}

func (r *request) subscribe() {
	t, err := r.s.ns.topic(r.topic)
	if err != nil {
		r.refuse(err)
		return
	}
	if t.WebsocketOnly && r.s.client.session.Transport() != "websocket" {
		r.refuse(&Error{Code: base.CodeNeedsWebsocket, Reason: "the topic " + r.topic + " is for websockets only"})
		return
	}
	o, err := r.options()
	if err != nil {
		r.refuse(err)
		return
	}
	if !t.AuthRequired {
		r.enter(o)
		return
	}
	later, token := *r, r.arg.Get("token").Str // a copy, so that only who waits costs an object
	r.s.enqueue(jobFunc(func(ctx context.Context) {
		err := later.s.authorize(ctx, ActionSubscribe, later.topic, token)
		later.s.post(func() {
			if err != nil {
				later.refuse(err)
				return
			}
			later.enter(o)
		})
	}), len(r.arg.Raw))
}

func (r *request) options() (delivery.SubscribeOptions, error) {
	o := delivery.SubscribeOptions{Shape: r.s.ns.opts.Dialect, Tell: r.arg.Get("notifyLoss").Bool()}
	if shape := r.arg.Get("shape"); shape.Exists() {
		if err := o.Shape.UnmarshalText([]byte(shape.String())); err != nil {
			return o, Errorf(ErrInvalid, err.Error())
		}
	}
	switch ack := r.arg.Get("ack").Str; ack {
	case "", "event":
	case "callback":
		o.Callback = true
	default:
		return o, Errorf(ErrInvalid, "ack "+brief(ack)+": want event or callback")
	}
	return o, nil
}

func (r *request) enter(o delivery.SubscribeOptions) {
	err := r.s.subscribe(r.topic, o, func(sub delivery.Subscription) {
		if r.asks { // written by hand: every client that connects gets one
			b := sio.AppendString([]byte(`{"ok":true,"topic":`), r.topic)
			b = sio.AppendString(append(b, `,"epoch":`...), sub.Epoch)
			b = strconv.AppendUint(append(b, `,"offset":`...), sub.Offset, 10)
			r.accept(json.RawMessage(append(b, '}')))
		}
	})
	if err != nil {
		r.refuse(wrap(err, err.Error()+": "+r.topic))
	}
}

// subscribe makes the socket a subscriber. Loop.
func (s *Socket) subscribe(topic string, o delivery.SubscribeOptions, answer func(delivery.Subscription)) error {
	if err := s.out().Subscribe(topic, o, answer); err != nil {
		return err
	}
	s.subscribed(topic, true)
	return nil
}

func (s *Socket) subscribed(topic string, on bool) {
	if f := s.ns.srv.opts.Events.Subscribed; f != nil {
		d := s.out()
		f(SubscribedEvent{Namespace: s.ns.path, ID: d.ID, Principal: d.Principal, Topic: topic, Subscribed: on})
	}
}

// publish is a client's publish: it goes through a worker, so that no shard ever
// waits for an inbox (design D3).
func (r *request) publish(in *socketio.Event) {
	if !r.s.ns.opts.ClientPublish {
		r.refuse(Errorf(ErrForbidden, "clients may not publish in "+r.s.ns.path+" (clientPublish)"))
		return
	}
	t, err := r.s.ns.topic(r.topic)
	if err != nil {
		r.refuse(err)
		return
	}
	p, err := r.publication(in)
	if err != nil {
		r.refuse(err)
		return
	}
	early := r.s.ns.opts.InboundAck == AckOnReceipt
	later, token := *r, r.arg.Get("token").Str
	r.s.enqueue(jobFunc(func(ctx context.Context) {
		var err error
		if t.AuthRequired {
			err = later.s.authorize(ctx, ActionPublish, later.topic, token)
		}
		var receipt Receipt
		if err == nil {
			receipt, err = later.s.ns.srv.publish(ctx, later.s.ns, later.topic, p, !early)
		}
		later.s.post(func() {
			if err != nil {
				later.refuse(err)
				return
			}
			later.accept(map[string]any{"ok": true, "messageId": receipt.MessageID})
		})
	}), in.Bytes())
}

// publication takes the payload out of a client's publish: its raw JSON, or the
// attachment it stands for.
func (r *request) publication(in *socketio.Event) (*delivery.Publication, error) {
	payload := r.arg.Get("payload")
	if !payload.Exists() {
		return nil, Errorf(ErrInvalid, "want an object with topic and payload")
	}
	p := &delivery.Publication{Payload: []byte(payload.Raw)}
	if len(in.Attachments) == 0 {
		return p, nil
	}
	places, err := sio.Placeholders(nil, p.Payload, len(in.Attachments))
	if err != nil || len(places) != 1 || places[0].End-places[0].Start != len(p.Payload) {
		return nil, Errorf(ErrInvalid, "a payload is JSON or one binary part; binary inside of JSON is for events")
	}
	p.Payload, p.Binary = in.Attachments[places[0].Num], true
	return p, nil
}

// maxTopicName bounds the names clients make up under a pattern, which are kept as
// long as somebody subscribes to them.
const maxTopicName = 256

// topic returns the declaration a topic's name falls under.
func (n *Namespace) topic(name string) (*TopicOptions, error) {
	if len(name) > maxTopicName {
		return nil, Errorf(ErrInvalid, fmt.Sprintf("a topic's name of %d bytes: want at most %d", len(name), maxTopicName))
	}
	d := n.d.Declared(name)
	if d == nil || strings.HasSuffix(name, "*") || reservedTopic(name) != "" {
		return nil, Errorf(ErrUnknown, "unknown topic "+name+" in "+n.path)
	}
	return n.topics[d], nil
}

// post runs f on the socket's shard, unless the socket has left. Any goroutine.
func (s *Socket) post(f func()) {
	s.client.out.Shard().Post(socketTask{s, f})
}

// socketTask is a step on behalf of a socket that may have left meanwhile.
type socketTask struct {
	s *Socket
	f func()
}

// Run implements base.Task.
func (t socketTask) Run() {
	if !t.s.gone.Load() {
		t.f()
	}
}
