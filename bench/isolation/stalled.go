package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/bench/internal/swarm"
)

// stalledJob: a feed to many clients, of which some may have stopped reading.
type stalledJob struct {
	Address string        `json:"address"`
	PID     int           `json:"pid"` // of the server
	Clients int           `json:"clients"`
	Aside   int           `json:"aside"` // clients whose latency does not count
	Stall   bool          `json:"stall"` // those do not read either
	Buffer  int           `json:"buffer"`
	Size    int           `json:"size"` // bytes of a payload
	Rate    float64       `json:"rate"` // messages a second
	Warm    time.Duration `json:"warm"` // fills the lanes of the stalled; not recorded
	Measure time.Duration `json:"measure"`
}

// stalledResult is one run, seen by the healthy clients.
type stalledResult struct {
	swarm.Percentiles
	cost
	Lost   int64         `json:"lost"` // messages that healthy clients never got
	Late   time.Duration `json:"publisherLateNs"`
	Server serverCounts  `json:"server"`
}

// watcher follows the feed as the healthy clients see it.
type watcher struct {
	epoch    time.Time
	first    int // message from which on latency counts
	last     int
	latency  *swarm.Latency
	lost     atomic.Int64
	finished atomic.Int64 // clients that have the last message
}

const grace = 10 * time.Second // for the last message to arrive

func (j *stalledJob) run() (*stalledResult, error) {
	clients, err := swarm.Gather(j.Address, j.Clients, j.options, feed)
	if err != nil {
		return nil, err
	}
	defer clients.Close() //nolint:errcheck // what a reader met is asked for below
	publisher, err := connectPublishers(j.Address, 1)
	if err != nil {
		return nil, err
	}
	defer publisher.Close() //nolint:errcheck // as above
	m, err := startMeter(j.PID)
	if err != nil {
		return nil, err
	}
	w, s := j.start(clients, publisher)
	<-s.done
	if s.err != nil {
		return nil, fmt.Errorf("publish: %w", s.err)
	}
	healthy := int64(j.Clients - j.Aside)
	if err := await(&w.finished, healthy, clients, grace); err != nil {
		return nil, err
	}
	if n := w.finished.Load(); n < healthy {
		return nil, fmt.Errorf("%d of %d healthy clients never got the last message", healthy-n, healthy)
	}
	r := &stalledResult{Percentiles: w.latency.Read(), Lost: w.lost.Load(), Late: s.late}
	r.cost, err = m.read()
	return r, err
}

// start sets readers and the feed going. Clients aside that stall have no reader: their socket is never read again.
func (j *stalledJob) start(clients, publisher *swarm.Swarm) (*watcher, *stream) {
	w := &watcher{epoch: time.Now(), latency: swarm.NewLatency()}
	w.first = int(j.Warm.Seconds() * j.Rate)
	w.last = w.first + max(1, int(j.Measure.Seconds()*j.Rate)) - 1
	for i := range clients.Clients {
		switch {
		case i >= j.Aside:
			clients.Read(i, w.reader(i))
		case !j.Stall:
			clients.Read(i, func([]byte) error { return nil })
		}
	}
	s := &stream{topic: feed, schedule: swarm.Schedule{
		Epoch: w.epoch, Start: time.Since(w.epoch), Rate: j.Rate, Total: w.last + 1, Size: j.Size,
	}}
	s.start(publisher, 0)
	return w, s
}

// options: a stalled client has a small receive buffer, so that what it does not read stays with the server.
func (j *stalledJob) options(i int) swarm.Options {
	o := swarm.Options{ReadBytes: 8 << 10} // a message arrives whole
	if j.Stall && i < j.Aside {
		o.ReceiveBuffer = j.Buffer
	}
	return o
}

// reader returns what healthy client i does with a message.
func (w *watcher) reader(i int) func([]byte) error {
	next := 0
	return func(text []byte) error {
		m, ok := feed.Parse(text)
		if !ok {
			return fmt.Errorf("not a delivery: %.200q", text)
		}
		if m.N < next {
			return fmt.Errorf("got message %d after %d", m.N, next-1)
		}
		w.lost.Add(int64(m.N - next))
		next = m.N + 1
		if m.N >= w.first {
			w.latency.Record(i, time.Since(w.epoch)-m.At)
		}
		if m.N == w.last {
			w.finished.Add(1)
		}
		return nil
	}
}
