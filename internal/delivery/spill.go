package delivery

import (
	"errors"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/cursor"
	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/delivery/place"
	"github.com/streamweir/weir/internal/delivery/reads"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/wheel"
)

// A lane of a topic with SPILL_TO_DISK that overflows is behind (docs/adr/0024-spill.md). Whatever is published from then on is
// counted and not queued; its lag says where in the log it stands. Once the lane is half empty it is given more:
//
//	wrote, acked, expired ──> fill ──> reads.Pool ··> Found ──> replay, a job of the topic's stream ──> lane
//	                           ^                                                              │
//	                           └────────── not there yet, and there is room ──────────────────┤
//	                                         rejoin: the place has reached outLane.from <─────┘
//
// A lane that begins at a cursor behind the stream has a lag from the start, whatever its policy.

// lag is the place of one lane that is behind. Its shard owns it.
//
//weir:loop
type lag struct {
	lane  *outLane
	epoch string // of its place
	place place.Place
	start *cursor.Cursor // where its subscription began; nil: with the stream
	since int64          // when it fell behind
	began uint64         // what was given to the lane has higher offsets

	born         uint64       // stays.moment when it fell behind
	forgotBefore uint64       // stays.forgot then
	strayed      bool         // see counted
	moments      []moment     // ascending; see stays
	gap          uint64       // messages that are gone, and its client is to be told so with the next one it gets
	read         *replay      // under way; nil: none
	faults       int          // reads in a row that failed
	retry        *wheel.Timer // when to ask again, after a fault or while memory was short; nil: there was none
}

// lagBytes is what the budget counts for a lag, with its place in Shard.lags, and the read that it may have asked for.
const lagBytes = int(unsafe.Sizeof(lag{})+unsafe.Sizeof(replay{})+unsafe.Sizeof(reads.Read{})+unsafe.Sizeof(topiclog.Reader{})) + 48

// lagging reports whether the lane is behind.
func (l *outLane) lagging() bool { return l.stage >= stageLagging && l.stage != stageResumed }

// spills reports whether what the lane has no room for waits in the topic's log.
func (l *outLane) spills() bool { return l.Class().Policy.Overflow == base.SpillToDisk }

// trail makes a lane one that is behind, with all up to an offset given to it. What is up to since it has not counted.
func (sh *Shard) trail(l *outLane, epoch string, at, since uint64) *lag {
	g := &lag{lane: l, epoch: epoch, place: place.Begin(at, since), began: at, since: sh.now}
	l.Feed(true)
	if l.stage = stageLagging; sh.lags == nil {
		sh.lags = make(map[*outLane]*lag)
	}
	sh.lags[l] = g
	sh.stay(g)
	l.Class().Totals.Behind.Add(1)
	sh.hub.Hold(budget.Lanes, lagBytes)
	sh.hub.readBack.keep(1)
	return g
}

// spilled is for a lane that has counted a message as spilled because it had no room for it.
func (sh *Shard) spilled(l *outLane, m *base.Message) lane.Fate {
	if !l.topic.remembers() { // whoever declared the topic has given it no log
		l.Forgo(1, base.ReasonSpillFailed)
		l.socket.conn.markReady(l)
		return lane.Rejected
	}
	sh.fallBehind(l, m)
	return lane.Spilled
}

// fallBehind makes a lane one that is behind, from that message on.
func (sh *Shard) fallBehind(l *outLane, m *base.Message) {
	var start *cursor.Cursor
	began := m.Offset - 1
	if l.stage == stageResumed {
		r := l.resumption()
		start, began = &r.start, r.after
		l.passCursor()
	}
	g := sh.trail(l, l.topic.numbering(), m.Offset-1, m.Offset-1)
	if g.began = began; start != nil {
		g.start, l.stage = start, stageLaggingResumed
	}
}

// offerAside is offer for a lane that does not stand with the stream, or a message that no log has.
func (sh *Shard) offerAside(l *outLane, f *fanOut, it *lane.Item) {
	switch {
	case l.stage == stageBehind && f.stands:
		l.standFor(f)
	case l.lagging():
		sh.spill(l, f)
	case f.unkept && l.spills():
		sh.offerUnkept(l, it, f.tally, f.failed)
	default:
		if sh.offer(l, it, f.tally) == lane.Spilled && l.lagging() {
			sh.lags[l].counted(f)
		}
	}
}

