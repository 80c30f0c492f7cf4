package delivery

import (
	"time"

	"github.com/streamweir/weir/internal/latency"
)

// ShardStats are a shard's figures.
type ShardStats struct {
	Connections   int64
	Sockets       int64
	Subscriptions int64
	HeldBytes     int64
	Tasks, Jobs   int // waiting in the inbox
	Loop          latency.Distribution
	Stalls        uint64 // steps longer than StallFrom
	Longest       time.Duration
}

// Stats returns the shard's figures. Any goroutine may call it.
//
//weir:any
func (sh *Shard) Stats() ShardStats {
	s := ShardStats{
		Connections: sh.connections.Load(), Sockets: sh.sockets.Load(), Subscriptions: sh.subscriptions.Load(),
		HeldBytes: sh.held.Load(),
	}
	s.Tasks, s.Jobs = sh.in.Depth()
	s.Loop.Add(&sh.loop)
	s.Stalls, s.Longest = sh.watch.stalls.Load(), time.Duration(sh.watch.longest.Load())
	return s
}

// Latency returns how long messages of the topic took from publish to the kernel
// and to their ack, over all shards.
func (d *Declared) Latency() (write, ack latency.Distribution) {
	for _, l := range d.latency {
		write.Add(&l.write)
		ack.Add(&l.ack)
	}
	return write, ack
}
