package weir

import (
	"math"
	"time"

	"github.com/streamweir/weir/internal/lane"
)

// The ranges of numbers that options have in common. What is beyond them would
// overflow somewhere, or is a mistake of unit. A file's keys have the same.
const (
	maxNumber   = math.MaxInt32
	maxDuration = math.MaxInt32 * time.Millisecond // 24 days
	maxSilence  = 8 * maxDuration                  // as much as its default can be
	maxQueue    = 1 << 24                          // messages of a lane
	maxWindow   = 10_000                           // TopicOptions.MaxInFlight: a lane has a place for each
	maxWorkers  = 100_000
	maxBackoff  = 100
	maxPenalty  = time.Minute
	maxBudget   = 1 << 53
)

// number is a number that has a range.
type number interface{ ~int | ~int64 | ~float64 }

// within adds a problem if v is not from least to most. NaN is within nothing.
func within[T number](p *problems, at string, v, least, most T) {
	if !(v >= least && v <= most) {
		p.add("%s %v: want %v to %v", at, v, least, most)
	}
}

// numbers checks what only numbers can be wrong about; see Options for what a zero
// means.
func (o *Options) numbers(p *problems) {
	within(p, "Shards", o.Shards, 0, 4096)
	within(p, "Workers.Max", o.Workers.Max, 0, maxWorkers)
	within(p, "Workers.Nice", o.Workers.Nice, 0, 19)
	within(p, "Workers.MailboxEvents", o.Workers.MailboxEvents, 0, maxNumber)
	within(p, "Workers.MailboxBytes", o.Workers.MailboxBytes, 0, maxNumber)
	within(p, "Outside.Max", o.Outside.Max, 0, maxWorkers)
	within(p, "Outside.Queue", o.Outside.Queue, 0, maxNumber)
	within(p, "Memory.BudgetBytes", o.Memory.BudgetBytes, Off, maxBudget)
	within(p, "Memory.HighWatermark", o.Memory.HighWatermark, 0, 1)
	within(p, "Drain.ClientsPerSecond", o.Drain.ClientsPerSecond, 0, maxNumber)
	within(p, "Drain.Timeout", o.Drain.Timeout, 0, maxDuration)
	within(p, "AuthFailures.Max", o.AuthFailures.Max, 0, maxNumber)
	within(p, "AuthFailures.Window", o.AuthFailures.Window, 0, maxDuration)
	within(p, "Management.ReceiptTimeout", o.Management.ReceiptTimeout, 0, maxDuration)
}

func (s *ServerOptions) numbers(p *problems, at string) {
	within(p, at+".NotSentLowat", s.NotSentLowat, Off, maxNumber)
	l := &s.Limits
	within(p, at+".Limits.HeaderTimeout", l.HeaderTimeout, 0, maxDuration)
	within(p, at+".Limits.KeepAlive", l.KeepAlive, time.Millisecond, maxDuration)
	within(p, at+".Limits.SubscriptionsPerSocket", l.SubscriptionsPerSocket, 0, maxNumber)
	within(p, at+".Limits.RoomsPerSocket", l.RoomsPerSocket, 0, maxNumber)
	within(p, at+".Limits.MaxSilence", l.MaxSilence, 0, maxSilence)
	within(p, at+".Limits.TopicsPerNamespace", l.TopicsPerNamespace, 0, maxNumber)
	within(p, at+".Limits.Connections", l.Connections, 0, maxNumber)
	within(p, at+".Limits.Pending", l.Pending, 0, maxNumber)
	within(p, at+".Limits.HandshakesPerSecond", l.HandshakesPerSecond, 0, maxNumber)
	within(p, at+".Limits.PerAddress", l.PerAddress, 0, maxNumber)
	within(p, at+".Limits.PerPrincipal", l.PerPrincipal, 0, maxNumber)
	within(p, at+".Limits.HandshakesPerSecondPerAddress", l.HandshakesPerSecondPerAddress, 0, maxNumber)
	io := &s.SocketIO
	within(p, at+".SocketIO.PingInterval", io.PingInterval, time.Millisecond, maxDuration)
	within(p, at+".SocketIO.PingTimeout", io.PingTimeout, time.Millisecond, maxDuration)
	within(p, at+".SocketIO.ConnectTimeout", io.ConnectTimeout, time.Millisecond, maxDuration)
	within(p, at+".SocketIO.UpgradeTimeout", io.UpgradeTimeout, time.Millisecond, maxDuration)
	within(p, at+".SocketIO.MaxHTTPBufferSize", io.MaxHTTPBufferSize, 1, maxNumber)
}

func (n *NamespaceOptions) numbers(p *problems, at string) {
	n.EventsLane.numbers(p, at+".EventsLane")
	within(p, at+".SlowPenalty", n.SlowPenalty, 0, maxPenalty)
}

func (l *Limits) numbers(p *problems, at string) {
	within(p, at+".Messages", l.Messages, 0, maxQueue)
	within(p, at+".Bytes", l.Bytes, 0, maxNumber)
}

func (t *TopicOptions) numbers(p *problems, at string) {
	t.Max.numbers(p, at+".Max")
	within(p, at+".SnapshotMax.Bytes", t.SnapshotMax.Bytes, 0, maxNumber)
	within(p, at+".TTL", t.TTL, 0, maxDuration)
	within(p, at+".FlushDelay", t.FlushDelay, 0, maxFlushDelay)
	within(p, at+".Weight", t.Weight, 0, lane.MaxWeight)
	if t.Mode != AtLeastOnce {
		return
	}
	// A window larger than the lane is a mistake; the default is as large as fits.
	most := min(orDefault(t.Max.Messages, defaultMessages), maxWindow)
	within(p, at+".MaxInFlight", t.MaxInFlight, 0, max(most, 0))
	within(p, at+".AckTimeout", t.AckTimeout, 0, maxDuration)
	within(p, at+".MaxRetries", t.MaxRetries, Off, lane.MaxRetries)
	if t.RetryBackoff != 0 {
		within(p, at+".RetryBackoff", t.RetryBackoff, 1, maxBackoff)
	}
}
