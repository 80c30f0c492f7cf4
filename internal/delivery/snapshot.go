package delivery

import (
	"slices"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/kept"
	"github.com/streamweir/weir/internal/lane"
)

// A subscription that asks for a snapshot gets the newest value first (ADR 0011). The
// values and the offset after which its deliveries begin are taken together under the
// topic's lock, so that nothing is missing between them and nothing comes twice.
//
// One value is offered to the lane like any message. Values of many keys would push
// each other out of it, so they come through a lane of their own, which is filled from
// the topic's values as the client takes them:
//
//	topic's values ──refill──> catchUp, a lane ──> client
//	publications ──> the subscription's lane, held until the catchUp is through
//	      └─ the value of a key: none is queued; the catchUp goes on until it has sent it
//
// So a client that reads its snapshot slowly holds a place in the topic's order and what
// one lane may hold, and nothing is lost to it that it would want: when it is through
// it has had the newest value of every key.

// stage is where a lane stands with its snapshot, its topic's log, or the cursor it began at.
type stage uint8

const (
	stageLive           stage = iota // it has none, or not any more
	stageBehind                      // it waits for its catchUp
	stageCatching                    // it is the lane of a catchUp
	stageLagging                     // it is behind, see spill.go
	stageResumed                     // it began at a cursor that it is not past, see cursor.go
	stageLaggingResumed              // both
)

// snapshot is what a subscription takes of its topic when it begins.
type snapshot struct {
	asked    bool
	epoch    string // what the log could read at that moment
	past     *Past  // nil: no history is asked for
	complete bool
	values   int
	one      *base.Message // unless there is a value for each key
	from     uint64        // the offset of that moment
	gone     uint64        // see kept.Values.Gone
}

// takeLocked takes the values of this moment.
func (t *Topic) takeLocked(s *snapshot) {
	s.from = t.last.Offset
	if t.kept == nil {
		t.beginKeepingLocked()
	}
	now := t.Declared.Namespace.hub.Now()
	t.changeKeptLocked(func(v *kept.Values) {
		v.Expire(now, sliceValues)
		s.complete, s.values, s.gone = v.Complete(), v.Len(), v.Gone()
		if x := v.Next(0); x != nil && !t.Declared.byKey() {
			s.one = v.Snapshot(x, now)
		}
	})
}

// fit leaves out a single value that the lane could never hold: marked as a snapshot it
// is somewhat larger than it was.
//
//weir:loop
func (s *snapshot) fit(l *outLane) {
	form, _ := l.Form()
	if s.one != nil && s.one.Frame(form).Len() > l.Class().Policy.MaxBytes {
		s.one, s.values, s.complete = nil, 0, false
	}
}

// present gives a new subscription its snapshot.
func (sh *Shard) present(l *outLane, s *snapshot) {
	if s.one == nil {
		sh.catchUp(l, s)
		return
	}
	it := l.Class().Hold(s.one)
	sh.offerEmit(l, it, nil)
	l.Class().Release(it)
}

// catchUp is the lane of a snapshot that is being read.
//
//weir:loop
type catchUp struct {
	outLane
	main  *outLane
	began int64  // when the client subscribed
	from  uint64 // values up to it are the snapshot, newer ones stand for publications
	upto  uint64 // the last publication it stands for
	at    uint64 // the last value it has been offered
	gone  uint64 // values up to it are known to have given way to the topic's limits
}

// What a catchUp counts in the budget, and how many values are looked up at a time.
const (
	catchUpBytes = int(unsafe.Sizeof(catchUp{})) + 2*48 // and its places in Shard.behind
	sliceValues  = 8
)

// catchUp puts a lane behind its snapshot.
func (sh *Shard) catchUp(l *outLane, s *snapshot) {
	c := &catchUp{main: l, began: sh.now, from: s.from, upto: s.from, gone: s.gone}
	c.outLane = outLane{socket: l.socket, topic: l.topic, member: -1, stage: stageCatching}
	c.Kind = l.Kind
	c.Feed(true)
	form, tell := l.Form()
	c.Init(l.Class(), form, tell)
	l.stage = stageBehind
	l.socket.conn.box.Pause(&l.Lane)
	t := l.socket.tied()
	t.behind = append(t.behind, c)
	if sh.behind == nil {
		sh.behind = make(map[*outLane]*catchUp)
	}
	sh.behind[l], sh.behind[&c.outLane] = c, c
	sh.hub.Hold(budget.Lanes, catchUpBytes)
	c.wait()
	l.socket.conn.markReady(&c.outLane)
}

