//go:build linux

// Command floor measures what the kernel alone costs on this machine, so that a server's cost is a ratio: one send for
// each message to each client, or one accepted connection for each client. Server and clients are
// a thread each, pinned to a CPU; the cost is the CPU time of the one that stands in for the server.
//
//	floor sendto -clients 1000 -rate 10 -duration 10s
//	floor accept -clients 10000 -rate 9000
//
// And what the disk's side of the journal costs over a bare loop, in one process:
//
//	floor append -records 300000
//
// It is also the least that net/http costs, and the load of the rows about publishing, which is too light to be what
// limits a server: these are pinned by who starts them.
//
//	floor http -answer 200
//	floor post -to 127.0.0.1:3000 -clients 64 -duration 8s -pid 4711
//	floor batch -to 127.0.0.1:3000 -duration 8s -pid 4711
//
// And what stands between the load and a server with TLS, and strangers who come beside a load:
//
//	floor relay -to 127.0.0.1:3443
//	floor loris -to 127.0.0.1:3443 -clients 10500 -tls
//
// And it is two nodes of a cluster that publish to each other, over a Redis that is there:
//
//	floor nodes -to 127.0.0.1:6379 -clients 1600 -duration 3s
//	floor order -to 127.0.0.1:6379 -clients 512 -duration 3s
//
// It prints a result in the form of `weir bench --json`; http, relay and loris print a server's log to stderr.
package main

import (
	"cmp"
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
	port                int    // of connect
	answer              int    // bytes of an answer of http, head included
	to                  string // host:port of the server that is asked
	tls                 bool   // that server speaks TLS: of loris
	pid                 int    // of that server; 0: nothing is said of what it used
	records             int    // of append
}

// floors are what can be measured.
var floors = map[string]func(plan) (*report.Run, error){"sendto": sendto, "accept": accept, "append": appending}

// loads ask a server that is there already.
var loads = map[string]func(plan) (*report.Run, error){"post": post, "batch": batch, "nodes": nodes, "order": order}

// roles are what this program is for others, until it is ended or has done it.
var roles = map[string]func(plan) error{clientRole: connectAll, "http": serveBare, "relay": relay, "loris": loris}

// clientRole is this program as the clients of accept.
const clientRole = "connect"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || (floors[args[0]] == nil && loads[args[0]] == nil && roles[args[0]] == nil) {
		return fmt.Errorf("want sendto, accept, append, http, post, batch, nodes, order, relay or loris, got %q", args)
	}
	p, err := parse(args[0], args[1:])
	if err != nil {
		return err
	}
	if serve := roles[args[0]]; serve != nil {
		return serve(p)
	}
	machine := report.ThisMachine()
	measure := floors[args[0]]
	if measure == nil {
		measure = loads[args[0]]
	}
	r, err := measure(p)
	if err != nil {
		return err
	}
	r.Scenario, r.Machine, r.Target = cmp.Or(r.Scenario, "floor"), machine, cmp.Or(r.Target, "the kernel, over loopback")
	return r.WriteJSON(os.Stdout)
}

func parse(what string, args []string) (plan, error) {
	var p plan
	f := flag.NewFlagSet("floor "+what, flag.ExitOnError)
	f.IntVar(&p.clients, "clients", 1000, "connections; batch has one, and relay as many as come")
	f.Float64Var(&p.rate, "rate", 0, "sendto: rounds a second, each of one message to each connection; accept: clients that come, 0: as fast as they are admitted")
	f.IntVar(&p.size, "size", 132, "bytes of a message")
	f.DurationVar(&p.duration, "duration", 10*time.Second, "measured, after half a second of warm-up")
	f.IntVar(&p.serverCPU, "server-cpu", 0, "CPU of the thread that stands in for the server")
	f.IntVar(&p.otherCPU, "load-cpu", 1, "CPU of the thread that stands in for the clients")
	f.IntVar(&p.port, "port", 0, "of the server; of the clients of accept, which start themselves")
	f.IntVar(&p.answer, "answer", 200, "bytes of each answer of http, head included")
	f.StringVar(&p.to, "to", "", "host:port of the server that post, batch, relay and loris ask, or of the Redis of nodes and order")
	f.BoolVar(&p.tls, "tls", false, "loris: the server speaks TLS")
	f.IntVar(&p.pid, "pid", 0, "process of that server, whose CPU time is shown; 0: it is not")
	f.IntVar(&p.records, "records", 300_000, "append: records of each round")
	if err := f.Parse(args); err != nil {
		return p, err
	}
	if p.clients < 1 || p.rate < 0 || (what == "sendto" && p.rate == 0) || p.size < 1 || p.duration <= 0 || p.records < 1 {
		return p, fmt.Errorf("%+v: want more than nothing of each", p)
	}
	return p, nil
}
