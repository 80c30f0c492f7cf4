package swarm

// The ring of positions grows from minPositions to maxPositions.
const (
	minPositions = 1 << 8
	maxPositions = 1 << 20
)

// ledger knows how far everybody has got, in constant time per delivery: it counts the clients at each position, which
// is the highest number a client has.
//
//	position    low   …            high
//	clients      3    0   0   12    85
//
// Who falls maxPositions behind the first is no longer counted, and is again when it has caught up.
type ledger struct {
	at        []int32 // clients at position p, at p & (len-1)
	low, high int64   // -1: nothing yet; low has a client, if there is any
	clients   int
	told      int64 // by news
}

func newLedger() ledger {
	return ledger{at: make([]int32, minPositions), low: -1, high: -1, told: -1}
}

func (l *ledger) slot(p int64) *int32 { return &l.at[p&int64(len(l.at)-1)] }

// join counts a client at p; false if that is behind everything counted, where it does not belong.
func (l *ledger) join(p int64) bool {
	if p < l.low {
		return false
	}
	if l.clients == 0 {
		l.low, l.high = p, p
	}
	l.reach(p)
	l.clients++
	*l.slot(p)++
	return true
}

// move takes a client forward; false if it is no longer counted.
func (l *ledger) move(from, to int64) bool {
	if from < l.low {
		return false
	}
	l.reach(to)
	if from < l.low { // it was the last by far
		return false
	}
	*l.slot(from)--
	*l.slot(to)++
	l.advance()
	return true
}

// leave takes out a client, which may have been dropped before.
func (l *ledger) leave(p int64) {
	if p < l.low {
		return
	}
	*l.slot(p)--
	l.clients--
	l.advance()
}

func (l *ledger) advance() {
	for l.low < l.high && *l.slot(l.low) == 0 {
		l.low++
	}
}

// reach makes room up to p.
func (l *ledger) reach(p int64) {
	if p <= l.high {
		return
	}
	for p-l.low >= int64(len(l.at)) && len(l.at) < maxPositions {
		l.grow()
	}
	if last := p - int64(len(l.at)) + 1; l.low < last {
		l.drop(last)
	}
	l.high = p
}

func (l *ledger) grow() {
	wider := ledger{at: make([]int32, 2*len(l.at))}
	for p := l.low; p <= l.high; p++ {
		*wider.slot(p) = *l.slot(p)
	}
	l.at = wider.at
}

// drop counts nobody below first any more.
func (l *ledger) drop(first int64) {
	for p := l.low; p < first && p <= l.high; p++ {
		l.clients -= int(*l.slot(p))
		*l.slot(p) = 0
	}
	l.low = first
	l.high = max(l.high, first)
	l.advance()
}

// news is the position everybody has, if it is another than the last time.
func (l *ledger) news() (p int64, ok bool) {
	if l.clients == 0 || l.low <= l.told {
		return 0, false
	}
	l.told = l.low
	return l.low, true
}
