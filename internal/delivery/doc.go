// Package delivery is the middle of the server: topics and their order, the
// shards that own connections and lanes, membership, flushing, acks, and the
// books. Its files in the order of a message: publish, publication, sequencer (late), job, stream,
// deliver, then shard (offer), outlane, flush (and package outbox), conn, reliable.
//
//	Publish ── reserve room in inboxes ── sequencer lock: position, frame, append ──┐
//	                                                                                ├─> shard loop: streams ─> lanes ─> flush ─> Outlet
//	bytes read ── Post(task) ── one batch per connection outstanding ───────────────┘
//
// # Who may call what
//
// Hub, Namespace and Topic methods may be called from any goroutine. Everything that
// bears the marker //weir:loop belongs to the shard's loop and is called by tasks it
// runs: package lint refuses a call from elsewhere. The loop never waits: not for an inbox, a lock that
// user code can hold, a disk or a handler (architecture.md D3, D8).
//
// # Order
//
// A shard delivers in streams, each in the order of its inbox: one for every topic, and
// one for every namespace with the plain events, answers and operations on sockets that
// are of no topic. Streams have turns, in slices, so one may be ahead of another: who
// leaves a room right after a publication to it may be gone when its turn comes.
//
// # Lock order
//
// recent.IDs.mu < Namespace.live < Topic.mu or Namespace.mu < inbox.Inbox.mu. Shards hold no
// lock while they touch lanes.
package delivery
