package weir

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/sio"
)

// deliveryEvents are StreamFence's bare names; with "weir:" before them they always
// mean delivery (protocol.md 4).
var deliveryEvents = map[string]bool{"subscribe": true, "unsubscribe": true, "publish": true, "ack": true}

// request is a delivery event of a client.
//
//weir:loop
type request struct {
	s     *Socket
	name  string // without "weir:"
	topic string
	arg   gjson.Result
	id    uint64
	asks  bool
}

// deliveryEvent handles subscribe, unsubscribe, publish and ack. It reports false
// for an event of the application.
//
//weir:loop
func (s *Socket) deliveryEvent(in *socketio.Incoming) bool {
	name, own := strings.CutPrefix(in.Name, "weir:")
	if !own && (!deliveryEvents[name] || len(s.ns.opts.Topics) == 0) {
		return false
	}
	if len(in.Args) > s.ns.request {
		return s.tooLarge(in, name, own)
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
	topic, more := r.arg.Get("topic"), tooMany(args)
	if !own && (more || !r.arg.IsObject() || topic.Type != gjson.String) {
		return false // the application's, see misshapen
	}
	r.topic = topic.Str
	switch {
	case name == "token":
		r.freshToken()
	case !deliveryEvents[name] && name != "history":
		r.refuse(coded(codeNoHandler, "there is no event weir:"+brief(name)))
	case more:
		r.refuse(coded(ErrInvalid, "more than one argument: want "+shapeOf(name)))
	default:
		if err := r.checkShape(); err != nil {
			r.refuse(err)
		} else {
			r.serve(in)
		}
	}
	return true
}

// tooMany reports whether an event has more than its one argument; those of JavaScript that are undefined do not count.
func tooMany(args [][]byte) bool {
	for i := 2; i < len(args); i++ {
		if string(args[i]) != "null" {
			return true
		}
	}
	return false
}

// requestFrame is how many bytes a delivery event may have besides a payload as long as any lane of its namespace takes.
const requestFrame = 64 << 10

// tooLarge refuses a delivery event that no lane could take, unread: looking into it would hold the loop. Under a bare
// name it is the application's, see misshapen.
//
//weir:loop
func (s *Socket) tooLarge(in *socketio.Incoming, name string, own bool) bool {
	if own {
		r := &request{s: s, name: name, id: in.ID, asks: in.HasID}
		r.refuse(Errorf(ErrTooLarge, "%d bytes: want at most %d", len(in.Args), s.ns.request))
	}
	return own
}

// misshapen is what is wrong with an event of the application that bears a bare delivery
// name, should nothing handle it: its client meant delivery, in another shape. Nil for
// any other event.
func (s *Socket) misshapen(name string) error {
	if !deliveryEvents[name] || len(s.ns.opts.Topics) == 0 {
		return nil
	}
	return coded(ErrInvalid, "want "+shapeOf(name))
}

// ack takes an acknowledgement; it reports false if the argument is none. There is
// one for every reliable delivery: nothing is allocated but its two strings. A callback
// is told whether a message was waiting for it: one acknowledged twice is not.
//
//weir:loop
func (s *Socket) ack(in *socketio.Incoming, arg []byte) bool {
	topic, ok := sio.StringField(arg, "topic")
	id, named := sio.StringField(arg, "messageId")
	if !ok || topic == "" || !named || id == "" {
		return false
	}
	settled := s.out().Ack(topic, id)
	if in.HasID {
		s.answer(in.ID, map[string]any{"ok": true, "settled": settled})
	}
	return true
}

func (r *request) serve(in *socketio.Incoming) {
	if r.name != "publish" {
		r.s.client.Shard().Turns().Spend(turns.Subscription)
	}
	switch r.name {
	case "unsubscribe":
		if r.s.deciding > 0 {
			later := *r
			later.decide(len(r.arg.Raw), nil, nil, func(error) { later.unsubscribe() })
			return
		}
		r.unsubscribe()
	case "subscribe":
		r.subscribe()
	case "publish":
		r.publish(in)
	case "history":
		r.history()
	}
}

// accept answers the client's callback, if it has one.
func (r *request) accept(body any) {
	if r.asks {
		r.s.answer(r.id, body)
	}
}

// refuse answers the callback, or without one emits weir:error.
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
		r.refuse(coded(codeNotSubscribed, "not subscribed to "+brief(r.topic)))
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
	if t.WebsocketOnly && r.s.client.Transport() != "websocket" {
		r.refuse(coded(codeNeedsWebsocket, "the topic "+r.topic+" is for websockets only"))
		return
	}
	o, err := r.options(t)
	if err != nil {
		r.refuse(err)
		return
	}
	may, err := r.permission(ActionSubscribe, t)
	ready := r.s.ns.d.Ready(r.topic)
	last := 0
	if err == nil {
		last, err = r.last(t, &o)
	}
	if err == nil && last > 0 {
		may, err = r.mayRecall(may, t)
	}
	switch {
	case err != nil:
		r.refuse(err)
		return
	case may == nil && r.s.deciding == 0 && last == 0 && ready:
		r.enter(o)
		return
	}
	later, wants := *r, o // copies, so that only who waits costs an object
	var work func(context.Context) error
	switch {
	case last > 0:
		work = func(ctx context.Context) error { return later.recall(ctx, last, &wants) }
	case !ready:
		work = func(ctx context.Context) error { return later.s.ns.await(ctx, later.topic) }
	}
	later.decide(len(r.arg.Raw), may, work, func(err error) {
		if err != nil {
			later.refuse(err)
			return
		}
		later.enter(wants)
	})
}

