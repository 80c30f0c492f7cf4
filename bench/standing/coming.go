package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// comingRows are about clients that come, and come back.
func comingRows(s size) []row {
	n := s.clients(10_000)
	coming := load{scenario: "connect", clients: n, flags: []string{"--topic", "tick", "--hold", "0s"}}
	storm := load{
		scenario: "storm", clients: n, warmup: s.time(6 * time.Second),
		flags: []string{"--stay", strconv.Itoa(s.clients(100)), "--rate", "10", "--duration", "60s"},
	}
	return []row{{
		name: "connect-10000", shows: "clients that connect, join a namespace and subscribe, over a raw accept + 101", pairs: s.pairs(3),
		variants: []variant{
			{name: weir, run: bench(server{}, coming, nil)},
			{name: "floor", run: acceptAsLast(n)},
			{name: "floor, flat out", run: floor("accept", "-clients", strconv.Itoa(n))},
			{name: socketio, peer: true, run: bench(server{program: npmServer}, coming, nil)},
		},
		judge: func(f *finding) {
			const rate, cost, rawCost = connects, "server CPU per connect", "CPU per connect"
			f.expect("times socket.io's connects/s", ratio(f.figures(weir, rate), f.figures(socketio, rate)), "x", atLeast, 4)
			f.expect("CPU over raw accept + 101 at the same rate", ratio(f.figures(weir, cost), f.figures("floor", rawCost)), "x", atMost, 2.2)
			f.show(rate, f.median(weir, rate), "/s")
			f.show("CPU per connect", f.median(weir, cost), "us")
			f.show("CPU per raw accept + 101", f.median("floor", rawCost), "us")
			f.show("CPU per raw accept + 101, as fast as it goes", f.median("floor, flat out", rawCost), "us")
			f.show(socketio, f.median(socketio, rate), "/s")
		},
	}, {
		name: "storm-10000", shows: "all cut at once come back; latency of 100 others who stayed", pairs: s.pairs(3),
		variants: []variant{{name: weir, run: bench(server{}, storm, nil)}},
		judge: func(f *finding) {
			before, after := f.p99s(weir, "stayed: delivery before the cut"), f.p99s(weir, "stayed: delivery")
			f.expect("p99 of those who stayed, over that before the cut", ratio(after, before), "x", atMost, 2)
			f.show("before the cut", median(before), "ms")
			f.show("while they came back", median(after), "ms")
			f.show("time until all are back", f.median(weir, "time until all are back"), "s")
			f.show("failed attempts, all of which came back later", f.median(weir, "failed attempts"), "")
		},
	}}
}

const connects = "connects/s"

// acceptAsLast is the floor with clients that come as fast as they came to the server before. One that is not busy
// sleeps between two clients and is woken for each, which costs more than the calls themselves: clients that come in
// heaps are cheaper.
func acceptAsLast(clients int) trial {
	return func(ctx context.Context, l *lab, file string) (*report.Run, error) {
		rate := 0.0
		if l.last != nil {
			rate = figure(l.last, connects)
		}
		if !(rate > 0) {
			return nil, errors.New("the run before says nothing of connects/s")
		}
		flags := []string{"-clients", strconv.Itoa(clients), "-rate", strconv.FormatFloat(rate, 'f', 0, 64)}
		return floor("accept", flags...)(ctx, l, file)
	}
}
