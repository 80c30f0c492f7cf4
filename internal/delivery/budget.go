package delivery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery/recent"
	"github.com/streamweir/weir/internal/lane"
)

// The budget bounds what the process holds for all clients (promise P1, architecture.md D9).
// Above the high watermark what is held only to be faster is given back, and the topics that hold most take no more; half-way from
// there to the limit the oldest frames of best-effort topics are evicted; at the
// limit nothing is accepted, and clients that pin the most are cut. Reliable lanes
// are never shed.

// messageBytes is what the budget counts for a message on one shard, with one place.
func messageBytes(m *base.Message) int64 { return claimed(m.Bytes()) }

// claimed is messageBytes of a message whose frames have that many bytes.
func claimed(bytes int) int64 { return int64(bytes) + lane.MessageBytes + lane.EntryBytes }

// How often a publication to a topic that holds next to nothing looks again whether the budget has room, and how long it
// waits before it does: the loops look at who holds most as often. Once that was in vain nobody waits for a while.
const (
	looks    = 20
	lookWait = accountEvery
	vainTime = time.Second
)

// claim counts a publication to d before it is in any inbox, or refuses it. Its caller gives back the claim if the
// publication fails.
//
// Between two looks of the loops at who holds most a burst may spend the whole budget. Then the topics that hold it are
// refused at once, and the others wait, as long as ctx allows, until the loops have refused, evicted and cut those.
func (h *Hub) claim(ctx context.Context, d *Declared, f *fanOut) error {
	for look := 0; !d.heavy.Load(); look++ {
		if h.budget.Reserve(f.claim, f.promised) {
			return nil
		}
		if look == looks {
			h.vain.Store(h.Now() + int64(vainTime))
			break
		}
		if d.held() > h.negligible() || h.Now() < h.vain.Load() || !h.pause(ctx, lookWait) {
			break
		}
	}
	return ErrBudget
}

// pause waits so long, unless ctx or the hub ends before.
func (h *Hub) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-h.life.Done():
	}
	return false
}

// unclaim gives back what was claimed for a fan-out that reached no inbox.
func (h *Hub) unclaim(f *fanOut) {
	h.budget.Add(-f.claim)
	h.budget.Promise(-f.promised)
}