// wishes are the options of a subscribe: those given, and what none of them can do for
// this topic.
type wishes struct {
	delivery.SubscribeOptions
	asked    bool              // a snapshot is asked for, and not only declared
	declared bool              // a snapshot is sent to all
	ignored  map[string]string // by option: why
}

func (w *wishes) ignore(option, why string) {
	if w.ignored == nil {
		w.ignored = make(map[string]string, 1)
	}
	w.ignored[option] = why
}

func (r *request) options(t *TopicOptions) (wishes, error) {
	o := wishes{SubscribeOptions: delivery.SubscribeOptions{Shape: base.Shape(r.s.ns.opts.Dialect)}}
	tell := r.arg.Get("notifyLoss")
	o.Tell, o.Given.Tell = tell.Bool(), tell.IsBool()
	if shape := r.arg.Get("shape"); shape.Type == gjson.String {
		if err := o.Shape.UnmarshalText([]byte(shape.Str)); err != nil {
			return o, coded(ErrInvalid, err.Error())
		}
		o.Given.Shape = true
	}
	ack := r.arg.Get("ack")
	o.Given.Callback = ack.Type == gjson.String
	switch ack.Str {
	case "":
		o.Given.Callback = false
	case "event":
	case "callback":
		o.Callback = true
	default:
		return o, coded(ErrInvalid, "ack "+brief(ack.Str)+": want event or callback")
	}
	if t.Mode != AtLeastOnce && o.Callback {
		o.Callback, o.Given.Callback = false, false
		o.ignore("ack", "messages of a BEST_EFFORT topic are not acknowledged")
	}
	o.Snapshot, o.declared = t.Snapshot, t.Snapshot
	if snapshot := r.arg.Get("snapshot"); snapshot.IsBool() {
		o.Snapshot, o.asked = snapshot.Bool(), snapshot.Bool()
	}
	if t.Mode == AtLeastOnce && o.Given.Tell && !o.Tell {
		o.Given.Tell = false
		o.ignore("notifyLoss", "losses of an AT_LEAST_ONCE topic are always told")
	}
	return o, nil
}

func (r *request) enter(o wishes) {
	err := r.s.subscribe(r.topic, o.SubscribeOptions, func(sub delivery.Subscription) {
		if !r.asks {
			return
		}
		// Written by hand: every client that connects gets one.
		b := sio.AppendString([]byte(`{"ok":true,"topic":`), r.topic)
		b = sio.AppendString(append(b, `,"epoch":`...), sub.Epoch)
		b = strconv.AppendUint(append(b, `,"offset":`...), sub.Offset, 10)
		if sub.Stuck {
			why := "messages wait in the shape and the ack mode of before: unsubscribe first, or ask again when they are through"
			if o.Given.Shape {
				o.ignore("shape", why)
			}
			if o.Given.Callback {
				o.ignore("ack", why)
			}
		}
		switch {
		case o.asked && sub.Again:
			o.ignore("snapshot", "subscribed before: what was published since has been delivered")
		case o.Snapshot && !sub.Again:
			if sub.Values == 0 && !sub.Complete && !o.declared {
				o.ignore("snapshot", "nothing was kept before it was asked for: snapshot: true on the topic keeps it always")
			}
			b = strconv.AppendInt(append(b, `,"snapshot":{"values":`...), int64(sub.Values), 10)
			b = append(strconv.AppendBool(append(b, `,"complete":`...), sub.Complete), '}')
		}
		switch {
		case o.Past != nil && sub.Again:
			o.ignore("last", "subscribed before: what was published since has been delivered")
		case o.Past != nil:
			b = append(strconv.AppendInt(append(b, `,"history":{"messages":`...), int64(sub.History), 10), '}')
		}
		if len(o.ignored) > 0 {
			why, _ := json.Marshal(o.ignored) // a map of strings
			b = append(append(b, `,"ignored":`...), why...)
		}
		r.accept(json.RawMessage(append(b, '}')))
	})
	if err != nil {
		r.refuse(wrap(err, err.Error()+": "+r.topic))
	}
}

