package delivery

import (
	"time"
	"unsafe"
)

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

// How far a look at losses reaches back: lossWindow to twice that, or shorter right after the first look.
const (
	lossWindow = 10 * time.Second
	lossLeast  = time.Second
)

func (l *Loss) loses() bool {
	if l.Offered < losingOffered {
		return false
	}
	return float64(l.Dropped) >= losingDropped*float64(l.Offered) || l.Share >= losingReplaced
}

// lossMark is what the books of a lane said at one moment.
type lossMark struct {
	at                         int64
	offered, dropped, replaced uint64
}

// lossMarks are the last two marks of a lane that has ever lost a message and was looked at. old.at is 0 until there
// are two.
type lossMarks struct{ old, new lossMark }

// markBytes is what the budget counts for the marks of a lane, with their place in the map.
const markBytes = int64(unsafe.Sizeof(lossMarks{})) + 48

// loss tells what a lane has lost since an earlier look. known is false at the first look: what its books say may be of
// long ago. Loop only.
func (sh *Shard) loss(l *outLane) (v Loss, known bool) {
	now := lossMark{sh.now, l.Offered, l.AllDropped(), l.Coalesced()}
	if l.topic == nil || now.dropped+now.replaced == 0 {
		return Loss{}, true
	}
	m := sh.marks[l]
	if m == nil {
		if sh.marks == nil {
			sh.marks = make(map[*outLane]*lossMarks)
		}
		sh.marks[l] = &lossMarks{new: now}
		sh.structs += markBytes
		return Loss{}, false
	}
	base := m.old
	if base.at == 0 {
		base = m.new
	}
	if now.at-m.new.at >= int64(lossWindow) {
		m.old, m.new = m.new, now
	}
	if now.at-base.at < int64(lossLeast) {
		return Loss{}, false
	}
	v = Loss{
		Offered: now.offered - base.offered, Dropped: now.dropped - base.dropped, Replaced: now.replaced - base.replaced,
		Seconds: time.Duration(now.at - base.at).Round(100 * time.Millisecond).Seconds(),
	}
	if v.Offered > 0 {
		v.Share = min(float64(v.Dropped+v.Replaced)/float64(v.Offered), 1)
	}
	v.Losing = v.loses()
	return v, true
}

// forgetLoss forgets what was known of a lane's losses.
func (sh *Shard) forgetLoss(l *outLane) {
	if _, ok := sh.marks[l]; ok {
		delete(sh.marks, l)
		sh.structs -= markBytes
	}
}
