package demo

import (
	"maps"
	"sync"
)

// LaneState is the lag view of one slow client's lane: the server's own figures. Counts go on over reconnects.
type LaneState struct {
	Open         bool              `json:"open"` // the server holds a lane for it now
	Depth        int               `json:"depth"`
	Bytes        int               `json:"bytes"`
	Spilled      int               `json:"spilled"` // messages that wait on disk
	SpilledBytes int64             `json:"spilledBytes"`
	OldestAgeMs  int64             `json:"oldestAgeMs"`
	Coalesced    uint64            `json:"coalesced"`
	Drops        map[string]uint64 `json:"drops"` // by reason
	Cuts         uint64            `json:"cuts"`
}

// books add up what one slow client's lanes lost over all its connections. They are safe for concurrent use.
type books struct {
	mu        sync.Mutex
	socket    string // whose lane is open
	open      laneFigures
	settled   string // the last socket whose lane was booked for good
	coalesced uint64
	drops     map[string]uint64
	cuts      uint64
}

// observe takes the state of the lane of a living socket.
func (b *books) observe(socket string, lane laneFigures) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if socket == b.settled {
		return // it was cut while the figures were on their way
	}
	if socket != b.socket {
		b.settleLocked(0)
	}
	b.socket, b.open = socket, lane
}

// gone says that the server knows no lane of the client any more.
func (b *books) gone() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settleLocked(0)
}

// cut takes the last state of a lane whose client the server has cut: what waited in it is lost.
func (b *books) cut(socket string, lane laneFigures) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket != "" && b.socket != socket {
		b.settleLocked(0)
	}
	b.socket, b.open = socket, lane
	b.cuts++
	b.settleLocked(uint64(lane.Depth + lane.Spilled))
}

// settleLocked books the open lane for good, unsent messages as lost with the connection.
func (b *books) settleLocked(unsent uint64) {
	if b.socket == "" {
		return
	}
	if b.drops == nil {
		b.drops = make(map[string]uint64)
	}
	for reason, n := range b.open.Drops {
		b.drops[reason] += n
	}
	if unsent > 0 {
		b.drops["disconnect"] += unsent
	}
	b.coalesced += b.open.Coalesced
	b.settled, b.socket, b.open = b.socket, "", laneFigures{}
}

// state is what the page shows.
func (b *books) state() LaneState {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := LaneState{
		Open: b.socket != "", Depth: b.open.Depth, Bytes: b.open.Bytes, Spilled: b.open.Spilled, SpilledBytes: b.open.SpilledBytes, OldestAgeMs: b.open.OldestMs,
		Coalesced: b.coalesced + b.open.Coalesced, Cuts: b.cuts, Drops: map[string]uint64{},
	}
	maps.Copy(s.Drops, b.drops)
	for reason, n := range b.open.Drops {
		s.Drops[reason] += n
	}
	return s
}
