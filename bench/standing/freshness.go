package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// The slow link of docs/guide/measuring.md: what a phone on the edge of a cell has.
const (
	linkRate    = "320kbit"
	linkLatency = "200ms" // what may wait in the link
	linkBurst   = "1600"  // bytes: a packet of 1500 has to fit
)

// freshness is how old the data is that a client behind a slow link reads, from second 25 to second 30 of the feed.
func freshness(s size) row {
	o := fed{before: s.time(25 * time.Second), measured: s.time(5 * time.Second)}
	return row{
		name: "freshness", shows: "age of what a client behind 320 kbit/s reads of a feed of 1 KiB at 200/s, DROP_OLDEST lane of 16", pairs: 1,
		variants: []variant{
			{name: weir, run: o.trial(server{})},
			{name: socketio, peer: true, run: o.trial(server{program: npmServer})},
		},
		judge: func(f *finding) {
			f.expect("p99 age in seconds 25 to 30", median(f.p99s(weir, "delivery"))/1000, "s", atMost, 3)
			f.expect("over that of seconds 15 to 20", median(f.column(weir, growth)), "x", atMost, 1.2)
			f.show(socketio, median(f.p99s(socketio, "delivery"))/1000, "s")
			f.show("socket.io, over that of seconds 15 to 20", median(f.column(socketio, growth)), "x")
		},
	}
}

// growth is how many times as old the data is at the end as it was ten seconds before; 1 is flat.
func growth(r *report.Run) float64 {
	for _, s := range r.Series {
		if s.Chart != "latency" || s.Name != "p99" || len(s.Points) < 16 {
			continue
		}
		n := len(s.Points)
		return highest(s.Points[n-5:]) / highest(s.Points[n-15:n-10])
	}
	return math.NaN()
}

func highest(points [][2]float64) float64 {
	most := math.NaN()
	for _, p := range points {
		if math.IsNaN(most) || p[1] > most {
			most = p[1]
		}
	}
	return most
}

// fed is a feed beside its server, and one client at the other end of the link.
type fed struct {
	before, measured time.Duration
}

func (o fed) trial(s server) trial {
	return func(ctx context.Context, l *lab, file string) (run *report.Run, err error) {
		ctx, cancel := context.WithTimeout(ctx, mostOfATrial)
		defer cancel()
		link, err := newLink(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, link.close()) }()
		s.netns, s.host = link.near, link.address
		server, err := rig.StartServer(ctx, l.command(s, nil))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		feeding, stop := context.WithCancel(ctx)
		published := make(chan error, 1)
		go func() { published <- rig.Run(feeding, o.feed(l, link, server)) }()
		err = rig.Run(ctx, o.client(l, link, server, file))
		stop()
		if feed := <-published; err == nil && rig.ExitCode(feed) > 1 {
			err = feed
		}
		if err != nil && rig.ExitCode(err) != 1 {
			return nil, err
		}
		return readRun(file)
	}
}

// feed publishes for longer than it is measured; the end of its context is its end.
func (o fed) feed(l *lab, n *link, s *rig.Server) rig.Command {
	return rig.Command{CPU: l.loadCPU, Args: []string{
		"ip", "netns", "exec", n.near, l.weir, "bench", "fanout", "http://" + s.Addr("bench"), "--i-own-this-target",
		"--namespace", "/feed", "--topic", feedLane, "--clients", "1", "--rate", "200", "--size", "1KiB", "--expect-drops",
		"--warmup", "0s", "--duration", (o.before + o.measured + 20*time.Second).String(), "--quiet",
	}}
}

func (o fed) client(l *lab, n *link, s *rig.Server, file string) rig.Command {
	return rig.Command{CPU: l.loadCPU, Args: []string{
		"ip", "netns", "exec", n.far, l.weir, "bench", "fanout", "http://" + s.Addr("bench"), "--i-own-this-target",
		"--namespace", "/feed", "--topic", feedLane, "--clients", "1", "--publish", "none", "--expect-drops",
		"--warmup", o.before.String(), "--duration", o.measured.String(), "--quiet", "--json", file,
	}}
}

// link is two network namespaces and a slow way from near to far.
type link struct {
	near, far string // of the server and of the client
	address   string // the server's
}

// newLink needs root.
func newLink(ctx context.Context) (*link, error) {
	if os.Geteuid() != 0 {
		return nil, errNotMeasured("the slow link is made of network namespaces, which need root")
	}
	pid := os.Getpid()
	n := &link{near: fmt.Sprintf("weir-near-%d", pid), far: fmt.Sprintf("weir-far-%d", pid), address: "10.77.77.1"}
	for _, line := range []string{
		"ip netns add " + n.near,
		"ip netns add " + n.far,
		"ip -n " + n.near + " link add near type veth peer name far netns " + n.far,
		"ip -n " + n.near + " addr add " + n.address + "/24 dev near",
		"ip -n " + n.far + " addr add 10.77.77.2/24 dev far",
		"ip -n " + n.near + " link set lo up",
		"ip -n " + n.far + " link set lo up",
		"ip -n " + n.near + " link set near up",
		"ip -n " + n.far + " link set far up",
		"tc -n " + n.near + " qdisc add dev near root tbf rate " + linkRate + " burst " + linkBurst + " latency " + linkLatency,
	} {
		if err := rig.Run(ctx, rig.Command{Args: strings.Fields(line)}); err != nil {
			return nil, errors.Join(errNotMeasured("the slow link cannot be made: "+err.Error()), n.close())
		}
	}
	return n, nil
}

// close takes the namespaces away, and with them the link.
func (n *link) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var problems []error
	for _, name := range []string{n.near, n.far} {
		if _, err := os.Stat("/run/netns/" + name); err == nil {
			problems = append(problems, rig.Run(ctx, rig.Command{Args: []string{"ip", "netns", "delete", name}}))
		}
	}
	return errors.Join(problems...)
}
