package loadtest

import (
	"cmp"
	"context"
	"time"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// catchUp lets clients stall while a number of messages is published, then read. What is measured is the reading: by then
// nothing is published any more.
func (b *bench) catchUp(ctx context.Context) error {
	behind := swarm.Group{Name: "clients", Clients: b.o.Clients, Rate: b.o.Arrival, ReadRate: swarm.Stalled}
	if err := b.gather(ctx, behind); err != nil || b.over() {
		return err
	}
	if err := b.rest(ctx); err != nil || b.over() {
		return err
	}
	before := b.memory(ctx)
	if err := b.fallBehind(ctx); err != nil || b.over() {
		return err
	}
	t := b.groups[0]
	b.behindFigures(context.WithoutCancel(ctx), before, float64(max(t.all.Ready, 1)))
	took, err := b.release(ctx, t)
	if err != nil {
		return err
	}
	b.catchUpFigures(t, took)
	b.judge(t, whole(true))
	b.faithful(t)
	return nil
}

// memory is what the server uses at one time.
type memory struct {
	gauges    reading
	collected float64 // see Server.collected
	err       error   // why that is not known
}

func (b *bench) memory(ctx context.Context) (m memory) {
	m.collected, m.err = b.o.Server.collected(ctx)
	m.gauges = b.ask(ctx)
	return m
}

// behindFigures tell what the server uses more than before, with so many clients behind. What it needs for the first of them, the
// newest of the log, blocks and buffers, is in it: what one more costs is the difference between two runs.
func (b *bench) behindFigures(ctx context.Context, before memory, clients float64) {
	now := b.memory(ctx)
	rss, ok := now.gauges.grown(before.gauges, gaugeRSS)
	if ok {
		b.figure("server RSS grown while they stalled", rss, "B", "since before the first message, with garbage")
	}
	if err := cmp.Or(before.err, now.err); err != nil {
		if b.show(err.Error()); ok {
			b.mainFigure("server RSS grown for each client behind", rss/clients, "B", "with garbage, and with what the first alone would need")
		}
		return
	}
	held := now.collected - before.collected
	b.figure("server memory grown while they stalled", held, "B", "heap in use and stacks, after a collection")
	b.mainFigure("server memory grown for each client behind", held/clients, "B", "with what the first alone would need")
}

// fallBehind publishes all messages, and gives the server time to be done with them.
func (b *bench) fallBehind(ctx context.Context) error {
	if err := b.startFeed(ctx); err != nil {
		return err
	}
	all := int64(b.o.Feed.Messages)
	err := b.watch(ctx, wait{phase: "falling behind", every: usually, until: func() bool { return b.published() == all }})
	if err != nil || b.over() || b.feed.end() != nil {
		return err
	}
	d := b.o.Phases.Settle
	return b.watch(ctx, wait{phase: "settling", atMost: d, every: usually, until: nothing(d)})
}

// release has the clients read as fast as they can until they have everything, or nothing more comes. It returns how long
// it was until the last delivery.
func (b *bench) release(ctx context.Context, t *tally) (took time.Duration, err error) {
	if err := b.begin(ctx); err != nil {
		return 0, err
	}
	if err := b.fleet.Do(order{Read: &readOrder{Group: t.name}}); err != nil {
		return 0, err
	}
	start := time.Now()
	last := int64(-1)
	err = b.watch(ctx, wait{phase: "catching up", atMost: b.o.Phases.Duration, every: closely, until: func() bool {
		if got := t.all.Deliveries; got != last {
			last, took = got, time.Since(start)
		}
		return last >= b.published()*int64(t.all.Ready) || time.Since(start)-took > drainQuiet
	}})
	if err != nil {
		return 0, err
	}
	return took, b.end(ctx)
}

func (b *bench) catchUpFigures(t *tally, took time.Duration) {
	n := t.measured.Deliveries
	if took > 0 {
		b.mainFigure("deliveries/s", float64(n)/took.Seconds(), "/s", "while they caught up")
	}
	b.figure("time until all have caught up", took.Seconds(), "s", "since they began to read")
	b.cpuFigures(n, "deliveries")
	b.memoryFigures()
	if late := b.feed.late.Load(); late > 0 {
		b.figure("publisher late, at most", float64(late)/1e3, "ms", "behind its schedule")
	}
}
