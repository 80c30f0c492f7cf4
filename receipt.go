package weir

import (
	"context"

	"github.com/streamweir/weir/internal/delivery"
)

// Receipt is what a publisher is told.
type Receipt struct {
	MessageID string
	Offset    uint64 // place in the topic, from 1
	Epoch     string // numbering the offset belongs to
	Duplicate bool   // the id had been published before: nothing was done, and the counts are those of the first time
	// Unkept says that the topic's journal does not have it, or not yet, as its disk hangs or takes nothing: whoever had room
	// has it, and for whom it would have to wait there it may be lost (BEST_EFFORT; of a reliable topic that is an error).
	Unkept bool
	// Subscribers is how many clients of this node the message is for. It and the counts
	// below are there where Publish waits for their lanes: for reliable topics and with
	// WithReceipt. Elsewhere it is NotCounted, which is not 0, and they are 0.
	Subscribers int
	// Rejected is how many lanes on this node refused the message because they were full or
	// it is too large for them. For those clients the promise of a reliable topic has
	// ended (P6).
	Rejected int
	// Queued is how many lanes have it, Coalesced in how many it took an older one's place,
	// and Dropped how many of those that have it let the oldest go for it. None of it is
	// final: what is queued may still be dropped.
	Queued, Coalesced, Dropped int
	// Spilled is for how many clients it waits in the topic's log, because they are behind (SpillToDisk).
	Spilled int
	// Complete says that all has come that Publish waits for. If it is false the context
	// ended first: the message is published, but the counts are only of what had been heard
	// until then. So they are where it is a Duplicate of a message whose lanes nobody had
	// asked about: nothing is known of them.
	Complete bool
}

// NotCounted is the Receipt.Subscribers of a message whose lanes nobody has waited for.
const NotCounted = -1

// placedReceipt is the receipt of a publication whose lanes nobody waits for: its place, and no counts.
func placedReceipt(p *delivery.Pending) Receipt {
	return Receipt{
		MessageID: p.MessageID, Offset: p.Offset, Epoch: p.Epoch, Duplicate: p.Duplicate, Unkept: p.Unkept,
		Subscribers: NotCounted, Complete: true,
	}
}

// countedReceipt waits for what the lanes did with the publication, at most until ctx ends.
func countedReceipt(ctx context.Context, p *delivery.Pending) Receipt {
	r, counts := placedReceipt(p), p.Receipt(ctx)
	r.Rejected, r.Complete = counts.Rejected, counts.Complete
	r.Queued, r.Coalesced, r.Dropped, r.Spilled = counts.Queued, counts.Coalesced, counts.Dropped, counts.Spilled
	if p.Heard() {
		r.Subscribers = counts.Subscribers
	}
	return r
}
