package loadtest

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
)

const (
	drainMost  = 10 * time.Second // for what is under way when the feed ends
	drainQuiet = 2 * time.Second  // without a delivery: nothing more comes
)

// drain stops publishing and waits until all that was published has come to these groups, or nothing more comes. The
// publisher stays connected meanwhile: a server may forget what a client that has left has sent.
func (b *bench) drain(ctx context.Context, groups ...*tally) error {
	if b.feed == nil || b.run.Interrupted || b.feed.end() != nil {
		return nil
	}
	var last int64
	quiet := time.Now()
	return b.watch(ctx, wait{phase: "draining", atMost: drainMost, every: closely, until: func() bool {
		var got, want int64
		for _, t := range groups {
			got += t.all.Deliveries
			want += b.published() * int64(t.all.Ready)
		}
		if got != last {
			last, quiet = got, time.Now()
		}
		return got >= want || time.Since(quiet) > drainQuiet
	}})
}

// whole says of a group whether it was there from the first message to the last, so that all of them had to come.
type whole bool

// judge checks what was delivered to clients that read as fast as they can.
func (b *bench) judge(t *tally, w whole) {
	label := b.label(t)
	b.run.Counts = append(b.run.Counts, t.checks(label)...)
	got := t.all.Deliveries
	if got == 0 {
		b.verdict(false, "%s", b.nothingCame(label))
		return
	}
	missing := t.missing()
	if bool(w) && b.feed != nil && !b.run.Interrupted && t.lost() == 0 {
		want := b.published() * int64(t.all.Ready)
		missing = max(missing, want-(got-t.all.Duplicates)) // those at the end leave no gap
	}
	gaps := missing > 0 && !b.o.Feed.DropsExpected
	if gaps {
		b.verdict(false, "%s%s messages missing in %s deliveries (gaps)", label, thousands(missing), thousands(got))
	}
	if t.all.Disorder > 0 {
		b.verdict(false, "%s%s deliveries out of order (disorder)", label, thousands(t.all.Disorder))
	}
	if t.all.Duplicates > 0 {
		b.verdict(false, "%s%s deliveries twice (duplicates)", label, thousands(t.all.Duplicates))
	}
	if !gaps && t.all.Disorder+t.all.Duplicates == 0 {
		without := "no gaps, "
		if b.o.Feed.DropsExpected {
			without = fmt.Sprintf("%s missing as expected, ", thousands(missing))
		}
		b.verdict(true, "%s%s deliveries: %snone out of order, none twice", label, thousands(got), without)
	}
}

func (b *bench) nothingCame(label string) string {
	if b.feed == nil {
		return label + "no message came: somebody else has to publish them (--publish none)"
	}
	return fmt.Sprintf("%snone of %s published messages came: may clients publish to this topic (clientPublish: allow, or --publish api), "+
		"and is the event named %q?", label, thousands(b.published()), b.o.Feed.Topic)
}

// faithful judges that no client was cut by the server or lost on the way.
func (b *bench) faithful(t *tally) {
	if n := t.lost(); n > 0 {
		b.verdict(false, "%s%s times a client lost its connection: %s", b.label(t), thousands(n), reasons(t.all.Lost))
	}
}

// perSecond is n over the measured time; NaN, which is shown as missing, if the run was over before.
func (b *bench) perSecond(n int64) float64 {
	if b.run.Seconds == 0 {
		return math.NaN()
	}
	return float64(n) / b.run.Seconds
}

// deliveryFigures are what a group of readers received while measuring.
func (b *bench) deliveryFigures(t *tally) {
	prefix := b.prefix(t)
	b.mainFigure(prefix+"deliveries/s", b.perSecond(t.measured.Deliveries), "/s", "")
	b.run.Latencies = append(b.run.Latencies, report.Latency{Name: prefix + "delivery", Histogram: t.measured.Latency})
}

// feedFigures say what was published while measuring.
func (b *bench) feedFigures() {
	if b.feed == nil || b.run.Seconds == 0 {
		return
	}
	b.figure("published/s", b.perSecond(b.ended.published-b.begun.published), "/s", "")
	if b.feed.end() == nil && b.feed.answered != nil {
		b.run.Latencies = append(b.run.Latencies, report.Latency{Name: "publish, until it was answered", Histogram: b.feed.answered})
	}
	if b.feed.rate > 0 {
		b.figure("publisher late, at most", float64(b.feed.late.Load())/1e3, "ms",
			"behind its schedule; counted into the latency of what it sent")
	}
}

// cpuFigures say what the server spent while measuring, for each million of n things.
func (b *bench) cpuFigures(n int64, things string) {
	cpu, ok := b.ended.server.grown(b.begun.server, gaugeCPU)
	if !ok || b.run.Seconds == 0 {
		return
	}
	if n > 0 {
		b.mainFigure("server CPU s per million "+things, cpu/float64(n)*1e6, "s", "")
	}
	b.figure("server CPUs used", cpu/b.run.Seconds, "", "1 is a full core")
}

// memoryFigures compare the server before the first client with its highest while measuring.
func (b *bench) memoryFigures() {
	for _, g := range []gauge{gaugeRSS, gaugeKernelTCP} {
		if before, ok := b.first[g]; ok {
			b.figure(named(g)+" before", before, "B", "without clients")
			if most, ok := b.peak[g]; ok {
				b.figure(named(g)+" at most", most, "B", "while measuring, once a second")
			}
		}
	}
}

// named is a gauge of the server, or of the whole machine.
func named(g gauge) string {
	if g == gaugeKernelTCP {
		return string(g)
	}
	return "server " + string(g)
}
