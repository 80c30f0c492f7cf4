package loadtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/loadtest/swarm"
	"github.com/streamweir/weir/internal/peer"
)

// Run runs a scenario and returns its result. The end of ctx ends the run with the result so far, Interrupted. show is
// called with a line for a person about once a second; nil shows nothing.
//
// An error means that there is no result: the options are wrong, the target is refused (ErrNotOwned), or no client got
// in. What a server does to clients that got in is in the result's verdicts.
func Run(ctx context.Context, o Options, show func(line string)) (run *report.Run, err error) {
	if problems := o.Validate(); len(problems) > 0 {
		return nil, problems[0]
	}
	if err := o.Target.Admit(ctx); err != nil {
		return nil, err
	}
	if err := probe(ctx, o.Target, o.subscribed(), peer.Options{}); err != nil {
		return nil, err
	}
	if show == nil {
		show = func(string) {}
	}
	b := &bench{o: o, show: show, run: &report.Run{
		Scenario: o.Scenario, Title: o.title(), Started: time.Now(), Target: o.Target.URL + " " + o.Target.Namespace,
		Machine: report.ThisMachine(), Settings: o.told(),
	}}
	b.first = b.ask(ctx)
	if b.fleet, err = o.muster(o.population()); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.fleet.Close()) }()
	scenario := map[string]func(*bench, context.Context) error{
		Connect: (*bench).connect, Fanout: (*bench).fanout, Slow: (*bench).slow, CatchUp: (*bench).catchUp,
		Storm: (*bench).storm, Events: (*bench).events, Leak: (*bench).leak,
	}[o.Scenario]
	err = scenario(b, ctx)
	if feedErr := b.endFeed(); feedErr != nil {
		b.verdict(false, "%v", feedErr)
	}
	if err != nil {
		return nil, err
	}
	b.finish(ctx)
	return b.run, nil
}

// population is how many clients there are at once, in all groups.
func (o *Options) population() int {
	if o.Scenario == Storm {
		return o.Clients + o.Storm.Stay
	}
	return o.Clients
}

// bench is a run under way. The goroutine that called Run owns it.
type bench struct {
	o     Options
	run   *report.Run
	fleet fleet
	show  func(string)

	groups  []*tally
	feed    *feed     // nil: none, or somebody else's
	to      publisher // the feed's
	series  series
	pointed time.Time // when the last point of the series was made
	phase   string    // for the line shown
	arrived time.Time // when the last client of a gathering got in

	first     reading // before the first client
	now       reading
	measuring bool
	peak      reading // of RSS and kernel TCP memory, while measuring
	begun     moment
	ended     moment
}

// moment is when measuring began or ended.
type moment struct {
	at        time.Time
	server    reading
	published int64
}

// ask reads the server's gauges. What cannot be read once is said once, as a count of the result.
func (b *bench) ask(ctx context.Context) reading {
	r, err := b.o.Server.read(ctx)
	if err != nil && ctx.Err() == nil {
		b.count("server not readable", 1)
		b.show(err.Error())
	}
	return r
}

// add brings a group to life.
func (b *bench) add(g swarm.Group) (*tally, error) {
	if err := b.fleet.Do(order{Add: &g}); err != nil {
		return nil, err
	}
	t := newTally(g.Name)
	b.groups = append(b.groups, t)
	return t, nil
}

// take gathers what the fleet has counted.
func (b *bench) take() error {
	snapshots, err := b.fleet.Snapshot()
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		for _, t := range b.groups {
			if t.name == s.Group {
				t.take(s, b.measuring)
			}
		}
	}
	return nil
}

// wait is what a watch waits for.
type wait struct {
	phase  string        // what it is called in the line shown
	atMost time.Duration // 0: forever
	every  time.Duration // how often until is asked
	until  func() bool   // nil: until atMost
}

// The usual wait.every, and that where the moment itself is a figure.
const (
	usually = 250 * time.Millisecond
	closely = 20 * time.Millisecond
)

// watch gathers and shows until the wait is over, the context or the feed ends. Which of them it was, the caller asks.
func (b *bench) watch(ctx context.Context, w wait) error {
	b.phase = w.phase
	began := time.Now()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		if err := b.take(); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(b.pointed) >= time.Second {
			b.point(ctx, now)
		}
		if (w.until != nil && w.until()) || (w.atMost > 0 && time.Since(began) >= w.atMost) || b.broken() {
			return nil
		}
		next := max(w.every, closely)
		if w.atMost > 0 {
			next = min(next, time.Until(began.Add(w.atMost)))
		}
		tick.Reset(next)
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.run.Interrupted = true
			return b.take()
		}
	}
}

// broken reports whether the feed has failed, which ends every scenario.
func (b *bench) broken() bool { return b.feed != nil && b.feed.failed() != nil }

// over reports whether there is no point in going on.
func (b *bench) over() bool { return b.run.Interrupted || b.broken() }

