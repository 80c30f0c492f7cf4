package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// output is what a comparison leaves: on the terminal and in standing-DATE.txt as it goes, in standing-DATE.html at the
// end, and the JSON of every run in the directory standing-DATE.
type output struct {
	w        io.Writer
	text     *os.File
	page     string // path
	runs     string // directory
	about    []string
	findings []*finding
	began    time.Time
	rowBegan time.Time
}

func newOutput(w io.Writer, dir string, now time.Time) (*output, error) {
	base := filepath.Join(dir, "standing-"+now.UTC().Format("20060102T150405Z"))
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, fmt.Errorf("make a place for the results: %w", err)
	}
	text, err := os.Create(base + ".txt")
	if err != nil {
		return nil, fmt.Errorf("make a place for the results: %w", err)
	}
	return &output{w: io.MultiWriter(w, text), text: text, page: base + ".html", runs: base, began: now}, nil
}

func (o *output) printf(format string, args ...any) { fmt.Fprintf(o.w, format, args...) }

// file is where a run's JSON goes.
func (o *output) file(row, variant string, n int) string {
	name := strings.NewReplacer(" ", "-", ",", "", ".", "").Replace(variant)
	return filepath.Join(o.runs, fmt.Sprintf("%s-%s-%d.json", row, name, n))
}

// head prints what figures depend on. What cannot be found out is left out.
func (o *output) head(ctx context.Context, s *settings) {
	said := func(args ...string) string {
		text, err := rig.Output(ctx, rig.Command{Args: args})
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(text))
	}
	m := report.ThisMachine()
	o.about = []string{
		fmt.Sprintf("%s, revision %s", o.began.UTC().Format(time.RFC3339), said("git", "describe", "--always", "--dirty")),
		fmt.Sprintf("%s, kernel %s, %d cores %s, %d MiB", m.System, m.Kernel, m.Cores, m.CPU, m.MemoryBytes>>20),
		fmt.Sprintf("%s, %s", m.Go, strings.ReplaceAll(said(s.lab.weir, "version"), "\n", ", ")),
		fmt.Sprintf("load before: %.2f %.2f %.2f", m.Load[0], m.Load[1], m.Load[2]),
		fmt.Sprintf("server on CPU %s, load on CPU %s, driver %s%s", s.lab.serverCPU, s.lab.loadCPU, s.lab.driver,
			map[bool]string{true: "; QUICK: these are no figures"}[s.quick > 0]),
	}
	if s.lab.npm != "" {
		o.about = append(o.about, fmt.Sprintf("node %s, socket.io %s", said("node", "--version"), peerVersion(s.lab.npm)))
	}
	for _, line := range o.about {
		o.printf("# %s\n", line)
	}
}

// peerVersion is that of the socket.io beside a script.
func peerVersion(script string) string {
	var p struct{ Version string }
	text, err := os.ReadFile(filepath.Join(filepath.Dir(script), "node_modules", "socket.io", "package.json"))
	if err != nil || json.Unmarshal(text, &p) != nil {
		return "unknown"
	}
	return p.Version
}

func (o *output) begin(r row) {
	o.rowBegan = time.Now()
	o.printf("\n== %s: %s\n", r.name, r.shows)
}

// raw prints a run in a line: its main figures and its latencies.
func (o *output) raw(n int, variant string, r *report.Run) {
	var parts []string
	for _, f := range r.Figures {
		if f.Main || f.Name == toolShare || strings.HasPrefix(f.Name, "server CPU") || strings.HasPrefix(f.Name, "server RSS") {
			parts = append(parts, f.Name+" "+quantity(f.Value, f.Unit))
		}
	}
	for _, l := range r.Latencies {
		parts = append(parts, fmt.Sprintf("%s p50 %s p99 %s", l.Name,
			quantity(percentile(r, l.Name, 50), "ms"), quantity(percentile(r, l.Name, 99), "ms")))
	}
	o.printf("raw %d %s: %s\n", n, variant, strings.Join(parts, "; "))
}

// finding prints what a row has shown, and keeps it for the page.
func (o *output) finding(f *finding) {
	o.findings = append(o.findings, f)
	for _, c := range f.checks {
		o.printf("  %-11s %s\n", c.word(), c)
	}
	for _, c := range f.complaints {
		o.printf("  complaint   %s\n", c)
	}
	if f.problem != "" {
		o.printf("  %s\n", f.problem)
	}
	o.printf("%s: %s (medians of %d, %v)\n", f.row.name, f.verdict(), f.row.pairs, time.Since(o.rowBegan).Round(time.Second))
}

// close writes the summary and the page.
func (o *output) close() error {
	o.printf("\n== summary\n")
	for _, f := range o.findings {
		o.printf("%-14s %s\n", f.row.name, f.verdict())
		for _, c := range f.checks {
			if c.bound != shown {
				o.printf("    %-11s %s\n", c.word(), c)
			}
		}
	}
	o.printf("took %v; page: %s; runs: %s\n", time.Since(o.began).Round(time.Second), o.page, o.runs)
	return errors.Join(writePage(o.page, o.about, o.findings), o.text.Close())
}

func (c check) word() string {
	switch {
	case c.bound == shown:
		return ""
	case math.IsNaN(c.got):
		return "NO FIGURE"
	case c.reached():
		return "reached"
	}
	return "NOT reached"
}

// must is the limit in words.
func (c check) must() string {
	switch c.bound {
	case atMost:
		return "<= " + quantity(c.limit, c.unit)
	case atLeast:
		return ">= " + quantity(c.limit, c.unit)
	case shown:
	}
	return ""
}

func (c check) String() string {
	text := c.what + ": " + quantity(c.got, c.unit)
	if c.bound != shown {
		text += " (must " + c.must() + ")"
	}
	return text
}

// quantity shows a value with its unit, three digits at least.
func quantity(v float64, unit string) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	if unit == "B" && math.Abs(v) >= 1<<20 {
		v, unit = v/(1<<20), "MiB"
	}
	digits := 0
	for limit := 100.0; digits < 3 && math.Abs(v) < limit && v != math.Trunc(v); limit /= 10 {
		digits++
	}
	return strings.TrimSpace(grouped(fmt.Sprintf("%.*f", digits, v)) + " " + unit)
}

// grouped sets commas between the thousands of a number.
func grouped(number string) string {
	end := strings.IndexByte(number, '.')
	if end < 0 {
		end = len(number)
	}
	for i := end - 3; i > 0 && number[i-1] != '-'; i -= 3 {
		number = number[:i] + "," + number[i:]
	}
	return number
}
