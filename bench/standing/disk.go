package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// spillConfig is the configuration of servers with a topic that spills, beside the usual one.
const spillConfig = "spill.yaml"

// What a journal's directory is seen to hold at the end of a trial, and the server's goroutines then.
const (
	diskBytes  = "bytes on disk"
	diskFiles  = "files on disk"
	goroutines = "goroutines"
)

const payload = 1 << 10 // bytes of a message of these rows

// journaled is a trial of a server whose journal has a directory of its own, beside the results: a disk and no memory.
func journaled(s server, o load) trial {
	return func(ctx context.Context, l *lab, file string) (run *report.Run, err error) {
		beside, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp(beside, "journal-")
		if err != nil {
			return nil, fmt.Errorf("make a directory for the journal: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		s := s
		s.set = append([]string{"journal.path=" + dir}, s.set...)
		return bench(s, o, func(c course) []report.Figure {
			return append(stored(dir), report.Figure{Name: goroutines, Value: c.last("go_goroutines")})
		})(ctx, l, file)
	}
}

// stored is what a directory holds; NaN if that cannot be told.
func stored(dir string) []report.Figure {
	var bytes, files float64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if st, ok := i.Sys().(*syscall.Stat_t); ok {
			bytes += float64(st.Blocks) * 512 // what it takes of the disk
		}
		return nil
	})
	if err != nil {
		bytes, files = math.NaN(), math.NaN()
	}
	return []report.Figure{{Name: diskBytes, Value: bytes, Unit: "B"}, {Name: diskFiles, Value: files}}
}

// last is a metric at the last look; NaN without any.
func (c course) last(name string) float64 {
	if len(c.samples) == 0 {
		return math.NaN()
	}
	v, ok := c.samples[len(c.samples)-1].metrics[name]
	if !ok {
		return math.NaN()
	}
	return v
}

// diskRows are about clients that are behind what is on the disk.
func diskRows(s size) []row {
	return []row{catchUpAlone(s), catchUpMany(s), publishBeside(s), unusedJournal(s)}
}

// catching is clients that stall for so many messages, published over HTTP: that they come through a client would cost the
// server as much again.
func catching(s size, clients, messages, rate int) load {
	if s.once {
		messages = 500
	}
	return load{
		scenario: "catchup", clients: s.clients(clients), management: true,
		flags: []string{"--topic", "spill", "--publish", "batch", "--rate", strconv.Itoa(rate), "--size", strconv.Itoa(payload) + "B", "--messages", strconv.Itoa(messages)},
	}
}

func messages(f *finding, variant string) float64 {
	return median(f.counts(variant, "deliveries, all")) / median(f.column(variant, clientsOf))
}

func clientsOf(r *report.Run) float64 {
	for _, s := range r.Settings {
		if n, err := strconv.ParseFloat(s.Value, 64); s.Name == "clients" && err == nil {
			return n
		}
	}
	return math.NaN()
}

// catchUpAlone holds what one client reads from the disk against what the same client reads of a feed as it goes.
func catchUpAlone(s size) row {
	const behind, live = "from the disk", "live"
	alive := load{
		scenario: "fanout", clients: 1, warmup: s.time(2 * time.Second), duration: s.time(4 * time.Second), management: true,
		flags: []string{"--topic", "wide", "--publish", "batch", "--window", "1024", "--size", strconv.Itoa(payload) + "B"},
	}
	return row{
		name: "catchup-1", shows: "one client that stalled for 200,000 messages of 1 KiB reads them, beside the same client live", pairs: s.pairs(3),
		variants: []variant{
			{name: behind, run: journaled(server{config: spillConfig}, catching(s, 1, 200_000, 20_000))},
			{name: live, run: journaled(server{config: spillConfig}, alive)},
		},
		judge: func(f *finding) {
			f.expect("deliveries/s of those it reads live", ratio(f.figures(behind, deliveries), f.figures(live, deliveries)), "x", atLeast, 0.8)
			f.show("from the disk, deliveries/s", f.median(behind, deliveries), "/s")
			f.show("live, deliveries/s", f.median(live, deliveries), "/s")
			f.show(perMillion+", from the disk", f.median(behind, perMillion), "s")
			f.show(perMillion+", live, publishing included", f.median(live, perMillion), "s")
			f.show(toolShare, f.median(behind, toolShare), "%")
		},
	}
}

