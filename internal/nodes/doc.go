// Package nodes is who is in a cluster, as one node knows it: each says every two seconds that it lives, on a channel
// that all hear, and one that is not heard for ten is not there. No engine keeps a list that could be wrong
// (docs/adr/0028-broker.md).
//
//	first heartbeat ──> known ──> goodbye, or a lease without a heartbeat ──> gone
//	      └─ whoever hears an unknown node answers with its own heartbeat, so that the newcomer knows all at once
//
// A node is one run of a server: one that comes back is another, whatever its name. One that does not hear its own
// heartbeats takes nobody for dead, and says that it may not know all: then whoever asks it waits.
package nodes
