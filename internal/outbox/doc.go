// Package outbox is what waits to be written to one connection: which lane has its turn, what is in a batch, and what becomes of
// each part of a batch when the connection has taken some of it. It knows lanes and bytes; it knows no topic, no socket and
// no hub.
//
//	lanes with something to send            Batch, in the memory of the loop             Outlet
//	events     ─┐                           rest | control || entry | entry | …
//	reliable   ─┼─ Box: rings, turns ──────────────────────────────────────────────────> Write
//	best effort ┘      ^                                                                   │ n bytes taken
//	                   └──── what was not taken goes back; a packet begun is the rest <────┘
//
// A Box and its lanes belong to one loop. Nothing here has a lock, a goroutine or a clock: time is an argument, and
// whatever else is needed is asked of an Owner.
package outbox
