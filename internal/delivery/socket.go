package delivery

import (
	"errors"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/cursor"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/roster"
	"github.com/streamweir/weir/internal/topiclog"
)

// Socket is one client in one namespace: its events lane, its topic lanes and
// its rooms. ID, Principal, Namespace and Peer do not change; the rest is the
// loop's.
//
//weir:loop
type Socket struct {
	ID        string
	Principal string
	Namespace *Namespace
	Peer      SocketPeer

	conn    *Conn
	events  *outLane   // nil while it holds nothing, see eventsLane
	past    lane.Past  // what was said in the books of the events lane when it last held nothing
	lanes   []*outLane // one per topic, subscribed or reached by emits
	ties    *ties      // nil: none
	seen    uint32     // the roster's, see Mark
	waits   bool       // some lane waits for the events lane, or did
	refusal bool       // never let in: it carries a CONNECT_ERROR
	closed  bool       // no longer a member: only the events lane may still be flushed
}

// SocketPeer is what a socket needs of whoever runs its handlers.
//
//weir:loop
type SocketPeer interface {
	// Gone is called once, when the socket leaves its namespace; it is still in its
	// rooms.
	Gone(base.Cause)
	// Unread is where it is counted what the client has not taken; nil: nobody asks for it now. Any goroutine.
	//
	//weir:any
	Unread() *Unread
	// Taken is called once after Socket.Ready has said no, when it would say yes.
	Taken()
}

//weir:any
func (s *Socket) shard() *Shard { return s.conn.shard }

// plain is the form of plain events, acks and namespace packets to the socket. Any goroutine may call it.
//
//weir:any
func (s *Socket) plain() base.Form { return base.Plain.In(s.conn.dialect) }

// Conn returns the connection the socket is on.
//
//weir:any
func (s *Socket) Conn() *Conn { return s.conn }

// Closed reports whether the socket has left its namespace.
func (s *Socket) Closed() bool { return s.closed }

// Unread reports whether as much as half of what the events lane may hold waits for the client in it: what the client asks is
// not answered then. What the kernel takes is written first.
func (s *Socket) Unread() bool {
	half := func() bool { return !s.closed && s.events != nil && s.events.Half() }
	if half() {
		s.conn.Hasten()
	}
	return half()
}

// Rooms returns the rooms the socket is in, its own id first.
func (s *Socket) Rooms() []string { return roster.RoomsOf(s) }

// admit lets lanes write whose wait is over.
func (s *Socket) admit() {
	if !s.waits {
		return
	}
	s.waits = false
	for _, l := range s.lanes {
		if l.stage != stageBehind {
			s.admitLane(l)
		}
	}
	for _, c := range s.ties.catchUps() {
		s.admitLane(&c.outLane)
	}
}

func (s *Socket) admitLane(l *outLane) {
	switch {
	case !l.Paused():
	case l.Follows(s.events.Written):
		s.waits = true
	default:
		s.conn.box.Release(&l.Lane)
		s.conn.markDirty()
	}
}

// SubscribeOptions are what a client may ask for (protocol.md 4).
type SubscribeOptions struct {
	Shape    base.Shape
	Callback bool // each message carries a Socket.IO ack callback instead of an ack event
	Tell     bool // weir:lost before the next delivery after a loss
	Snapshot bool // the newest value first, or that of each key

	// From is where an earlier subscription of the client's has left off. What it says is done is not delivered again, if
	// it is of the topic and its epoch: see Subscription.Resumed. There is no snapshot then. The socket keeps the cursor.
	From *cursor.Cursor

	// Past is the newest messages of the topic, which Recall has made ready: they come first, and are marked. There is no snapshot
	// and no cursor then.
	Past *Past

	// Given says which of them the client has named: subscribing again changes those.
	Given struct{ Shape, Callback, Tell bool }
}

// Subscription says where deliveries begin.
type Subscription struct {
	Epoch  string
	Offset uint64 // deliveries begin after it
	Stuck  bool   // subscribed before, and the form of its messages stays: some wait in it
	Again  bool   // subscribed before: there is no snapshot

	Resumed bool // the cursor asked for is one of this order, and what it says is done will not come again
	Behind  bool // and something before Offset is not done: if the topic's log keeps anything what that still has is sent first, else it is not

	// The snapshot, if it was asked for: how many values go out before anything newer,
	// and whether those are all there are, or some have given way to the limits.
	Values   int
	Complete bool

	History int // messages of the past that go out before anything newer
}

// Subscribe makes the socket a subscriber of the named topic. answer is called
// before any delivery, so that what it enqueues precedes them. Subscribing again
// changes the options given, as far as that can be.
func (s *Socket) Subscribe(name string, o SubscribeOptions, answer func(Subscription)) error {
	if s.closed {
		return ErrClosed
	}
	take := snapshot{asked: o.Snapshot && o.From == nil && o.Past == nil, past: o.Past}
	t, from, err := s.enter(name, &take)
	if err != nil {
		return err
	}
	l := s.lane(t)
	if l != nil && l.subscribed() {
		stuck := !l.adjust(&o)
		answer(Subscription{Epoch: from.Epoch, Offset: from.Offset, Stuck: stuck, Again: true})
		return nil
	}
	f, tell := t.Declared.form(o.Shape).In(s.conn.dialect), o.Tell || t.Declared.Reliable()
	if o.Callback && t.Declared.Reliable() {
		f |= base.Callback
	}
	if l == nil {
		l = s.openLane(t, f, tell)
	} else {
		l.Reshape(f, tell) // so far it held emits, which are alike in every form
	}
	s.enlist(l, from.Offset)
	take.fit(l)
	at := Subscription{Epoch: from.Epoch, Offset: from.Offset, Values: take.values, Complete: take.complete}
	if o.Past != nil {
		at.History = o.Past.fit(l, s.shard().now)
	}
	if o.From != nil {
		at.Resumed, at.Behind = l.resume(o.From, from, take.epoch)
	}
	answer(at)
	l.wait()
	if o.Past != nil {
		s.shard().giveHistory(l, o.Past, take.epoch, from.Offset)
	}
	if l.lagging() {
		s.shard().fill(l)
	}
	if take.values > 0 {
		s.shard().present(l, &take)
	}
	return nil
}

