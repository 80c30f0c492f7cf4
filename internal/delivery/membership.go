package delivery

import "github.com/streamweir/weir/internal/roster"

// membership is what one shard knows of a namespace: who is in it, and what is emitted there. The
// topics' subscribers are kept with the topics.
//
//weir:loop
type membership struct {
	roster.Roster[*Socket]
	searching *underWay // whose recipients are being looked for; nil: no search is under way
	orders    *stream   // what is emitted here and not delivered yet; nil: nothing
	used      bool      // among Shard.using
}

// Identity implements roster.Member.
func (s *Socket) Identity() (id, principal string) { return s.ID, s.Principal }

// Mark implements roster.Member.
func (s *Socket) Mark() *uint32 { return &s.seen }

// Places implements roster.Member.
func (s *Socket) Places(want bool) *roster.Places[*Socket] {
	switch {
	case s.ties != nil:
		return &s.ties.places
	case want:
		return &s.tied().places
	}
	return nil
}

// Vacated implements roster.Member.
func (s *Socket) Vacated() { s.untie() }

// ties are what few sockets have: the rooms it is in besides that of its id, questions
// to it that are not answered, snapshots it has not read, and cursors it began at.
//
//weir:loop
type ties struct {
	places roster.Places[*Socket]
	asked  map[uint64]AckSink
	crowd  *crowd // nil: the lanes are few
	behind []*catchUp
	began  []*resumption // of lanes that are not past the cursor they began at
	stays  *stays        // nil: no lane is behind
}

// tied returns the socket's ties, to be added to; untie follows when there are less.
func (s *Socket) tied() *ties {
	if s.ties == nil {
		s.ties = new(ties)
	}
	return s.ties
}

// untie forgets them once there are none.
func (s *Socket) untie() {
	if t := s.ties; t != nil && t.places.Len()+len(t.asked)+len(t.behind)+len(t.began) == 0 && t.crowd == nil && t.stays == nil {
		s.ties = nil
	}
}

// catchUps are the snapshots it has not read; nil has none.
func (t *ties) catchUps() []*catchUp {
	if t == nil {
		return nil
	}
	return t.behind
}

// asker is who waits for the answer with that id, nil if nobody does.
func (t *ties) asker(id uint64) AckSink {
	if t == nil {
		return nil
	}
	return t.asked[id]
}

// lookCost is how many sockets a search may look at for what an offer costs: each is
// somewhere else in memory.
const lookCost = 2

// choose begins to find whom a job is for: one socket at once, more in slices.
func (u *underWay) choose(sh *Shard, n *Namespace, to *Target) {
	if to.Socket == "" || to.Principal != "" || to.Rooms != nil || to.Except != nil {
		u.choosing = true
		return
	}
	if s, ok := n.on(sh).Find(to.Socket); ok {
		u.chosen = append(u.chosen, s)
		u.left = 1
		sh.chosen += socketPlace
	}
}

// choose goes on finding whom a job is for, of those in a namespace, until spent reaches
// most. If the search of another stream's job is under way it helps that one first.
func (sh *Shard) choose(n *Namespace, to *Target, u *underWay, most int) (done bool) {
	m := n.on(sh)
	for sh.spent < most {
		if m.searching == nil {
			m.Begin(to)
			m.searching = u
		}
		of, looks, left := m.searching, (most-sh.spent)*lookCost, 0
		if of.chosen, left, done = m.Search(of.chosen, looks); done {
			of.choosing, of.left = false, len(of.chosen)
			sh.chosen += socketPlace * int64(len(of.chosen))
			m.searching = nil
		}
		sh.spent += (looks - left) / lookCost
		if done && of == u {
			return true
		}
	}
	return false
}
