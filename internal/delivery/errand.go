package delivery

import (
	"slices"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/delivery/reads"
	"github.com/streamweir/weir/internal/topiclog"
)

// errand is one read for all lanes of a shard that stand at about the same place in a log, or soon will: who would ask
// for the same waits for it. What it brings is a stretch, unless something is missing in it; then each of them reads for
// itself, see replay. So they do in a topic of which most is for one client each.
//
//weir:loop
type errand struct {
	load
	topic   *Topic
	shard   *Shard
	epoch   string
	form    base.Form
	after   uint64
	records int // so many were asked for
	ahead   int // bytes of stretches.asked

	ticket   reads.Ticket
	gone     bool // nobody waits for it, and it was withdrawn
	batch    topiclog.Batch
	whole    bool            // it is a stretch
	messages []*base.Message // then

	waiting []*lag // from told on
	told    int
}

var _ job = (*errand)(nil)
var _ reads.Reader = (*errand)(nil)

// maxErrands bounds those of one topic: lanes that are many and far from one another read for themselves.
const maxErrands = 64

// errandBytes is what the budget counts for an errand, for each lane that is behind.
const errandBytes = int(unsafe.Sizeof(errand{})) + 16

// ask has more read for a lane, or has it wait for who is reading there. It ends, as place.Ask has begun it, when that comes.
func (sh *Shard) ask(g *lag, room topiclog.Limit) {
	t := g.lane.topic
	form, _ := g.lane.Form()
	if t.scattered.Load() {
		sh.askAlone(g, room)
		return
	}
	e := sh.errandTo(g, form, g.place.At)
	if e == nil && len(sh.errands[t]) == maxErrands {
		sh.askAlone(g, room)
		return
	}
	if e == nil {
		e = sh.send(g, g.place.At, topiclog.Limit{Records: min(room.Records, aheadRecords), Bytes: min(room.Bytes, aheadBytes)})
	}
	g.errand, g.line = e, len(e.waiting)
	e.waiting = append(e.waiting, g)
}

// lookAhead has the next stretch read before a lane has come to the end of this one.
func (sh *Shard) lookAhead(g *lag, x *stretch) {
	left, next, t := len(x.records)-x.behind(g.place.At), x.last(), g.lane.topic
	if 2*left > len(x.records) || next >= g.lane.from || t.scattered.Load() || !sh.mayLookAhead() ||
		sh.stretches.find(g, x.form, next) != nil || sh.errandTo(g, x.form, next) != nil {
		return
	}
	sh.send(g, next, topiclog.Limit{})
}

// mayLookAhead reports whether there is room, and memory, to read what no lane has room for yet.
func (sh *Shard) mayLookAhead() bool {
	return sh.stretches.roomAhead() && !sh.hub.tight()
}

// errandTo is the one that will bring what comes behind an offset, by all appearances; nil: there is none.
func (sh *Shard) errandTo(g *lag, f base.Form, offset uint64) *errand {
	for _, e := range sh.errands[g.lane.topic] {
		if e.epoch == g.epoch && e.form == f && e.after <= offset && offset-e.after < uint64(e.records) { //nolint:gosec // at least one
			return e
		}
	}
	return nil
}

// send begins an errand for a lane, which reads least, and more if there is room for what is ahead of the lanes.
func (sh *Shard) send(g *lag, after uint64, least topiclog.Limit) *errand {
	l := g.lane
	t := l.topic
	e := &errand{topic: t, shard: sh, epoch: g.epoch, after: after}
	e.form, _ = l.Form()
	if sh.mayLookAhead() {
		e.ahead = aheadTakes
		least = topiclog.Limit{Records: aheadRecords, Bytes: aheadBytes}
	}
	e.records = max(least.Records, 1)
	sh.stretches.asked += e.ahead
	if sh.errands == nil {
		sh.errands = make(map[*Topic][]*errand)
	}
	sh.errands[t] = append(sh.errands[t], e)
	sh.hub.reads.Ask(reads.Read{Log: t.log, For: e, As: &e.ticket, Query: topiclog.Query{
		Epoch: g.epoch, After: after, Limit: least, // for all: what is for others is passed over by those whom it is not for
	}})
	return e
}

// over takes an errand out of those under way.
func (sh *Shard) over(e *errand) {
	sh.stretches.asked -= e.ahead
	list := sh.errands[e.topic]
	i := slices.Index(list, e)
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(sh.errands, e.topic)
	} else {
		sh.errands[e.topic] = list
	}
}

// recall withdraws an errand under way.
func (sh *Shard) recall(e *errand) {
	sh.over(e)
	e.gone = true
	sh.hub.reads.Withdraw(&e.ticket)
}

// recallAll withdraws all errands: nobody is behind any more.
func (sh *Shard) recallAll() {
	for _, list := range sh.errands {
		for _, e := range slices.Clone(list) {
			sh.recall(e)
		}
	}
}

// quit takes a lane out of the errand that it waits for.
func (sh *Shard) quit(g *lag) {
	e := g.errand
	if g.errand = nil; e == nil {
		return
	}
	last := len(e.waiting) - 1
	moved := e.waiting[last]
	e.waiting[g.line], moved.line = moved, g.line
	e.waiting[last] = nil
	if e.waiting = e.waiting[:last]; last == 0 && e.told == 0 && slices.Contains(sh.errands[e.topic], e) {
		sh.recall(e)
	}
}

// Found implements reads.Reader: on a goroutine of the pool, where it may wait.
//
//weir:any
func (e *errand) Found(b topiclog.Batch) {
	h := e.topic.Declared.Namespace.hub
	e.batch = b
	bytes := 0
	if e.whole = inOneStretch(&b, e.after); e.whole {
		e.messages, bytes = e.read(e.topic, e.form, b.Placements)
	}
	e.weight = inbox.Cost(bytes)
	h.budget.Add(e.hold)
	if err := e.shard.reserve(h.life, e.weight); err != nil {
		return // nobody is there any more
	}
	e.shard.in.PutJob(e)
}

// home implements job.
func (e *errand) home(sh *Shard) **stream { return &e.topic.local[sh.index].orders }

// begin implements job.
func (e *errand) begin(sh *Shard, _ *underWay) {
	if e.gone {
		return
	}
	sh.over(e)
	if e.whole {
		sh.use(e.topic.Declared.Namespace)
		e.topic.scattered.Store(scattered(e.batch.Placements))
		sh.keepStretch(&stretch{
			topic: e.topic, epoch: e.epoch, span: e.batch.Span, form: e.form, after: e.after, records: e.batch.Placements, messages: e.messages,
		})
	}
}

// goOn implements job.
func (e *errand) goOn(sh *Shard, _ *underWay, most int) (done bool) {
	for ; e.told < len(e.waiting) && sh.spent < most; e.told++ {
		sh.spent++
		g := e.waiting[e.told]
		e.waiting[e.told], g.errand = nil, nil
		if e.batch.Err != nil {
			sh.faulty(g, e.batch.Err)
			continue
		}
		g.place.Missed()
		if e.whole {
			sh.fill(g.lane)
		} else if room, ok := sh.room(g); ok {
			sh.askAlone(g, room)
		}
	}
	return e.told == len(e.waiting)
}

// end implements job.
func (e *errand) end(sh *Shard, _ *underWay) { e.lift(sh) }
