package swarm

import "unsafe"

// ClientSize is what one client costs in bytes, without what an emitting one has under way.
const ClientSize = int(unsafe.Sizeof(client{}))

// MaxPositions is how far the first may be ahead of who is counted.
const MaxPositions = maxPositions

// Wait is how long a client waits after so many failed attempts.
var Wait = (*Reconnect).wait

// Ledger is the ledger of positions.
type Ledger struct{ ledger }

// NewLedger returns an empty one.
func NewLedger() *Ledger { return &Ledger{newLedger()} }

func (l *Ledger) Join(p int64) bool        { return l.join(p) }
func (l *Ledger) Move(from, to int64) bool { return l.move(from, to) }
func (l *Ledger) Leave(p int64)            { l.leave(p) }
func (l *Ledger) News() (p int64, ok bool) { return l.news() }

// Sequence is what a connection has got.
type Sequence struct{ sequence }

// Take returns what a number is.
func (s *Sequence) Take(n int64) (gap int64, disorder, late, duplicate bool) {
	v := s.take(n)
	return v.gap, v.disorder, v.late, v.duplicate
}