// spill counts a message for a lane that is behind.
func (sh *Shard) spill(l *outLane, f *fanOut) {
	if f.unkept {
		sh.refuseUnkept(l, f.tally, f.failed)
		return
	}
	f.tally.count(l.Spill(f.msg))
	sh.lags[l].counted(f)
}

// refuseUnkept books a message that would have to wait in a log that does not have it.
func (sh *Shard) refuseUnkept(l *outLane, r *tally, failed bool) {
	why := base.ReasonOverflow
	if failed {
		why = base.ReasonSpillFailed
	}
	l.Refuse(why)
	r.count(lane.Rejected)
	l.socket.conn.markReady(l) // so that its client is told
}

// offerUnkept gives a lane that spills a message that no log has: it is queued at once or not at all.
func (sh *Shard) offerUnkept(l *outLane, it *lane.Item, r *tally, failed bool) lane.Fate {
	if c := l.socket.conn; !l.lagging() && !l.Fits(it) && c.leaving == nil && !c.closed() && c.box.Window() > 0 {
		c.write()
		sh.spent += writeCost
	}
	if l.lagging() || !l.Fits(it) {
		sh.refuseUnkept(l, r, failed)
		return lane.Rejected
	}
	return sh.offer(l, it, r)
}

// fill asks for more for a lane that is behind, if it has room and no read is under way.
func (sh *Shard) fill(l *outLane) {
	p := &l.Class().Policy
	room := place.Space{MaxMessages: p.MaxMessages, MaxBytes: p.MaxBytes}
	if room.Messages, room.Bytes = l.Room(); !room.Low() {
		return
	}
	g := sh.lags[l]
	if g.retry != nil && g.retry.Armed() {
		return
	}
	if b := &sh.hub.budget; b.Limit() > 0 && b.Held() > b.EvictAbove() {
		sh.retry(g, memoryPause)
		return
	}
	limit, ok := g.place.Ask(room)
	if !ok {
		return
	}
	s := l.socket
	form, _ := l.Form()
	r := &replay{lag: g, topic: l.topic, shard: sh, form: form, upto: math.MaxUint64}
	g.read = r
	sh.hub.reads.Ask(reads.Read{Log: l.topic.log, For: r, As: &r.ticket, Query: topiclog.Query{
		Epoch: g.epoch, After: g.place.At, Limit: limit, For: &topiclog.Reader{Socket: s.ID, Principal: s.Principal, Rooms: s.otherRooms()},
	}})
}

// gets reports whether a record that was read for a lag is for it: not one that was sent to a room before its socket was in it,
// nor one that its cursor says is done.
func (g *lag) gets(to *topiclog.Recipient, offset uint64) bool {
	if to.Room != "" && !g.wasIn(to.Room, offset) {
		return false
	}
	return g.start == nil || !g.start.Has(offset)
}

// rejoin ends a lag: its lane has been given all that the stream has given it.
func (sh *Shard) rejoin(g *lag) {
	l := g.lane
	if n, _, _ := l.Spilled(); n > 0 { // rooms of which too much had to be forgotten had them, see stays
		if l.Forgo(n, base.ReasonUnsubscribe); !g.excused() {
			sh.hub.Unbalanced.Add(1)
		}
	}
	start := g.start
	sh.forgetLag(g)
	if start != nil && start.Top() > l.from {
		t := l.socket.tied()
		t.began = append(t.began, &resumption{lane: l, start: *start, after: g.began})
		l.stage = stageResumed
	}
}

// forgetLag gives back what a lag holds.
func (sh *Shard) forgetLag(g *lag) {
	if g.retry != nil {
		sh.wheel.Stop(g.retry)
	}
	if g.read != nil {
		sh.hub.reads.Withdraw(&g.read.ticket)
	}
	g.lane.Feed(false)
	g.lane.stage = stageLive
	if delete(sh.lags, g.lane); len(sh.lags) == 0 {
		sh.shared.drop(len(sh.shared.order))
	}
	g.lane.Class().Totals.Behind.Add(-1)
	sh.hub.Hold(budget.Lanes, -lagBytes)
	sh.leaveStay(g)
	sh.hub.readBack.keep(-1)
}

// faultPauses is how long a lane waits after a read that failed; after as many what it waits for is given up, best effort. A
// reliable one goes on: what it waits for may still be there.
var faultPauses = [...]time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second}

