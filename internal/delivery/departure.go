package delivery

import "github.com/streamweir/weir/internal/base"

// Here is how many connections there are, and how many of them are not leaving yet. Any goroutine.
func (h *Hub) Here() (all, staying int) {
	for _, sh := range h.shards {
		n := sh.connections.Load()
		all += int(n)
		staying += int(max(0, n-sh.leaving.Load()))
	}
	return all, staying
}

// SendAway sends up to n connections away, those that are not leaving yet: as many of each shard, and where one has too
// few the next ones take over, so that n leave as long as so many are here. It does not wait for them. One goroutine at a
// time.
func (h *Hub) SendAway(n int, cause base.Cause) {
	count := len(h.shards)
	for i := range min(n, count) {
		share := n / count
		if i < n%count {
			share++
		}
		sh := h.shards[(h.departs+i)%count]
		sh.Post(&departure{shard: sh, n: share, shards: count, cause: cause})
	}
	h.departs = (h.departs + n%count) % count
}

// departure is the task that sends connections of one shard away, and what it cannot find there from the next.
//
//weir:loop
type departure struct {
	shard  *Shard
	n      int
	shards int // that have not been asked yet, this one included
	cause  base.Cause
}

// Run implements base.Task.
func (d *departure) Run() {
	d.n -= d.shard.finishSome(d.n, d.cause)
	if d.shards--; d.n > 0 && d.shards > 0 {
		all := d.shard.hub.shards
		d.shard = all[(d.shard.index+1)%len(all)]
		d.shard.Post(d)
	}
}

// finishSome sends up to n of the shard's connections away, those that are not leaving yet, and returns how many. It goes
// on where it stopped before, so that those who take long to leave are not walked over each time.
func (sh *Shard) finishSome(n int, cause base.Cause) (sent int) {
	for range sh.conns {
		if sent == n || len(sh.conns) <= int(sh.leaving.Load()) {
			break
		}
		if sh.departs--; sh.departs < 0 || sh.departs >= len(sh.conns) {
			sh.departs = len(sh.conns) - 1
		}
		if c := sh.conns[sh.departs]; c.leaving == nil {
			sh.hub.CountCut(cause)
			c.Finish(cause)
			sent++
		}
	}
	return sent
}
