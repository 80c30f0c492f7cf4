package loadtest

import (
	"context"
	"fmt"
	"math"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// tolerance is how much more a gauge may show after the last wave than after the first.
type tolerance struct {
	gauge    gauge
	fraction float64 // of what it was
	more     float64
	unit     string
}

// tolerances: the first wave fills pools and caches, so the last is compared with the first, not with nothing. Memory
// moves with the collector; what is counted does not, but for a few connections of the metrics' own readers.
var tolerances = []tolerance{
	{gaugeRSS, 0.10, 8 << 20, "B"},
	{gaugeHeap, 0.10, 4 << 20, "B"},
	{gaugeGoroutines, 0, 16, ""},
	{gaugeFDs, 0, 16, ""},
}

// leak lets waves of clients come, receive and go, and compares what the server holds after each.
func (b *bench) leak(ctx context.Context) error {
	after := []reading{}
	if err := b.startFeed(ctx); err != nil {
		return err
	}
	if err := b.begin(ctx); err != nil {
		return err
	}
	for i := 1; i <= b.o.Waves; i++ {
		if err := b.wave(ctx, i); err != nil || b.over() {
			return err
		}
		r := b.ask(ctx)
		for _, of := range tolerances {
			if v, ok := r[of.gauge]; ok {
				b.figure(fmt.Sprintf("%s after wave %d", of.gauge, i), v, of.unit, "")
			}
		}
		after = append(after, r)
	}
	if err := b.end(ctx); err != nil {
		return err
	}
	b.compare(after[0], after[len(after)-1])
	return nil
}

// wave is one: its clients come, subscribe, receive and leave, and the server has time to forget them.
func (b *bench) wave(ctx context.Context, i int) error {
	name := fmt.Sprintf("wave %d", i)
	if err := b.gather(ctx, swarm.Group{Name: name, Clients: b.o.Clients, Rate: b.o.Arrival}); err != nil || b.over() {
		return err
	}
	t := b.groups[len(b.groups)-1]
	err := b.watch(ctx, wait{phase: name, atMost: b.o.Phases.Duration, every: usually, until: nothing(b.o.Phases.Duration)})
	if err != nil || b.over() {
		return err
	}
	b.judge(t, whole(false))
	b.faithful(t)
	if err := b.fleet.Do(order{Leave: name}); err != nil {
		return err
	}
	err = b.watch(ctx, wait{phase: name + " leaves", atMost: b.o.Target.Timeout, every: closely, until: func() bool { return t.all.Ready == 0 }})
	if err != nil || b.over() {
		return err
	}
	return b.watch(ctx, wait{phase: name + " has left", atMost: b.o.Phases.Settle, every: usually, until: nothing(b.o.Phases.Settle)})
}

// compare says leak or no leak.
func (b *bench) compare(first, last reading) {
	compared := 0
	for _, of := range tolerances {
		now, ok := last[of.gauge]
		before, had := first[of.gauge]
		if !ok || !had {
			continue
		}
		compared++
		most := before*(1+of.fraction) + of.more
		allowed := fmt.Sprintf("up to %s is no leak", shown(most, of.unit))
		if now <= most {
			b.verdict(true, "no leak: %s %s after the first wave, %s after wave %d (%s)", of.gauge, shown(before, of.unit), shown(now, of.unit), b.o.Waves, allowed)
		} else {
			b.verdict(false, "leak: %s %s after the first wave, %s after wave %d (%s)", of.gauge, shown(before, of.unit), shown(now, of.unit), b.o.Waves, allowed)
		}
	}
	if compared == 0 {
		b.verdict(false, "nothing to compare: neither --pid nor the metrics gave memory, goroutines or descriptors")
	}
}

func shown(v float64, unit string) string {
	if unit == "B" {
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	}
	return thousands(int64(math.Round(v)))
}
