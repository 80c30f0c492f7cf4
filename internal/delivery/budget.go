package delivery

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
)

// The budget bounds what the process holds for all clients (promise P1, design D9).
// Above the high watermark the topics that hold most take no more; half-way from
// there to the limit the oldest frames of best-effort topics are evicted; at the
// limit nothing is accepted, and clients that pin the most are cut. Reliable lanes
// are never shed.

// claim counts a publication of that many bytes to d before it is in any inbox, or
// refuses it. What is claimed is given back if the publication fails.
func (h *Hub) claim(d *Declared, bytes int64) error {
	if d.heavy.Load() || !h.budget.Reserve(bytes, 0) {
		return ErrBudget
	}
	return nil
}

// Hold counts bytes more, or less, that the process holds for clients outside of
// lanes. Any goroutine may call it.
func (h *Hub) Hold(a budget.Account, n int) { h.budget.Hold(a, int64(n)) }

// Claim is Hold for bytes that are not there yet, whose number somebody else chooses:
// ErrBudget if they are too many.
func (h *Hub) Claim(a budget.Account, n int) error {
	if !h.budget.Claim(a, int64(n)) {
		return ErrBudget
	}
	return nil
}

// Holder is Hold for one account.
func (h *Hub) Holder(a budget.Account) func(n int) {
	return func(n int) { h.budget.Hold(a, int64(n)) }
}

// full reports whether the budget is spent.
func (h *Hub) full() bool {
	limit := h.budget.Limit()
	return limit > 0 && h.Held() >= limit
}

// Held is what the process holds for all clients, in bytes.
func (h *Hub) Held() int64 { return h.budget.Held() }

// Accounts is what Held consists of. They add up to it as it was a millisecond ago at
// most: what is in lanes was added up then, and what no account has is on its way there.
func (h *Hub) Accounts() (by [budget.Accounts]int64) {
	rest := h.budget.Held()
	for _, sh := range h.shards {
		by[budget.Frames] += sh.held.Load()
	}
	for _, n := range h.namespaces.All() {
		for i := range h.shards {
			by[budget.Entries] += n.events[i].Entries()
			for _, d := range n.all {
				by[budget.Entries] += d.classes[i].Entries()
			}
		}
	}
	by[budget.Entries] = min(by[budget.Entries], by[budget.Frames])
	by[budget.Frames] -= by[budget.Entries]
	for a := range by {
		by[a] += h.budget.Of(budget.Account(a))
		rest -= by[a]
	}
	by[budget.Inboxes] += max(rest, 0)
	return by
}

// Budget is the bound on Held; 0 = none.
func (h *Hub) Budget() int64 { return h.budget.Limit() }

// shedding is a shard's walk over its connections while the budget is exceeded.
type shedding struct {
	on     bool
	at     int // next connection to look at
	gone   int // messages evicted in this round
	share  int // how many eighths of the time since the oldest message are evicted
	most   *Conn
	pinned int
}

// shedSlice is how many connections one step looks at.
const shedSlice = 256

// account adds up what the shard holds and sheds if that is too much.
func (sh *Shard) account() {
	var held int64
	for n := range sh.namespaces {
		held += n.events[sh.index].Held()
		for _, d := range n.all {
			held += d.classes[sh.index].Held()
		}
	}
	sh.held.Store(held)
	b := &sh.hub.budget
	b.Hold(budget.Lanes, sh.structs-sh.structsCounted)
	sh.structsCounted = sh.structs
	b.Add(held - sh.lanes - sh.arrived)
	sh.lanes, sh.arrived = held, 0
	if b.Limit() == 0 {
		return
	}
	total := sh.hub.Held()
	if sh.shed.on = total > b.High(); !sh.shed.on {
		sh.hub.relax(total)
		return
	}
	heaviest := sh.hub.markHeavy()
	if total > b.EvictAbove() {
		sh.evict(heaviest, total >= b.Limit())
	}
}

// relax lets topics take messages again once a tenth below the watermark is free.
func (h *Hub) relax(total int64) {
	if total > h.budget.High()/10*9 || !h.over.Swap(false) {
		return
	}
	for _, n := range h.namespaces.All() {
		for _, d := range n.all {
			d.heavy.Store(false)
		}
	}
}

// markHeavy closes the topic that holds most to new messages, and returns the
// best-effort topic that holds most.
func (h *Hub) markHeavy() (evict *Declared) {
	var heavy *Declared
	var most, mostBest int64
	for _, n := range h.namespaces.All() {
		for _, d := range n.all {
			var held int64
			for _, c := range d.classes {
				held += c.Held()
			}
			if held > most {
				heavy, most = d, held
			}
			if held > mostBest && !d.Reliable() {
				evict, mostBest = d, held
			}
		}
	}
	h.over.Store(true)
	if heavy != nil {
		heavy.heavy.Store(true)
	}
	return evict
}

// evict drops the oldest part in time, an eighth at first, of a best-effort topic's messages from
// the lanes of some connections; each step goes on where the last one ended. At
// the limit, the end of a round cuts the client that pins the most.
func (sh *Shard) evict(d *Declared, cut bool) {
	s := &sh.shed
	s.share = max(s.share, 1)
	var before int64
	if d != nil {
		if it := d.classes[sh.index].Oldest(); it != nil {
			before = it.Msg.At + (sh.now-it.Msg.At)*int64(s.share)/8
		}
	}
	for range shedSlice {
		if s.at >= len(sh.conns) {
			if cut && s.most != nil && !s.most.closed {
				sh.doom(s.most, base.CauseMemoryBudget)
				sh.cutDoomed()
			}
			s.nextRound()
			return
		}
		c := sh.conns[s.at]
		s.at++
		gone, pinned := c.evict(d, before)
		s.gone += gone
		if pinned > s.pinned {
			s.most, s.pinned = c, pinned
		}
	}
}

// nextRound begins a new walk. A round that freed nothing, because the oldest
// messages are being written, makes the next one reach further.
func (s *shedding) nextRound() {
	share := 1
	if s.gone == 0 {
		share = min(2*s.share, 8)
	}
	*s = shedding{on: true, share: share}
}

// evict drops old messages of one topic and returns how many, and the bytes the
// connection still pins.
func (c *Conn) evict(d *Declared, before int64) (gone, pinned int) {
	for _, s := range c.sockets {
		if s.events != nil {
			pinned += s.events.Bytes()
		}
		for _, l := range s.lanes {
			if l.topic.Declared == d {
				gone += l.Evict(before)
			}
			pinned += l.Bytes()
		}
	}
	return gone, pinned
}