// catchUpMany is many clients behind one feed: one copy on disk, and nothing held for each but its lane. What one of them costs is
// the difference between many and a fifth of them: so that what the server needs for the first one alone is not taken for it.
func catchUpMany(s size) row {
	const some = "a fifth"
	many := catching(s, 1000, 10_000, 5000)
	fewer := catching(s, many.clients/5, 10_000, 5000)
	host := server{config: spillConfig, set: []string{"management.pprof=true"}}
	return row{
		name: "catchup-1000", shows: "1,000 clients stall for 10,000 messages of 1 KiB at 5,000/s, then read them; beside 200", pairs: s.pairs(3),
		variants: []variant{{name: weir, run: journaled(host, many)}, {name: some, run: journaled(host, fewer)}},
		judge: func(f *finding) {
			const grown = "server memory grown while they stalled"
			all, few := float64(many.clients), float64(fewer.clients)
			each := rig.Pairwise(f.figures(weir, grown), f.figures(some, grown), func(a, b float64) float64 { return (a - b) / (all - few) })
			fixed := rig.Pairwise(f.figures(some, grown), each, func(a, each float64) float64 { return a - few*each })
			published := messages(f, weir) * payload
			f.expect("bytes on disk over those of the payloads", f.median(weir, diskBytes)/published, "x", atMost, 1.1)
			f.expect("memory for one client more that is behind", median(each), "B", atMost, 4<<10)
			f.show("memory for being behind at all: the log's tail, blocks, buffers", median(fixed), "B")
			f.expect("deliveries/s while they catch up", f.median(weir, deliveries), "/s", atLeast, 200_000)
			f.show(perMillion, f.median(weir, perMillion), "s")
			f.show("server CPUs used", f.median(weir, "server CPUs used"), "")
			f.show(toolShare, f.median(weir, toolShare), "%")
		},
	}
}

// What clients that spill may add to the p99 of a publisher, whichever allows more.
const (
	publishRatio = 1.5
	publishExtra = 2.0 // ms
)

// publishBeside is what a publisher waits while others spill what it publishes.
func publishBeside(s size) row {
	const without, with = "nobody behind", "1,000 behind"
	feed := []string{"--topic", "spill", "--publish", "api", "--rate", "500", "--size", strconv.Itoa(payload) + "B"}
	alone := load{
		scenario: "fanout", clients: 1, warmup: s.time(3 * time.Second), duration: s.time(10 * time.Second), management: true, flags: feed,
	}
	beside := alone
	beside.scenario, beside.clients = "slow", s.clients(1001)
	beside.flags = append([]string{"--slow", strconv.Itoa(beside.clients - 1)}, feed...)
	return row{
		name: "publish-spilling", shows: "p99 of a publisher of 1 KiB at 500/s while 1,000 clients are behind, over that with one that reads", pairs: s.pairs(3),
		variants: []variant{
			{name: without, run: journaled(server{config: spillConfig}, alone)},
			{name: with, run: journaled(server{config: spillConfig}, beside)},
		},
		judge: func(f *finding) {
			const p99 = "publish, until it was answered"
			before, after := f.p99s(without, p99), f.p99s(with, p99)
			over := rig.Pairwise(after, before, func(a, b float64) float64 { return a - max(publishRatio*b, b+publishExtra) })
			f.expect("p99 of the publisher, over the limit of max(1.5x, +2 ms)", median(over), "ms", atMost, 0)
			f.show("with 1,000 behind", median(after), "ms")
			f.show("with nobody", median(before), "ms")
		},
	}
}

// unusedJournal is a server that could write to a disk, and has no topic that needs it.
func unusedJournal(s size) row {
	const without, with = "no journal", "a journal"
	o := closed(s, 1000, 16)
	return row{
		name: "journal-unused", shows: "the fan-out of fanout-1000 with a journal that no topic needs", pairs: s.pairs(5),
		variants: []variant{
			{name: without, run: bench(server{}, o, func(c course) []report.Figure {
				return []report.Figure{{Name: goroutines, Value: c.last("go_goroutines")}}
			})},
			{name: with, run: journaled(server{}, o)},
		},
		judge: func(f *finding) {
			f.expect("files written", f.median(with, diskFiles), "", atMost, 0)
			f.expect("goroutines more", difference(f.figures(with, goroutines), f.figures(without, goroutines)), "", atMost, 0)
			f.expect("CPU for a delivery over that without", ratio(f.figures(with, perMillion), f.figures(without, perMillion)), "x", atMost, 1.05)
		},
	}
}
