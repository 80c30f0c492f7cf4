package transport

import "time"

// Kernel is what the operating system knows of a connection.
type Kernel struct {
	RTT         time.Duration // smoothed round trip
	Retransmits int           // segments sent again since the start
	Unsent      int           // bytes handed over and not acknowledged, in flight or not
	NotSent     int           // of these, bytes that were never sent

	sent  int64 // bytes that have left for the network at least once
	acked int64 // bytes acknowledged by the peer
}

// Progress is how far the bytes of a connection have come, from its start. Each
// figure is at most the one before.
type Progress struct {
	Given int64 // handed over
	Left  int64 // no longer in the socket buffer's unsent part
	Taken int64 // acknowledged by the peer's kernel; where unknown, as Left
}
