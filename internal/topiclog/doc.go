// Package topiclog is the one contract (architecture.md D12) of whatever remembers what a topic has published: memory, a journal, a
// broker. What must outlive a lane reads it: spill, redelivery, recovery, history.
//
//	publish ──> Record ──Append──> Log ──> Position ──> Deliver, in the order of the offsets
//	                                └──Read──> Batch
//
// It is pure but for a lock: no I/O, no clock, no goroutine. The keeper in memory is here; package logtest is the suite that
// every keeper has to pass.
package topiclog
