// Package budget is the bound on what the process holds for all clients (promise P1, architecture.md D9), kept as accounts with
// names: whatever a client or a publisher can make grow belongs to one of them, and metrics show each.
package budget

import "sync/atomic"

// Account names one thing that grows.
type Account uint8

// The accounts. What lanes and inboxes hold is added up by the shards, which know it; the others are counted where they
// change.
const (
	Frames    Account = iota // messages in lanes, each once per shard
	Entries                  // places in the queues of lanes
	Lanes                    // lanes, apart from what waits in them
	Topics                   // concrete topics made from patterns
	Rooms                    // rooms and places in them
	Inboxes                  // publications and emits on their way to the lanes
	Mailboxes                // events that wait for handlers, answers of clients that are being gathered, and values while they are held to a schema
	Inbound                  // messages that have come in part, or wait for their turn, and what clients have joined with
	IDs                      // ids of publications, remembered to recognise the second
	Cut                      // the last state of clients that were cut
	Kept                     // the newest messages of topics, kept for who subscribes later
	History                  // the newest publications of topics that keep them in memory, and messages made of them for who asks
	Queues                   // what queues and windows of lanes take beyond their entries
	Limits                   // who is connected and has come or sent something lately, where limits count it
	Journal                  // of the journal: the newest records of topics, what was read from disk, where records are
	Cluster                  // what waits for other nodes, and what has come from them and waits
	Hooks                    // calls to the application's backend, and its answers that are remembered

	Remembered // what is remembered of addresses, principals, tokens and kinds of clients: failures, penalties, refusals, revocations

	Accounts = int(Remembered) + 1
)

func (a Account) String() string {
	return [Accounts]string{
		"frames", "entries", "lanes", "topics", "rooms", "inboxes", "mailboxes", "inbound", "ids", "cut", "kept", "history", "queues", "limits", "journal", "cluster", "hooks", "remembered",
	}[a]
}

// Budget adds up what is held. The zero Budget has no limit. Any goroutine may use it.
type Budget struct {
	limit, high int64
	held        atomic.Int64 // everything, in one place, so that it can be claimed before it is there
	promised    atomic.Int64 // what may still come of what is on its way: in the way of claims, but not held
	by          [Accounts]atomic.Int64
}

// Init sets the limit in bytes, 0 for none, and the share of it at which shedding begins; before anything is held.
func (b *Budget) Init(limit int64, watermark float64) {
	if watermark <= 0 || watermark > 1 {
		watermark = 0.8
	}
	b.limit, b.high = limit, limit
	if watermark < 1 { // beyond 2^53 a product is not exact, and could be more than any int64
		b.high = min(int64(float64(limit)*watermark), limit)
	}
}

// Limit is the bound in bytes, 0 for none; High is where shedding begins.
func (b *Budget) Limit() int64 { return b.limit }

// High is how many bytes may be held before anything is shed.
func (b *Budget) High() int64 { return b.high }

// EvictAbove is how many bytes may be held before messages are evicted.
func (b *Budget) EvictAbove() int64 { return b.high + (b.limit-b.high)/2 }

// Held is what all accounts hold.
func (b *Budget) Held() int64 { return b.held.Load() }

// Of is what one account holds, of those that are counted with Hold and Claim.
func (b *Budget) Of(a Account) int64 { return b.by[a].Load() }

// Hold counts n bytes more in an account, or less, whatever the limit: they are there already.
func (b *Budget) Hold(a Account, n int64) {
	if n != 0 {
		b.by[a].Add(n)
		b.held.Add(n)
	}
}

// Claim counts n bytes in an account before they are there, unless that would be too much. It reports whether they may be.
func (b *Budget) Claim(a Account, n int64) bool {
	if !b.Reserve(n, 0) {
		return false
	}
	b.by[a].Add(n)
	return true
}

// Reserve is Claim for what no account is told of yet: Add settles it. promised is what may come of it beside.
func (b *Budget) Reserve(n, promised int64) bool {
	if b.limit == 0 {
		b.held.Add(n)
		b.Promise(promised)
		return true
	}
	for {
		held := b.held.Load()
		if held+n+promised+b.promised.Load() > b.limit {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			b.Promise(promised)
			return true
		}
	}
}

// Add counts n bytes more, or less, that no account is told of.
func (b *Budget) Add(n int64) { b.held.Add(n) }

// Promise changes what may still come of what is on its way.
func (b *Budget) Promise(n int64) {
	if n != 0 {
		b.promised.Add(n)
	}
}
