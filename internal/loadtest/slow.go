package loadtest

import (
	"context"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// slow measures what clients that stall or read slowly cost the server and the others.
func (b *bench) slow(ctx context.Context) error {
	k := b.o.Slow.Share.Of(b.o.Clients)
	slow := swarm.Group{
		Name: "slow", Clients: k, Rate: b.o.Arrival, ReceiveBuffer: b.o.Slow.ReceiveBuffer, ReadRate: b.o.Slow.Read,
		Reconnect: &swarm.Reconnect{Delay: time.Second, DelayMax: 5 * time.Second, Jitter: 0.5}, // the official client's
	}
	if slow.ReadRate == 0 {
		slow.ReadRate = swarm.Stalled
	}
	healthy := swarm.Group{Name: "healthy", Clients: b.o.Clients - k, Rate: b.o.Arrival}
	if err := b.gather(ctx, healthy, slow); err != nil || b.over() {
		return err
	}
	if err := b.rest(ctx); err != nil || b.over() {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	h, s := b.groups[0], b.groups[1]
	if err := b.drain(ctx, h); err != nil {
		return err
	}
	b.deliveryFigures(h)
	b.slowFigures(s, k)
	b.feedFigures()
	b.cpuFigures(h.measured.Deliveries+s.measured.Deliveries, "deliveries")
	b.memoryFigures()
	b.judge(h, whole(true))
	b.faithful(h)
	b.run.Counts = append(b.run.Counts, s.checks(b.label(s))...)
	if s.all.Disorder > 0 {
		b.verdict(false, "slow: %s deliveries out of order (disorder)", thousands(s.all.Disorder))
	}
	return nil
}

// rest holds the clients before anything is published: what the server grows by afterwards is held for slow ones.
func (b *bench) rest(ctx context.Context) error {
	if b.o.Phases.Hold == 0 {
		return nil
	}
	if err := b.watch(ctx, wait{phase: "holding", atMost: b.o.Phases.Hold, every: usually}); err != nil {
		return err
	}
	if rss, ok := b.ask(context.WithoutCancel(ctx))[gaugeRSS]; ok {
		b.figure("server RSS idle", rss, "B", "all connected, nothing published yet")
	}
	return nil
}

// slowFigures say what the slow clients got, how old it was, and how often they were cut.
func (b *bench) slowFigures(s *tally, clients int) {
	m := s.measured
	b.mainFigure("slow deliveries/s, each", b.perSecond(m.Deliveries)/float64(clients), "/s", "")
	b.figure("slow bytes read, each", b.perSecond(m.Bytes)/float64(clients), "B/s", "")
	b.run.Latencies = append(b.run.Latencies, report.Latency{Name: "slow: age of what they read", Histogram: m.Latency})
	b.figure("slow clients cut, times", float64(s.lost()), "", "as they saw it; the counts say how")
	b.figure("slow reconnects", float64(max(s.all.Connects-int64(clients), 0)), "", "")
}
