package main

import (
	"github.com/streamweir/weir/internal/loadtest/report"
)

// strangers are as many as a process has descriptors for, beside what the server's own clients need.
const strangers = 10_500

// What strangers may cost those who come in good faith, and how much memory each of them.
const (
	strangersDelay  = 2.0      // times
	strangersMemory = 32 << 10 // B
)

// strangerRows are about connections that never ask for anything.
func strangerRows(s size) []row {
	return []row{loris(s, "loris", false), loris(s, "loris-tls", true)}
}

// loris is clients that come while strangers keep the server busy: half of a request or of a handshake, a byte a second, headers
// without an end.
func loris(s size, name string, tls bool) row {
	const (
		without, with = "without", "strangers"
		resident      = "server memory at most"
	)
	honest := load{scenario: "connect", clients: s.clients(500), flags: []string{"--topic", "tick", "--rate", "100"}}
	peak := func(c course) []report.Figure {
		most := int64(0)
		for _, x := range c.samples {
			most = max(most, x.used.Resident)
		}
		return []report.Figure{{Name: resident, Value: float64(most), Unit: "B"}}
	}
	herd := s.clients(strangers)
	r := row{
		name: name, shows: "500 clients that come, 100 a second, while 10,500 strangers keep connections and never ask", pairs: s.pairs(3),
		variants: []variant{
			{name: without, run: bench(server{tls: tls}, honest, peak)},
			{name: with, run: bench(server{tls: tls, strangers: herd}, honest, peak)},
		},
	}
	r.judge = func(f *finding) {
		const taken = "connect"
		f.expect("p50 until a client is in, over that without", ratio(f.percentiles(with, taken, 50), f.percentiles(without, taken, 50)), "x", atMost, strangersDelay)
		grown := difference(f.figures(with, resident), f.figures(without, resident)) / float64(herd)
		f.expect("memory for a stranger", grown, "B", atMost, strangersMemory)
		for _, v := range []string{without, with} {
			f.show("p50 until a client is in, "+v, median(f.percentiles(v, taken, 50)), "ms")
			f.show("p99 until a client is in, "+v, median(f.p99s(v, taken)), "ms")
			f.show(resident+", "+v, f.median(v, resident)/(1<<20), "MiB")
		}
	}
	return r
}
