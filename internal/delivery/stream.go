package delivery

import (
	"github.com/streamweir/weir/internal/delivery/fair"
	"github.com/streamweir/weir/internal/lane"
)

// pace is how much a shard delivers before something else has its turn. The unit is
// a lane offered one message, some 150 ns (BenchmarkFanOut).
type pace struct {
	step int // before heartbeats, accepts, requests and flushing
	turn int // of it, before another stream
}

// Under full load a step delivers deliverySlice messages and flushes flushSlice
// connections, so that one send carries as many messages as the one is larger than the
// other: 48, fewer than a topic's lane holds by default, and enough that the send costs
// little of each. At 32 a delivery to 9,000 TCP clients cost 20 % more, at 16 80 %. How
// long a step takes is for both together to say: 1 ms, 2 ms at p99.9; slices twice as
// large took twice as long and gained nothing.
const (
	deliverySlice = 48 * flushSlice
	streamSlice   = 512
	writeCost     = 64 // offers that a write in between costs
)

// stream is the publications and emits of one order (promise P4) that a shard has
// taken and not delivered: those of one topic; or those of one namespace that are
// of no topic, which are plain events, answers and what is done to sockets in order
// with them. A lane gets its messages from one stream, so it gets them in the order
// in which they were sent. Streams have turns: a flood in one topic does not hold up
// the others.
type stream = fair.Line[job, underWay]

// underWay is how far the first job of a stream has got, which may take many steps.
// The budget counts the job, its room in the inbox is taken and its receipt is open
// until it is done.
//
//weir:loop
type underWay struct {
	begun    bool
	choosing bool       // the recipients are being looked for, see search
	item     *lane.Item // its message
	left     int        // how many recipients are still to be seen: the first of the topic's members, or of
	chosen   []*Socket  // if it has a target of its own
}

// maxChosen is how many recipients' places are kept for the next job.
const maxChosen = 1 << 14

// socketPlace is what the budget counts for a recipient that was found: a slice that
// grows has room for as many again, or a quarter more.
const socketPlace = 12

// deliverSome gives the streams their turns until the step has had its share.
func (sh *Shard) deliverSome() {
	step := sh.pace.step
	if sh.shed.on && sh.hub.full() {
		step = max(step/8, 1) // shedding comes round more often
	}
	for sh.spent = 0; sh.spent < step && sh.streams.Any(); {
		s := sh.streams.Next()
		for most := sh.spent + sh.pace.turn; sh.spent < most && !s.Empty(); {
			if sh.goOn(s.First(), &s.State, most) {
				s.Pop()
			}
		}
		sh.streams.Return(s)
	}
	if sh.arrived > 0 {
		sh.account()
	}
}

// goOn delivers more of a job, until it is done or spent reaches most.
func (sh *Shard) goOn(j job, u *underWay, most int) (done bool) {
	if !u.begun {
		u.begun = true
		sh.spent++
		j.begin(sh, u)
	}
	if !j.goOn(sh, u, most) {
		return false
	}
	j.end(sh, u)
	sh.chosen -= socketPlace * int64(len(u.chosen))
	u.reset()
	return true
}

// reset is for the next job.
func (u *underWay) reset() {
	clear(u.chosen)
	*u = underWay{chosen: u.chosen[:0]}
	if cap(u.chosen) > maxChosen {
		u.chosen = nil
	}
}
