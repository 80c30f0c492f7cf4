package weir

import (
	"context"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/sio"
)

// What becomes of a client's event that may be about delivery:
//
//	EVENT ── deliveryEvent ─┬─ no name of ours, or not in our shape ──> the application's
//	                        ├─ ack ──> its lane, and nothing else: there is one for every reliable delivery
//	                        ├─ too large, unknown, a wrong shape ──> refuse
//	                        └─ serve ─┬─ decided here ──────────────────────────────────> accept or refuse
//	                                  └─ decide: a token, a log, an inbox ··> the loop ──^

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
	due   bool // it has had its turn: its answer need not wait for one

	computes bool // what is to be done for it computes, as a handler may: it is for a worker
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
	if name == "ack" && s.ack(in) {
		return true
	}
	var buf [4][]byte
	args := sio.SplitArgs(in.Args, buf[:0])
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
	case fields[name] == nil:
		r.refuse(coded(codeNoHandler, "there is no event weir:"+clipped(name)))
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

// ackFields are what an acknowledgement names.
var ackFields = [...]string{"topic", "messageId"}

// ack takes an acknowledgement; it reports false if the argument is none. There is one for every reliable delivery: it is
// read once, and nothing is allocated. A callback is told whether a message was waiting for it: one acknowledged twice is not.
//
//weir:loop
func (s *Socket) ack(in *socketio.Incoming) bool {
	texts, ok := sio.TextFields(in.Args, ackFields)
	topic, id := texts[0], texts[1]
	if !ok || len(topic) == 0 || len(id) == 0 {
		return false
	}
	settled := s.out().Ack(string(topic), string(id))
	if in.HasID {
		s.acknowledge(in.ID, settled)
	}
	return true
}

// acknowledge answers an acknowledgement.
//
//weir:loop
func (s *Socket) acknowledge(id uint64, settled bool) {
	send := func() { s.answer(id, map[string]any{"ok": true, "settled": settled}) }
	if s.out().Unread() {
		s.later(send)
		return
	}
	send()
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
	case "join", "leave":
		r.moveRoom()
	}
}

// accept answers the client's callback, if it has one.
func (r *request) accept(body any) {
	if !r.asks {
		return
	}
	if s, id := r.s, r.id; r.waits() {
		s.later(func() { s.answer(id, body) })
	} else {
		s.answer(id, body)
	}
}

// waits reports whether the request's answer has to wait until the client has read those before it.
func (r *request) waits() bool { return !r.due && r.s.out().Unread() }

// refuse answers the callback, or without one emits weir:error.
func (r *request) refuse(err error) {
	body := refusalOf(err)
	body.Topic = clipped(r.topic)
	s, id, asks := r.s, r.id, r.asks
	s.ns.srv.count.requests.Add(body.Code)
	send := func() {
		if asks {
			s.answer(id, body)
			return
		}
		s.tell(body)
	}
	if r.waits() {
		s.later(send)
		return
	}
	send()
}

// decide finds out elsewhere what the loop may not wait for, and does the rest on the loop. Until that is done, whatever
// else changes the socket's subscriptions, and its handlers, wait behind it: what a client asks for takes effect in the
// order it asked. may asks the application, and work is done elsewhere if it may; either may be nil.
func (r *request) decide(bytes int, may, work func(context.Context) error, then func(error)) {
	s := r.s
	s.deciding++
	q := &inquiry{r: r, until: s.until(), may: may, work: work, then: then}
	if may != nil {
		s.ask(permission{q}, 0)
	}
	if r.computes {
		s.loop().enqueue(q, bytes)
		return
	}
	s.loop().request(q, bytes)
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
