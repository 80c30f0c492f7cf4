package delivery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/survey"
)

// Survey walks over all clients of the node, a slice of each shard's at a time.
// Clients that come or go meanwhile may be missed. It fails with ctx, or with ErrClosed.
func (h *Hub) Survey(ctx context.Context, q survey.Query) (survey.Found, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := context.AfterFunc(h.life, func() { end(ErrClosed) })
	defer stop()
	loops := make([]survey.Loop, len(h.shards))
	for i, sh := range h.shards {
		loops[i] = surveyed{sh}
	}
	return survey.Take(ctx, loops, q)
}

// surveyed is a shard as a survey meets it.
//
//weir:loop
type surveyed struct{ *Shard }

// Connections implements survey.Loop.
func (s surveyed) Connections() int { return len(s.conns) }

// Each implements survey.Loop.
func (s surveyed) Each(i int, look func(survey.Subject)) {
	for _, s := range s.conns[i].sockets {
		if !s.closed {
			look((*subject)(s))
		}
	}
}

// subject is a socket as a survey meets it.
//
//weir:loop
type subject Socket

// Is implements survey.Subject.
func (s *subject) Is(id, namespace, principal string) bool {
	return (id == "" || id == s.ID) && (namespace == "" || namespace == s.Namespace.Path) && (principal == "" || principal == s.Principal)
}

// Name implements survey.Subject.
func (s *subject) Name() string { return s.ID }

// TopicLanes implements survey.Subject.
func (s *subject) TopicLanes() int { return len(s.lanes) }

// Any implements survey.Subject.
func (s *subject) Any(match func(topic string) bool) bool {
	return slices.ContainsFunc(s.lanes, func(l *outLane) bool { return match(l.topic.Name) })
}

// Measure implements survey.Subject.
func (s *subject) Measure(look func(survey.Held)) {
	now := s.conn.shard.now
	if s.events != nil {
		look(s.events.held(s.events.age(now)))
	}
	for _, l := range s.lanes {
		look(l.held(l.age(now)))
	}
	for _, c := range s.ties.catchUps() {
		look(c.held(c.age(now)))
	}
}

func (l *outLane) held(age time.Duration) survey.Held {
	h := survey.Held{Lane: &l.Lane.Lane, Topic: l.name(), Age: age, Waits: l.Depth() > 0 || l.stage == stageCatching}
	if l.lagging() {
		h.Waits, h.Behind, h.Unread = true, true, l.unread()
	}
	return h
}

// unread is how long the oldest record of the topic's log has waited for a lane that is behind. Of what was there
// before the lane only since when it waits for that is known.
func (l *outLane) unread() time.Duration {
	sh := l.socket.shard()
	if n, _, at := l.Spilled(); n > 0 {
		return time.Duration(sh.now - at)
	}
	return time.Duration(sh.now - sh.lags[l].since)
}

// PastDrops implements survey.Subject.
func (s *subject) PastDrops() uint64 {
	if s.events != nil {
		return 0
	}
	return s.past.AllDropped()
}

// View implements survey.Subject.
func (s *subject) View(lanes int) survey.Client {
	if lanes == 0 {
		lanes = len(s.lanes)
	}
	return (*Socket)(s).view(lanes)
}

// Describer adds to a view what only the owner of the connection knows: address,
// transport, server, User-Agent, kernel figures. A Peer may implement it.
//
//weir:loop
type Describer interface {
	Describe(*survey.Client)
}