// faulty deals with a read that has failed.
func (sh *Shard) faulty(g *lag, err error) {
	g.place.Missed()
	l := g.lane
	switch {
	case errors.Is(err, topiclog.ErrClosed):
		return // the hub is being closed
	case (g.faults < len(faultPauses) || l.Kind == outbox.Reliable) && !errors.Is(err, topiclog.ErrEpoch):
		sh.retry(g, faultPauses[min(g.faults, len(faultPauses)-1)])
		g.faults++
		return
	}
	sh.giveUp(g)
	l.socket.conn.markReady(l)
}

// giveUp ends a lag of which nothing more can be read: its lane goes on with the stream.
func (sh *Shard) giveUp(g *lag) {
	l := g.lane
	n, _, _ := l.Spilled()
	l.Forgo(n, base.ReasonSpillFailed)
	if !g.place.Counted(g.place.At + 1) {
		l.Refuse(base.ReasonSpillFailed) // one at least that was there before the lane
	}
	g.place.Done(l.from, l.from)
	sh.rejoin(g)
}

// memoryPause is how long a lane waits while memory is so short that what it would be given would be evicted.
const memoryPause = time.Second

// retry asks for a lane once more after a while.
func (sh *Shard) retry(g *lag, after time.Duration) {
	if g.retry == nil {
		g.retry = new(wheel.Timer)
		g.retry.Init(g)
	}
	sh.wheel.Schedule(g.retry, sh.now+int64(after))
}

// Expire implements wheel.Expirer: time to try again.
func (g *lag) Expire(*wheel.Timer, int64) { g.lane.socket.shard().fill(g.lane) }

// cursor is how far a subscription has got that is behind; open is what its lane holds.
func (g *lag) cursor(open []uint64) cursor.Cursor {
	l := g.lane
	if g.start == nil {
		return cursor.At(l.topic.Name, l.topic.naming(), g.place.At, open)
	}
	c := g.start.Clone()
	c.Given(g.began, g.place.At, open)
	return c
}

// replay is what was read of a topic's log for a lane that is behind, on its way to it.
//
//weir:loop
type replay struct {
	load
	lag   *lag
	topic *Topic
	shard *Shard
	form  base.Form
	upto  uint64 // what is behind it has to be read once more: its reader has entered a room meanwhile. The shard's

	ticket   reads.Ticket // withdrawn: nobody waits for it any more
	batch    topiclog.Batch
	messages []*base.Message // of the batch's placements
	given    int             // how many of them the lane has been offered
	stuck    int             // bytes of one that had no room; 0: there was room
}

var _ job = (*replay)(nil)
var _ reads.Reader = (*replay)(nil)

// Found implements reads.Reader: on a goroutine of the pool, where it may wait.
//
//weir:any
func (r *replay) Found(b topiclog.Batch) {
	h := r.topic.Declared.Namespace.hub
	r.batch = b
	r.messages = make([]*base.Message, len(b.Placements))
	bytes := 0
	for i, e := range b.Placements {
		m, made := h.readBack.message(r.topic, e)
		r.topic.Declared.Namespace.prepare(m.Frame(r.form))
		r.messages[i] = m
		if r.hold += lane.EntryBytes; made {
			r.hold += messageBytes(m)
		}
		bytes += m.Bytes()
	}
	r.weight = inbox.Cost(bytes)
	h.budget.Add(r.hold)
	if err := r.shard.reserve(h.life, r.weight); err != nil {
		return // nobody is there any more
	}
	r.shard.in.PutJob(r)
}

// home implements job.
func (r *replay) home(sh *Shard) **stream { return &r.topic.local[sh.index].orders }

// here reports whether the lane still waits for what was read.
func (r *replay) here(sh *Shard) bool { return sh.lags[r.lag.lane] == r.lag }

// begin implements job.
func (r *replay) begin(sh *Shard, _ *underWay) {
	if !r.here(sh) || r.batch.Err != nil {
		return
	}
	g := r.lag
	g.faults = 0
	r.sift()
	sh.use(r.topic.Declared.Namespace)
	waiting, _, _ := g.lane.Spilled()
	loss := g.place.Read(&r.batch, waiting, g.lane.from)
	why := base.ReasonSpillFailed
	if loss.Old {
		why = base.ReasonRetention
	}
	if loss.Older > 0 {
		g.lane.RefuseMany(loss.Older, why)
	}
	g.gap += loss.Messages + loss.Older
	if loss.Messages > 0 {
		if !loss.Explained && g.excused() {
			why = base.ReasonUnsubscribe
		}
		if g.lane.Forgo(loss.Messages, why); !loss.Explained && !g.excused() {
			sh.hub.Unbalanced.Add(1)
		}
	}
}