// subscribe makes the socket a subscriber.
//
//weir:loop
func (s *Socket) subscribe(topic string, o delivery.SubscribeOptions, answer func(delivery.Subscription)) error {
	if err := s.out().Subscribe(topic, o, answer); err != nil {
		return err
	}
	s.subscribed(topic, true)
	return nil
}

//weir:loop
func (s *Socket) subscribed(topic string, on bool) {
	if f := s.ns.srv.opts.Events.Subscribed; f != nil {
		d := s.out()
		f(SubscribedEvent{Namespace: s.ns.path, ID: d.ID, Principal: d.Principal, Topic: topic, Subscribed: on})
	}
}

// publish is a client's publish: it goes through a worker, so that no shard ever
// waits for an inbox (architecture.md D3).
func (r *request) publish(in *socketio.Incoming) {
	if !r.s.ns.opts.ClientPublish && !r.s.ns.opts.ClientPublishGranted {
		r.refuse(coded(ErrForbidden, "clients may not publish in "+r.s.ns.path+" (clientPublish)"))
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
	may, err := r.permission(ActionPublish, t)
	if err != nil {
		r.refuse(err)
		return
	}
	later := *r
	var pending *delivery.Pending
	var out delivery.Receipt
	later.decide(in.Bytes(), may, func(ctx context.Context) (err error) {
		pending, err = later.s.ns.begin(ctx, later.topic, p, !early)
		if err == nil && !early {
			out = pending.Receipt(ctx)
		}
		return err
	}, func(err error) {
		if err != nil {
			later.refuse(err)
			return
		}
		answer := map[string]any{"ok": true, "messageId": pending.MessageID}
		if !early && out.Rejected > 0 {
			answer["rejected"] = out.Rejected // for so many the promise has ended (P6)
		}
		if !early && !out.Complete {
			answer["complete"] = false
		}
		later.accept(answer)
	})
}

// decide finds out elsewhere what the loop may not wait for, and does the rest on the loop. Until that is done, whatever
// else changes the socket's subscriptions, and its handlers, wait behind it: what a client asks for takes effect in the
// order it asked. may asks the application, and work is done by a worker if it may; either may be nil.
func (r *request) decide(bytes int, may, work func(context.Context) error, then func(error)) {
	s := r.s
	s.deciding++
	q := &inquiry{r: r, until: s.until(), may: may, work: work, then: then}
	if may != nil {
		s.ask(permission{q}, 0)
	}
	s.loop().enqueue(q, bytes)
}

// publication takes the payload out of a client's publish: its raw JSON, or the
// attachment it stands for.
func (r *request) publication(in *socketio.Incoming) (*delivery.Publication, error) {
	p := &delivery.Publication{Payload: []byte(r.arg.Get("payload").Raw)}
	if len(in.Attachments) == 0 {
		return p, nil
	}
	places, err := sio.Placeholders(nil, p.Payload, len(in.Attachments))
	if err != nil || len(places) != 1 || places[0].End-places[0].Start != len(p.Payload) {
		return nil, coded(ErrInvalid, "a payload is JSON or one binary part; binary inside of JSON is for events")
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
		return nil, Errorf(ErrInvalid, "a topic's name of %d bytes: want at most %d", len(name), maxTopicName)
	}
	if !isUnicode(name) {
		return nil, coded(ErrInvalid, "a topic's name is Unicode text: this one holds a lone surrogate, U+FFFD, or bytes that are no UTF-8")
	}
	d := n.d.Declared(name)
	if d == nil || strings.HasSuffix(name, "*") || reservedTopic(name) != "" {
		return nil, coded(ErrUnknown, "unknown topic "+name+" in "+n.path)
	}
	return n.topics[d], nil
}

// isUnicode reports whether a name is text that means itself: a JSON reader makes U+FFFD of what is none, of any, so that two
// names would be one.
func isUnicode(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsRune(name, utf8.RuneError)
}

// post runs f on the socket's shard, unless the socket has left; the channel is closed
// then. Any goroutine.
func (s *Socket) post(f func()) (done <-chan struct{}) {
	t := socketTask{s, f, make(chan struct{})}
	s.client.Shard().Post(t)
	return t.done
}

// socketTask is a step on behalf of a socket that may have left meanwhile.
//
//weir:loop
type socketTask struct {
	s    *Socket
	f    func()
	done chan struct{}
}

// Run implements base.Task.
func (t socketTask) Run() {
	defer close(t.done)
	if !t.s.gone.Load() {
		t.f()
	}
}
