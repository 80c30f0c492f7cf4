package loadtest

import (
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
	before := b.ask(ctx)
	if err := b.fallBehind(ctx); err != nil || b.over() {
		return err
	}
	t := b.groups[0]
	if held, ok := b.ask(context.WithoutCancel(ctx)).grown(before, gaugeRSS); ok {
		b.figure("server RSS grown while they stalled", held, "B", "since before the first message")
		b.mainFigure("server RSS grown for each client behind", held/float64(max(t.all.Ready, 1)), "B", "")
	}
	took, err := b.release(ctx, t)
	if err != nil {
		return err
	}
	b.catchUpFigures(t, took)
	b.judge(t, whole(true))
	b.faithful(t)
	return nil
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
