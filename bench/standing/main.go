// Command standing is the standing comparison: one row for each figure that Weir has to reach, beside npm's socket.io
// or beside what the kernel alone costs, measured on this machine in one run with `weir bench`. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the command line.
type settings struct {
	lab     lab
	results string
	quick   int      // clients at most of a run that only shows that it works; 0: a real one
	only    []string // rows; none: all
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, parse(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standing:", err)
		os.Exit(1)
	}
}

func parse() settings {
	var s settings
	flag.StringVar(&s.lab.weir, "weir", "", "the weir binary: server and load")
	flag.StringVar(&s.lab.app, "app", "", "the program of bench/app")
	flag.StringVar(&s.lab.floor, "floor", "", "the program of bench/floor")
	flag.StringVar(&s.lab.npm, "npm", "", "npm's socket.io server: a script for node; empty: without the peer")
	flag.StringVar(&s.lab.config, "config", "standing/weir.yaml", "configuration of the server")
	flag.StringVar(&s.lab.driver, "driver", "auto", "how Weir holds connections: auto, epoll, goroutine")
	flag.StringVar(&s.lab.serverCPU, "server-cpu", "0", "the server's CPU")
	flag.StringVar(&s.lab.loadCPU, "load-cpu", "1", "the load's CPU")
	flag.StringVar(&s.results, "results", "results", "directory for standing-DATE.txt, .html and the JSON of every run")
	quick := flag.Bool("quick", false, "few clients and a second for everything, once: does it work?")
	clients := flag.Int("clients", 50, "clients at most with -quick")
	flag.Usage = usage
	flag.Parse()
	s.only = flag.Args()
	if *quick {
		s.quick = max(*clients, 2)
	}
	return s
}

func usage() {
	w := flag.CommandLine.Output()
	fmt.Fprintln(w, "Usage: standing [flags] [ROW...]; a row may be named by how it begins. The rows:")
	for _, r := range rows(full) {
		fmt.Fprintf(w, "  %-16s %s\n", r.name, r.shows)
	}
	flag.PrintDefaults()
}

// run measures the rows asked for and writes what it found. Rows that fail do not keep the others from being measured;
// the end of ctx does.
func run(ctx context.Context, s settings, w io.Writer) error {
	size := full
	if s.quick > 0 {
		size = quick(s.quick)
	}
	chosen, err := choose(rows(size), s.only)
	if err != nil {
		return err
	}
	if s.lab.weir == "" || s.lab.app == "" || s.lab.floor == "" {
		return errors.New("-weir, -app and -floor are required: scripts/bench sets them")
	}
	out, err := newOutput(w, s.results, time.Now())
	if err != nil {
		return err
	}
	out.head(ctx, &s)
	var failed error
	var broken []string
	for _, r := range chosen {
		f, err := r.measure(ctx, &s.lab, out)
		if ctx.Err() != nil {
			failed = errors.Join(failed, fmt.Errorf("interrupted in %s", r.name))
			break
		}
		if err != nil {
			f.problem = err.Error()
			broken = append(broken, r.name)
		}
		out.finding(f)
	}
	if len(broken) > 0 {
		failed = errors.Join(failed, fmt.Errorf("these rows could not be measured: %s", strings.Join(broken, ", ")))
	}
	return errors.Join(failed, out.close())
}

// choose picks rows by name, or by how it begins, in the order of the table.
func choose(all []row, names []string) ([]row, error) {
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		exactly := slices.ContainsFunc(all, func(r row) bool { return r.name == name })
		found := false
		for _, r := range all {
			if r.name == name || (!exactly && strings.HasPrefix(r.name, name)) {
				wanted[r.name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no row %q; -h lists them", name)
		}
	}
	return slices.DeleteFunc(all, func(r row) bool { return !wanted[r.name] }), nil
}
