package delivery

import (
	"context"
	"errors"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/delivery/recent"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/topiclog"
)

// Placed is what a publisher is told at once.
type Placed struct {
	MessageID string
	Offset    uint64
	Epoch     string
	Duplicate bool // the id had been published before; nothing was done
	Unkept    bool // the topic's log does not have it, or not yet: it is with whoever had room
	deaf      bool // nobody asked for a receipt, so that none was made
}

// Pending is a publication whose receipt may be waited for.
type Pending struct {
	Placed
	failed bool // the topic's log was to keep it, and never will
	tally  *tally
	hub    *Hub
	later  *topiclog.Later // of a Prompt: when it is kept; nil: it need not be, or is known
}

// Receipt waits until every shard has taken the message, or ctx ends; Complete
// says which.
func (p *Pending) Receipt(ctx context.Context) Receipt {
	if p.tally == nil {
		return Receipt{Complete: p.Heard()}
	}
	select {
	case <-p.tally.done:
	case <-ctx.Done():
	case <-p.hub.done:
	}
	out := p.tally.read()
	if p.failed { // they wait in vain
		out.Rejected, out.Spilled = out.Rejected+out.Spilled, 0
	}
	return out
}

// Heard reports whether its receipt knows of the lanes: not where the publication is a duplicate of one that nobody asked
// a receipt of.
func (p *Pending) Heard() bool { return !p.deaf }

// Complete reports whether Receipt would not have to wait.
func (p *Pending) Complete() bool {
	if p.tally == nil {
		return true
	}
	select {
	case <-p.tally.done:
		return true
	default:
		return false
	}
}

// Publish gives a message to the subscribers of a topic: it gets its place in the
// topic's order, is encoded (before that where its frame does not tell the place), and is
// appended to the inbox of every shard that has subscribers, or of none. It waits for room as long as ctx allows and then
// fails with ErrBusy. With receipt, or for a reliable topic, the outcome can be
// waited for on the result. Where the topic has a log it returns when that has the message; of a best-effort topic also
// when the log is known not to get on: see Placed.Unkept.
//
// Errors: ErrUnknownTopic, ErrTooLarge, ErrBusy, ErrLog, ErrClosed.
func (h *Hub) Publish(ctx context.Context, n *Namespace, topic string, p *Publication, wantReceipt bool) (*Pending, error) {
	t, err := n.Await(ctx, topic)
	if err != nil {
		if d := n.Declared(topic); d != nil {
			d.refuse(err)
		}
		return nil, err
	}
	if p.ID != "" {
		return h.publishOnce(ctx, t, p, wantReceipt)
	}
	return h.publish(ctx, t, p, wantReceipt)
}

// publicationID is an idempotency key.
type publicationID struct{ namespace, topic, id string }

// publishOnce answers the second publication of an id as the first.
func (h *Hub) publishOnce(ctx context.Context, t *Topic, p *Publication, wantReceipt bool) (*Pending, error) {
	id := publicationID{t.Declared.Namespace.Path, t.Name, p.ID}
	first, again, err := h.recent.Once(ctx, id, func() (*Pending, error) { return h.publish(ctx, t, p, wantReceipt) })
	switch {
	case errors.Is(err, recent.ErrNoRoom):
		t.Declared.refuse(ErrBudget)
		return nil, ErrBudget
	case err != nil && errors.Is(err, ctx.Err()):
		return nil, ErrBusy // an earlier attempt was still under way
	case err != nil || !again:
		return first, err
	}
	duplicate := *first
	duplicate.Duplicate = true
	return &duplicate, nil
}

// Adopt publishes here what another node has published to a topic without a log that they share. Its id is not
// remembered: that is the other node's. Where the topic is not known nobody is there for it. What is refused is counted.
func (h *Hub) Adopt(ctx context.Context, n *Namespace, topic string, p *Publication) {
	t := n.known(topic)
	if t == nil {
		return
	}
	p.adopted = true
	_, _ = h.publish(ctx, t, p, false) // counts what it refuses
}