// adjust changes a subscription's options to those given. The form of its messages can
// change only while none waits, which is when it reports true.
func (l *outLane) adjust(o *SubscribeOptions) bool {
	form, tell := l.Form()
	if o.Given.Tell {
		tell = o.Tell || l.topic.Declared.Reliable()
	}
	want := form
	if o.Given.Shape {
		want = l.topic.Declared.form(o.Shape).In(form.Dialect()) | form&base.Callback
	}
	if o.Given.Callback {
		want &^= base.Callback
		if o.Callback && l.topic.Declared.Reliable() {
			want |= base.Callback
		}
	}
	if want != form && (l.Depth() > 0 || l.stage == stageBehind) {
		l.Reshape(form, tell)
		return false
	}
	l.Reshape(want, tell)
	return true
}

func (s *Socket) enter(name string, take *snapshot) (*Topic, topiclog.Position, error) {
	sh := s.shard()
	if most := s.Namespace.spec.Subscriptions; most > 0 && s.subscriptions() >= most && s.subscription(name) == nil {
		return nil, topiclog.Position{}, ErrTooManySubscriptions
	}
	for {
		t := s.Namespace.known(name)
		if (t == nil || s.lane(t) == nil) && s.Namespace.Declared(name) != nil && s.Namespace.hub.full() {
			return nil, topiclog.Position{}, ErrBudget // before a topic is made: others would be forgotten for it
		}
		t, err := s.Namespace.Topic(name)
		if err != nil {
			return nil, topiclog.Position{}, err
		}
		if take.asked && t.Declared.Spec.Keep.Keys == 0 {
			return nil, topiclog.Position{}, ErrNothingKept
		}
		from, err := t.enter(sh.index, take)
		if !errors.Is(err, errForgotten) {
			return t, from, err
		}
	}
}

// Unsubscribe ends a subscription; what its lane still holds is booked as
// dropped. It reports false if there was none.
func (s *Socket) Unsubscribe(name string) bool {
	l := s.subscription(name)
	if l == nil {
		return false
	}
	s.dropLane(l, base.ReasonUnsubscribe)
	return true
}

// Subscribed reports whether the socket subscribes to the named topic.
func (s *Socket) Subscribed(name string) bool { return s.subscription(name) != nil }

// Join puts the socket into rooms. It fails with ErrTooManyRooms, or with ErrBudget where
// memory is short; it is then in those before the one that failed.
func (s *Socket) Join(rooms ...string) error {
	return s.join(rooms, func(n int64) bool { return s.Namespace.hub.budget.Claim(budget.Rooms, n) })
}

// Lodge is Join for a socket that has just been opened, with the rooms it was given
// before: to be let in without them would be worse than to hold what they take.
func (s *Socket) Lodge(rooms ...string) error {
	return s.join(rooms, func(n int64) bool {
		s.Namespace.hub.budget.Hold(budget.Rooms, n)
		return true
	})
}

func (s *Socket) join(rooms []string, claim func(n int64) bool) error {
	if s.closed {
		return ErrClosed
	}
	sh := s.shard()
	m := s.Namespace.on(sh)
	var entered []string // of a socket with lanes that are behind
	defer func() {
		if len(entered) > 0 {
			sh.entered(s, entered)
		}
	}()
	for _, name := range rooms {
		if roster.In(s, name) {
			continue
		}
		if most := s.Namespace.spec.Rooms; most > 0 && s.Places(false).Len() >= most {
			return ErrTooManyRooms
		}
		n := m.Cost(name)
		if !claim(n) {
			return ErrBudget
		}
		sh.told[budget.Rooms] += n
		m.Join(s, name)
		if s.ties != nil && s.ties.stays != nil {
			entered = append(entered, name)
		}
	}
	return nil
}

// Leave takes the socket out of a room.
func (s *Socket) Leave(room string) {
	s.shard().leftRoom(s, room)
	s.Namespace.on(s.shard()).Leave(s, room)
}

// Ack settles a reliable message; an unknown one is ignored.
func (s *Socket) Ack(topic, messageID string) bool {
	l := s.subscription(topic)
	if l == nil {
		return false
	}
	return s.shard().acked(l, messageID)
}

// Answer hands the client's answer to whoever waits for it, and reports whether somebody did; an unknown id is
// ignored (protocol.md 2.1).
func (s *Socket) Answer(id uint64, a Answer) (awaited bool) {
	if sink := s.ties.asker(id); sink != nil {
		s.Forget(id)
		sink.Answered(s, a)
		return true
	}
	for _, l := range s.lanes {
		if mid, ok := l.Callback(id); ok {
			s.shard().acked(l, mid)
			return true
		}
	}
	return false
}

// Forget stops waiting for an answer.
func (s *Socket) Forget(id uint64) {
	if s.ties != nil {
		delete(s.ties.asked, id)
		s.untie()
	}
}

func (s *Socket) await(id uint64, sink AckSink) {
	t := s.tied()
	if t.asked == nil {
		t.asked = make(map[uint64]AckSink)
	}
	t.asked[id] = sink
}