// begin starts measuring: what was counted before does not count.
func (b *bench) begin(ctx context.Context) error {
	server := b.ask(ctx)
	if err := b.take(); err != nil {
		return err
	}
	for _, t := range b.groups {
		reset(&t.measured, t.name)
	}
	b.measuring, b.peak = true, reading{}
	b.begun = moment{time.Now(), server, b.published()}
	if b.feed != nil {
		b.feed.measuring.Store(true)
	}
	b.rise(server)
	return nil
}

// end ends measuring.
func (b *bench) end(ctx context.Context) error {
	if !b.measuring {
		return nil
	}
	err := b.take()
	b.measuring = false
	b.ended = moment{time.Now(), nil, b.published()}
	b.ended.server = b.ask(context.WithoutCancel(ctx))
	b.rise(b.ended.server)
	b.run.Seconds = b.ended.at.Sub(b.begun.at).Seconds()
	return err
}

// rise keeps the highest of what is in bytes.
func (b *bench) rise(r reading) {
	for _, g := range []gauge{gaugeRSS, gaugeKernelTCP} {
		if v, ok := r[g]; ok && v > b.peak[g] {
			b.peak[g] = v
		}
	}
}

func (b *bench) published() int64 {
	if b.feed == nil {
		return 0
	}
	return b.feed.published.Load()
}

// startFeed connects the publisher and lets it begin.
func (b *bench) startFeed(ctx context.Context) error {
	to, err := b.o.publisher(ctx)
	if err != nil || to == nil {
		return err
	}
	b.to, b.feed = to, newFeed(b.o.Feed, to, b.fleet.Delivered())
	go b.feed.run()
	return nil
}

// endFeed stops publishing, if there is a feed, and returns what it failed with. It may be called again.
func (b *bench) endFeed() error {
	if b.feed == nil || b.to == nil {
		return nil
	}
	err := b.feed.end()
	closed := b.to.Close()
	b.to = nil
	if err == nil && closed != nil {
		b.show(closed.Error()) // it has served
	}
	return err
}

// gather adds groups and waits until their clients are in, or will not come. An error means that nobody came.
func (b *bench) gather(ctx context.Context, groups ...swarm.Group) error {
	var added []*tally
	for _, g := range groups {
		t, err := b.add(g)
		if err != nil {
			return err
		}
		added = append(added, t)
	}
	in, since := int64(0), time.Now()
	err := b.watch(ctx, wait{phase: "connecting", every: closely, until: func() bool {
		connects, settled := int64(0), true
		for _, t := range added {
			connects += t.all.Connects
			settled = settled && t.settled()
		}
		if connects != in {
			in, since = connects, time.Now()
			b.arrived = since
		}
		return settled || time.Since(since) > b.o.Target.Timeout+time.Second // nobody has come in for so long
	}})
	if err != nil || b.run.Interrupted {
		return err
	}
	return b.attendance(added)
}

// attendance judges who came.
func (b *bench) attendance(groups []*tally) error {
	ready, asked, failed := 0, 0, map[string]int64{}
	for _, t := range groups {
		ready, asked = ready+t.all.Ready, asked+t.all.Asked
		for reason, n := range t.all.Failures {
			failed[reason] += n
		}
	}
	if ready == 0 {
		return fmt.Errorf("no client got in at %s: %s", b.o.Target.URL, orNothing(reasons(failed)))
	}
	label := ""
	if len(groups) == 1 {
		label = b.label(groups[0])
	}
	text := fmt.Sprintf("%s%s of %s clients connected", label, thousands(int64(ready)), thousands(int64(asked)))
	if ready < asked {
		text += "; failed attempts: " + orNothing(reasons(failed))
	}
	b.verdict(ready == asked, "%s", text)
	return nil
}

func orNothing(text string) string {
	if text == "" {
		return "not one answered in time"
	}
	return text
}

// point makes one point of every line, and shows where the run is.
func (b *bench) point(ctx context.Context, now time.Time) {
	at := now.Sub(b.run.Started).Seconds()
	seconds := now.Sub(b.pointed).Seconds()
	if b.pointed.IsZero() {
		seconds = at
	}
	b.pointed = now
	b.now = b.ask(ctx)
	if b.measuring {
		b.rise(b.now)
	}
	line := b.points(at, max(seconds, 0.001))
	b.show(strings.Join(line, ", "))
	for _, t := range b.groups {
		reset(&t.second, t.name)
	}
}

