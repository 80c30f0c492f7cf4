package main

import (
	"strconv"
	"time"
)

const (
	deliveries   = "deliveries/s"
	perMillion   = "server CPU s per million deliveries"
	toolShare    = "load tool, share of its core"
	mostToolBusy = 60 // %: beyond that the tool could be what limits a server
)

// closed is a closed loop to clients of the topic tick.
func closed(s size, clients, window int) load {
	return load{
		scenario: "fanout", clients: s.clients(clients), warmup: s.time(3 * time.Second), duration: s.time(8 * time.Second),
		flags: []string{"--window", strconv.Itoa(window)},
	}
}

func fanoutRows(s size) []row {
	return []row{
		fanout(s, "fanout-1000", closed(s, 1000, 16), 7, 0.13),
		fanout(s, "fanout-10000", closed(s, 10_000, 4), 5.5, 0.18),
		onePerSend(s), reliable(s), overHTTP(s),
	}
}

// fanout is Weir beside npm's socket.io: so many times its deliveries/s, for at most so much of its CPU for each.
func fanout(s size, name string, o load, times, share float64) row {
	return row{
		name: name, shows: "128 B to each of so many clients in a closed loop, on one core", pairs: s.pairs(3),
		variants: []variant{
			{name: weir, run: bench(server{}, o, nil)},
			{name: socketio, peer: true, run: bench(server{program: npmServer}, o, nil)},
		},
		judge: func(f *finding) {
			f.expect("times socket.io's deliveries/s", ratio(f.figures(weir, deliveries), f.figures(socketio, deliveries)), "x", atLeast, times)
			f.expect("of socket.io's CPU for a delivery", ratio(f.figures(weir, perMillion), f.figures(socketio, perMillion)), "x", atMost, share)
			f.show(deliveries, f.median(weir, deliveries), "/s")
			f.show(perMillion, f.median(weir, perMillion), "s")
			f.show("socket.io, deliveries/s", f.median(socketio, deliveries), "/s")
			f.expect("load tool beside socket.io, share of its core", f.median(socketio, toolShare), "%", atMost, mostToolBusy)
		},
	}
}

// rawSend is what the kernel alone takes for a send of one message, in microseconds.
const rawSend = "CPU per send"

// The load of one-per-send: slow enough that no two messages share a send.
const oneRate = 10 // messages a second

func oneTime(s size) time.Duration { return s.time(10 * time.Second) }

// rawSends is the floor of one-per-send.
func rawSends(s size) trial {
	return floor("sendto", "-clients", strconv.Itoa(s.clients(1000)), "-rate", strconv.Itoa(oneRate), "-size", "132", "-duration", oneTime(s).String())
}

func onePerSend(s size) row {
	o := load{
		scenario: "fanout", clients: s.clients(1000), warmup: s.time(2 * time.Second), duration: oneTime(s),
		flags: []string{"--rate", strconv.Itoa(oneRate)},
	}
	return row{
		name: "one-per-send", shows: "CPU per delivery over a raw sendto: 1,000 clients, 10 messages a second", pairs: s.pairs(3),
		variants: []variant{
			{name: weir, run: bench(server{}, o, nil)},
			{name: "floor", run: rawSends(s)},
			{name: socketio, peer: true, run: bench(server{program: npmServer}, o, nil)},
		},
		judge: func(f *finding) {
			lowest := f.figures("floor", rawSend)
			f.expect("CPU per delivery over sendto", ratio(f.figures(weir, perMillion), lowest), "x", atMost, 1.4)
			f.show("CPU per delivery", f.median(weir, perMillion), "us")
			f.show("CPU per raw send", median(lowest), "us")
			f.show("socket.io over sendto", ratio(f.figures(socketio, perMillion), lowest), "x")
		},
	}
}

// reliable acknowledges everything, as the official clients of an AT_LEAST_ONCE topic do, beside the fan-out of
// fanout-1000, where nothing is acknowledged.
func reliable(s size) row {
	const plain = "not acknowledged"
	o := closed(s, 1000, 32)
	o.flags = append(o.flags, "--topic", "orders", "--ack")
	return row{
		name: "reliable", shows: "AT_LEAST_ONCE to 1,000 clients, each delivery acknowledged, window 32", pairs: s.pairs(3),
		variants: []variant{
			{name: weir, run: bench(server{}, o, nil)},
			{name: plain, run: bench(server{}, closed(s, 1000, 16), nil)},
		},
		judge: func(f *finding) {
			f.expect("CPU for a delivery, over one that is not acknowledged", ratio(f.figures(weir, perMillion), f.figures(plain, perMillion)), "x", atMost, 2.5)
			f.show(deliveries, f.median(weir, deliveries), "/s")
			f.show(perMillion, f.median(weir, perMillion), "s")
			f.show("not acknowledged, deliveries/s", f.median(plain, deliveries), "/s")
			f.show(toolShare, f.median(weir, toolShare), "%")
		},
	}
}

// overHTTP is the fan-out of fanout-1000 in a container of one CPU, published over HTTP: a busy event loop must leave
// net/http its turn (architecture.md D8). Posting is one request after another, each of which waits for its answer, so it is
// shown and not judged.
func overHTTP(s size) row {
	const batch, posts = "weir, HTTP batch", "weir, HTTP posts"
	one := server{env: []string{"GOMAXPROCS=1"}}
	o := closed(s, 1000, 16)
	over := func(how string) load {
		p := o
		p.management, p.flags = true, append([]string{"--publish", how}, o.flags...)
		return p
	}
	return row{
		name: "gomaxprocs1", shows: "GOMAXPROCS=1, published over HTTP under the fan-out of fanout-1000", pairs: s.pairs(3),
		variants: []variant{
			{name: weir, run: bench(server{}, o, nil)},
			{name: batch, run: bench(one, over("batch"), nil)},
			{name: posts, run: bench(one, over("api"), nil)},
		},
		judge: func(f *finding) {
			base := f.figures(weir, deliveries)
			f.expect("deliveries/s over HTTP, of those published by a client", ratio(f.figures(batch, deliveries), base), "x", atLeast, 0.85)
			f.show(batch, f.median(batch, deliveries), "/s")
			f.show("one POST after another, of those published by a client", ratio(f.figures(posts, deliveries), base), "x")
		},
	}
}
