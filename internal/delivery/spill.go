package delivery

import (
	"errors"
	"math"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/cursor"
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
//	wrote, acked, expired ──> fill ── a stretch has it ──> give ─────────────────────────────────> lane
//	                           ^ └──> reads.Pool ··> Found ──> errand, a job of the topic's stream ──> fill
//	                           │                       └────> replay, the same for one lane alone ──> lane
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
	read         *replay      // under way for it alone; nil: none
	errand       *errand      // it waits for; nil: for none
	line         int          // place in errand.waiting
	faults       int          // reads in a row that failed
	hole         bool         // what comes next is lost, and is told when the lane has written all that it holds
	retry        *wheel.Timer // when to ask again, after a fault or while memory was short; nil: there was none
}

// lagBytes is what the budget counts for a lag, with its place in Shard.lags, and the read that it may have asked for.
const lagBytes = int(unsafe.Sizeof(lag{})+unsafe.Sizeof(replay{})+unsafe.Sizeof(reads.Read{})+unsafe.Sizeof(topiclog.Reader{})) + errandBytes + 48

// lagging reports whether the lane is behind.
func (l *outLane) lagging() bool { return l.stage >= stageLagging && l.stage != stageResumed }

// spills reports whether what the lane has no room for waits in the topic's log.
func (l *outLane) spills() bool { return l.Class().Policy.Overflow == base.SpillToDisk }

// trail makes a lane one that is behind, with all up to an offset given to it. Records up to existing were there before the
// lane was behind, and are counted when they are read.
func (sh *Shard) trail(l *outLane, epoch string, at, existing uint64) *lag {
	g := &lag{lane: l, epoch: epoch, place: place.Begin(at, existing), began: at, since: sh.now}
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
	case f.unkept && !f.missed() && l.spills():
		sh.offerUnkept(l, it, f.tally, f.failed)
	default:
		if sh.offer(l, it, f.tally) == lane.Spilled && l.lagging() {
			sh.lags[l].counted(f)
		}
	}
}

// missed reports whether no log has the message, and that of its topic tells whoever reads past it: a lane that has no room for it
// learns of it there, where it is missing.
func (f *fanOut) missed() bool { return f.failed && f.topic.log.TellsMissed() }

// spill counts a message for a lane that is behind.
func (sh *Shard) spill(l *outLane, f *fanOut) {
	if f.unkept && !f.missed() {
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

// fillMost is how many stretches a lane goes through, at most, before others have their turn.
const fillMost = 4

// fill gives a lane that is behind more, if it has room and no read is under way: at once what is there, and else it asks for it.
func (sh *Shard) fill(l *outLane) {
	form, _ := l.Form()
	given := false
	for n := 0; l.lagging(); n++ {
		g := sh.lags[l]
		room, ok := sh.room(g)
		if !ok {
			break
		}
		x := sh.stretches.find(g, form, g.place.At)
		if x == nil {
			if sh.hub.short() {
				sh.dropStretches(len(sh.stretches.list)) // lanes have had what they want of them
			}
			sh.ask(g, room)
			break
		}
		if n == fillMost { // all that it passed over was for others
			sh.askAlone(g, room)
			break
		}
		sh.give(g, x, room.Records)
		if given = true; l.lagging() {
			sh.lookAhead(g, x)
		}
	}
	if given {
		l.socket.conn.markReady(l)
	}
}

// room is how much a lane that is behind may be given now: false if it is not half empty, a read is under way, or it has to
// wait after a fault or for memory. After true the read has begun, see place.Ask.
func (sh *Shard) room(g *lag) (topiclog.Limit, bool) {
	l := g.lane
	p := &l.Class().Policy
	room := place.Space{MaxMessages: p.MaxMessages, MaxBytes: p.MaxBytes}
	if room.Messages, room.Bytes = l.Room(); !room.Low() {
		return topiclog.Limit{}, false
	}
	if (g.retry != nil && g.retry.Armed()) || (g.hole && g.unsent()) {
		return topiclog.Limit{}, false
	}
	short := sh.hub.short()
	if b := &sh.hub.budget; short && (g.unsent() || b.Held()+shortBytes > b.Limit()) {
		sh.retry(g, memoryPause)
		return topiclog.Limit{}, false
	}
	limit, ok := g.place.Ask(room)
	if short {
		limit.Records, limit.Bytes = min(limit.Records, shortRecords), min(limit.Bytes, shortBytes)
	}
	return limit, ok
}

// What a lane is given at once while memory is short, once it has written all it had: what waits would be evicted, and
// what holds the memory may be nobody's to evict for as long as others stall.
const (
	shortRecords = 16
	shortBytes   = 4 << 10
)

// givenLittle reports whether a lane that may be behind holds no more than it is given while memory is short.
func (l *outLane) givenLittle() bool {
	return l.Class().Policy.Overflow == base.SpillToDisk && l.Depth() <= shortRecords && l.Bytes() <= shortBytes
}

// askAlone has more read for one lane.
func (sh *Shard) askAlone(g *lag, room topiclog.Limit) {
	l := g.lane
	form, _ := l.Form()
	r := &replay{lag: g, topic: l.topic, shard: sh, form: form, upto: math.MaxUint64}
	g.read, g.hole = r, false
	sh.hub.reads.Ask(reads.Read{Log: l.topic.log, For: r, As: &r.ticket, Query: topiclog.Query{
		Epoch: g.epoch, After: g.place.At, Limit: room, For: l.socket.reader(),
	}})
}

// reader is a socket with stays as who reads.
func (s *Socket) reader() *topiclog.Reader {
	return &topiclog.Reader{Socket: s.ID, Principal: s.Principal, Rooms: s.otherRooms()}
}

// unsent reports whether the lane holds anything that was not written yet.
func (g *lag) unsent() bool { return g.lane.Depth() > g.lane.InFlight() }

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
	sh.quit(g)
	g.lane.Feed(false)
	g.lane.stage = stageLive
	if delete(sh.lags, g.lane); len(sh.lags) == 0 {
		sh.shared.drop(len(sh.shared.order))
		sh.dropStretches(len(sh.stretches.list))
		sh.recallAll()
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
	case g.unsent():
		g.hole = true
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

// memoryPause is how long a lane that has not written all it had waits while memory is short, and any at the limit.
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