func (h *Hub) publish(ctx context.Context, t *Topic, p *Publication, wantReceipt bool) (*Pending, error) {
	d := t.Declared
	if d.heavy.Load() {
		d.refuse(ErrBudget)
		return nil, ErrBudget
	}
	if pending := h.publishUnheard(t, p); pending != nil {
		return pending, nil
	}
	x, most := newPublication(t, p, h.Now())
	if most > d.Spec.Policy.MaxBytes {
		d.refuse(ErrTooLarge)
		return nil, ErrTooLarge
	}
	f := &fanOut{
		outgoing: outgoing{msg: &x.msg, ns: d.Namespace, topic: t}, load: load{weight: inbox.Cost(most)}, target: everybody, members: true,
		pub: x, wanted: wantReceipt || d.Reliable(),
	}
	if to := p.Target; to.Narrows() {
		f.target = &to
	}
	var record *topiclog.Record
	if !t.numbers {
		record = h.newRecord(f, p)
		f.unkept = record.Volatile
	}
	f.claim, f.promised = h.claimFor(t, most, &p.Target)
	if err := h.claim(ctx, d, f); err != nil {
		d.refuse(err)
		return nil, err
	}
	pending, err := h.sequence(ctx, record, f)
	if err != nil {
		d.refuse(err)
		return nil, err
	}
	if !p.adopted {
		d.Published.Add(1)
	}
	if !f.late {
		h.taps.offer(f.msg, p.Payload, p.Binary)
	}
	h.awaitKept(ctx, f.topic, pending)
	return pending, nil
}