// view describes a socket with at most so many of its topic lanes, the worst; the others
// are in its sums.
func (s *Socket) view(most int) survey.Client {
	v := survey.Client{ID: s.ID, Namespace: s.Namespace.Path, Principal: s.Principal, Unsent: s.conn.box.Unwritten()}
	if n := s.conn.box.Unsent(); n > 0 {
		v.Unsent += n
	}
	v.AddLane(s.eventsView())
	lanes, rest := s.worst(most)
	for _, l := range lanes {
		v.AddLane(l.viewWhole())
	}
	for _, l := range rest {
		v.LanesLeftOut++
		v.AddSums(&l.Lane.Lane)
		if l.stage == stageBehind {
			v.AddSums(&l.catchUp().Lane.Lane)
		}
		v.OldestMs = max(v.OldestMs, l.ageWhole(s.shard().now).Milliseconds())
		if l.lagging() {
			v.LaggedSince(l.behindSince())
		}
	}
	if d, ok := s.conn.peer.(Describer); ok {
		d.Describe(&v)
	}
	return v
}

// worst returns the topic lanes whose messages have waited longest, or else those that
// dropped most, and the others.
func (s *Socket) worst(most int) (lanes, rest []*outLane) {
	if len(s.lanes) <= most {
		return s.lanes, nil
	}
	now := s.shard().now
	ranked := slices.Clone(s.lanes)
	slices.SortStableFunc(ranked, func(a, b *outLane) int {
		return cmp.Or(cmp.Compare(b.ageWhole(now), a.ageWhole(now)), cmp.Compare(b.AllDropped(), a.AllDropped()))
	})
	return ranked[:most], ranked[most:]
}

// viewWhole describes a lane of a topic with the snapshot it is behind.
func (l *outLane) viewWhole() survey.Lane {
	now := l.socket.shard().now
	v := l.view(l.age(now))
	if l.lagging() {
		v.BehindSince = l.behindSince()
	}
	if l.stage == stageBehind {
		c := l.catchUp()
		v.Absorb(c.view(c.outLane.age(now)))
		v.OldestMs = max(v.OldestMs, c.age(now).Milliseconds())
	}
	return v
}

func (l *outLane) view(age time.Duration) survey.Lane {
	return survey.LaneOf(&l.Lane.Lane, l.name(), age, l.socket.shard().now)
}

// age is how long the lane's oldest message has waited, in it or in the log that it is behind.
func (l *outLane) age(now int64) time.Duration {
	age := survey.Age(&l.Lane.Lane, now)
	if l.lagging() {
		age = max(age, l.unread())
	}
	return age
}

// behindSince is since when the lane, which is behind its log, is.
func (l *outLane) behindSince() time.Time {
	sh := l.socket.shard()
	return sh.hub.Time(sh.lags[l].since)
}

// ageWhole is the age of what waited longest, in the lane or in the snapshot it is behind.
func (l *outLane) ageWhole(now int64) time.Duration {
	age := l.age(now)
	if l.stage == stageBehind {
		age = max(age, l.catchUp().age(now))
	}
	return age
}

// Cut lists the last state of clients that were cut, newest first.
func (h *Hub) Cut(limit int) []survey.Client { return h.cuts.List(time.Now(), limit) }

// Cuts is how many connections have ended for that cause: the server has cut them, or they left (base.Cause.Leaves).
func (h *Hub) Cuts(c base.Cause) uint64 { return h.cuts.Counted(c) }

// CountCut counts a connection that ended by another room's decision, or left.
func (h *Hub) CountCut(c base.Cause) { h.cuts.Count(c) }

// cut records a connection that is about to be cut, before its lanes are closed.
//
//weir:loop
func (h *Hub) cut(c *Conn, cause base.Cause) {
	e := survey.CutNotice{Cause: cause}
	for _, s := range c.sockets {
		if s.closed {
			continue
		}
		v := s.view(survey.CutLanes)
		v.Cause, v.CutAt = cause.String(), h.Time(c.shard.now)
		e.Clients = append(e.Clients, v)
	}
	h.cuts.Add(e)
	if h.opts.OnCut != nil {
		h.opts.OnCut(e)
	}
}

// RecordCut is cut for a decision made outside of this package.
func (c *Conn) RecordCut(cause base.Cause) { c.shard.hub.cut(c, cause) }
