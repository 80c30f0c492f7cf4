package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

const (
	requests    = "requests/s"
	answerBytes = "bytes of an answer"
	serverShare = "server, share of its core"
	posters     = 64
	answerOfOne = 235 // bytes of an answer to POST /api/publish, with its head
	serverBusy  = 90  // %: under that something else limits a bare handler, which would flatter Weir
)

// publishRows are about what is published over HTTP, to a topic without subscribers.
func publishRows(s size) []row {
	d := s.time(8 * time.Second)
	const bare, cost = "bare handler", "server CPU per request"
	const messages = "messages/s"
	return []row{{
		name: "publish", shows: "POST /api/publish over a bare net/http handler that reads the same and answers as many bytes", pairs: s.pairs(3),
		variants: []variant{
			{name: weir, run: asking(server{}, "post", d)},
			{name: bare, run: bareAsLast(d)},
		},
		judge: func(f *finding) {
			f.expect("requests/s, of those of the bare handler", ratio(f.figures(weir, requests), f.figures(bare, requests)), "x", atLeast, 0.6)
			f.expect("bare handler, share of its core", f.median(bare, serverShare), "%", atLeast, serverBusy)
			f.show(serverShare, f.median(weir, serverShare), "%")
			f.show(requests, f.median(weir, requests), "/s")
			f.show("bare handler, requests/s", f.median(bare, requests), "/s")
			f.show("CPU per request, over that of the bare handler", ratio(f.figures(weir, cost), f.figures(bare, cost)), "x")
			f.show(answerBytes, f.median(weir, answerBytes), "B")
			f.show("bytes of an answer of the bare handler", f.median(bare, answerBytes), "B")
			f.show("load tool beside the bare handler, share of its core", f.median(bare, toolShare), "%")
		},
	}, {
		name: "publish-batch", shows: "lines of one POST /api/publish/batch without subscribers, on one core", pairs: s.pairs(3),
		variants: []variant{
			{name: weir, run: asking(server{}, "batch", d)},
			{name: bare, run: asking(server{program: bareServer, answer: answerOfOne}, "post", d)},
		},
		judge: func(f *finding) {
			f.expect("messages/s, over requests/s of the bare handler", ratio(f.figures(weir, messages), f.figures(bare, requests)), "x", atLeast, 9)
			f.expect("bare handler, share of its core", f.median(bare, serverShare), "%", atLeast, serverBusy)
			f.show(messages, f.median(weir, messages), "/s")
			f.show("bare handler, requests/s", f.median(bare, requests), "/s")
			f.show("CPU per message", f.median(weir, "server CPU per message"), "us")
			f.show(serverShare, f.median(weir, serverShare), "%")
			f.show(toolShare, f.median(weir, toolShare), "%")
		},
	}}
}

// asking is a trial of a server under the post or batch of bench/floor.
func asking(s server, what string, d time.Duration) trial {
	return func(ctx context.Context, l *lab, file string) (run *report.Run, err error) {
		ctx, cancel := context.WithTimeout(ctx, mostOfATrial)
		defer cancel()
		server, err := rig.StartServer(ctx, l.command(s, nil))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		at := "management"
		if s.program == bareServer {
			at = "bench"
		}
		said, err := rig.Output(ctx, rig.Command{CPU: l.loadCPU, Args: []string{
			l.floor, what, "-to", server.Addr(at), "-pid", strconv.Itoa(server.PID()), "-clients", strconv.Itoa(posters), "-duration", d.String(),
		}})
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, said, 0o644); err != nil {
			return nil, fmt.Errorf("keep the run: %w", err)
		}
		if run, err = readRun(file); err == nil {
			l.last = run
		}
		return run, err
	}
}

// bareAsLast is a bare handler whose answers are as long as those of the server before.
func bareAsLast(d time.Duration) trial {
	return func(ctx context.Context, l *lab, file string) (*report.Run, error) {
		bytes := 0.0
		if l.last != nil {
			bytes = figure(l.last, answerBytes)
		}
		if !(bytes > 0) {
			return nil, errors.New("the run before says nothing of the bytes of an answer")
		}
		return asking(server{program: bareServer, answer: int(bytes + 0.5)}, "post", d)(ctx, l, file)
	}
}
