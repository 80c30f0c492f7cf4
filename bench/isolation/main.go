// Command isolation measures what slow clients do to others (design P3): the latency of healthy clients with and
// without stalled ones beside them, and that of a reliable topic with and without a feed beside it that is published
// faster than its clients read. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
)

// settings are the command line.
type settings struct {
	stalled              stalledJob
	share                float64 // of clients that stall
	reliable             reliableJob
	overload             float64 // feed published, as a multiple of what a client reads
	pairs, reliablePairs int
	serverCPU, loadCPU   string
	weir, config         string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "isolation:", err)
		os.Exit(1)
	}
}

func run() error {
	var j job
	child, err := rig.IsLoad(&j)
	if err != nil {
		return err
	}
	if child {
		a, err := load(j)
		if err != nil {
			return err
		}
		return rig.Answer(a)
	}
	s := parse()
	if err := s.validate(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return errors.Join(s.compareStalled(ctx, os.Stdout), s.compareReliable(ctx, os.Stdout))
}

func parse() settings {
	var s settings
	flag.IntVar(&s.stalled.Clients, "clients", 1000, "subscribers of the feed")
	flag.Float64Var(&s.share, "stalled", 0.1, "share of them that stops reading")
	flag.IntVar(&s.stalled.Size, "size", 4096, "bytes of a payload of the feed")
	flag.Float64Var(&s.stalled.Rate, "rate", 15, "messages of the feed a second")
	flag.IntVar(&s.stalled.Buffer, "buffer", 8192, "SO_RCVBUF of stalled and of slow clients, in bytes")
	flag.DurationVar(&s.stalled.Warm, "warm", 6*time.Second, "before measuring; the lanes of the stalled fill in it")
	flag.DurationVar(&s.stalled.Measure, "measure", 20*time.Second, "measured in each run")
	flag.IntVar(&s.pairs, "pairs", 5, "runs without and with stalled clients, in turn; 0: leave that part out")
	flag.IntVar(&s.reliable.Clients, "reliable-clients", 100, "subscribers of the reliable topic")
	flag.IntVar(&s.reliable.Size, "reliable-size", 128, "bytes of a payload of the reliable topic")
	flag.Float64Var(&s.reliable.Rate, "reliable-rate", 5, "messages of the reliable topic a second")
	flag.IntVar(&s.reliable.ReadRate, "read", 32<<10, "bytes a second that a client of the reliable topic reads")
	flag.Float64Var(&s.overload, "overload", 4, "feed beside the reliable topic, as a multiple of what its clients read")
	flag.IntVar(&s.reliablePairs, "reliable-pairs", 3, "runs without and with the feed, in turn; 0: leave that part out")
	flag.StringVar(&s.serverCPU, "server-cpu", "0", "CPUs of the server, as taskset -c takes them; empty: not pinned")
	flag.StringVar(&s.loadCPU, "load-cpu", "1", "CPUs of the load process")
	flag.StringVar(&s.weir, "weir", "", "the weir binary")
	flag.StringVar(&s.config, "config", "isolation/weir.yaml", "its configuration")
	flag.Parse()
	s.derive()
	return s
}

// derive sets what follows from other settings.
func (s *settings) derive() {
	s.stalled.Aside = int(s.share * float64(s.stalled.Clients))
	r := &s.reliable
	r.Buffer, r.FeedSize, r.Warm, r.Measure = s.stalled.Buffer, s.stalled.Size, s.stalled.Warm, s.stalled.Measure
	r.FeedRate = s.overload * float64(r.ReadRate) / float64(r.FeedSize)
}

func (s *settings) validate() error {
	var problems []error
	if s.weir == "" {
		problems = append(problems, errors.New("-weir is required: scripts/bench sets it"))
	}
	if s.stalled.Aside < 1 || s.stalled.Aside >= s.stalled.Clients {
		problems = append(problems, fmt.Errorf("-stalled %v of -clients %d: want at least one stalled and one healthy", s.share, s.stalled.Clients))
	}
	for name, v := range map[string]float64{
		"size": float64(s.stalled.Size), "rate": s.stalled.Rate, "reliable-clients": float64(s.reliable.Clients),
		"reliable-size": float64(s.reliable.Size), "reliable-rate": s.reliable.Rate, "read": float64(s.reliable.ReadRate),
		"overload": s.overload,
	} {
		if v <= 0 {
			problems = append(problems, fmt.Errorf("-%s %v: want more than 0", name, v))
		}
	}
	return errors.Join(problems...)
}

// serverCounts are what the server says of a run.
type serverCounts struct {
	Dropped   float64 `json:"feedDropped"` // messages, by overflow
	Retries   float64 `json:"retries"`
	Exhausted float64 `json:"retriesExhausted"`
	Rejected  float64 `json:"ordersRejected"`
	Cut       float64 `json:"cut"` // connections the server closed
}

// serverCauses are the causes of a server's own that may cut a client here; clients that leave are counted by others.
// A stalled client that hangs up at the end of a run resets its connection, which is a transport_error of its own doing.
var serverCauses = []string{"slow_consumer", "memory_budget", "ping_timeout"}

// once runs a job against a fresh server; its address and process are filled in by aim.
func (s *settings) once(ctx context.Context, limit time.Duration, aim func(address string, pid int) job) (a answer, c serverCounts, err error) {
	server, err := rig.StartServer(ctx, rig.Command{CPU: s.serverCPU, Args: []string{s.weir, "serve", "--config", s.config}})
	if err != nil {
		return a, c, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	const connecting = time.Minute
	err = rig.RunLoad(ctx, s.loadCPU, connecting+limit, aim(server.Addr("bench"), server.PID()), &a)
	if err != nil {
		return a, c, err
	}
	m, err := rig.ReadMetrics(ctx, server)
	if err != nil {
		return a, c, err
	}
	c = serverCounts{
		Dropped:   m.Sum("weir_dropped_total", `topic="feed"`, `reason="overflow"`),
		Retries:   m.Sum("weir_retries_total", `topic="orders"`),
		Exhausted: m.Sum("weir_retries_exhausted_total", `topic="orders"`),
		Rejected:  m.Sum("weir_dropped_total", `topic="orders"`, `reason="rejected"`),
	}
	for _, cause := range serverCauses {
		c.Cut += m.Sum("weir_cut_total", `cause="`+cause+`"`)
	}
	return a, c, nil
}
