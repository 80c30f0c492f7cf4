// Package cluster is the contract between a Weir node and what joins nodes: Redis, NATS, or a broker of your own. Package
// cluster/clustertest is the suite that every broker passes; Memory joins servers of one process.
//
//	Broker ──Join──> Member   Publish, Subscribe          channels: at most once, to whoever is subscribed
//	                          Append, Follow, Read        logs: one order, kept, each entry names the one before it
//	                 Listener <── what comes, one call at a time
//
// # What is promised
//
// Order. The messages that one member publishes on a channel, one call after the other, arrive in that order
// everywhere. The entries of a log have one order, that of their offsets, for all members.
//
// Once. A message of a channel arrives at most once, at every member whose subscription is live, its publisher's too.
// Live entries of a log arrive usually: they may be missing, and may be repeated. An entry that was appended, that is Append has
// returned its position, can be read until it gives way to newer ones. It is in the log once.
//
// One step. Append gives all its entries places, one behind the other, or none; they are readable when it returns, and
// their way to the followers has begun.
//
// Numbers. Offsets ascend, from 1, and have holes. An entry's Previous is the offset of the entry before it, 0 for the
// first of an epoch: whoever has seen that one has missed nothing. The epoch names the numbering; a new one begins when
// the log has lost what it knew of itself, and its offsets are above those of the old one, as far as the engine's clock
// and AppendOptions.Above can tell.
//
// Loss. When something may have been missed, because a connection broke, the engine was away or the listener was too slow, the
// member restores every subscription and then calls Listener.Lapsed. It does not rely on errors to notice: it verifies that what
// it sends to itself comes back. Where nothing was lost, Lapsed is harmless.
//
// Away. While the engine cannot be reached, calls fail with ErrAway at once; nothing is stored to be sent later. Members are not
// closed by it, and need no call to come back.
//
// Limits. Names have at most MaxName bytes, of any value but 0; a message or entry has at most MaxData.
package cluster
