// Package nats is a cluster.Broker on NATS servers of version 2.12 or later with JetStream: channels are subjects of core
// NATS, logs are subjects of one stream.
//
//	channel NAME   PUB weir.ch.NAME
//	log NAME       weir.log.NAME      in the stream "weir"; an append is one message, or an atomic batch of pieces where it is
//	                                  larger than the server takes. The header Weir says which entries these are
//	               weir.live.NAME     what the stream republishes when it has stored it
//	probe          weir.probe.ID      a member to itself, each second
//
// Bytes of NAME that a subject cannot have are written =XX.
//
// An append names the message that has to be the log's last (Nats-Expected-Last-Subject-Sequence). So of two appends to one
// place the stream takes one, and of one that is sent twice, because nobody knows what has become of the first attempt,
// too: who comes second looks at what is behind that place and finds its own, or somebody else's, after which the first
// attempt cannot be placed any more. See ADR 0049.
//
// What JetStream confirms it may lose: a single server writes to its file at once and syncs it every two minutes
// (sync_interval), so that a machine that loses power loses that; with sync_interval: always, or three replicas that do
// not fail together, nothing.
//
// In a cluster of servers a new subscription is known to a member's own server and to the stream's leader when Subscribe
// or Follow returns; the other servers learn of it some moments later, and messages of channels that are published there
// meanwhile may be missed.
package nats
