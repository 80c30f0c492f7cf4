package delivery

import (
	"sync/atomic"
	"time"
)

// StallFrom is how long a step of a loop may be: a longer one is counted, and told to Options.OnStall.
const StallFrom = 50 * time.Millisecond

// Phase is a part of a loop's step.
type Phase uint8

// The phases, in their order.
const (
	PhaseReading    Phase = iota // what came from descriptors; counted: 1
	PhaseTasks                   // steps of connections; counted: tasks
	PhaseTurns                   // what came from them before; counted: turns
	PhaseDeliveries              // publications and emits to lanes; counted: recipients, about
	PhaseTimers                  // heartbeats, acks, ends of a ttl; counted: timers
	PhaseCuts                    // connections cut
	PhaseWriting                 // counted: connections
	PhaseUpkeep                  // accounts of memory, topics nobody uses
	Phases
)

var phaseNames = [Phases]string{"reading", "tasks", "turns", "deliveries", "timers", "cuts", "writing", "upkeep"}

// String is the phase's name in the log.
func (p Phase) String() string { return phaseNames[p] }

// Stall is a step that was too long, and what it did.
type Stall struct {
	Shard  int
	Took   time.Duration
	Phases [Phases]PhaseWork
}

// PhaseWork is how long one phase took, and how much it did.
type PhaseWork struct {
	Took  time.Duration
	Count int
}

// Longest is the phase that took most.
func (s *Stall) Longest() (p Phase) {
	for i := range Phases {
		if s.Phases[i].Took > s.Phases[p].Took {
			p = i
		}
	}
	return p
}

// stepWatch times the steps of one loop. The clock is read after phases that did something only, so that a step pays for
// two or three readings.
//
//weir:loop
type stepWatch struct {
	at     int64 // when the last phase ended
	phases [Phases]PhaseWork

	// Read by any goroutine.
	stalls  atomic.Uint64
	longest atomic.Int64
}

func (w *stepWatch) begin(now int64) {
	w.at = now
	w.phases = [Phases]PhaseWork{}
}

// mark ends a phase that did something.
func (sh *Shard) mark(p Phase, count int) {
	if count == 0 {
		return // what it took counts for the next
	}
	now := sh.hub.Now()
	w := &sh.watch
	w.phases[p] = PhaseWork{time.Duration(now - w.at), count}
	w.at = now
}

// endStep books a step that did something.
func (sh *Shard) endStep(start int64) {
	now := sh.hub.Now()
	took := now - start
	sh.loop.Observe(took)
	w := &sh.watch
	if took > w.longest.Load() {
		w.longest.Store(took)
	}
	if took < int64(StallFrom) {
		return
	}
	w.stalls.Add(1)
	if f := sh.hub.opts.OnStall; f != nil {
		w.phases[PhaseUpkeep] = PhaseWork{time.Duration(now - w.at), 1}
		f(Stall{Shard: sh.index, Took: time.Duration(took), Phases: w.phases})
	}
}

// oneIf counts what only did something or not.
func oneIf(did bool) int {
	if did {
		return 1
	}
	return 0
}
