package weir

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/wire/sio"
)

func (r *request) unsubscribe() {
	if !r.s.out().Unsubscribe(r.topic) {
		r.refuse(coded(codeNotSubscribed, "not subscribed to "+clipped(r.topic)))
		return
	}
	r.s.subscribed(r.topic, false)
	r.accept(map[string]any{"ok": true, "topic": r.topic})
}

// wishes are the options of a subscribe: those given, and what none of them can do for
// this topic.
type wishes struct {
	delivery.SubscribeOptions
	last     int               // messages of the past to begin with; 0: none
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

// subscribe enters a topic at once, or where a token, the topic's log, what the client asked before or the answers it has not
// read come first, after that:
//
//	wanted ─┬─ no such topic, not allowed, wrong options ──> refuse
//	        ├─ nothing to wait for ────────────────────────> enter
//	        └─ decide: may ··> prepare ··> ─┬─ it failed ──> refuse
//	                                        └──────────────> enter
func (r *request) subscribe() {
	wants, may, err := r.wanted()
	if err != nil {
		r.refuse(err)
		return
	}
	ready := r.s.ns.d.Ready(r.topic)
	if may == nil && wants.last == 0 && ready && r.s.deciding == 0 && !r.s.out().Unread() {
		r.enter(wants)
		return
	}
	later, kept := *r, wants // copies, so that only who waits costs an object
	var prepare func(context.Context) error
	switch {
	case kept.last > 0:
		prepare = func(ctx context.Context) error { return later.recall(ctx, &kept) }
	case !ready:
		prepare = func(ctx context.Context) error { return later.s.ns.await(ctx, later.topic) }
	}
	later.decide(len(r.arg.Raw), may, prepare, func(err error) {
		if err != nil {
			later.refuse(err)
			return
		}
		later.enter(kept)
	})
}

// wanted is what a subscribe asks for, and what has to allow it; nil: nothing has to.
func (r *request) wanted() (wants wishes, may func(context.Context) error, err error) {
	t, err := r.s.ns.topic(r.topic)
	if err != nil {
		return wants, nil, err
	}
	if t.WebsocketOnly && r.s.client.Transport() != "websocket" {
		return wants, nil, coded(codeNeedsWebsocket, "the topic "+r.topic+" is for websockets only")
	}
	if wants, err = r.options(t); err != nil {
		return wants, nil, err
	}
	if may, err = r.permission(ActionSubscribe, t); err != nil {
		return wants, nil, err
	}
	if wants.last, err = r.last(t, &wants); err == nil && wants.last > 0 {
		may, err = r.mayRecall(may, t)
	}
	return wants, may, err
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
		return o, coded(ErrInvalid, "ack "+clipped(ack.Str)+": want event or callback")
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

// enter subscribes the socket; the answer goes out before the first delivery.
func (r *request) enter(o wishes) {
	err := r.s.subscribe(r.topic, o.SubscribeOptions, func(sub delivery.Subscription) {
		if r.asks {
			o.compare(&sub)
			r.accept(o.answer(r.topic, &sub))
		}
	})
	if err != nil {
		r.refuse(wrap(err, err.Error()+": "+r.topic))
	}
}

// compare notes which wishes a subscription does not fulfil.
func (w *wishes) compare(sub *delivery.Subscription) {
	const (
		stuck  = "messages wait in the shape and the ack mode of before: unsubscribe first, or ask again when they are through"
		before = "subscribed before: what was published since has been delivered"
		never  = "nothing was kept before it was asked for: snapshot: true on the topic keeps it always"
	)
	if sub.Stuck && w.Given.Shape {
		w.ignore("shape", stuck)
	}
	if sub.Stuck && w.Given.Callback {
		w.ignore("ack", stuck)
	}
	switch {
	case sub.Again && w.asked:
		w.ignore("snapshot", before)
	case !sub.Again && w.Snapshot && !w.declared && sub.Values == 0 && !sub.Complete:
		w.ignore("snapshot", never)
	}
	if sub.Again && w.Past != nil {
		w.ignore("last", before)
	}
}

// answer is what the client's callback is told. It is written by hand: every client that connects gets one.
func (w *wishes) answer(topic string, sub *delivery.Subscription) json.RawMessage {
	b := sio.AppendString([]byte(`{"ok":true,"topic":`), topic)
	b = sio.AppendString(append(b, `,"epoch":`...), sub.Epoch)
	b = strconv.AppendUint(append(b, `,"offset":`...), sub.Offset, 10)
	if w.Snapshot && !sub.Again {
		b = strconv.AppendInt(append(b, `,"snapshot":{"values":`...), int64(sub.Values), 10)
		b = append(strconv.AppendBool(append(b, `,"complete":`...), sub.Complete), '}')
	}
	if w.Past != nil && !sub.Again {
		b = append(strconv.AppendInt(append(b, `,"history":{"messages":`...), int64(sub.History), 10), '}')
	}
	if len(w.ignored) > 0 {
		why, _ := json.Marshal(w.ignored) // a map of strings
		b = append(append(b, `,"ignored":`...), why...)
	}
	return append(b, '}')
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