// claimEmit counts a plain event before it is in any inbox, or refuses it. Who is in
// rooms only the shards know: the entries of such an event are counted when they are there.
func (h *Hub) claimEmit(f *fanOut) error {
	receivers := int64(h.Receivers(f.target))
	if f.topic != nil && f.topic.Declared.heavy.Load() {
		return ErrBudget
	}
	f.claim = receivers * messageBytes(f.msg)
	if t := f.target; t.Socket == "" && t.Principal == "" && t.Rooms == nil {
		f.promised = lane.EntryBytes * f.ns.sockets.Load()
	}
	if !h.budget.Reserve(f.claim, f.promised) {
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

// ClaimShare is Hold for an account that may have so small a part of the budget; it reports whether there was room. Less is
// always counted. Any goroutine may call it.
func (h *Hub) ClaimShare(a budget.Account, n, part int) bool {
	limit := h.budget.Limit()
	if n > 0 && limit > 0 && h.budget.Of(a)+int64(n) > limit/int64(part) {
		return false
	}
	h.Hold(a, n)
	return true
}

// Holder is Hold for one account.
func (h *Hub) Holder(a budget.Account) func(n int) {
	return func(n int) { h.budget.Hold(a, int64(n)) }
}

// idBytes is what the budget counts for a publication's id, apart from the id.
const idBytes = 320

// claimID claims memory to remember an id: all together at most an eighth of the budget,
// beyond which older ones give way. Where it is others who hold the memory they do not:
// the publication would be refused all the same, and what was published before would be
// published twice.
func (h *Hub) claimID(n int64) recent.Claimed {
	switch limit := h.budget.Limit(); {
	case limit > 0 && h.budget.Of(budget.IDs)+n > limit/8:
		return recent.GiveWay
	case !h.budget.Claim(budget.IDs, n):
		return recent.Refused
	}
	return recent.Taken
}

// IDsForgotten is how many ids of publications were forgotten before their time.
func (h *Hub) IDsForgotten() uint64 { return h.recent.Forgotten.Load() }

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
//
//weir:loop
type shedding struct {
	on     bool
	at     int // next connection to look at
	gone   int // messages evicted in this round
	share  int // how many eighths of the time since the oldest message are evicted
	worst  []pinner
	least  int // whoever pins no more is not among them
	cutoff int // who pins less is not cut in this round
}

// pinner is a connection and what it pins.
type pinner struct {
	conn   *Conn
	pinned int
}

// How much one step of shedding does: connections looked at, of which four times as many
// at the limit; and cuts, as long as they take no more than that.
const (
	shedSlice = 256
	shedWorst = 256 // candidates for a cut
	cutTime   = 500 * time.Microsecond
)

// account adds up what the shard holds and sheds if that is too much.
func (sh *Shard) account() {
	total := sh.count()
	b := &sh.hub.budget
	if b.Limit() == 0 {
		return
	}
	if spare := sh.hub.spare(); spare > b.Limit()/spareShare && total+spare > b.High() {
		sh.drop()
	}
	if total <= b.High() {
		sh.shed = shedding{}
		sh.hub.relax(total)
		return
	}
	sh.dropStretches(len(sh.stretches.list))
	sh.hub.readBack.shed()
	if sh.hub.relieve() {
		return // what that gives back is seen at the next look
	}
	sh.shed.on = true
	heaviest := sh.hub.markHeavy()
	if total > b.EvictAbove() {
		sh.evict(heaviest, total >= b.Limit())
	}
}

// tight reports whether nothing is held only to be faster, and short whether messages are evicted.
func (h *Hub) tight() bool { return h.budget.Limit() > 0 && h.budget.Held() > h.budget.High() }
func (h *Hub) short() bool { return h.budget.Limit() > 0 && h.budget.Held() > h.budget.EvictAbove() }

// relieveEvery is how often Options.Relieve is called.
const relieveEvery = int64(time.Second)

// relieve has memory given back that is held only to be faster, and reports whether that has begun now.
func (h *Hub) relieve() bool {
	if h.opts.Relieve == nil {
		return false
	}
	now, last := h.Now(), h.relieved.Load()
	if (last != 0 && now-last < relieveEvery) || !h.relieved.CompareAndSwap(last, max(now, 1)) {
		return false
	}
	return h.background.run(h.opts.Relieve)
}

// count adds up what the shard holds, and returns what all hold.
func (sh *Shard) count() int64 {
	var all sums
	for i := len(sh.using) - 1; i >= 0; i-- {
		n := sh.using[i]
		of := n.sumsOn(sh)
		all.add(of)
		if m := n.on(sh); m.Len() == 0 && m.orders == nil && of == (sums{}) {
			sh.unuse(i)
		}
	}
	rest := eventsLaneBytes * int64(sh.shelf.Len())
	sh.held.Store(all.held)
	sh.spare.Store(all.spare + rest)
	sh.tell(budget.Lanes, sh.structs-rest)
	sh.tell(budget.Rooms, all.rooms)
	sh.tell(budget.Queues, all.slack)
	sh.tell(budget.Inboxes, sh.chosen)
	b := &sh.hub.budget
	b.Add(all.held - sh.lanes - sh.arrived)
	sh.lanes, sh.arrived = all.held, 0
	return b.Held()
}

// sums are bytes held on one shard.
type sums struct{ held, slack, spare, rooms int64 }

func (s *sums) add(o sums) {
	s.held += o.held
	s.slack += o.slack
	s.spare += o.spare
	s.rooms += o.rooms
}

func (s *sums) addClass(c *lane.Class) {
	s.add(sums{held: c.Held(), slack: c.Slack(), spare: c.Spare()})
}

// sumsOn is what a shard holds of the namespace.
//
//weir:loop
func (n *Namespace) sumsOn(sh *Shard) (s sums) {
	s.rooms = n.on(sh).Bytes()
	s.addClass(n.events[sh.index])
	for _, d := range n.all {
		s.addClass(d.classes[sh.index])
	}
	return s
}

// use puts a namespace on the list of those of which the shard may hold something: whoever
// is about to let it hold something calls it. Of thousands of namespaces few are in use, and
// only those are added up every millisecond.
func (sh *Shard) use(n *Namespace) {
	if m := n.on(sh); !m.used {
		m.used = true
		sh.using = append(sh.using, n)
	}
}

// unuse takes the i-th off the list.
func (sh *Shard) unuse(i int) {
	last := len(sh.using) - 1
	sh.using[i].on(sh).used = false
	sh.using[i], sh.using[last] = sh.using[last], nil
	sh.using = sh.using[:last]
}

// tell makes an account hold so much of the shard.
func (sh *Shard) tell(a budget.Account, n int64) {
	if d := n - sh.told[a]; d != 0 {
		sh.told[a] = n
		sh.hub.budget.Hold(a, d)
	}
}

// spareShare is the part of the budget that may be kept for reuse whatever else is held:
// what is kept is not counted, but given back before it would make all exceed the watermark.
const spareShare = 64

// spare is how many bytes all shards keep for reuse.
func (h *Hub) spare() (n int64) {
	for _, sh := range h.shards {
		n += sh.spare.Load()
	}
	return n
}

// drop gives back what is kept for reuse.
func (sh *Shard) drop() {
	for _, n := range sh.using {
		n.events[sh.index].Drop()
		for _, d := range n.all {
			d.classes[sh.index].Drop()
		}
	}
	sh.structs -= eventsLaneBytes * int64(len(sh.shelf.Drop()))
	sh.spare.Store(0)
}

// relax lets topics take messages again: all of them once a tenth below the watermark
// is free. What is held by others may never go, so before that those which have become
// light.
func (h *Hub) relax(total int64) {
	if !h.over.Swap(false) {
		return
	}
	all, left := total <= h.budget.High()/10*9, false
	for _, n := range h.namespaces.All() {
		for _, d := range n.all {
			if all {
				d.heavy.Store(false)
			} else if d.heavy.Load() {
				d.lighten(d.held())
				left = left || d.heavy.Load()
			}
		}
	}
	if left {
		h.over.Store(true)
	}
}

// held is what the lanes of the topic hold on all shards.
func (d *Declared) held() (n int64) {
	for _, c := range d.classes {
		n += c.Held()
	}
	return n
}

// lighten lets a topic take messages again that holds half of what it held as the
// heaviest, or next to nothing.
func (d *Declared) lighten(held int64) {
	switch weight := d.weight.Load(); {
	case held <= max(weight/2, d.Namespace.hub.negligible()):
		d.heavy.Store(false)
	case held > weight:
		d.weight.Store(held)
	}
}

// negligible is how much a topic may hold and is not heavy: where the budget is held by
// others, to refuse it would help nobody.
func (h *Hub) negligible() int64 { return h.budget.Limit() / 256 }

// markHeavy closes the topic that holds most to new messages, and returns the
// best-effort topic that holds most.
func (h *Hub) markHeavy() (evict *Declared) {
	var heavy *Declared
	var mostBest int64
	most := h.negligible()
	for _, n := range h.namespaces.All() {
		for _, d := range n.all {
			held := d.held()
			if d.heavy.Load() {
				d.lighten(held)
			}
			if held > most {
				heavy, most = d, held
			}
			if held > mostBest && !d.Reliable() {
				evict, mostBest = d, held
			}
		}
	}
	if heavy != nil && !heavy.heavy.Load() {
		heavy.weight.Store(most)
		heavy.heavy.Store(true)
	}
	h.over.Store(true) // after the mark: relax must not miss it
	return evict
}

// evict drops the oldest part in time, an eighth at first, of a best-effort topic's messages from
// the lanes of some connections; each step goes on where the last one ended. At
// the limit, the end of a round cuts those clients that pin the most, as many as it takes.
func (sh *Shard) evict(d *Declared, full bool) {
	s := &sh.shed
	s.share = max(s.share, 1)
	var before int64
	if d != nil {
		if it := d.classes[sh.index].Oldest(); it != nil {
			before = it.Msg.At + (sh.now-it.Msg.At)*int64(s.share)/8
		}
	}
	slice := shedSlice
	if full {
		slice *= 4
	}
	for range slice {
		if s.at >= len(sh.conns) {
			if full && sh.cutWorst() {
				return // there is more to cut in the next step
			}
			s.nextRound()
			return
		}
		c := sh.conns[s.at]
		s.at++
		gone, pinned := c.evict(d, before)
		s.gone += gone
		s.note(c, pinned)
	}
}

// note remembers a connection if it is among those that pin the most.
func (s *shedding) note(c *Conn, pinned int) {
	if pinned <= s.least {
		return
	}
	s.worst = append(s.worst, pinner{c, pinned})
	if len(s.worst) >= 2*shedWorst {
		s.rank()
		s.least = s.worst[shedWorst-1].pinned
		clear(s.worst[shedWorst:])
		s.worst = s.worst[:shedWorst]
	}
}

func (s *shedding) rank() {
	slices.SortFunc(s.worst, func(a, b pinner) int { return cmp.Compare(b.pinned, a.pinned) })
}

// cutWorst cuts clients, those that pin the most first, until less than the limit is
// held, or none is left that pins a sixteenth of what the first did: if others hold the
// memory, cutting the many that pin little would not help. It stops when it has taken
// long for one step, and reports whether it has to go on in the next.
func (sh *Shard) cutWorst() (more bool) {
	s := &sh.shed
	if s.cutoff == 0 && len(s.worst) > 0 {
		s.rank()
		s.cutoff = max(s.worst[0].pinned/16, 1)
	}
	begun, soon := sh.hub.Now(), int64(0)
	for i, w := range s.worst {
		if w.pinned < s.cutoff {
			break
		}
		if w.conn.closed() || w.conn.doomed {
			continue
		}
		soon += int64(w.conn.hoard()) // is given back when the connection is closed, which takes more than this step
		sh.doom(w.conn, base.CauseMemoryBudget)
		sh.cutDoomed()
		if sh.count()-soon < sh.hub.budget.Limit() {
			return false
		}
		if sh.hub.Now()-begun > int64(cutTime) {
			s.worst = s.worst[i+1:]
			return len(s.worst) > 0
		}
	}
	return false
}

// nextRound begins a new walk. A round that freed nothing, because the oldest
// messages are being written, makes the next one reach further.
func (s *shedding) nextRound() {
	share := 1
	if s.gone == 0 {
		share = min(2*s.share, 8)
	}
	clear(s.worst)
	*s = shedding{on: true, share: share, worst: s.worst[:0]}
}

// evict drops old messages of one topic and returns how many, and the bytes the
// connection still pins.
func (c *Conn) evict(d *Declared, before int64) (gone, pinned int) {
	look := func(l *outLane) {
		if l.topic.Declared == d && !l.givenLittle() {
			n := l.Evict(before)
			gone += n
			if n > 0 && l.lagging() {
				c.shard.fill(l)
			}
		}
		pinned += l.Bytes() + lane.EntryBytes*l.Depth()
	}
	pinned = c.hoard()
	for _, s := range c.sockets {
		if s.events != nil {
			pinned += s.events.Bytes() + lane.EntryBytes*s.events.Depth()
		}
		for _, l := range s.lanes {
			look(l)
		}
		for _, u := range s.ties.catchUps() {
			look(&u.outLane)
		}
	}
	return gone, pinned
}
