package loadtest

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// storm cuts many clients at once and measures how they come back, and what those notice who stayed.
func (b *bench) storm(ctx context.Context) error {
	c := b.o.Storm
	groups := []swarm.Group{{
		Name: "storm", Clients: b.o.Clients, Rate: b.o.Arrival,
		Reconnect: &swarm.Reconnect{Delay: c.Delay, DelayMax: c.DelayMost, Jitter: c.Jitter},
	}}
	if c.Stay > 0 {
		groups = append(groups, swarm.Group{Name: "stayed", Clients: c.Stay, Rate: b.o.Arrival})
	}
	if err := b.gather(ctx, groups...); err != nil || b.over() {
		return err
	}
	if err := b.warmUp(ctx); err != nil || b.over() {
		return err
	}
	cut := b.groups[0]
	for _, t := range b.groups[1:] { // what the storm is to be compared with
		before := hdrhistogram.Import(t.all.Latency.Export())
		b.run.Latencies = append(b.run.Latencies, report.Latency{Name: "stayed: delivery before the cut", Histogram: before})
	}
	back, err := b.cutAndAwait(ctx, cut)
	if err != nil {
		return err
	}
	if err := b.end(ctx); err != nil {
		return err
	}
	if err := b.drain(ctx, b.groups[1:]...); err != nil {
		return err
	}
	b.stormFigures(cut, back)
	for _, t := range b.groups[1:] {
		b.run.Latencies = append(b.run.Latencies, report.Latency{Name: "stayed: delivery", Histogram: t.measured.Latency})
		b.judge(t, whole(true))
		b.faithful(t)
	}
	return nil
}

// returned is how many had come back at a time after the cut.
type returned struct {
	after time.Duration
	n     int64
}

// cutAndAwait returns the course of the return.
func (b *bench) cutAndAwait(ctx context.Context, t *tally) (course []returned, err error) {
	start := time.Now()
	if err := b.fleet.Do(order{Cut: &cutOrder{Group: t.name, Share: b.o.Storm.Share}}); err != nil {
		return nil, err
	}
	err = b.watch(ctx, wait{phase: "coming back", atMost: b.o.Phases.Duration, every: closely, until: func() bool {
		if n := t.measured.Connects; len(course) == 0 || n != course[len(course)-1].n {
			course = append(course, returned{time.Since(start), n})
		}
		return allBack(t)
	}})
	return course, err
}

// allBack is certain once one has come back: all that were cut had gone by then.
func allBack(t *tally) bool { return t.measured.Connects > 0 && t.all.Ready == t.all.Asked }

func (b *bench) stormFigures(t *tally, course []returned) {
	n := t.measured.Connects
	if allBack(t) {
		b.mainFigure("time until all are back", course[len(course)-1].after.Seconds(), "s", "since they were cut, all at once")
		b.verdict(true, "all are back: %s reconnects", thousands(n))
	} else if !b.run.Interrupted {
		b.verdict(false, "%s of %s clients are there again %v after the cut", thousands(int64(t.all.Ready)), thousands(int64(t.all.Asked)), b.o.Phases.Duration)
	}
	for _, part := range []struct {
		name  string
		share float64
	}{{"half", 0.5}, {"90 %", 0.9}, {"99 %", 0.99}} {
		for _, r := range course {
			if n > 0 && float64(r.n) >= part.share*float64(n) {
				b.figure("time until "+part.name+" of them are back", r.after.Seconds(), "s", "")
				break
			}
		}
	}
	b.figure("failed attempts", float64(total(t.measured.Failures)), "", reasons(t.measured.Failures))
	b.run.Latencies = append(b.run.Latencies, report.Latency{Name: "reconnect, from connect() until ready", Histogram: t.measured.ConnectTime})
	if cpu, ok := b.ended.server.grown(b.begun.server, gaugeCPU); ok && n > 0 {
		b.figure("server CPU per reconnect", cpu/float64(n)*1e6, "us", "with all else it did meanwhile")
	}
	b.feedFigures()
}
