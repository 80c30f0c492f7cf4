package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// What is under way at a time: redis-benchmark has 50 connections with 32 commands each; a log has room for 1,024 records.
const (
	benchmarkClients, benchmarkPipeline = 50, 32
	publishers                          = benchmarkClients * benchmarkPipeline
	appenders                           = 512
)

// redisRows are about what nodes tell each other over Redis, beside its own benchmark.
func redisRows(s size) []row {
	const tool, perSecond, alone = "redis-benchmark", "requests/s", "alone, until heard, p50"
	payload := strings.Repeat("p", 128)
	d := s.time(3 * time.Second)
	between := func(what string, clients int) trial {
		return onRedis(func(ctx context.Context, l *lab, at string) ([]byte, error) {
			return rig.Output(ctx, rig.Command{CPU: l.loadCPU, Args: []string{
				l.floor, what, "-to", at, "-clients", strconv.Itoa(clients), "-size", strconv.Itoa(len(payload)), "-duration", d.String(),
			}})
		})
	}
	return []row{{
		name: "redis-publish", shows: "128 B from 1,600 publishers of one node until another has heard them, over PUBLISH of redis-benchmark that nobody hears", pairs: s.pairs(5),
		variants: []variant{
			{name: weir, run: between("nodes", publishers)},
			{name: tool, run: redisBenchmark(s, "PUBLISH", "bench", payload)},
		},
		judge: func(f *finding) {
			f.expect("messages/s, of redis-benchmark's", ratio(f.figures(weir, "messages/s"), f.figures(tool, perSecond)), "x", atLeast, 0.7)
			f.expect("p50 of one alone, until heard", f.median(weir, alone), "ms", atMost, 1)
			f.show("messages/s", f.median(weir, "messages/s"), "/s")
			f.show("redis-benchmark, PUBLISH/s", f.median(tool, perSecond), "/s")
		},
	}, {
		name: "redis-append", shows: "records of 128 B from 512 publishers to one topic with its log at Redis, delivered on both nodes, over pipelined XADD of redis-benchmark", pairs: s.pairs(5),
		variants: []variant{
			{name: weir, run: between("order", appenders)},
			{name: tool, run: redisBenchmark(s, "XADD", "bench", "MAXLEN", "~", "10000", "*", "d", payload)},
		},
		judge: func(f *finding) {
			f.expect("records/s, of redis-benchmark's", ratio(f.figures(weir, "records/s"), f.figures(tool, perSecond)), "x", atLeast, 0.5)
			f.expect("p50 of one alone, until delivered", f.median(weir, alone), "ms", atMost, 1)
			f.show("records/s", f.median(weir, "records/s"), "/s")
			f.show("redis-benchmark, XADD/s", f.median(tool, perSecond), "/s")
		},
	}}
}

// onRedis is a trial that asks a Redis of its own, which keeps nothing on disk, and prints its run.
func onRedis(ask func(ctx context.Context, l *lab, at string) ([]byte, error)) trial {
	return func(ctx context.Context, l *lab, file string) (run *report.Run, err error) {
		for _, program := range []string{"redis-server", "redis-benchmark"} {
			if _, err := exec.LookPath(program); err != nil {
				return nil, errNotMeasured("there is no " + program + " here: make deps installs it")
			}
		}
		ctx, cancel := context.WithTimeout(ctx, mostOfATrial)
		defer cancel()
		d, err := rig.StartDaemon(ctx, func(port string) rig.Command {
			return rig.Command{CPU: l.serverCPU, Args: []string{
				"redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning",
			}}
		})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, d.Stop()) }()
		said, err := ask(ctx, l, d.Addr)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, said, 0o644); err != nil {
			return nil, fmt.Errorf("keep the run: %w", err)
		}
		return readRun(file)
	}
}

// redisBenchmark is a trial of redis-benchmark with a command.
func redisBenchmark(s size, command ...string) trial {
	return onRedis(func(ctx context.Context, l *lab, at string) ([]byte, error) {
		_, port, _ := strings.Cut(at, ":")
		said, err := rig.Output(ctx, rig.Command{CPU: l.loadCPU, Args: append([]string{
			"redis-benchmark", "-p", port, "-c", strconv.Itoa(benchmarkClients), "-P", strconv.Itoa(benchmarkPipeline),
			"-n", strconv.Itoa(s.clients(1_000_000)), "--csv",
		}, command...)})
		if err != nil {
			return nil, err
		}
		rate, err := benchmarkRate(string(said))
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		run := report.Run{
			Scenario: "redis-benchmark", Target: "redis at " + at, Title: command[0] + " of redis-benchmark", Machine: report.ThisMachine(),
			Figures: []report.Figure{{Name: "requests/s", Value: rate, Unit: "/s", Main: true}},
		}
		err = run.WriteJSON(&b)
		return []byte(b.String()), err
	})
}

// benchmarkRate is requests a second of what redis-benchmark --csv prints: a line of titles, and one of figures.
func benchmarkRate(said string) (float64, error) {
	lines, err := csv.NewReader(strings.NewReader(said)).ReadAll()
	if err != nil || len(lines) != 2 || len(lines[1]) < 2 || lines[0][1] != "rps" {
		return 0, fmt.Errorf("redis-benchmark has printed %.300q", said)
	}
	return strconv.ParseFloat(lines[1][1], 64)
}
