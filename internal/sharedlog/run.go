package sharedlog

import (
	"context"
	"slices"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/topiclog"
)

// news is what run has to deal with.
type news struct {
	volatile []*appending
	live     []cluster.Entry
	own      []own
	size     int // of live
	behind   bool
	leaves   bool
}

// takeNews is what there is, and nothing is left. Of the own entries those that were heard already are left out.
func (g *Log) takeNews() (n news) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n = news{g.volatile, g.live, g.own, g.size, g.behind, g.leaves}
	g.volatile, g.live, g.own, g.size, g.behind, g.leaves = nil, nil, nil, 0, false, false
	return n
}

// run delivers, one after the other, until Close.
func (g *Log) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-g.more:
		case <-timer.C:
			g.lapse() // what was waited for has not come
		case <-g.life.Done():
			return
		}
		timer.Stop()
		n := g.takeNews()
		if wait := g.dealWith(n); wait > 0 {
			timer.Reset(wait)
		}
		g.opts.Holder.Hold(-n.size)
	}
}

// dealWith delivers what may be; what it returns is how long to wait for the rest before it is read.
func (g *Log) dealWith(n news) (wait time.Duration) {
	if n.own = g.alone(n.own); !g.follows {
		n.live, n.behind = nil, false
	}
	behind := n.behind || n.leaves || slices.ContainsFunc(n.own, own.starts)
	for i := range n.live {
		behind = !g.next(&n.live[i]) || behind
	}
	var begun []*start
	for i := range n.own {
		if s := n.own[i].start; s != nil {
			begun = append(begun, s)
			continue
		}
		if behind {
			g.answered = append(g.answered, &n.own[i].Entry)
			continue
		}
		if !g.next(&n.own[i].Entry) { // those before it may be about to be heard
			g.mu.Lock()
			g.own = append(n.own[i:len(n.own):len(n.own)], g.own...)
			g.mu.Unlock()
			wait = echoTime
			break
		}
	}
	read := true
	if behind && g.follows {
		if read = g.catchUp(); read {
			g.giveUpLost()
		} else {
			wait = retryTime
		}
	}
	g.settleFollowing(begun, n.leaves, read)
	for _, a := range n.volatile {
		g.deliverVolatile(a)
	}
	return wait
}

// giveUpLost tells those whose records the broker had placed, and which are not in the log that was read since: the engine has
// lost them, or they gave way before they were read. Other nodes may have delivered them.
func (g *Log) giveUpLost() {
	for _, e := range g.answered {
		if _, o := g.recordOf(e); o.log == g.origin {
			if a := g.forget(o.number); a != nil {
				a.later.Fail(cluster.ErrUndecided)
			}
		}
	}
	g.answered = nil
}

// next deals with an entry if nothing is missing before it; false: something is.
func (g *Log) next(e *cluster.Entry) bool {
	switch p := &g.place; {
	case e.Epoch != p.epoch:
		return false // what the log has now is read
	case e.Offset <= p.chain:
		return true // repeated
	case e.Previous > p.chain:
		return false
	}
	g.deliver(e)
	return g.life.Err() == nil
}

// catchUp reads on from where the log was delivered to; false: it could not.
func (g *Log) catchUp() bool {
	for g.life.Err() == nil {
		select {
		case g.of.pages <- struct{}{}:
		case <-g.life.Done():
			return false
		}
		more, ok := g.catchUpPage()
		<-g.of.pages
		if !ok || !more {
			return ok
		}
	}
	return false
}

