package loadtest

import (
	"context"
	"fmt"

	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// connect measures how fast clients are let in, and what the server and the kernel hold for each.
func (b *bench) connect(ctx context.Context) error {
	if err := b.begin(ctx); err != nil {
		return err
	}
	if err := b.gather(ctx, swarm.Group{Name: "clients", Clients: b.o.Clients, Rate: b.o.Arrival}); err != nil {
		return err
	}
	if err := b.end(ctx); err != nil {
		return err
	}
	t := b.groups[0]
	if took := b.arrived.Sub(b.begun.at).Seconds(); took > 0 {
		b.mainFigure("connects/s", float64(t.measured.Connects)/took, "/s", "until the last one got in")
	}
	b.figure("connected", float64(t.all.Ready), "", "")
	b.run.Latencies = append(b.run.Latencies, report.Latency{Name: "connect", Histogram: t.measured.ConnectTime})
	if cpu, ok := b.ended.server.grown(b.begun.server, gaugeCPU); ok && t.measured.Connects > 0 {
		b.figure("server CPU per connect", cpu/float64(t.measured.Connects)*1e6, "us", "")
	}
	b.perConnection(b.ended.server, t.all.Ready, "", "once all were in")
	if b.over() || b.o.Phases.Hold == 0 {
		return nil
	}
	if err := b.watch(ctx, wait{phase: "holding", atMost: b.o.Phases.Hold, every: usually}); err != nil {
		return err
	}
	b.perConnection(b.ask(context.WithoutCancel(ctx)), t.all.Ready, ", held", fmt.Sprintf("after %v", b.o.Phases.Hold))
	if t.lost() == 0 {
		b.verdict(true, "none was lost while they were held")
	}
	b.faithful(t)
	return nil
}

// perConnection tells the growth since before the first client for each of n clients.
func (b *bench) perConnection(now reading, n int, suffix, when string) {
	if n == 0 {
		return
	}
	for _, of := range []struct {
		gauge gauge
		note  string
	}{{gaugeRSS, when}, {gaugeKernelTCP, when + "; both ends, on loopback"}} {
		if grown, ok := now.grown(b.first, of.gauge); ok {
			b.figure(named(of.gauge)+" per connection"+suffix, grown/float64(n), "B", of.note)
		}
	}
}
