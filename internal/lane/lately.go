package lane

import "time"

// How far a look at losses reaches back: lateWindow to twice that, or shorter right after the first look.
const (
	lateWindow = 10 * time.Second
	lateLeast  = time.Second
	lateTick   = 100 * time.Millisecond
)

// Lately is what became of the messages offered to a lane since an earlier look.
type Lately struct {
	Offered  uint64
	Dropped  uint64
	Replaced uint64 // by a newer one of the same key, or as a snapshot
	Span     time.Duration
}

// mark is what the books said at one moment. It is small, since every lane that loses has two: counts and ticks wrap,
// which their differences within twice lateWindow do not.
type mark struct{ at, offered, dropped, replaced uint32 }

// marks are the last two of a lane that was looked at after it had lost something.
type marks struct {
	old, new    mark
	seen, again bool // new is set; old is too
}

// Lately tells what the lane has lost since an earlier look, at a moment of the caller's clock. known is false at the
// first looks at a lane that has ever lost something: what its books say may be of long ago. It is for topics' lanes.
func (l *Lane) Lately(now int64) (v Lately, known bool) {
	replaced := l.Coalesced()
	if replaced == 0 && l.AllDropped() == 0 {
		return Lately{}, true
	}
	m := &l.rareBooks().marks
	here := mark{uint32(now / int64(lateTick)), uint32(l.Offered), uint32(l.AllDropped()), uint32(replaced)}
	if !m.seen {
		m.new, m.seen = here, true
		return Lately{}, false
	}
	from := m.new
	if m.again {
		from = m.old
	}
	if here.since(m.new) >= lateWindow {
		m.old, m.new, m.again = m.new, here, true
	}
	span := here.since(from)
	if span < lateLeast {
		return Lately{}, false
	}
	return Lately{
		Offered: uint64(here.offered - from.offered), Dropped: uint64(here.dropped - from.dropped),
		Replaced: uint64(here.replaced - from.replaced), Span: span,
	}, true
}

func (m mark) since(o mark) time.Duration { return time.Duration(m.at-o.at) * lateTick }
