package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery/fair"
	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/outbox"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wheel"
)

// How much one step of the loop does before it looks at its inbox again. Flushing
// in slices doubles the rate on 10,000 clients; a slice of 64 is
// a millisecond of sends at most.
const (
	flushSlice  = 64
	refillSlice = 1024 // values of snapshots; the connection that reaches it goes on until its window is full
	timerSlice  = 512
	batchBytes  = 32 << 10
)

// housekeeping is how often an idle shard looks after topics nobody uses, and a
// busy one accounts for its memory.
const (
	sweepEvery   = 10 * time.Second
	accountEvery = time.Millisecond
	sweepSlice   = 128 // topics
)

// Shard is one event loop: the connections it owns, their sockets and lanes, and
// nothing else touches them (architecture.md D3).
//
//weir:loop
type Shard struct {
	hub    *Hub
	index  int
	in     *inbox.Inbox[job]
	wait   Waiter
	asleep func() bool // idle, made once
	wheel  *wheel.Wheel
	delays *wheel.Wheel // flush delays, in finer ticks; nil: no topic has one
	now    int64        // the hub's clock, read once per step

	conns      []*Conn
	using      []*Namespace // of which it may hold something, see use
	firstDirty *Conn
	lastDirty  *Conn
	doomed     []doomed                  // to be cut once the current step is over
	shelf      lane.Pool[outLane]        // events lanes that no socket needs now
	streams    fair.Lines[job, underWay] // publications taken from the inbox and not delivered yet
	pace       pace
	spent      int // of pace.step in the current step
	departs    int // place in conns of the last one that was sent away, see finishSome

	turns turns.Turns // of connections that have sent more than their share of a step

	tasks []base.Task
	jobs  []job
	batch *outbox.Batch

	swept, accounted int64
	sweeping         bool                   // there may be more topics to forget
	arrived          int64                  // counted for publications in the inbox that have been dealt with
	lanes            int64                  // counted for the lanes
	structs          int64                  // bytes of lanes and what belongs to them, apart from what is in them
	chosen           int64                  // bytes of the lists of recipients of what is under way
	told             [budget.Accounts]int64 // what the budget has been told of each
	crowds           map[*Socket]struct{}   // with many lanes
	behind           map[*outLane]*catchUp  // by the lane that waits for it, and by its own
	lags             map[*outLane]*lag      // of lanes that are behind their topic's log
	shared           sharedItems            // of messages read back for them one by one
	stretches        stretches              // read back for all of them
	errands          map[*Topic][]*errand   // under way for them
	part             topiclog.Batch         // what a lane is given of a stretch; between two of them it is empty
	refilled         int                    // values that snapshots were given in this slice of flushing
	shed             shedding

	// Read by any goroutine.
	connections   atomic.Int64
	leaving       atomic.Int64 // of them, those told to go
	sockets       atomic.Int64
	subscriptions atomic.Int64
	held          atomic.Int64 // by its lanes, in bytes
	spare         atomic.Int64 // kept for reuse, in bytes
	loop          latency.Histogram
	watch         stepWatch
}

type doomed struct {
	conn  *Conn
	cause base.Cause
}

func newShard(h *Hub, i int, w Waiter) *Shard {
	sh := &Shard{
		hub: h, index: i, in: inbox.New[job](h.life, w.Wake), wait: w, wheel: wheel.New(0, 0),
		pace: pace{step: deliverySlice, turn: streamSlice},
	}
	sh.asleep = sh.idle
	sh.batch = outbox.NewBatch(batchBytes, owner{sh})
	return sh
}

// Index is the shard's number.
//
//weir:any
func (sh *Shard) Index() int { return sh.index }

// Post implements base.Loop.
//
//weir:any
func (sh *Shard) Post(t base.Task) { sh.in.PutTask(t) }

// reserve waits for room for a publication: ErrBusy when ctx ends first, ErrClosed
// when the hub does.
//
//weir:any
func (sh *Shard) reserve(ctx context.Context, cost int64) error {
	switch {
	case sh.in.Reserve(ctx, cost) == nil:
		return nil
	case sh.hub.closed():
		return ErrClosed
	}
	return ErrBusy
}

// Done implements base.Loop: it is closed when the loop has been told to end.
//
//weir:any
func (sh *Shard) Done() <-chan struct{} { return sh.hub.done }

