package nats

import (
	"context"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// What is remembered of logs, at most: of how many, and how many wait to be trimmed.
const (
	maxShelves = 4096
	maxTrims   = 256
)

// shelf is what a member remembers of a log: hints, which whoever uses them finds out to be wrong.
type shelf struct {
	turn  chan struct{} // has room for one: whose append it is
	users int
	end   *end  // nil: not known
	read  place // of the last entry that was read or heard
}

// end is where a log ends. Of one without entries all is 0.
type end struct {
	seq   uint64 // of its last message in the stream
	epoch string
	last  uint64 // offset
	total uint64 // how many entries there were in this epoch
}

// place is that of an entry: its offset, and the sequence in the stream of an append that has it.
type place struct{ offset, seq uint64 }

// endOf is the end of a log with this last message.
func endOf(last *stored) *end {
	if last == nil {
		return &end{}
	}
	return &end{last.seq, last.epoch, last.last(), last.total()}
}

// take waits until no other append of this member to the log is under way.
//
// Errors: ErrAway and ErrClosed, and nothing was done.
func (m *member) take(ctx context.Context, log string) (free func(), err error) {
	m.mu.Lock()
	s := m.shelfLocked(log)
	s.users++
	m.mu.Unlock()
	leave := func() {
		m.mu.Lock()
		s.users--
		m.mu.Unlock()
	}
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, anchor.Away(ctx.Err())
	case <-m.Life().Done():
		leave()
		return nil, cluster.ErrClosed
	}
}

// shelfLocked is that of a log, made if it is not there: another one gives way if there are too many.
func (m *member) shelfLocked(log string) *shelf {
	s := m.shelves[log]
	if s != nil {
		return s
	}
	if len(m.shelves) >= maxShelves {
		for name, other := range m.shelves {
			if other.users == 0 {
				delete(m.shelves, name)
				break
			}
		}
	}
	s = &shelf{turn: make(chan struct{}, 1)}
	m.shelves[log] = s
	return s
}

// known is where a log ends, as far as is known; nil: it is not.
func (m *member) known(log string) *end {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shelfLocked(log).end
}

// learn takes note of where a log ends; nil: what was known was wrong.
func (m *member) learn(log string, at *end) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shelfLocked(log).end = at
}

// note takes note of an append that was heard, of a log that is remembered.
func (m *member) note(log string, h *heading, seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.shelves[log]
	if s == nil {
		return
	}
	if s.end == nil || s.end.seq < seq {
		s.end = &end{seq, h.epoch, h.last(), h.total()}
	}
	s.read = place{h.last(), seq}
}

// placed takes note of an append that was placed, and has the log trimmed now and then: for each eighth of what it keeps.
func (m *member) placed(log string, h *heading, seq uint64) {
	m.learn(log, &end{seq, h.epoch, h.last(), h.total()})
	step := max(uint64(h.keep)/8, 16) //nolint:gosec // at least 1
	if h.oldest() == 0 || h.before/step == h.total()/step {
		return
	}
	select {
	case m.trims <- log:
	default: // one of the next will do
	}
}

// runTrims removes what logs are not to keep, until Close.
func (m *member) runTrims() {
	for {
		select {
		case log := <-m.trims:
			_ = m.trim(m.Life(), log) // one of the next will do
		case <-m.Life().Done():
			return
		}
	}
}

// lingers is how long something that a replica does not have yet is waited for.
const lingers = 10 * time.Millisecond
