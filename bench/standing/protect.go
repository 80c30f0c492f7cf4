package main

import (
	"strconv"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
)

// What a client that floods, or many whose handlers compute, may do to the deliveries of others.
const (
	protectedRatio = 1.3
	floodExtra     = 3.0  // ms
	burnExtra      = 10.0 // ms
)

// others are 500 clients that are delivered something meanwhile.
func others(s size, duration time.Duration) load {
	return load{
		scenario: "fanout", clients: s.clients(500), warmup: s.time(2 * time.Second), duration: s.time(duration),
		flags: []string{"--rate", "20"},
	}
}

// protectRows are about what one client can do to others.
func protectRows(s size) []row { return []row{flood(s), burning(s), limited(s)} }

// flood is one client that sends far more than it may.
func flood(s size) row {
	const (
		without, delivery, sent = "without", "delivery", "beside, events/s"
		rate, allowed           = 10_000, 100 // events a second
	)
	alone := others(s, 20*time.Second)
	flooded := alone
	flooded.beside = &load{
		scenario: "events", clients: 1, warmup: s.time(time.Second), duration: s.time(time.Minute),
		flags: []string{"--rate", strconv.Itoa(rate), "--size", "1KiB", "--window", "65536"},
	}
	r := row{
		name: "flood", shows: "500 clients at 20 messages a second, and one that sends 10,000 events of 1 KiB a second where 100 are allowed", pairs: s.pairs(3),
		variants: []variant{{name: without, run: bench(server{program: appServer}, alone, nil)}},
	}
	actions := []string{"throttle", "drop", "disconnect"}
	for _, action := range actions {
		o := server{program: appServer, flags: []string{"-inbound", action, "-messages", strconv.Itoa(allowed)}}
		r.variants = append(r.variants, variant{name: action, run: bench(o, flooded, nil)})
	}
	r.judge = func(f *finding) {
		for _, action := range actions {
			f.expect("p99 of the others, over the limit of max(1.3x, +3 ms), "+action, median(beyond(f, action, without, delivery, 99, floodExtra)), "ms", atMost, 0)
			f.show("p99 of the others, "+action, median(f.p99s(action, delivery)), "ms")
			f.show("events/s of the one, "+action, f.median(action, sent), "/s")
		}
		f.show("p99 without", median(f.p99s(without, delivery)), "ms")
	}
	return r
}

// burning is handlers that compute without an end.
func burning(s size) row {
	const without, with, delivery = "without", "50 that burn", "delivery"
	alone := others(s, 15*time.Second)
	burnt := alone
	burnt.beside = &load{
		scenario: "events", clients: s.clients(50), warmup: s.time(time.Second), duration: s.time(time.Minute),
		flags: []string{"--event", "burn", "--window", "1"},
	}
	app := server{program: appServer, everywhere: true}
	return row{
		name: "burning", shows: "500 clients at 20 messages a second, and 50 whose events each compute for 100 ms, on two cores", pairs: s.pairs(3),
		variants: []variant{{name: without, run: bench(app, alone, nil)}, {name: with, run: bench(app, burnt, nil)}},
		judge: func(f *finding) {
			f.expect("p50 of the others, over that without", ratio(f.percentiles(with, delivery, 50), f.percentiles(without, delivery, 50)), "x", atMost, protectedRatio)
			f.expect("p99 of the others, over the limit of max(1.3x, +10 ms)", median(beyond(f, with, without, delivery, 99, burnExtra)), "ms", atMost, 0)
			for _, v := range []string{without, with} {
				f.show("p50, "+v, median(f.percentiles(v, delivery, 50)), "ms")
				f.show("p99, "+v, median(f.p99s(v, delivery)), "ms")
			}
			f.show("events burnt a second", f.median(with, "beside, events/s"), "/s")
		},
	}
}

// beyond is by how much a percentile of a latency is over what protection allows, in milliseconds; below 0: within it.
func beyond(f *finding, with, without, latency string, percent, extra float64) []float64 {
	return rig.Pairwise(f.percentiles(with, latency, percent), f.percentiles(without, latency, percent), func(a, b float64) float64 {
		return a - max(protectedRatio*b, b+extra)
	})
}

// limited is what a rule costs that never fires.
func limited(s size) row {
	const without, with, rate = "without", "with a rule", "events/s"
	o := eventLoad(s)
	return row{
		name: "limited", shows: "events-1000 with a rule for the event that never fires, over events-1000 without", pairs: s.pairs(5),
		variants: []variant{
			{name: without, run: bench(server{program: appServer}, o, nil)},
			{name: with, run: bench(server{program: appServer, flags: []string{"-inbound", "throttle", "-messages", "1000000"}}, o, nil)},
		},
		judge: func(f *finding) {
			f.expect("events/s, of those without", ratio(f.figures(with, rate), f.figures(without, rate)), "x", atLeast, 0.85)
			f.show("events/s with", f.median(with, rate), "/s")
			f.show("events/s without", f.median(without, rate), "/s")
		},
	}
}