// Now is the loop's clock, read once per step.
func (sh *Shard) Now() int64 { return sh.now }

// Turns are those of the loop.
func (sh *Shard) Turns() *turns.Turns { return &sh.turns }

// Schedule arms a timer of a connection's owner on the shard's wheel; at 0
// disarms it.
func (sh *Shard) Schedule(t *wheel.Timer, at int64) {
	if at == 0 {
		sh.wheel.Stop(t)
		return
	}
	sh.wheel.Schedule(t, at)
}

// run is the loop. It ends when the hub is closed, after a last step.
func (sh *Shard) run() {
	defer sh.hub.wg.Done()
	for !sh.hub.closed() {
		if sh.step() {
			continue
		}
		sh.account()
		sh.wait.Wait(sh.idleFor(), sh.asleep)
	}
	sh.step()
}

// idle reports whether the loop may sleep.
func (sh *Shard) idle() bool { return sh.in.Empty() && !sh.hub.closed() }

// step is one round of the loop: what the waiter heard, tasks, publications, timers, one slice of flushing. It
// reports whether there is more to do at once.
func (sh *Shard) step() (more bool) {
	start := sh.hub.Now()
	sh.now = start
	sh.watch.begin(start)
	sh.turns.Begin()
	heard := sh.wait.Dispatch()
	sh.mark(PhaseReading, oneIf(heard))
	sh.tasks, sh.jobs = sh.in.Take(sh.tasks[:0], sh.jobs[:0])
	for i, j := range sh.jobs {
		sh.streams.Add(j.home(sh), j)
		sh.jobs[i] = nil
	}
	worked := len(sh.tasks) > 0 || sh.streams.Any()
	for i, t := range sh.tasks {
		t.Run()
		sh.tasks[i] = nil
	}
	sh.mark(PhaseTasks, len(sh.tasks))
	if sh.turns.Waiting() > 0 {
		worked = true
		sh.mark(PhaseTurns, sh.turns.Run())
	}
	sh.deliverSome()
	sh.mark(PhaseDeliveries, sh.spent)
	fired, late := sh.wheel.Advance(sh.now, timerSlice)
	if sh.delays != nil {
		woken, _ := sh.delays.Advance(sh.now, 0)
		fired += woken
	}
	sh.mark(PhaseTimers, fired)
	sh.mark(PhaseCuts, sh.cutDoomed())
	dirty := sh.flushSome()
	sh.mark(PhaseWriting, dirty)
	swept := sh.housekeep()
	if heard || worked || fired > 0 || dirty > 0 || swept {
		sh.endStep(start)
	}
	return late || sh.firstDirty != nil || sh.streams.Any() || sh.turns.Waiting() > 0
}

// flushSome flushes a slice of the connections that wait, oldest first, and returns how many.
func (sh *Shard) flushSome() (n int) {
	for sh.refilled = 0; n < flushSlice && sh.refilled < refillSlice; {
		c := sh.firstDirty
		if c == nil {
			return n
		}
		if sh.firstDirty = c.next; sh.firstDirty == nil {
			sh.lastDirty = nil
		}
		c.dirty, c.next = false, nil
		n++
		if c.flush() {
			c.markDirty()
		}
	}
	return n
}

// idleFor is how long the loop may sleep.
func (sh *Shard) idleFor() time.Duration {
	d := sweepEvery
	if sh.sweeping {
		d = 10 * accountEvery
	}
	if sh.shed.on {
		d = accountEvery
	}
	if at, ok := sh.wheel.Next(); ok {
		d = min(d, time.Duration(at-sh.hub.Now()))
	}
	if sh.delays != nil {
		if at, ok := sh.delays.Next(); ok {
			d = min(d, time.Duration(at-sh.hub.Now()))
		}
	}
	return max(d, 0)
}

