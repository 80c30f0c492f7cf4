package lane

import (
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
)

// Books counts what became of the messages offered to one lane since it was
// made (promise P5).
type Books struct {
	Offered   uint64
	Written   uint64 // best effort: handed to the kernel. Reliable: first sends, informative
	Acked     uint64
	Retries   uint64 // sends after the first, informative
	Coalesced uint64 // replaced by a newer message before they were written
	losses    *losses
}

// losses are what most lanes have none of.
type losses struct {
	dropped [base.Reasons]uint64
	untold  uint64      // messages lost since the client was last told
	because base.Reason // why the last of them was
}

// Dropped is how many messages were dropped for r.
func (b *Books) Dropped(r base.Reason) uint64 {
	if b.losses == nil {
		return 0
	}
	return b.losses.dropped[r]
}

// AllDropped is how many messages were dropped, whatever the reason.
func (b *Books) AllDropped() uint64 {
	if b.losses == nil {
		return 0
	}
	var n uint64
	for _, d := range b.losses.dropped {
		n += d
	}
	return n
}

// drop counts a lost message, with tell as one the client is to be told of.
func (b *Books) drop(r base.Reason, tell bool) {
	if b.losses == nil {
		b.losses = new(losses)
	}
	b.losses.dropped[r]++
	if tell {
		b.losses.untold++
		b.losses.because = r
	}
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
}
