package delivery

import (
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
)

// budget is the bound on what the process holds for all clients (promise P1,
// design D9). Above the high watermark the topics that hold most take no more;
// half-way from there to the limit the oldest frames of best-effort topics are
// evicted; at the limit nothing is accepted, and clients that pin the most are
// cut. Reliable lanes are never shed.
type budget struct {
	limit, high int64
	held        atomic.Int64 // everything, in one place, so that it can be claimed before it is there
	over        atomic.Bool  // some topics are marked heavy
}

func (b *budget) init(limit int64, watermark float64) {
	if watermark <= 0 || watermark > 1 {
		watermark = 0.8
	}
	b.limit, b.high = limit, int64(float64(limit)*watermark)
}

// evictAbove is where eviction begins.
func (b *budget) evictAbove() int64 { return (b.high + b.limit) / 2 }

// claim counts a publication of that many bytes to d before it is in any inbox, or
// refuses it. What is claimed is given back if the publication fails.
func (b *budget) claim(d *Declared, bytes int64) error {
	if b.limit == 0 {
		b.held.Add(bytes)
		return nil
	}
	for !d.heavy.Load() {
		held := b.held.Load()
		if held+bytes > b.limit {
			break
		}
		if b.held.CompareAndSwap(held, held+bytes) {
			return nil
		}
	}
	return ErrBudget
}

// Hold counts bytes the process holds for clients outside of lanes; negative
// ones give them back. Any goroutine may call it.
func (h *Hub) Hold(n int) { h.budget.held.Add(int64(n)) }

// Held is what the process holds for all clients, in bytes.
func (h *Hub) Held() int64 { return h.budget.held.Load() }

// Budget is the bound on Held; 0 = none.
func (h *Hub) Budget() int64 { return h.budget.limit }

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
	b.held.Add(held - sh.lanes - sh.arrived)
	sh.lanes, sh.arrived = held, 0
	if b.limit == 0 {
		return
	}
	total := sh.hub.Held()
	if sh.shed.on = total > b.high; !sh.shed.on {
		sh.hub.relax(total)
		return
	}
	heaviest := sh.hub.markHeavy()
	if total > b.evictAbove() {
		sh.evict(heaviest, total >= b.limit)
	}
}

// relax lets topics take messages again once a tenth below the watermark is free.
func (h *Hub) relax(total int64) {
	if total > h.budget.high/10*9 || !h.budget.over.Swap(false) {
		return
	}
	for _, n := range h.namespaces {
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
	for _, n := range h.namespaces {
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
	h.budget.over.Store(true)
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
