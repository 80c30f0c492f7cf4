package main

import (
	"strconv"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
)

// What stalled clients may add to the p99 of the others, whichever allows more (promise P3).
const (
	isolationRatio = 1.2
	isolationExtra = 3.0 // ms
)

// feedLane is the topic with the lane of 16.
const feedLane = "feed"

// cutCauses are how the server counts clients it has cut, whatever it has against them.
var cutCauses = []string{
	"server says closed: slow_consumer", "server says closed: memory_budget", "server says closed: ping_timeout",
	"server says closed: transport_error", "server says closed: forced_close",
}

func slowRows(s size) []row { return []row{isolation(s), slowReaders(s), freshness(s)} }

// isolation holds the latency of the healthy with the others stalled against that with nobody stalled: then the others
// read like all.
func isolation(s size) row {
	const without, with = "none stalled", "200 stalled"
	o := load{
		scenario: "slow", clients: s.clients(1000), hold: s.time(2 * time.Second), warmup: s.time(4 * time.Second),
		duration: s.time(10 * time.Second), metrics: true,
		flags: []string{"--topic", feedLane, "--rate", "15", "--size", "4KiB", "--slow", "20%"},
	}
	reading := o
	reading.flags = append([]string{"--read", "1GiB/s", "--receive-buffer", "0B"}, o.flags...)
	const p99, overflow = "healthy delivery", "server says dropped: overflow"
	return row{
		name: "isolation", shows: "1,000 clients, 4 KiB at 15/s, DROP_OLDEST lane of 16: what 200 stalled ones do to the others", pairs: s.pairs(5),
		variants: []variant{
			{name: without, run: bench(server{}, reading, nil)},
			{name: with, run: bench(server{}, o, nil)},
		},
		judge: func(f *finding) {
			before, after := f.p99s(without, p99), f.p99s(with, p99)
			over := rig.Pairwise(after, before, func(a, b float64) float64 { return a - max(isolationRatio*b, b+isolationExtra) })
			f.expect("p99 of the healthy, over the limit of max(1.2x, +3 ms)", median(over), "ms", atMost, 0)
			f.show("with 200 stalled", median(after), "ms")
			f.show("with none", median(before), "ms")
			f.expect("server RSS grown", difference(f.figures(with, "server RSS at most"), f.figures(with, "server RSS idle")), "B", atMost, 16<<20)
			f.expect("cut", median(f.counts(with, cutCauses...))+f.median(with, "slow clients cut, times"), "", atMost, 0)
			f.show("dropped for full lanes: 0 would mean that nobody was stalled", median(f.counts(with, overflow)), "")
		},
	}
}

// slowReaders are on narrow links, all of them.
func slowReaders(s size) row {
	clients := s.clients(10_100)
	slow := clients * 100 / 101 // 10,000; the others show that the feed goes on
	o := load{
		scenario: "slow", clients: clients, hold: s.time(3 * time.Second), warmup: s.time(time.Second),
		duration: s.time(90 * time.Second), metrics: true,
		flags: []string{
			"--topic", feedLane, "--rate", "50", "--size", "1KiB", "--slow", strconv.Itoa(slow), "--read", "1KiB/s", "--receive-buffer", "8KiB",
			"--expect-drops",
		},
	}
	return row{
		name: "slow-readers", shows: "10,000 clients read 1 KiB/s of a feed of 1 KiB at 50/s, DROP_OLDEST lane of 16, for " + o.duration.String(), pairs: 1,
		variants: []variant{{name: weir, run: bench(server{}, o, nil)}},
		judge: func(f *finding) {
			grown := difference(f.figures(weir, "server RSS at most"), f.figures(weir, "server RSS idle"))
			f.expect("user memory per client over idle", grown/float64(slow), "B", atMost, 2000)
			f.expect("cut", median(f.counts(weir, cutCauses...))+f.median(weir, "slow clients cut, times"), "", atMost, 0)
			kernel := difference(f.figures(weir, "kernel TCP memory at most"), f.figures(weir, "kernel TCP memory before"))
			f.show("kernel memory per client, both ends", kernel/float64(clients), "B")
			f.show("read by each", f.median(weir, "slow bytes read, each"), "B/s")
			f.show("p99 age of what they read", median(f.p99s(weir, "slow: age of what they read"))/1000, "s")
		},
	}
}
