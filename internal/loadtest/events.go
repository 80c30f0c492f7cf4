package loadtest

import (
	"context"

	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// events measures clients that send and want an ack for each event. They begin together, once all are in: a server that is
// busy with the first would keep the last out, and be measured with fewer.
func (b *bench) events(ctx context.Context) error {
	e := b.o.Events
	group := swarm.Group{
		Name: "clients", Clients: b.o.Clients, Rate: b.o.Arrival,
		Emit: &swarm.Emit{Event: e.Event, Size: e.Size, Window: e.Window, Rate: e.Rate, Held: true},
	}
	if err := b.gather(ctx, group); err != nil || b.over() {
		return err
	}
	if err := b.fleet.Do(order{Begin: group.Name}); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	t := b.groups[0]
	b.mainFigure("events/s", b.perSecond(t.measured.Acked), "/s", "acked")
	b.run.Latencies = append(b.run.Latencies, report.Latency{Name: "event until its ack", Histogram: t.measured.EmitLatency})
	b.cpuFigures(t.measured.Acked, "events")
	b.memoryFigures()
	under := t.all.Emitted - t.all.Acked
	most := int64(e.Window) * int64(t.all.Asked)
	b.verdict(t.all.Acked > 0 && under <= most, "%s of %s events acked; windows allow %s unanswered",
		thousands(t.all.Acked), thousands(t.all.Emitted), thousands(most))
	b.faithful(t)
	return nil
}
