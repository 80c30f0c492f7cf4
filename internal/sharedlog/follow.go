package sharedlog

import (
	"context"
	"errors"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/topiclog"
)

// A log is followed while somebody here needs what others append; else the node hears nothing of it, and what is appended here
// goes out, has its place, and is delivered without what is between.
//
//	Follow ──> runAppends: between two appends the broker is asked for what comes, and where the log ends
//	              └──> run: own entries before that are delivered, the place jumps there, what comes behind it is delivered
//
// So nothing that was appended here is passed over, and nothing that comes later is missed.

// start is a Follow under way.
type start struct {
	era  uint64 // an Unfollow since then ends it
	page cluster.Page
	done chan error // has room for one
}

// own is an entry that was appended here, or a start: entries before it were appended before that.
type own struct {
	cluster.Entry
	start *start
}

func (o own) starts() bool { return o.start != nil }

// errUnfollowed says that Unfollow was called meanwhile.
var errUnfollowed = errors.New("the log is not to be followed any more")

// Follow implements topiclog.Follower.
func (g *Log) Follow(ctx context.Context) error {
	s := &start{done: make(chan error, 1)}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return topiclog.ErrClosed
	}
	s.era = g.era
	g.starting = s
	signal(g.sends)
	g.mu.Unlock()
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unfollow implements topiclog.Follower.
func (g *Log) Unfollow() {
	g.mu.Lock()
	g.era++
	g.leaves = true
	signal(g.more)
	g.mu.Unlock()
	g.broker.Unfollow(g.name)
}

// takeStart is the Follow that waits, or nil.
func (g *Log) takeStart() *start {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.starting
	g.starting = nil
	return s
}

// valid reports whether a Follow is still wanted.
func (g *Log) valid(s *start) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return s.era == g.era
}

// start asks the broker, between two appends. run does the rest.
func (g *Log) start(s *start) {
	ctx, cancel := context.WithTimeout(g.life, readTime)
	defer cancel()
	err := g.broker.Follow(ctx, g.name)
	if err == nil {
		s.page, err = g.broker.Read(ctx, g.name, cluster.MaxOffset-1, cluster.Limit{})
	}
	if err == nil && !g.valid(s) {
		err = errUnfollowed
	}
	if err != nil {
		g.broker.Unfollow(g.name)
		s.done <- g.toldOfStart(err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own = append(g.own, own{start: s})
	signal(g.more)
}

// errMute is what is told of the broker's other errors, which name its address.
var errMute = errors.New("the broker has not said where the log ends")

// toldOfStart is the error of a Follow as who wants to subscribe is told it.
func (g *Log) toldOfStart(err error) error {
	switch {
	case g.life.Err() != nil:
		return topiclog.ErrClosed
	case errors.Is(err, cluster.ErrAway):
		return cluster.ErrAway
	case errors.Is(err, errUnfollowed):
		return err
	}
	return errMute
}

// alone delivers own entries while the log is not followed, up to a start. What it returns begins with that, if there is one.
func (g *Log) alone(list []own) []own {
	for !g.follows && len(list) > 0 {
		switch x := &list[0]; {
		case x.start == nil:
			g.deliverAlone(&x.Entry)
		case g.valid(x.start):
			g.jump(&x.start.page)
			g.follows = true
			return list
		default:
			x.start.done <- errUnfollowed
		}
		list = list[1:]
	}
	return list
}

// deliverAlone delivers an own entry, whatever is between it and the one before.
func (g *Log) deliverAlone(e *cluster.Entry) {
	switch p := &g.place; {
	case g.life.Err() != nil, e.Epoch == p.epoch && e.Offset <= p.chain: // it was read before
		return
	case e.Epoch != p.epoch:
		g.renumber(e.Epoch)
	}
	g.mu.Lock()
	if p := &g.place; e.Previous > p.chain && e.Previous != p.mark {
		p.kept = e.Previous
	}
	g.mu.Unlock()
	g.deliver(e)
}

// jump makes the end of the log its place. That is told if there are records between.
func (g *Log) jump(page *cluster.Page) {
	if page.Epoch == "" || g.life.Err() != nil {
		return // it is empty: what comes begins a new epoch
	}
	if page.Epoch != g.place.epoch {
		g.renumber(page.Epoch)
	}
	g.mu.Lock()
	p := &g.place
	at := topiclog.Position{Epoch: p.epoch, Offset: max(page.Last, p.last+1), Previous: p.kept}
	passes := page.Last > p.chain && page.Last != p.mark
	if passes {
		p.kept, p.last, p.first = at.Offset, at.Offset, page.First
		g.emptyRingLocked()
	}
	p.chain = max(p.chain, page.Last)
	g.mu.Unlock()
	if passes {
		g.opts.Deliver(topiclog.Placement{Record: &topiclog.Record{Namespace: g.opts.Namespace, Topic: g.opts.Topic, Volatile: true}, Position: at})
	}
}

// settleFollowing tells those who wait for a start, and ends the following that was to end: once all is read, so that nothing
// that was appended here waits for what is not heard.
func (g *Log) settleFollowing(begun []*start, leaves, read bool) {
	stays := false
	for _, s := range begun {
		if g.valid(s) {
			stays = true
			s.done <- nil
		} else {
			s.done <- errUnfollowed
		}
	}
	switch {
	case stays || !leaves:
	case read:
		g.follows = false
	default:
		g.mu.Lock()
		g.leaves = true
		g.mu.Unlock()
	}
}

// endStarts fails those who wait for a log that is closed.
func (g *Log) endStarts() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.starting; s != nil {
		s.done <- topiclog.ErrClosed
	}
	for _, o := range g.own {
		if o.start != nil {
			o.start.done <- topiclog.ErrClosed
		}
	}
	g.starting, g.own = nil, nil
}
