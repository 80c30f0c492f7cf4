package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/bench/internal/swarm"
)

// reliableJob: clients that read slowly have a reliable topic, and beside it, if FeedRate is not 0, a feed that is
// published faster than they read.
type reliableJob struct {
	Address  string        `json:"address"`
	PID      int           `json:"pid"` // of the server
	Clients  int           `json:"clients"`
	Buffer   int           `json:"buffer"`   // SO_RCVBUF in bytes
	ReadRate int           `json:"readRate"` // bytes a second
	FeedSize int           `json:"feedSize"` // bytes of a payload
	FeedRate float64       `json:"feedRate"` // messages a second
	Size     int           `json:"size"`
	Rate     float64       `json:"rate"`
	Warm     time.Duration `json:"warm"`
	Measure  time.Duration `json:"measure"`
}

// reliableResult is one run. Latency is of first copies, from when the message was due.
type reliableResult struct {
	swarm.Percentiles
	cost
	Missing    int64        `json:"missing"`    // messages that clients never got
	Duplicates int64        `json:"duplicates"` // copies after the first
	FeedGot    int64        `json:"feedReceived"`
	Server     serverCounts `json:"server"`
}

// ledger is what all clients together have got.
type ledger struct {
	epoch      time.Time
	first      int // message from which on latency counts
	total      int // messages for each client
	latency    *swarm.Latency
	got        atomic.Int64
	duplicates atomic.Int64
	feed       atomic.Int64
}

// reliableGrace is for what is still under way at the end: retries with their backoff included.
const reliableGrace = 30 * time.Second

func (j *reliableJob) run() (*reliableResult, error) {
	clients, err := swarm.Gather(j.Address, j.Clients, j.options, orders, feed)
	if err != nil {
		return nil, err
	}
	defer clients.Close() //nolint:errcheck // what a reader met is asked for below
	l := &ledger{first: int(j.Warm.Seconds() * j.Rate), latency: swarm.NewLatency()}
	l.total = l.first + max(1, int(j.Measure.Seconds()*j.Rate))
	m, err := startMeter(j.PID)
	if err != nil {
		return nil, err
	}
	if err := j.play(clients, l); err != nil {
		return nil, err
	}
	want := int64(j.Clients * l.total)
	if err := await(&l.got, want, clients, reliableGrace); err != nil {
		return nil, err
	}
	r := &reliableResult{
		Percentiles: l.latency.Read(), Missing: want - l.got.Load(), Duplicates: l.duplicates.Load(), FeedGot: l.feed.Load(),
	}
	r.cost, err = m.read()
	return r, err
}

// play runs the streams to their ends while the clients read.
func (j *reliableJob) play(clients *swarm.Swarm, l *ledger) error {
	l.epoch = time.Now()
	for i, c := range clients.Clients {
		clients.Read(i, l.reader(i, c))
	}
	streams := []*stream{{topic: orders, schedule: swarm.Schedule{
		Epoch: l.epoch, Rate: j.Rate, Total: l.total, Size: j.Size,
	}}}
	if j.FeedRate > 0 {
		total := int(j.FeedRate * (j.Warm + j.Measure).Seconds())
		streams = append(streams, &stream{topic: feed, schedule: swarm.Schedule{
			Epoch: l.epoch, Rate: j.FeedRate, Total: total, Size: j.FeedSize,
		}})
	}
	publishers, err := connectPublishers(j.Address, len(streams))
	if err != nil {
		return err
	}
	defer publishers.Close() //nolint:errcheck // what a reader met is the streams' error
	for i, s := range streams {
		s.start(publishers, i)
	}
	for _, s := range streams {
		<-s.done
		if s.err != nil {
			return fmt.Errorf("publish %s: %w", s.topic.Name(), s.err)
		}
	}
	return nil
}

func (j *reliableJob) options(int) swarm.Options {
	return swarm.Options{ReceiveBuffer: j.Buffer, ReadRate: j.ReadRate, ReadBytes: 4 << 10}
}

// reader returns what client i does with a message: every copy of a reliable one is acknowledged, the first counts.
func (l *ledger) reader(i int, c *swarm.Client) func([]byte) error {
	seen := make([]bool, l.total)
	var ack []byte
	return func(text []byte) error {
		if _, ok := feed.Parse(text); ok {
			l.feed.Add(1)
			return nil
		}
		m, ok := orders.Parse(text)
		if !ok || m.N >= l.total {
			return fmt.Errorf("not a delivery: %.200q", text)
		}
		if seen[m.N] {
			l.duplicates.Add(1)
		} else {
			seen[m.N] = true
			if m.N >= l.first {
				l.latency.Record(i, time.Since(l.epoch)-m.At)
			}
			l.got.Add(1)
		}
		ack, ok = orders.AppendAck(ack[:0], text)
		if !ok {
			return fmt.Errorf("a reliable delivery without a message id: %.300q", text)
		}
		return c.Write(ack)
	}
}