// age is how long the client has waited for what it has not read yet.
func (c *catchUp) age(now int64) time.Duration { return time.Duration(now - c.began) }

// catchUp returns the snapshot a lane is behind, or whose lane it is.
func (l *outLane) catchUp() *catchUp { return l.socket.shard().behind[l] }

// standFor takes note of a publication that the topic keeps: whoever is still reading
// the snapshot gets it there.
func (l *outLane) standFor(f *fanOut) {
	l.catchUp().upto = f.msg.Offset
	l.Supersede()
	f.tally.count(lane.Coalesced)
}

// refill offers the lane of a catchUp, which has nothing to send, the next values. It
// reports false if there are none now: what was sent is still being written, or the
// snapshot is through and the subscription goes live.
func (sh *Shard) refill(l *outLane) bool {
	var slice [sliceValues]*base.Message
	c := l.catchUp()
	for c.Depth() < c.Class().Policy.MaxMessages {
		messages := c.next(slice[:0], sh.now)
		if len(messages) == 0 {
			if c.Depth() == 0 {
				sh.goLive(c)
			}
			return false
		}
		for _, m := range messages {
			it := c.Class().Hold(m)
			fits := c.Fits(it) || !c.Sendable()
			if fits {
				c.Offer(it, sh.now)
				c.at = m.Offset
				sh.refilled++
			}
			c.Class().Release(it)
			if !fits {
				break
			}
		}
		if c.Sendable() {
			if messages[0].Expires != 0 {
				sh.arm(l)
			}
			return true
		}
	}
	return false
}

// next appends the values after the last one offered, as many as fit into dst.
func (c *catchUp) next(dst []*base.Message, now int64) []*base.Message {
	t := c.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil {
		return dst
	}
	t.changeKeptLocked(func(v *kept.Values) {
		if gone := min(v.Gone(), c.upto); gone > max(c.at, c.gone) {
			c.gone = gone
			c.Refuse(base.ReasonOverflow) // one at least was not sent
		}
		at := c.at
		for x := v.Next(at); x != nil && x.Msg.Offset <= c.upto && len(dst) < cap(dst); x = v.Next(at) {
			at = x.Msg.Offset
			live, e := at > c.from, x.Msg.Expires
			expired := e != 0 && e <= now
			queued := live && x.Msg.Key == "" // in the subscription's lane
			switch {
			case (expired || queued) && len(dst) > 0:
				return // it is passed over when what is before it has been offered
			case expired && live:
				c.Refuse(base.ReasonExpired)
				c.at = at
			case expired || queued:
				c.at = at
			case live:
				dst = append(dst, x.Msg)
			default:
				dst = append(dst, v.Snapshot(x, now))
			}
		}
	})
	return dst
}

// goLive ends a snapshot that has been read.
func (sh *Shard) goLive(c *catchUp) {
	l := c.main
	l.Absorb(&c.Lane.Lane)
	sh.forget(c)
	l.socket.conn.box.Release(&l.Lane)
}

// abandon ends a snapshot whose subscription ends.
func (sh *Shard) abandon(c *catchUp, r base.Reason) {
	c.Close(r)
	c.TakeLoss()
	sh.audit(&c.outLane)
	sh.forget(c)
}

func (sh *Shard) forget(c *catchUp) {
	s := c.socket
	s.conn.box.Remove(&c.Lane)
	c.Feed(false)
	sh.disarm(&c.outLane)
	c.End()
	c.stage, c.main.stage = stageLive, stageLive
	s.ties.behind = slices.DeleteFunc(s.ties.behind, func(o *catchUp) bool { return o == c })
	delete(sh.behind, c.main)
	delete(sh.behind, &c.outLane)
	s.untie()
	sh.hub.Hold(budget.Lanes, -catchUpBytes)
}