// sift leaves out what is not for its reader, and what it may not have looked at with the reader's eyes.
func (r *replay) sift() {
	b, n := &r.batch, 0
	for i := range b.Placements {
		if e := &b.Placements[i]; e.Offset <= r.upto && r.lag.gets(&e.To, e.Offset) {
			b.Placements[n], r.messages[n] = *e, r.messages[i]
			n++
		}
	}
	clear(r.messages[n:])
	b.Placements, r.messages = b.Placements[:n], r.messages[:n]
	b.Next = min(b.Next, r.upto)
}

// goOn implements job.
func (r *replay) goOn(sh *Shard, _ *underWay, most int) (done bool) {
	if !r.here(sh) || r.batch.Err != nil {
		return true
	}
	g := r.lag
	l := g.lane
	for ; r.given < len(r.messages) && sh.spent < most; r.given++ {
		sh.spent++
		e := &r.batch.Placements[r.given]
		if e.Offset > l.from {
			return true // the stream brings it
		}
		m := r.next(e)
		it := sh.shared.hold(l.Class(), m)
		r.stuck = l.Unspill(it, g.place.Counted(e.Offset), sh.now)
		if r.stuck > 0 {
			return true
		}
		if g.place.Given(e.Offset); m.Expires == 0 || m.Expires > sh.now {
			if e.Offset > r.batch.LostAfter {
				g.gap = 0
			}
		}
		if e.Expires != 0 {
			sh.arm(l)
		}
	}
	return r.given == len(r.messages)
}

// next is the message that the lane is given next. The first behind a loss says how many are gone, unless that would
// make it too long.
func (r *replay) next(e *topiclog.Placement) *base.Message {
	g, m := r.lag, r.messages[r.given]
	if g.gap == 0 || e.Offset <= r.batch.LostAfter {
		return m
	}
	if own := messageBehind(r.topic, *e, g.gap); own.Frame(r.form).Len() <= g.lane.Class().Policy.MaxBytes {
		return own
	}
	return m
}

// end implements job.
func (r *replay) end(sh *Shard, _ *underWay) {
	r.lift(sh)
	if !r.here(sh) {
		return
	}
	g := r.lag
	l := g.lane
	g.read = nil
	switch {
	case r.batch.Err != nil:
		sh.faulty(g, r.batch.Err)
		return
	case r.stuck > 0:
		g.place.Stuck(r.stuck)
	case g.place.Done(r.batch.Next, l.from):
		sh.rejoin(g)
	}
	l.socket.conn.markReady(l)
	if l.lagging() {
		sh.fill(l)
	}
}

// sharedItems are items of messages that were read back lately: lanes near one another hold, and the budget counts, each of
// them once.
type sharedItems struct {
	items map[*base.Message]*lane.Item
	order []heldItem
	bytes int
}

type heldItem struct {
	class *lane.Class
	item  *lane.Item
	bytes int
}

// How many items are kept for others to come, and how many bytes they may have before half of them go.
const (
	maxShared      = 256
	maxSharedBytes = 1 << 20
)

// hold returns the item of a message, to be given to a lane at once.
func (s *sharedItems) hold(c *lane.Class, m *base.Message) *lane.Item {
	if it := s.items[m]; it != nil {
		return it
	}
	if s.items == nil {
		s.items = make(map[*base.Message]*lane.Item)
	}
	if len(s.order) == maxShared || s.bytes > maxSharedBytes {
		s.drop(max(len(s.order)/2, 1))
	}
	x := heldItem{c, c.Hold(m), m.Bytes()}
	s.items[m] = x.item
	s.order = append(s.order, x)
	s.bytes += x.bytes
	return x.item
}

// drop lets the oldest n go.
func (s *sharedItems) drop(n int) {
	for _, x := range s.order[:n] {
		delete(s.items, x.item.Msg)
		x.class.Release(x.item)
		s.bytes -= x.bytes
	}
	s.order = slices.Delete(s.order, 0, n)
}
