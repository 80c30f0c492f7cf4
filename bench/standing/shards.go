package main

import (
	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// longestStep is the p99.9 of the event loop's turns under load.
const longestStep = "event loop, turns p99.9"

// shardRows are about the event loops themselves.
func shardRows(s size) []row {
	const thousand, tenThousand = "fan-out 1,000", "fan-out 10,000"
	const one, two = "one shard", "two shards"
	const raw, flushed = "floor", 64 // sends of a step
	loop := closed(s, 1000, 16)
	spread := loop
	spread.everywhere = true
	return []row{{
		name: "loop", shows: "longest turn of the event loop under fan-out, weir_loop_seconds", pairs: 1,
		variants: []variant{
			{name: thousand, run: bench(server{}, loop, turns)},
			{name: tenThousand, run: bench(server{}, closed(s, 10_000, 4), turns)},
			{name: raw, run: rawSends(s)},
		},
		judge: func(f *finding) {
			flush := f.median(raw, rawSend) * flushed / 1000
			for _, v := range []string{thousand, tenThousand} {
				f.expect(v+", p99.9 over the 64 raw sends of a step", f.median(v, longestStep)/flush, "x", atMost, 18)
				f.show(v+", p99.9", f.median(v, longestStep), "ms")
			}
			f.show("64 raw sends", flush, "ms")
		},
	}, {
		name: "two-shards", shows: "CPU per delivery of two event loops on two cores, the load beside them, over one on one core", pairs: s.pairs(3),
		variants: []variant{
			{name: one, run: bench(server{set: []string{"shards=1"}}, loop, nil)},
			{name: two, run: bench(server{set: []string{"shards=2"}, everywhere: true}, spread, nil)},
		},
		judge: func(f *finding) {
			f.expect("CPU s per million, over one shard", ratio(f.figures(two, perMillion), f.figures(one, perMillion)), "x", atMost, 1.3)
			f.show(one, f.median(one, perMillion), "s")
			f.show(two, f.median(two, perMillion), "s")
			f.show("two shards, deliveries/s", f.median(two, deliveries), "/s")
		},
	}}
}

// turns tells how long the event loop's turns were from the first message on.
func turns(c course) []report.Figure {
	published := func(m rig.Metrics) bool { return m.Sum("weir_published_total") > 0 }
	f := report.Figure{Name: longestStep, Unit: "ms", Note: "from a histogram whose buckets double; evenly spread within a bucket", Main: true}
	first, last, ok := c.between(published)
	if !ok {
		first, last = sample{}, sample{}
	}
	f.Value = 1000 * last.metrics.Quantile(first.metrics, "weir_loop_seconds", 0.999)
	return []report.Figure{f}
}
