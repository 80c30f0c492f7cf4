package main

import "time"

// tlsRows are about servers that speak TLS.
func tlsRows(s size) []row {
	const (
		coming, feed = ", coming", ", a feed"
		cost, held   = "server CPU per connect", "server RSS per connection, held"
	)
	ways := []variant{}
	connect := load{
		scenario: "connect", clients: s.clients(4000), hold: s.time(5 * time.Second), flags: []string{"--topic", "tick"},
	}
	fed := load{
		scenario: "fanout", clients: s.clients(500), warmup: s.time(3 * time.Second), duration: s.time(8 * time.Second), flags: []string{"--rate", "20"},
	}
	for _, v := range []variant{{name: weir}, {name: socketio, peer: true}} {
		server := server{tls: true}
		if v.peer {
			server.program = npmServer
		}
		ways = append(ways,
			variant{name: v.name + coming, peer: v.peer, run: bench(server, connect, nil)},
			variant{name: v.name + feed, peer: v.peer, run: bench(server, fed, nil)})
	}
	return []row{{
		name: "tls", shows: "4,000 clients that come over TLS 1.3, and 20 messages a second to each of 500, beside npm's over TLS", pairs: s.pairs(3),
		variants: ways,
		judge: func(f *finding) {
			f.expect("times socket.io's handshakes/s", ratio(f.figures(weir+coming, connects), f.figures(socketio+coming, connects)), "x", atLeast, 1)
			f.expect("of socket.io's CPU for a handshake", ratio(f.figures(weir+coming, cost), f.figures(socketio+coming, cost)), "x", atMost, 1)
			f.expect("of socket.io's memory of a client", ratio(f.figures(weir+coming, held), f.figures(socketio+coming, held)), "x", atMost, 1)
			f.expect("of socket.io's CPU for a delivery", ratio(f.figures(weir+feed, perMillion), f.figures(socketio+feed, perMillion)), "x", atMost, 1)
			for _, name := range []string{weir, socketio} {
				f.show(name+", handshakes/s", f.median(name+coming, connects), "/s")
				f.show(name+", CPU for a handshake", f.median(name+coming, cost), "us")
				f.show(name+", memory of a client", f.median(name+coming, held), "B")
				f.show(name+", "+perMillion, f.median(name+feed, perMillion), "s")
			}
		},
	}}
}
