package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// mostOfATrial bounds one run, whatever hangs.
const mostOfATrial = 5 * time.Minute

// lab is what trials are run with.
type lab struct {
	weir, app, floor, npm, config string
	driver                        string
	serverCPU, loadCPU            string
	last                          *report.Run // of a server, for floors that have to do the same
}

// program is a server under test.
type program int

const (
	weirServer program = iota
	appServer          // bench/app, on Weir
	npmServer          // npm's socket.io
	bareServer         // net/http and nothing else, of bench/floor
)

// server is how to start one.
type server struct {
	program    program
	config     string   // of weirServer, beside the usual one; "": the usual one
	set        []string // `weir serve --set`
	flags      []string // of appServer
	env        []string
	everywhere bool   // on the load's CPU too
	netns      string // network namespace it runs in
	host       string // other than 127.0.0.1
	answer     int    // bytes of each answer of a bareServer
	tls        bool   // it speaks TLS, with a certificate made for it; a load in the clear comes through a relay
	strangers  int    // so many connections of floor's loris are there during the load
}

// load is a `weir bench`. Times of 0 are not given.
type load struct {
	scenario               string
	clients                int
	warmup, duration, hold time.Duration
	flags                  []string
	everywhere             bool  // on the server's CPU too
	metrics                bool  // it reads the server's counters: what was dropped and cut
	management             bool  // it publishes over the management API
	beside                 *load // what others do to the server meanwhile, from before the first until after the last client
}

// bench is a trial of a server under a load; derive, if there is one, adds figures from what the server was seen to do.
func bench(s server, o load, derive func(course) []report.Figure) trial {
	return func(ctx context.Context, l *lab, file string) (run *report.Run, err error) {
		ctx, cancel := context.WithTimeout(ctx, mostOfATrial)
		defer cancel()
		s := s
		if s.tls {
			dir, err := os.MkdirTemp("", "weir-bench-*")
			if err != nil {
				return nil, fmt.Errorf("make a directory for a certificate: %w", err)
			}
			defer os.RemoveAll(dir) //nolint:errcheck // of the system's for temporary files
			if s, err = s.certified(dir); err != nil {
				return nil, err
			}
		}
		var watch watcher
		server, err := rig.StartServer(ctx, l.command(s, watch.line))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		if derive != nil {
			stop := watch.begin(ctx, server)
			defer stop()
		}
		front, leave, err := l.beside(ctx, s, server)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, leave()) }()
		if run, err = l.bench(ctx, o, server, front, file); err != nil || derive == nil {
			return run, err
		}
		run.Figures = append(run.Figures, derive(watch.seen())...)
		return run, keep(run, file)
	}
}

// certified is a server with a certificate, of which the files are in a directory.
func (s server) certified(dir string) (server, error) {
	cert, key, err := rig.Certificate(dir)
	if err != nil {
		return s, err
	}
	s.env = append([]string{"TLS_CERT=" + cert, "TLS_KEY=" + key}, s.env...)
	s.set = append([]string{"servers.bench.transport=WSS", "servers.bench.tls.certChainPemPath=" + cert, "servers.bench.tls.privateKeyPemPath=" + key}, s.set...)
	return s, nil
}

// beside starts what stands before a server and who comes beside the load, on the load's CPU. front is where the load connects; leave ends
// them.
func (l *lab) beside(ctx context.Context, s server, of *rig.Server) (front string, leave func() error, err error) {
	front = of.Addr("bench")
	var all []*rig.Server
	leave = func() (err error) {
		for _, one := range all {
			err = errors.Join(err, one.Stop())
		}
		return err
	}
	start := func(args ...string) (*rig.Server, error) {
		one, err := rig.StartServer(ctx, rig.Command{CPU: l.loadCPU, Args: args})
		if err == nil {
			all = append(all, one)
		}
		return one, err
	}
	if s.strangers > 0 {
		// What they cost themselves is not to hold up the load: they are on machines of their own.
		if _, err := start("nice", "-n", "19", l.floor, "loris", "-to", front, "-clients", strconv.Itoa(s.strangers), "-tls="+strconv.FormatBool(s.tls)); err != nil {
			return "", leave, err
		}
	}
	if s.tls {
		relay, err := start(l.floor, "relay", "-to", front)
		if err != nil {
			return "", leave, errors.Join(err, leave())
		}
		front = relay.Addr("bench")
	}
	return front, leave, nil
}

