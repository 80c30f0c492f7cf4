package main

import (
	"fmt"
	"math"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// The names of variants.
const (
	weir     = "weir"
	socketio = "socket.io"
)

// idleClients are as many as a server with 20,000 descriptors can hold beside its own.
const idleClients = 19_000

func idleRows(s size) []row {
	n := s.clients(idleClients)
	idle := load{scenario: "connect", clients: n, hold: s.time(30 * time.Second), flags: []string{"--topic", "tick"}}
	beating := idle
	beating.hold = s.time(60 * time.Second)
	return []row{{
		name: "idle-19000", shows: "user memory of an idle connection, subscribed to one topic", pairs: 1,
		variants: []variant{
			{name: weir, run: bench(server{}, idle, nil)},
			{name: "goroutine driver", run: bench(server{set: []string{"servers.bench.driver=goroutine"}}, idle, nil)},
			{name: socketio, peer: true, run: bench(server{program: npmServer}, idle, nil)},
		},
		judge: func(f *finding) {
			const held = "server RSS per connection, held"
			f.expect("RSS growth per connection after the hold", f.median(weir, held), "B", atMost, 1200)
			f.show("goroutine driver", f.median("goroutine driver", held), "B")
			f.show(socketio, f.median(socketio, held), "B")
		},
	}, {
		name: "collector", shows: "CPU time of the garbage collector beside idle connections with heartbeats", pairs: 1,
		variants: []variant{{name: weir, run: bench(server{env: []string{"GODEBUG=gctrace=1"}}, beating, collecting(n))}},
		judge: func(f *finding) {
			f.expect("collector, of the process's CPU time", ratio(f.figures(weir, collectorShare), f.figures(weir, processShare)), "x", atMost, 0.25)
			f.show(collectorShare, f.median(weir, collectorShare), "%")
			f.show("collections while they were held", f.median(weir, collectionCount), "")
			f.show("process, share of a core", f.median(weir, processShare), "%")
		},
	}}
}

const (
	collectorShare  = "collector, share of a core"
	collectionCount = "collections"
	processShare    = "process, share of a core"
)

// collecting tells what the collector cost while all clients were there.
func collecting(clients int) func(course) []report.Figure {
	return func(c course) []report.Figure {
		share, used, cycles := math.NaN(), math.NaN(), math.NaN()
		first, last, ok := c.between(func(m rig.Metrics) bool { return m["weir_connections"] >= float64(clients) })
		if ok {
			var spent time.Duration
			cycles = 0
			for _, g := range c.collections {
				if g.at.After(first.at) && !g.at.After(last.at) {
					spent += g.cpu
					cycles++
				}
			}
			span := last.at.Sub(first.at).Seconds()
			share = 100 * spent.Seconds() / span
			used = 100 * (last.used.CPU - first.used.CPU).Seconds() / span
		}
		return []report.Figure{
			{Name: collectorShare, Value: share, Unit: "%", Note: fmt.Sprintf("with %d connections; GODEBUG=gctrace=1, idle marking included", clients), Main: true},
			{Name: collectionCount, Value: cycles},
			{Name: processShare, Value: used, Unit: "%"},
		}
	}
}
