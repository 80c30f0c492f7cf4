package main

import "time"

// eventLoad is a closed loop of clients that send.
func eventLoad(s size) load {
	return load{
		scenario: "events", clients: s.clients(1000), warmup: s.time(2 * time.Second), duration: s.time(8 * time.Second),
		flags: []string{"--window", "4"},
	}
}

// eventRows are about clients that send.
func eventRows(s size) []row {
	o := eventLoad(s)
	const latency, rate = "event until its ack", "events/s"
	return []row{{
		name: "events-1000", shows: "events with ack, 4 in flight per client; a handler decodes each on a worker", pairs: s.pairs(5),
		variants: []variant{
			{name: weir, run: bench(server{program: appServer}, o, nil)},
			{name: socketio, peer: true, run: bench(server{program: npmServer}, o, nil)},
		},
		judge: func(f *finding) {
			f.expect("times socket.io's events/s", ratio(f.figures(weir, rate), f.figures(socketio, rate)), "x", atLeast, 3.5)
			f.expect("p99 until the ack, over socket.io's", ratio(f.p99s(weir, latency), f.p99s(socketio, latency)), "x", atMost, 0.5)
			f.show(rate, f.median(weir, rate), "/s")
			f.show("p99 until the ack", median(f.p99s(weir, latency)), "ms")
			f.show("socket.io, events/s", f.median(socketio, rate), "/s")
			f.show("socket.io, p99", median(f.p99s(socketio, latency)), "ms")
		},
	}}
}