// points adds the lines' points for the seconds before at, and returns what is to be shown of them.
func (b *bench) points(at, seconds float64) []string {
	ready, asked := 0, 0
	line := []string{}
	for _, t := range b.groups {
		prefix := b.prefix(t)
		s := &t.second
		ready, asked = ready+s.Ready, asked+s.Asked
		b.series.add(chartClients, prefix+"ready", "", at, float64(s.Ready))
		if b.o.fed() {
			b.series.latency(prefix, at, s.Latency)
			b.series.add(chartRate, prefix+"deliveries", "/s", at, float64(s.Deliveries)/seconds)
			if s.Deliveries > 0 {
				line = append(line, fmt.Sprintf("%s%s deliveries/s, p99 %.3g ms", prefix, thousands(int64(float64(s.Deliveries)/seconds)), ms(s.Latency, 99)))
			}
		}
		if b.o.Scenario == Events && s.Acked > 0 {
			b.series.latency(prefix, at, s.EmitLatency)
			b.series.add(chartRate, prefix+"events acked", "/s", at, float64(s.Acked)/seconds)
			line = append(line, fmt.Sprintf("%s events/s, p99 %.3g ms", thousands(int64(float64(s.Acked)/seconds)), ms(s.EmitLatency, 99)))
		}
		if b.o.Scenario == Connect || b.o.Scenario == Storm {
			b.series.add(chartRate, prefix+"connects", "/s", at, float64(s.Connects)/seconds)
			b.series.add(chartRate, prefix+"failed attempts", "/s", at, float64(total(s.Failures))/seconds)
		}
	}
	b.serverPoints(at)
	if rss, ok := b.now[gaugeRSS]; ok {
		line = append(line, fmt.Sprintf("server %.0f MiB", rss/(1<<20)))
	}
	return append([]string{fmt.Sprintf("%s: %s of %s clients", b.phase, thousands(int64(ready)), thousands(int64(asked)))}, line...)
}

func (b *bench) serverPoints(at float64) {
	for _, of := range []struct {
		gauge gauge
		chart string
		unit  string
	}{
		{gaugeRSS, chartMemory, "B"}, {gaugeHeap, chartMemory, "B"}, {gaugeKernelTCP, chartMemory, "B"},
		{gaugeGoroutines, chartServer, ""}, {gaugeFDs, chartServer, ""}, {gaugeThreads, chartServer, ""},
	} {
		if v, ok := b.now[of.gauge]; ok {
			b.series.add(of.chart, string(of.gauge), of.unit, at, v)
		}
	}
}

// prefix names a group in figures and lines where there are several at once.
func (b *bench) prefix(t *tally) string {
	if len(b.groups) < 2 || b.o.Scenario == Leak {
		return ""
	}
	return t.name + " "
}

// label names a group in counts and verdicts where there are several.
func (b *bench) label(t *tally) string {
	if len(b.groups) < 2 && b.o.Scenario != Leak {
		return ""
	}
	return t.name + ": "
}

func (b *bench) verdict(ok bool, format string, args ...any) {
	b.run.Verdicts = append(b.run.Verdicts, report.Verdict{OK: ok, Text: fmt.Sprintf(format, args...)})
}

// count adds to a count of the result.
func (b *bench) count(name string, n int64) {
	for i := range b.run.Counts {
		if b.run.Counts[i].Name == name {
			b.run.Counts[i].Value += n
			return
		}
	}
	b.run.Counts = append(b.run.Counts, report.Count{Name: name, Value: n})
}

func (b *bench) figure(name string, v float64, unit, note string) {
	b.run.Figures = append(b.run.Figures, report.Figure{Name: name, Value: v, Unit: unit, Note: note})
}

func (b *bench) mainFigure(name string, v float64, unit, note string) {
	b.run.Figures = append(b.run.Figures, report.Figure{Name: name, Value: v, Unit: unit, Note: note, Main: true})
}

// finish adds what every scenario tells.
func (b *bench) finish(ctx context.Context) {
	b.toolFigure()
	if b.run.Seconds == 0 {
		b.run.Seconds = time.Since(b.run.Started).Seconds()
	}
	for _, t := range b.groups {
		b.run.Counts = append(b.run.Counts, t.counts(b.label(t))...)
	}
	b.serverCounts(ctx)
	b.run.Series = b.series.list
	b.run.Interrupted = b.run.Interrupted || ctx.Err() != nil
}

// toolFigure says how much of its own core the load tool needed: near 100 % the tool is the limit, not the server.
func (b *bench) toolFigure() {
	var busy time.Duration
	for _, t := range b.groups {
		busy += t.measured.Loop.Busy
	}
	processes := 1
	if a, ok := b.fleet.(*agents); ok {
		processes = len(a.procs)
	}
	if b.run.Seconds > 0 && busy > 0 {
		b.figure("load tool, share of its core", 100*busy.Seconds()/b.run.Seconds/float64(processes), "%",
			"CPU time of the clients' loop; near 100 % the tool is the limit")
	}
}

// serverCounts adds how many clients the server says it has cut, and messages it has dropped, by reason.
func (b *bench) serverCounts(ctx context.Context) {
	last := b.ask(context.WithoutCancel(ctx))
	for _, g := range slices.Sorted(maps.Keys(last)) {
		name := string(g)
		if cause, ok := strings.CutPrefix(name, cutPrefix); ok {
			name = "server says closed: " + strings.TrimSuffix(cause, `"}`)
		} else if reason, ok := strings.CutPrefix(name, dropPrefix); ok {
			name = "server says dropped: " + reason
		} else {
			continue
		}
		if n := last[g] - b.first[g]; n > 0 {
			b.count(name, int64(math.Round(n)))
		}
	}
}
