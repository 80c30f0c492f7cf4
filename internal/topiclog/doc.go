// Package topiclog is the contract (architecture.md D12) of the keepers that remember the publications of a topic: memory, a
// journal, a broker. Spill, redelivery, recovery and history read them there: they must outlive a lane.
//
//	publish ──> Record ──Append──> Log ──> Position ──> Deliver, in the order of the offsets
//	                                └──Read──> Batch
//
// It is pure but for a lock: no I/O, no clock, no goroutine. The keeper in memory is here; package logtest is the suite that
// every keeper has to pass.
package topiclog