// publishUnheard publishes what nobody gets: it is given its place in the order, and no
// frame is made. It returns nil if somebody may get the message or it may not fit, and
// has done nothing then.
func (h *Hub) publishUnheard(t *Topic, p *Publication) *Pending {
	d := t.Declared
	if t.subscribers.Load() > 0 || h.taps.any.Load() || h.closed() || p.atMost(t) > d.Spec.Policy.MaxBytes {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || !t.numbers || t.hasSubscribers() || (t.keepsLocked() && !p.Target.Narrows()) {
		return nil
	}
	if _, err := t.numberLocked(nil); err != nil {
		return nil
	}
	t.used = h.Now()
	if !p.adopted {
		d.Published.Add(1)
	}
	id := p.ID
	if id == "" {
		id = h.newID()
	}
	return &Pending{Placed: Placed{MessageID: id, Offset: t.last.Offset, Epoch: t.last.Epoch}, hub: h}
}

// claimFor is what a message of that many bytes may come to hold: itself once on every
// shard, and an entry for each subscriber.
func (h *Hub) claimFor(t *Topic, bytes int, to *Target) (itself, entries int64) {
	if to.Socket != "" {
		return claimed(bytes), 0
	}
	return claimed(bytes) * int64(len(h.shards)), lane.EntryBytes * t.subscribers.Load()
}

// sequence gives the message its place in the topic's order and appends it to the inboxes
// of the shards it must reach, all at once (architecture.md D3). r is for the topic's log; nil: it
// needs none. If it fails it gives back what was claimed.
func (h *Hub) sequence(ctx context.Context, r *topiclog.Record, f *fanOut) (*Pending, error) {
	var held reservation
	defer held.release()
	for try := 0; ; try++ {
		t, err := h.lockWithRoom(ctx, f, &held)
		if err != nil {
			h.unclaim(f)
			return nil, err
		}
		if last := t.last; try < foretells && !f.foretold(last) {
			t.mu.Unlock()
			f.foretell(last)
			continue
		}
		pending, later, err := h.commitLocked(t, r, f, &held)
		t.mu.Unlock()
		switch {
		case err != nil:
			held.release() // who waits must not keep it from others
			if r, err = h.awaitRoom(ctx, t, r, f, err); err == nil {
				continue
			}
			h.unclaim(f)
			return nil, err
		case later != nil:
			held.release() // deliver takes its own: whoever waits for it must not keep it from that
			pending, err := h.waitForPosition(ctx, t, r, f, later)
			if err = h.goUnkept(ctx, f, err); err == nil && pending == nil {
				r = volatile(r)
				continue
			}
			return pending, err
		}
		return pending, nil
	}
}

// lockWithRoom reserves room on the shards the message must reach, and returns its topic
// locked when there is room on all of them.
func (h *Hub) lockWithRoom(ctx context.Context, f *fanOut, held *reservation) (*Topic, error) {
	for !h.closed() {
		t := f.topic
		t.mu.Lock()
		if t.dead {
			t.mu.Unlock()
			held.release() // others need the room while its log is opened
			if f.foreign {
				return nil, ErrClosed // the log that brings it is being closed, and waits for this
			}
			t, err := f.ns.Await(ctx, t.Name)
			if err != nil {
				return nil, err
			}
			f.topic = t
			continue
		}
		missing := held.missing(h, f.target, f.audience())
		if missing == nil {
			return t, nil
		}
		t.mu.Unlock()
		if held.passed(missing) {
			held.release() // a shard joined late: start over, so that room is always taken in the same order
			continue
		}
		if err := held.reserve(ctx, missing, f.weight); err != nil {
			return nil, err
		}
	}
	return nil, ErrClosed
}

// commitLocked numbers the message and appends it everywhere, now or, if the log says
// where it is later, then.
func (h *Hub) commitLocked(t *Topic, r *topiclog.Record, f *fanOut, held *reservation) (*Pending, *topiclog.Later, error) {
	var later *topiclog.Later
	var err error
	if f.passes && t.prompt != nil {
		err = t.passLocked(r)
	} else {
		later, err = t.numberLocked(r)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case later != nil && t.prompt == nil:
		t.awaitLocked(r, f)
		return nil, later, nil
	}
	if made := f.place(t.last); made != nil && f.ns.spec.Deflate {
		made.Verbatim() // others were faster each time: no loop is to compress it
	}
	h.enterLocked(t, f, held)
	pending := f.published(t.last, h)
	pending.later = later
	return pending, nil, nil
}

// enterLocked appends a message that has its place in the topic's order to the inboxes for
// which room is held.
func (h *Hub) enterLocked(t *Topic, f *fanOut, held *reservation) {
	t.used = h.Now()
	if f.toAllMembers() && t.keepsLocked() {
		f.stands = t.keepLocked(f.msg)
	}
	if f.wanted {
		f.tally = newTally(len(held.shards))
	}
	h.enqueue(f, held)
}

// published is what its publisher is told.
func (f *fanOut) published(at topiclog.Position, h *Hub) *Pending {
	about := Placed{MessageID: f.msg.ID, Offset: at.Offset, Epoch: at.Epoch, Unkept: f.failed, deaf: !f.wanted}
	return &Pending{Placed: about, failed: f.failed, tally: f.tally, hub: h}
}

// enqueue puts a fan-out into the inboxes for which room is held. What was claimed for it
// is from now on counted there.
func (h *Hub) enqueue(f *fanOut, held *reservation) {
	f.hold = messageBytes(f.msg)
	n := int64(len(held.shards))
	h.budget.Add(f.hold*n - f.claim)
	if f.promised > 0 {
		all := f.promised
		if f.promised = 0; n > 0 {
			f.promised = all / n // each shard's
		}
		h.budget.Promise(f.promised*n - all)
	}
	held.put(f)
}

// reservation is room held in some inboxes, always in the order of the shards.
type reservation struct {
	shards []*Shard
	weight int64
	buf    [4]*Shard
}

// missing returns the next shard for which no room is held, of those that a job for a
// target goes to: with a topic the shards with subscribers of it, else all.
func (r *reservation) missing(h *Hub, to *Target, t *Topic) *Shard {
	if to.Socket != "" {
		sh := h.ShardOf(to.Socket)
		if sh == nil || r.has(sh) {
			return nil
		}
		return sh
	}
	for i, sh := range h.shards {
		if (t == nil || t.shards[i]) && !r.has(sh) {
			return sh
		}
	}
	return nil
}

func (r *reservation) has(sh *Shard) bool {
	for _, s := range r.shards {
		if s == sh {
			return true
		}
	}
	return false
}

func (r *reservation) reserve(ctx context.Context, sh *Shard, weight int64) error {
	if err := sh.reserve(ctx, weight); err != nil {
		return err
	}
	if r.shards == nil {
		r.shards = r.buf[:0]
	}
	r.shards, r.weight = append(r.shards, sh), weight
	return nil
}

// reserveAll holds room on every shard that a job for a target, which is not one for
// subscribers, goes to.
func (r *reservation) reserveAll(ctx context.Context, h *Hub, to *Target, weight int64) error {
	for sh := r.missing(h, to, nil); sh != nil; sh = r.missing(h, to, nil) {
		if err := r.reserve(ctx, sh, weight); err != nil {
			return err
		}
	}
	return nil
}

// put appends a job to the inboxes for which room is held: the shards give it back when
// the job has ended.
func (r *reservation) put(j job) {
	for _, sh := range r.shards {
		sh.in.PutJob(j)
	}
	r.shards = nil
}

// passed reports whether room is held on a shard after sh.
func (r *reservation) passed(sh *Shard) bool {
	return len(r.shards) > 0 && r.shards[len(r.shards)-1].index > sh.index
}

// release gives room back that no job took.
func (r *reservation) release() {
	for _, sh := range r.shards {
		sh.in.Release(r.weight)
	}
	r.shards = nil
}

// Emit sends a plain event, already encoded, to the sockets a target means. Under
// the name of a declared best-effort topic it takes that topic's lanes (architecture.md
// D1). sink collects answers if the event carries ack id; it may be nil.
//
// Errors: ErrTooLarge, ErrBusy, ErrClosed.
func (h *Hub) Emit(ctx context.Context, n *Namespace, event string, e Emission, to Target) error {
	_, err := h.emit(ctx, n, event, e, to, false)
	return err
}

// EmitWithReceipt is Emit whose outcome can be waited for on the result.
func (h *Hub) EmitWithReceipt(ctx context.Context, n *Namespace, event string, e Emission, to Target) (*Pending, error) {
	return h.emit(ctx, n, event, e, to, true)
}

func (h *Hub) emit(ctx context.Context, n *Namespace, event string, e Emission, to Target, receipt bool) (*Pending, error) {
	out, err := n.emission(ctx, event, e)
	if err != nil {
		return nil, err
	}
	f := &fanOut{outgoing: out, load: load{weight: inbox.Cost(e.Frame.Len())}, target: &to}
	if err := h.claimEmit(f); err != nil {
		return nil, err
	}
	var pending *Pending
	if f.wanted = receipt; f.topic != nil {
		var record *topiclog.Record
		if !f.topic.numbers {
			record = h.newRecord(f, nil)
		}
		return h.sequence(ctx, record, f)
	}
	if receipt {
		f.tally = newTally(h.Receivers(&to))
		pending = &Pending{tally: f.tally, hub: h}
	}
	if err = h.spread(ctx, f); err != nil {
		h.unclaim(f)
	}
	return pending, err
}

// spread appends a plain event to the inboxes of all shards, or of the one its target
// names, at one place in the namespace's order.
func (h *Hub) spread(ctx context.Context, f *fanOut) error {
	if h.closed() {
		return ErrClosed
	}
	var held reservation
	defer held.release()
	if err := held.reserveAll(ctx, h, f.target, f.weight); err != nil {
		return err
	}
	n := f.ns
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.numberLocked(nil); err != nil {
		return err
	}
	f.msg.Offset = n.last.Offset
	h.enqueue(f, &held)
	return nil
}

// Receivers is how many shards an event or an operation for a target goes to.
func (h *Hub) Receivers(to *Target) int {
	switch {
	case to.Socket == "":
		return len(h.shards)
	case h.ShardOf(to.Socket) == nil:
		return 0
	default:
		return 1
	}
}

// Emission is an encoded plain event.
type Emission struct {
	Frame *base.Frame
	AckID uint64
	Acks  AckSink // nil: no ack id in the frame
	First []byte  // the first argument as JSON: where the event bears a topic's name, its payload

	Volatile bool // only for sockets whose connection takes it at once
}

// emission makes the message of a plain event. An event that asks for acks is a
// question, not data: it goes through the events lane, in order with others.
func (n *Namespace) emission(ctx context.Context, event string, e Emission) (outgoing, error) {
	m := packet.NewMessage(n.prepare(e.Frame))
	m.Namespace, m.Topic, m.At, m.AckID = n.Path, event, n.hub.Now(), e.AckID
	o := outgoing{msg: m, ns: n, acks: e.Acks, volatile: e.Volatile}
	limit := n.events[0].Policy.MaxBytes
	if e.Acks == nil {
		if d := n.Declared(event); d != nil && !d.Reliable() {
			t, err := n.Await(ctx, event)
			if err != nil {
				return o, err
			}
			o.topic = t
			limit = d.Spec.Policy.MaxBytes
			if d.Spec.Key != nil && e.First != nil {
				m.Key = d.Spec.Key(e.First)
			}
			m.Expires = expiry(m.At, d.Spec.TTL)
		}
	}
	if e.Frame.Len() > limit {
		return o, ErrTooLarge
	}
	return o, nil
}

// Emit sends a plain event to this socket, in order with everything else the
// caller sends it. Any goroutine may call it.
//
//weir:any
func (s *Socket) Emit(ctx context.Context, event string, e Emission, volatile bool) error {
	e.Volatile = volatile
	o, err := s.Namespace.emission(ctx, event, e)
	if err != nil {
		return err
	}
	if o.topic != nil && o.topic.Declared.heavy.Load() {
		return ErrBudget
	}
	return s.direct(ctx, &direct{outgoing: o, load: load{weight: inbox.Cost(e.Frame.Len())}, socket: s})
}

// Reply sends an ack: it is never dropped. It goes out when the shard comes round or is nudged, see Hub.Nudge.
//
//weir:any
func (s *Socket) Reply(ctx context.Context, f *base.Frame) error {
	r := &struct {
		direct
		msg base.Message
	}{}
	packet.InitMessage(&r.msg, s.Namespace.prepare(f))
	r.msg.At = s.Namespace.hub.Now()
	r.direct = direct{
		outgoing: outgoing{msg: &r.msg, ns: s.Namespace}, load: load{weight: inbox.Cost(f.Len())}, socket: s, forced: true, late: true,
	}
	return s.direct(ctx, &r.direct)
}

//weir:any
func (s *Socket) direct(ctx context.Context, d *direct) error {
	if s.Namespace.hub.closed() {
		return ErrClosed
	}
	sh := s.shard()
	if err := sh.reserve(ctx, d.weight); err != nil {
		return err
	}
	s.Namespace.prepare(d.msg.Frame(s.plain())) // here, so that the loop need not
	d.hold = messageBytes(d.msg)
	if !s.Namespace.hub.budget.Reserve(d.hold, 0) {
		sh.in.Release(d.weight)
		return ErrBudget
	}
	s.sending(d)
	if d.late {
		sh.in.PutJobLate(d)
	} else {
		sh.in.PutJob(d)
	}
	return nil
}
