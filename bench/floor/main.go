//go:build linux

// Command floor measures what the kernel alone costs on this machine, so that a server's cost is a ratio: one send for
// each message to each client, or one accepted connection for each client. Server and clients are
// a thread each, pinned to a CPU; the cost is the CPU time of the one that stands in for the server.
//
//	floor sendto -clients 1000 -rate 10 -duration 10s
//	floor accept -clients 10000 -rate 9000
//
// It prints a result in the form of `weir bench --json`.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// plan is what is asked for.
type plan struct {
	clients             int
	rate                float64 // a second: rounds of a message to each client, or clients that come; 0: as fast as they are admitted
	size                int     // bytes of a message on the wire
	duration            time.Duration
	serverCPU, otherCPU int
	port                int // of connect
}

// floors are what can be measured.
var floors = map[string]func(plan) (*report.Run, error){"sendto": sendto, "accept": accept}

// clientRole is this program as the clients of accept.
const clientRole = "connect"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || (floors[args[0]] == nil && args[0] != clientRole) {
		return fmt.Errorf("want sendto or accept, got %q", args)
	}
	var p plan
	f := flag.NewFlagSet("floor "+args[0], flag.ExitOnError)
	f.IntVar(&p.clients, "clients", 1000, "connections")
	f.Float64Var(&p.rate, "rate", 0, "sendto: rounds a second, each of one message to each connection; accept: clients that come, 0: as fast as they are admitted")
	f.IntVar(&p.size, "size", 132, "bytes of a message")
	f.DurationVar(&p.duration, "duration", 10*time.Second, "measured, after half a second of warm-up")
	f.IntVar(&p.serverCPU, "server-cpu", 0, "CPU of the thread that stands in for the server")
	f.IntVar(&p.otherCPU, "load-cpu", 1, "CPU of the thread that stands in for the clients")
	f.IntVar(&p.port, "port", 0, "of the server; of the clients of accept, which start themselves")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if p.clients < 1 || p.rate < 0 || (args[0] == "sendto" && p.rate == 0) || p.size < 1 || p.duration <= 0 {
		return fmt.Errorf("%+v: want more than nothing of each", p)
	}
	if args[0] == clientRole {
		return connectAll(p)
	}
	machine := report.ThisMachine()
	r, err := floors[args[0]](p)
	if err != nil {
		return err
	}
	r.Scenario, r.Machine, r.Target = "floor", machine, "the kernel, over loopback"
	return r.WriteJSON(os.Stdout)
}
