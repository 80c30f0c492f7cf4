package loadtest

import (
	"context"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// fanout measures one message to many, in an open or a closed loop.
func (b *bench) fanout(ctx context.Context) error {
	readers := swarm.Group{Name: "clients", Clients: b.o.Clients, Rate: b.o.Arrival}
	if err := b.gather(ctx, readers); err != nil || b.over() {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	t := b.groups[0]
	if err := b.drain(ctx, t); err != nil {
		return err
	}
	b.deliveryFigures(t)
	b.feedFigures()
	b.cpuFigures(t.measured.Deliveries, "deliveries")
	b.memoryFigures()
	b.judge(t, whole(true))
	b.faithful(t)
	return nil
}

// measure warms up and measures for the duration.
func (b *bench) measure(ctx context.Context) error {
	if err := b.warmUp(ctx); err != nil || b.over() {
		return err
	}
	d := b.o.Phases.Duration
	if err := b.watch(ctx, wait{phase: "measuring", atMost: d, every: usually, until: nothing(d)}); err != nil {
		return err
	}
	return b.end(ctx)
}

// warmUp starts the feed, lets it run for a while and begins to measure.
func (b *bench) warmUp(ctx context.Context) error {
	if b.o.fed() {
		if err := b.startFeed(ctx); err != nil {
			return err
		}
	}
	d := b.o.Phases.Warmup
	err := b.watch(ctx, wait{phase: "warming up", atMost: d, every: usually, until: nothing(d)})
	if err != nil || b.over() {
		return err
	}
	return b.begin(ctx)
}
