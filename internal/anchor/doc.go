// Package anchor holds a member of a cluster to an engine that runs elsewhere: what brokers on Redis, NATS and their like do
// alike. It keeps the wishes (what is subscribed to), fulfils them on a connection, finds out when that has died, in silence
// too, and replaces it; it knows whether the engine is there, and bounds what is on its way to it.
//
//	Start ──Connect──> Feed ──Alter(wishes)──Probe──Back──> up
//	          ^          │
//	          └──────────┴── broken, or a probe that does not come back: Listener.Changed; restored: Listener.Lapsed
//
// The broker gives a Feed, and passes on what comes on it.
package anchor