// catchUpPage reads one page and delivers it; more: there may be another.
func (g *Log) catchUpPage() (more, ok bool) {
	ctx, cancel := context.WithTimeout(g.life, readTime)
	page, err := g.broker.Read(ctx, g.name, g.place.chain, cluster.Limit{Entries: pageEntries, Bytes: pageBytes})
	cancel()
	switch {
	case err != nil:
		return false, false
	case page.Epoch != g.place.epoch && page.Epoch != "":
		g.renumber(page.Epoch)
		return true, true
	case len(page.Entries) == 0:
		return false, true
	}
	size := sizeOf(page.Entries)
	g.opts.Holder.Hold(size)
	defer g.opts.Holder.Hold(-size)
	if upto := page.Entries[0].Previous; upto > max(g.place.chain, g.place.mark) {
		g.breach(upto)
	}
	for i := range page.Entries {
		if g.life.Err() != nil {
			return false, false
		}
		g.deliver(&page.Entries[i])
	}
	return true, true
}

// breach says that the records up to an offset have given way before they could be read.
func (g *Log) breach(upto uint64) {
	g.mu.Lock()
	p := &g.place
	at := topiclog.Position{Epoch: p.epoch, Offset: max(upto, p.last+1), Previous: p.kept}
	p.kept, p.last = at.Offset, at.Offset
	p.first = p.last + 1
	g.emptyRingLocked()
	g.mu.Unlock()
	g.opts.Deliver(topiclog.Placement{Position: at})
	if g.opts.Missed != nil {
		g.opts.Missed(at.Previous, at.Offset)
	}
}

// renumber begins a new epoch: of the old one nothing is known to the broker.
func (g *Log) renumber(epoch string) {
	g.mu.Lock()
	p := &g.place
	was := p.epoch
	p.epoch, p.chain, p.kept, p.last, p.mark = epoch, 0, 0, p.last+1, 0
	p.first = p.last + 1
	g.emptyRingLocked()
	at := topiclog.Position{Epoch: epoch, Offset: p.last}
	g.mu.Unlock()
	g.opts.Deliver(topiclog.Placement{Position: at})
	if g.opts.Renumbered != nil {
		g.opts.Renumbered(was, epoch)
	}
}

// deliver gives an entry its place, and to the topic.
func (g *Log) deliver(e *cluster.Entry) {
	r, o := g.recordOf(e)
	if r == nil {
		mark := g.isMark(e)
		g.mu.Lock()
		if g.place.chain = e.Offset; mark {
			g.place.mark = e.Offset
		}
		g.mu.Unlock()
		return
	}
	var mine *appending
	if o.log == g.origin {
		if mine = g.forget(o.number); mine != nil {
			r = mine.record
		}
	}
	at := g.settle(e)
	g.opts.Deliver(topiclog.Placement{Record: r, Position: at})
	if mine != nil {
		mine.later.Place(at)
	}
}

// ringBytes is what the ring of a place holds for an offset: as it grows, up to twice eight bytes.
const ringBytes = 16

// emptyRingLocked forgets which offsets were delivered last.
func (g *Log) emptyRingLocked() {
	g.opts.Holder.Hold(-ringBytes * len(g.place.ring))
	g.place.ring, g.place.head = nil, 0
}

// settle is the position of an entry: offsets never go back, whatever the engine's clock does.
func (g *Log) settle(e *cluster.Entry) topiclog.Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &g.place
	at := topiclog.Position{Epoch: e.Epoch, Offset: max(e.Offset, p.last+1), Previous: p.kept}
	p.chain, p.kept, p.last = e.Offset, at.Offset, at.Offset
	if len(p.ring) < g.opts.Keep {
		p.ring = append(p.ring, at.Offset)
		g.opts.Holder.Hold(ringBytes)
		return at
	}
	p.ring[p.head] = at.Offset
	p.head = (p.head + 1) % len(p.ring)
	p.first = p.ring[p.head]
	return at
}

// deliverVolatile gives a record that is not shared a place behind the last.
func (g *Log) deliverVolatile(a *appending) {
	if g.life.Err() != nil || g.forget(a.number) == nil {
		return
	}
	g.mu.Lock()
	p := &g.place
	p.last++
	at := topiclog.Position{Epoch: p.epoch, Offset: p.last, Previous: p.kept}
	g.mu.Unlock()
	g.opts.Deliver(topiclog.Placement{Record: a.record, Position: at})
	a.later.Place(at)
}