// command starts a server.
func (l *lab) command(s server, log func(string)) rig.Command {
	c := rig.Command{CPU: l.serverCPU, Env: s.env, Log: log}
	if s.everywhere {
		c.CPU = l.serverCPU + "," + l.loadCPU
	}
	if s.netns != "" {
		c.Args = []string{"ip", "netns", "exec", s.netns}
	}
	switch s.program {
	case npmServer:
		c.Env = append([]string{"NODE_ENV=production"}, s.env...)
		if s.host != "" {
			c.Env = append(c.Env, "HOST="+s.host)
		}
		c.Args = append(c.Args, "node", l.npm)
	case bareServer:
		c.Args = append(c.Args, l.floor, "http", "-answer", strconv.Itoa(s.answer))
	case appServer:
		c.Args = append(c.Args, l.app, "-driver", l.driver)
		c.Args = append(c.Args, s.flags...)
	case weirServer:
		config := l.config
		if s.config != "" {
			config = filepath.Join(filepath.Dir(l.config), s.config)
		}
		c.Args = append(c.Args, l.weir, "serve", "--config", config)
		set := append([]string{"servers.bench.driver=" + l.driver}, s.set...)
		if s.host != "" {
			set = append(set, "servers.bench.host="+s.host)
		}
		for _, value := range set {
			c.Args = append(c.Args, "--set", value)
		}
	}
	return c
}

// bench runs the load to its end, and what is beside it as long.
func (l *lab) bench(ctx context.Context, o load, s *rig.Server, front, file string) (run *report.Run, err error) {
	defer func() { l.last = run }()
	if o.beside == nil {
		return l.benchAlone(ctx, o, s, front, file)
	}
	within, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var others *report.Run
	go func() {
		var err error
		others, err = l.benchAlone(within, *o.beside, s, front, file+".beside")
		ended <- err
	}()
	defer func() {
		cancel()
		if e := <-ended; e != nil {
			err = errors.Join(err, fmt.Errorf("beside: %w", e))
			return
		}
		for _, g := range others.Figures {
			g.Name, g.Main = "beside, "+g.Name, false
			run.Figures = append(run.Figures, g)
		}
	}()
	return l.benchAlone(ctx, o, s, front, file)
}

// benchAlone runs a load to its end. That the server did not do what it had to is in the run's verdicts.
func (l *lab) benchAlone(ctx context.Context, o load, s *rig.Server, front, file string) (*report.Run, error) {
	c := rig.Command{CPU: l.loadCPU, Args: append([]string{l.weir}, o.args(s, front)...)}
	if o.everywhere {
		c.CPU = l.serverCPU + "," + l.loadCPU
	}
	c.Args = append(c.Args, "--quiet", "--json", file)
	err := rig.Run(ctx, c)
	if code := rig.ExitCode(err); code != 0 && code != 1 && !errors.Is(err, context.Canceled) { // who is interrupted tells what was so far
		return nil, err
	}
	run, unreadable := readRun(file)
	if unreadable != nil {
		return nil, errors.Join(err, unreadable)
	}
	return run, nil
}

func (o load) args(s *rig.Server, front string) []string {
	args := []string{
		"bench", o.scenario, "http://" + front, "--namespace", "/feed", "--clients", strconv.Itoa(o.clients),
		"--pid", strconv.Itoa(s.PID()),
	}
	for name, d := range map[string]time.Duration{"--warmup": o.warmup, "--duration": o.duration, "--hold": o.hold} {
		if d > 0 {
			args = append(args, name, d.String())
		}
	}
	management := "http://" + s.Addr("management")
	if o.metrics {
		args = append(args, "--metrics", management+"/metrics")
	}
	if o.management {
		args = append(args, "--management", management)
	}
	return append(args, o.flags...)
}

// floor is a trial of what the kernel alone costs.
func floor(what string, flags ...string) trial {
	return func(ctx context.Context, l *lab, file string) (*report.Run, error) {
		ctx, cancel := context.WithTimeout(ctx, mostOfATrial)
		defer cancel()
		args := append([]string{l.floor, what, "-server-cpu", l.serverCPU, "-load-cpu", l.loadCPU}, flags...)
		said, err := rig.Output(ctx, rig.Command{Args: args})
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, said, 0o644); err != nil {
			return nil, fmt.Errorf("keep the run: %w", err)
		}
		return readRun(file)
	}
}

func readRun(file string) (*report.Run, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read a run: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	run, err := report.ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return run, nil
}

// keep writes a run to its file again.
func keep(run *report.Run, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	return errors.Join(run.WriteJSON(f), f.Close())
}
