// Package redis is a cluster.Broker on a Redis server of version 7 or later (or Valkey): channels are Pub/Sub, logs are streams.
//
//	channel NAME   PUBLISH weir:ch:NAME    a body: messages that were published together
//	log NAME       weir:log:{NAME}          a stream; an append is one entry of it, a block: its id is the offset of its last,
//	                                        its fields are h (what append.lua says) and d, a body
//	               weir:log:{NAME}:s        what append.lua knows of it; without it the stream counts as lost and a new epoch begins
//	               PUBLISH weir:live:NAME   "epoch first previous " and the body that was appended, by the script
//	probe          PUBLISH weir:probe:ID    a member to itself, each second
//
// A body is the lengths of its parts, separated by commas, a line feed, and the parts.
// Braces in NAME are written as parentheses between the braces and NAME is put behind them: both keys of a log are in one slot.
//
// A member has one connection for its subscriptions and one for its commands. What is published while a call is under way is
// gathered, and goes with the next: what is for one channel in one message. A command that finds its connection
// broken may have been executed. An append carries an id and a deadline on the engine's clock, so that one that is
// still on its way does nothing any more when it arrives late, and the next attempt looks for the id before it appends:
// see append.lua.
//
// What Redis confirms it may lose: with its default configuration, one second of it in a crash (appendfsync everysec),
// all of it without appendonly, and in a failover what the replica had not got. The promises of cluster are as good as
// its persistence. Its maxmemory-policy should be noeviction: an evicted log begins a new epoch.
package redis
