package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Run is the result of one run of one scenario. It is plain data: one goroutine fills it, then it is only read. By
// their names the parts of several runs are compared, so within a list each has its own.
type Run struct {
	Scenario string // connect, fanout, slow, storm, events, leak
	Title    string // one line that says what was done: "1,000 clients, closed loop of 16, 128 B"
	Label    string // what a comparison calls this run, such as "npm"; "": Scenario and Title. Not in the JSON form

	Started time.Time
	Seconds float64 // measured time, without warm-up
	Target  string  // URL of the server

	Machine   Machine
	Settings  []Setting // in the order in which they are to be read
	Figures   []Figure
	Latencies []Latency
	Series    []Series
	Counts    []Count
	Verdicts  []Verdict

	Interrupted bool // ended before its time: everything here is the result so far
}

// OK reports whether every verdict is good. A run without verdicts is.
func (r *Run) OK() bool {
	return !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return !v.OK })
}

// name is what a comparison calls the run.
func (r *Run) name() string { return cmp.Or(r.Label, r.headline(), "run") }

// Setting is one option of the run, as its user would write it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Figure is one number that the run was made for. Unit "B" and "B/s" are shown as KiB, MiB and so on; any other is
// shown as it is. A Value that is NaN or infinite is one that could not be measured, shown as "-".
type Figure struct {
	Name  string
	Value float64
	Unit  string
	Note  string // how it was measured, or why it is missing
	Main  bool   // shown first
}

// Latency is a distribution of durations.
type Latency struct {
	Name      string
	Histogram *hdrhistogram.Histogram // microseconds; nil is empty
}

// Series is a value over time. Series of one Chart and one Unit share a chart; the charts known by name are latency,
// rate, memory and clients, any other is shown after them under its own name.
type Series struct {
	Name   string
	Unit   string // as in Figure
	Chart  string
	Points [][2]float64 // seconds since Started, ascending, and the value; NaN leaves a gap in the line
}

// Count is how often something happened: failures by reason, gaps, clients cut by cause.
type Count struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// Verdict is one judgement: what must hold, and whether it did.
type Verdict struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"` // "no gaps in 1,200,000 deliveries"
}