// housekeep reports whether it looked after topics.
func (sh *Shard) housekeep() (swept bool) {
	if sh.now-sh.accounted >= int64(accountEvery) {
		sh.accounted = sh.now
		sh.account()
	}
	if sh.sweeping {
		sh.sweeping = false
		for _, n := range sh.hub.namespaces.All() {
			sh.sweeping = n.sweep(sh.now, sweepSlice) || sh.sweeping
		}
	}
	if sh.now-sh.swept >= int64(sweepEvery) {
		sh.swept = sh.now
		for _, n := range sh.hub.namespaces.All() {
			sh.sweeping = n.sweep(sh.now, sweepSlice) || sh.sweeping
			n.trim(sh.index)
			n.fade(sh.now)
			n.deafen(sh.now, hearersSlice)
		}
		if sh.index == 0 {
			sh.hub.recent.Expire()
			sh.hub.cuts.Expire(time.Now())
			sh.hub.past.fade(sh.now)
		}
		sh.thin(sh.now - int64(sweepEvery))
		sh.structs -= eventsLaneBytes * int64(len(sh.shelf.Trim()))
		swept = true
	}
	return swept
}

// doom cuts a connection once the current step no longer walks over it.
func (sh *Shard) doom(c *Conn, cause base.Cause) {
	if c.doomed {
		return
	}
	c.doomed = true
	sh.doomed = append(sh.doomed, doomed{c, cause})
}

// cutDoomed returns how many.
func (sh *Shard) cutDoomed() (n int) {
	for i := 0; i < len(sh.doomed); i++ { // cutting one may doom another
		if d := sh.doomed[i]; !d.conn.closed() {
			sh.hub.cut(d.conn, d.cause)
			d.conn.peer.Cut(d.cause)
		}
		sh.doomed[i] = doomed{}
	}
	n = len(sh.doomed)
	sh.doomed = sh.doomed[:0]
	return n
}

// force queues a packet that is never dropped.
func (sh *Shard) force(s *Socket, m *base.Message) {
	if m.At == 0 {
		m.At = sh.now // made by the loop just now
	}
	l := s.eventsLane()
	it := l.Class().Hold(m)
	l.Force(it)
	l.Class().Release(it)
	s.conn.markReady(l)
	s.noteUnread()
	if !s.conn.paused && l.Full() {
		s.conn.checkReading()
	}
}

// offer puts a message into a lane and does what its fate there asks for. A lane that
// a burst has filled within this step is written first: policies are for clients
// that do not keep up, not for loops that have not come round yet.
func (sh *Shard) offer(l *outLane, it *lane.Item, r *tally) lane.Fate {
	s := l.socket
	c := s.conn
	if c.closed() {
		return lane.Rejected
	}
	if !l.Fits(it) && c.leaving == nil && c.box.Window() > 0 {
		c.write()
		sh.spent += writeCost
		if l.topic == nil {
			l = s.eventsLane() // it rests when everything is written
		}
	}
	out := l.Offer(it, sh.now)
	r.count(out)
	switch out {
	case lane.Disconnect:
		sh.doom(c, base.CauseSlowConsumer)
		return out
	case lane.Spilled:
		return sh.spilled(l, it.Msg)
	case lane.Rejected, lane.TooLarge:
	case lane.Accepted, lane.Coalesced, lane.DroppedOldest:
		if it.Msg.Expires != 0 && l.topic != nil {
			sh.arm(l)
		}
	}
	sh.announce(l, it)
	return out
}

// closeLane empties a topic's lane, ends its timer and its membership.
func (sh *Shard) closeLane(l *outLane, r base.Reason) {
	sh.leaveCursor(l, r)
	sh.leaveTopic(l)
	if l.stage == stageBehind {
		sh.abandon(l.catchUp(), r)
	}
	if l.lagging() {
		sh.forgetLag(sh.lags[l])
	}
	sh.disarm(l)
	l.Close(r)
	l.TakeLoss() // who has left a topic need not be told
	l.socket.conn.box.Remove(&l.Lane)
	sh.audit(l)
	l.End()
}

func (sh *Shard) leaveTopic(l *outLane) {
	if !l.subscribed() {
		return
	}
	local := &l.topic.local[sh.index]
	last := len(local.members) - 1
	moved := local.members[last]
	local.members[l.member] = moved
	moved.member = l.member
	local.members[last] = nil
	local.members = local.members[:last]
	l.member = -1
	l.topic.subscribers.Add(-1)
	l.topic.Declared.present.Add(-1)
	sh.subscriptions.Add(-1)
	if last == 0 {
		local.members = nil
		l.topic.leave(sh.index)
	}
}

// audit checks the books of a lane that has come to its end (promise P5).
func (sh *Shard) audit(l *outLane) {
	if !l.Balanced() {
		sh.hub.Unbalanced.Add(1)
	}
}
