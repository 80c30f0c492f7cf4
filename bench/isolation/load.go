package main

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/bench/internal/swarm"
)

var (
	feed   = swarm.NewTopic("feed")
	orders = swarm.NewTopic("orders")
)

// job is what the load process is to do. Exactly one of the two is set.
type job struct {
	Stalled  *stalledJob  `json:"stalled,omitempty"`
	Reliable *reliableJob `json:"reliable,omitempty"`
}

// answer is what it prints. The one asked for is set.
type answer struct {
	Stalled  *stalledResult  `json:"stalled,omitempty"`
	Reliable *reliableResult `json:"reliable,omitempty"`
}

// load runs a job in this process.
func load(j job) (a answer, err error) {
	switch {
	case j.Stalled != nil:
		a.Stalled, err = j.Stalled.run()
	case j.Reliable != nil:
		a.Reliable, err = j.Reliable.run()
	default:
		err = errors.New("a job without work")
	}
	return a, err
}

// stream is an open loop of one topic, published over a connection of its own.
type stream struct {
	topic    swarm.Topic
	schedule swarm.Schedule
	done     chan struct{}
	late     time.Duration // by how much the latest message was late; valid after done
	err      error
}

// connectPublishers opens a connection for each of n streams. A refusal by the server ends them all.
func connectPublishers(address string, n int) (*swarm.Swarm, error) {
	publishers, err := swarm.Gather(address, n, func(int) swarm.Options { return swarm.Options{} })
	if err != nil {
		return nil, err
	}
	for i := range n {
		publishers.Read(i, func(text []byte) error { return fmt.Errorf("publish refused: %.200q", text) })
	}
	return publishers, nil
}

// start begins to publish over connection i.
func (s *stream) start(publishers *swarm.Swarm, i int) {
	s.done = make(chan struct{})
	go s.publish(publishers, i)
}

// publish ends with the schedule, or when the connection breaks.
func (s *stream) publish(publishers *swarm.Swarm, i int) {
	defer close(s.done)
	s.late, s.err = s.schedule.Publish(publishers.Clients[i], s.topic)
	if err := publishers.Err(); err != nil {
		s.err = err
	}
}

// await waits until n reaches want, a reader fails, or patience ends; the caller looks at what is missing.
func await(n *atomic.Int64, want int64, s *swarm.Swarm, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for n.Load() < want && time.Now().Before(deadline) {
		if err := s.Err(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return s.Err()
}

// cost is what a span of time has cost.
type cost struct {
	ServerCPU float64 `json:"serverCPUs"` // CPUs' worth of time; 1 is a full core
	LoadCPU   float64 `json:"loadCPUs"`
	// Grown is the server's resident memory at the end less that when all clients were connected and nothing was
	// published yet, PeakGrown the most it ever was less the same; in bytes.
	Grown     int64 `json:"residentGrownBytes"`
	PeakGrown int64 `json:"peakGrownBytes"`
}

// meter reads cost for a server's process and this one.
type meter struct {
	pid         int
	begun       time.Time
	server, own rig.Usage
}

func startMeter(pid int) (m meter, err error) {
	m = meter{pid: pid, begun: time.Now()}
	if m.server, err = rig.ReadUsage(pid); err != nil {
		return m, err
	}
	m.own, err = rig.ReadUsage(os.Getpid())
	return m, err
}

func (m meter) read() (cost, error) {
	now, err := startMeter(m.pid)
	if err != nil {
		return cost{}, err
	}
	seconds := now.begun.Sub(m.begun).Seconds()
	return cost{
		ServerCPU: (now.server.CPU - m.server.CPU).Seconds() / seconds,
		LoadCPU:   (now.own.CPU - m.own.CPU).Seconds() / seconds,
		Grown:     now.server.Resident - m.server.Resident,
		PeakGrown: now.server.Peak - m.server.Resident,
	}, nil
}
