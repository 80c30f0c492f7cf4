package lane

import (
	"sync/atomic"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
)

// Books counts what became of the messages offered to one lane since it was
// made (promise P5).
type Books struct {
	Offered uint64
	Written uint64 // best effort: handed to the kernel. Reliable: first sends, informative
	settled uint64 // reliable: acknowledged. Best effort: coalesced. No policy has both (configuration.md)
	rare    *rareBooks
}

// rareBooks are what the books of most lanes have none of.
type rareBooks struct {
	dropped [base.Reasons]uint64
	retries uint64
	untold  uint64      // messages lost since the client was last told
	because base.Reason // why the last of them was
	marks   marks       // see Lately
	spill   spill
}

// reliable reports whether messages are settled by acknowledgements.
func (l *Lane) reliable() bool { return l.class.Policy.Mode == base.AtLeastOnce }

// Acked is how many messages of a reliable lane were acknowledged.
func (l *Lane) Acked() uint64 {
	if !l.reliable() {
		return 0
	}
	return l.settled
}

// Coalesced is how many messages were replaced by a newer one before they were written.
func (l *Lane) Coalesced() uint64 {
	if l.reliable() {
		return 0
	}
	return l.settled
}

// Retries is how many sends there were after the first ones; informative.
func (b *Books) Retries() uint64 {
	if b.rare == nil {
		return 0
	}
	return b.rare.retries
}

// Dropped is how many messages were dropped for r.
func (b *Books) Dropped(r base.Reason) uint64 {
	if b.rare == nil {
		return 0
	}
	return b.rare.dropped[r]
}

// AllDropped is how many messages were dropped, whatever the reason.
func (b *Books) AllDropped() uint64 { return b.rare.allDropped() }

func (x *rareBooks) allDropped() (n uint64) {
	if x == nil {
		return 0
	}
	for _, d := range x.dropped {
		n += d
	}
	return n
}

// rareBytes is what the rare part takes in memory.
const rareBytes = int64(unsafe.Sizeof(rareBooks{}))

// rareBooks is where rare things are counted.
func (l *Lane) rareBooks() *rareBooks {
	if l.rare == nil {
		l.rare = new(rareBooks)
		if !l.ended {
			l.class.memory += rareBytes
		}
	}
	return l.rare
}

// Absorb adds the books of o, a lane of l's class that was l's client's too and holds
// nothing any more, to those of l.
func (l *Lane) Absorb(o *Lane) {
	l.Offered += o.Offered
	l.Written += o.Written
	l.settled += o.settled
	if o.rare == nil {
		return
	}
	x := l.rareBooks()
	for r, n := range o.rare.dropped {
		x.dropped[r] += n
	}
	x.retries += o.rare.retries
	if x.untold += o.rare.untold; o.rare.untold > 0 {
		x.because = o.rare.because
	}
}

// Past is what the books of an empty lane of plain events come down to, which
// neither coalesces nor is acknowledged: what its user keeps of it to do without the
// lane for a while. The zero Past is that of a lane that was offered nothing.
type Past struct {
	written uint64
	rare    *rareBooks
}

// Written is how many messages the lane had handed to the kernel.
func (p Past) Written() uint64 { return p.written }

// AllDropped is how many it had dropped, whatever the reason.
func (p Past) AllDropped() uint64 { return p.rare.allDropped() }

// Past closes the books of a lane of plain events that holds nothing. They are taken
// to add up: ask Balanced before.
func (l *Lane) Past() Past { return Past{written: l.Written, rare: l.rare} }

// Resume opens the books of a lane just made where those of an earlier one were
// closed. What they take is their keeper's: no class counts it.
func (l *Lane) Resume(p Past) {
	l.Written, l.rare, l.ended = p.written, p.rare, true
	l.Offered = l.Written + l.AllDropped()
}

// Totals are the books of all lanes of a class, past and present. The shard adds;
// any goroutine may read.
type Totals struct {
	Offered   atomic.Uint64
	Written   atomic.Uint64
	Acked     atomic.Uint64
	Retries   atomic.Uint64
	Coalesced atomic.Uint64
	Dropped   [base.Reasons]atomic.Uint64
	Queued    atomic.Int64 // entries now queued or being written
	InFlight  atomic.Int64 // entries now in a window
	Bytes     atomic.Int64 // their wire bytes, as lane limits count them

	Spills       atomic.Uint64 // messages that were spilled
	Spilled      atomic.Int64  // of them, those that wait in the log now, once for each lane
	SpilledBytes atomic.Int64  // their wire bytes
	Behind       atomic.Int64  // lanes that are behind now: their user counts them
}
