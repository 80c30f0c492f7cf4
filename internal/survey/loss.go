package survey

import "github.com/streamweir/weir/internal/lane"

// Loss is what the policy of a lane took from its client lately: a client that reads more slowly than is published for
// it loses, though nothing waits long (protocol.md 5, losing).
type Loss struct {
	Losing   bool    `json:"losing"` // see loses
	Share    float64 `json:"share"`  // of what was offered, dropped or replaced
	Offered  uint64  `json:"offered"`
	Dropped  uint64  `json:"dropped"`
	Replaced uint64  `json:"replaced"` // by a newer one of the same key, or as a snapshot
	Seconds  float64 `json:"seconds"`  // over how long
}

// Where losing begins. To replace is what COALESCE and SNAPSHOT_ONLY are for: a client that gets every other value of a
// key is served as asked; one that gets fewer reads too slowly to follow. Of few messages nothing is said.
const (
	losingDropped  = 0.1 // of what was offered
	losingReplaced = 0.5 // dropped ones included
	losingOffered  = 5
)

func (l *Loss) loses() bool {
	if l.Offered < losingOffered {
		return false
	}
	return float64(l.Dropped) >= losingDropped*float64(l.Offered) || l.Share >= losingReplaced
}

// LossOf tells what a lane of a topic has lost lately; known as in lane.Lately. Called by its loop.
//
//weir:loop
func LossOf(l *lane.Lane, now int64) (v Loss, known bool) {
	late, known := l.Lately(now)
	if !known {
		return Loss{}, false
	}
	v = Loss{Offered: late.Offered, Dropped: late.Dropped, Replaced: late.Replaced, Seconds: late.Span.Seconds()}
	if v.Offered > 0 {
		v.Share = min(float64(v.Dropped+v.Replaced)/float64(v.Offered), 1)
	}
	v.Losing = v.loses()
	return v, true
}
