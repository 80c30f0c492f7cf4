// Package lane is the bounded queue between a publication and one client: a
// policy for when it is full, a window of messages in flight for reliable
// topics, and the books that say what became of every message offered.
//
// It is pure (architecture.md D6): no I/O, no clock, no goroutine, no lock. Time is an
// argument, in nanoseconds of the caller's clock. Everything here belongs to one
// shard and is called by it alone.
//
//	Offer ──> queue ──Take──> being written ──Wrote──> gone            (best effort)
//	            │                  │                     │
//	            │                  └─Untake─> queue      └─> window ──Ack──> gone
//	            └─ drop, coalesce, expire                     │             (at least once)
//	                                                          └─Due─> taken again, or exhausted
//
// An entry is settled exactly once: written or acked, coalesced, or dropped for
// one base.Reason. At every moment (promise P5)
//
//	offered = settled + queued + being written + in flight
//
// The queue is a ring and operations on it are O(1), except that one Offer may
// drop or expire as many entries as had been offered before it. A steady flow
// through a lane allocates nothing.
package lane
