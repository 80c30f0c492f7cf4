package nats

import (
	"time"

	"github.com/streamweir/weir/cluster"
)

// What is in pieces, as a member gathers it: at most so much, and no longer without a new piece.
const (
	maxGathered = 64 << 20
	gatherTime  = 10 * time.Second
)

// margin is what a message has beside its piece of the data, at most: headers, those of republishing with the name in them too.
const margin = 8 << 10

// cut is data in pieces that a server takes, one after the other. There is at least one.
func cut(data []byte, room int64) (all [][]byte) {
	n := int(room - margin)
	for len(data) > n {
		all = append(all, data[:n])
		data = data[n:]
	}
	return append(all, data)
}

// gatherer puts pieces together. It is for one goroutine.
type gatherer struct {
	holder cluster.Holder
	open   map[string]*gathered // by subject and id
	bytes  int
}

// gathered are the pieces of one whole, up to now.
type gathered struct {
	data []byte
	next int
	at   time.Time // of the last piece
}

func newGatherer(h cluster.Holder) *gatherer {
	return &gatherer{holder: h, open: make(map[string]*gathered)}
}

// add adds a piece, and returns the whole when it was the last one. lost: pieces are missing, or there is too much of them.
func (g *gatherer) add(subject string, p piece, data []byte, now time.Time) (whole []byte, done, lost bool) {
	if p.of == 1 {
		return data, len(data) == p.size, len(data) != p.size
	}
	key := subject + " " + p.id
	w := g.open[key]
	if w == nil && p.index > 0 {
		return nil, false, false // the first was before the subscription; or it was lost, and that was told
	}
	if w == nil {
		lost = g.expire(now)
		w = &gathered{}
		g.open[key] = w
	}
	if p.index != w.next || len(w.data)+len(data) > p.size || g.bytes+len(data) > maxGathered || !g.holder.Claim(len(data)) {
		g.drop(key)
		return nil, false, true
	}
	w.data, w.next, w.at = append(w.data, data...), w.next+1, now
	g.bytes += len(data)
	if w.next < p.of {
		return nil, false, lost
	}
	g.drop(key)
	return w.data, len(w.data) == p.size, lost || len(w.data) != p.size
}

// drop forgets a whole.
func (g *gatherer) drop(key string) {
	n := len(g.open[key].data)
	delete(g.open, key)
	g.bytes -= n
	g.holder.Hold(-n)
}

// expire forgets what has got no piece for too long, and reports whether there was any.
func (g *gatherer) expire(now time.Time) (any bool) {
	for key, w := range g.open {
		if now.Sub(w.at) > gatherTime {
			g.drop(key)
			any = true
		}
	}
	return any
}

// close forgets all.
func (g *gatherer) close() {
	for key := range g.open {
		g.drop(key)
	}
}
