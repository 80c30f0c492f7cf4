// Package sharedlog is the log of a topic that a broker keeps for all nodes, as a topiclog.Log: a keeper whose positions come late
// (ADR 0028).
//
//	Append ──> send ──Member.Append──> positions ─┐
//	Listener ──Entries, Lapsed────────────────────┴─> run ──chain──> Deliver, in the order of the offsets
//	                                                  └──Member.Read: what is missing
//
// A broker's live entries may be missing or repeated; each names the one before it. So what is missing is seen, and read, before
// anything newer is delivered. Records that are volatile are not shared: they have a place between two that are.
package sharedlog
