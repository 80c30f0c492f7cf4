// Command fanout measures how fast and how cheaply one server process on one core delivers each message to many
// clients: Weir and npm's socket.io in turn, under the same load. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
)

// settings are the command line.
type settings struct {
	job               job
	pairs             int
	serverCPU         string
	loadCPU           string
	weir, config, npm string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fanout:", err)
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
		r, err := load(j)
		if err != nil {
			return err
		}
		return rig.Answer(r)
	}
	s := parse()
	if err := s.validate(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	weir, npm, err := s.runs(ctx, os.Stdout)
	if err != nil {
		return err
	}
	report(os.Stdout, weir, npm)
	return nil
}

func parse() settings {
	var s settings
	flag.IntVar(&s.job.Clients, "clients", 1000, "subscribers")
	flag.IntVar(&s.job.Window, "window", 16, "messages outstanding in the closed loop")
	flag.IntVar(&s.job.Size, "size", 128, "bytes of a payload")
	flag.DurationVar(&s.job.Warm, "warm", 3*time.Second, "before measuring")
	flag.DurationVar(&s.job.Measure, "measure", 10*time.Second, "measured in each run")
	flag.IntVar(&s.pairs, "pairs", 5, "runs of each server, in turn")
	flag.StringVar(&s.serverCPU, "server-cpu", "0", "CPUs of the server, as taskset -c takes them; empty: not pinned")
	flag.StringVar(&s.loadCPU, "load-cpu", "1", "CPUs of the load process")
	flag.StringVar(&s.weir, "weir", "", "the weir binary")
	flag.StringVar(&s.config, "config", "fanout/weir.yaml", "its configuration")
	flag.StringVar(&s.npm, "npm", "", "npm's socket.io server: a script for node")
	flag.Parse()
	return s
}

func (s settings) validate() error {
	var problems []error
	if s.weir == "" || s.npm == "" {
		problems = append(problems, errors.New("-weir and -npm are required: scripts/bench sets them"))
	}
	for name, n := range map[string]int{"clients": s.job.Clients, "window": s.job.Window, "size": s.job.Size, "pairs": s.pairs} {
		if n < 1 {
			problems = append(problems, fmt.Errorf("-%s %d: want at least 1", name, n))
		}
	}
	return errors.Join(problems...)
}

// runs measures the servers in turn: Weir, socket.io, Weir, … Each run has a fresh server and a fresh load process.
func (s settings) runs(ctx context.Context, w io.Writer) (weir, npm []result, err error) {
	fmt.Fprintf(w, "fan-out to %d clients, %d B payload, closed loop of %d, %v measured after %v, server on CPU %q, load on CPU %q\n\n",
		s.job.Clients, s.job.Size, s.job.Window, s.job.Measure, s.job.Warm, s.serverCPU, s.loadCPU)
	variants := []struct {
		name    string
		command rig.Command
		into    *[]result
	}{
		{"weir", rig.Command{CPU: s.serverCPU, Args: []string{s.weir, "serve", "--config", s.config}}, &weir},
		{"socket.io", rig.Command{CPU: s.serverCPU, Args: []string{"node", s.npm}, Env: []string{"NODE_ENV=production"}}, &npm},
	}
	for i := range s.pairs {
		for _, v := range variants {
			r, err := s.once(ctx, v.command)
			if err != nil {
				return nil, nil, fmt.Errorf("run %d of %s: %w", i+1, v.name, err)
			}
			*v.into = append(*v.into, r)
			if err := rig.Raw(w, i+1, v.name, r); err != nil {
				return nil, nil, err
			}
		}
	}
	return weir, npm, nil
}

func (s settings) once(ctx context.Context, c rig.Command) (r result, err error) {
	server, err := rig.StartServer(ctx, c)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	j := s.job
	j.Address, j.PID = server.Addr("bench"), server.PID()
	const connecting = time.Minute
	err = rig.RunLoad(ctx, s.loadCPU, connecting+j.Warm+j.Measure+patience, j, &r)
	return r, err
}

// report prints medians over the runs, and of the ratios within each pair.
func report(w io.Writer, weir, npm []result) {
	rows := []struct {
		name   string
		format string
		figure func(result) float64
	}{
		{"deliveries/s", "%.0f", func(r result) float64 { return r.PerSecond }},
		{"server CPU s per million", "%.2f", func(r result) float64 { return r.CPUPerMillion }},
		{"server CPUs used", "%.2f", func(r result) float64 { return r.ServerCPU }},
		{"load CPUs used", "%.2f", func(r result) float64 { return r.LoadCPU }},
		{"server resident MiB", "%.1f", func(r result) float64 { return float64(r.ServerRSS) / (1 << 20) }},
	}
	fmt.Fprintf(w, "\n%-26s %12s %12s %14s\n", fmt.Sprintf("median of %d pairs", len(weir)), "weir", "socket.io", "weir/socket.io")
	for _, row := range rows {
		ratios := rig.Pairwise(weir, npm, func(a, b result) float64 { return quotient(row.figure(a), row.figure(b)) })
		fmt.Fprintf(w, "%-26s %12s %12s %14.2f\n", row.name,
			fmt.Sprintf(row.format, rig.Median(rig.Column(weir, row.figure))),
			fmt.Sprintf(row.format, rig.Median(rig.Column(npm, row.figure))), rig.Median(ratios))
	}
	fmt.Fprintln(w, "\nbook: in every run every client got every message, in order")
}

func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
