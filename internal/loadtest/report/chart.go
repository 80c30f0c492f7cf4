package report

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// chart is one plot of the HTML form, as assets/report.js draws it. With several runs it has one line for each of
// them; with a single one, a line for each of its series.
type chart struct {
	Title string      `json:"title"`
	Kind  string      `json:"kind"` // see the constants
	Unit  string      `json:"unit"`
	Log   bool        `json:"log"` // y is logarithmic
	Lines []chartLine `json:"lines"`
}

const (
	overTime    = "time"       // x is seconds since the start
	percentiles = "percentile" // x is 1/(1-q), logarithmic
)

type chartLine struct {
	Label  string     `json:"label"`
	Colour int        `json:"colour"` // from 0: the number of the run, or of the series of a single run
	Points [][2]value `json:"points"` // null is a gap
}

// Groups of charts in the order of the page. Others come after them.
var groups = []struct{ name, title string }{
	{"latency", "Latency over time"}, {percentiles, "Latency by percentile"}, {"rate", "Rates"}, {"memory", "Memory"},
	{"clients", "Clients"},
}

// charts are all plots of the runs, by group and within it in the order in which their first series is met.
func charts(runs []*Run, names []string) []chart {
	c := collector{several: len(runs) > 1, byKey: map[chartKey]*chart{}}
	for i, r := range runs {
		for _, s := range r.Series {
			c.series(s, i, names[i])
		}
		for _, l := range r.Latencies {
			c.latency(l, i, names[i])
		}
	}
	slices.SortStableFunc(c.keys, func(a, b chartKey) int { return cmp.Compare(rank(a.group), rank(b.group)) })
	all := make([]chart, len(c.keys))
	for i, k := range c.keys {
		all[i] = *c.byKey[k]
		all[i].scale()
	}
	return all
}

func rank(group string) int {
	for i, g := range groups {
		if g.name == group {
			return i
		}
	}
	return len(groups)
}

// chartKey says which lines share a chart. With several runs series is set: there, lines of one series do.
type chartKey struct{ group, unit, series string }

type collector struct {
	several bool
	keys    []chartKey // in the order they were met
	byKey   map[chartKey]*chart
}

func (c *collector) series(s Series, run int, name string) {
	line := chartLine{Points: make([][2]value, 0, len(s.Points))}
	for _, p := range s.Points {
		if !math.IsNaN(p[0]) && !math.IsInf(p[0], 0) {
			line.Points = append(line.Points, [2]value{value(p[0]), value(p[1])})
		}
	}
	c.add(chartKey{s.Chart, s.Unit, s.Name}, overTime, line, lineOwner{run, name})
}

func (c *collector) latency(l Latency, run int, name string) {
	line := chartLine{}
	for _, p := range l.curve() {
		line.Points = append(line.Points, [2]value{value(p[0]), value(p[1])})
	}
	if len(line.Points) > 0 {
		c.add(chartKey{percentiles, "ms", l.Name}, percentiles, line, lineOwner{run, name})
	}
}

// lineOwner is the run a line belongs to.
type lineOwner struct {
	number int
	name   string
}

func (c *collector) add(k chartKey, kind string, line chartLine, of lineOwner) {
	title := groupTitle(k.group)
	if c.several {
		title += ": " + k.series
		line.Label, line.Colour = of.name, of.number
	} else {
		line.Label = k.series
		k.series = ""
	}
	ch := c.byKey[k]
	if ch == nil {
		ch = &chart{Title: title, Kind: kind, Unit: k.unit}
		c.byKey[k] = ch
		c.keys = append(c.keys, k)
	}
	if !c.several {
		line.Colour = len(ch.Lines)
	}
	ch.Lines = append(ch.Lines, line)
}

func groupTitle(group string) string {
	for _, g := range groups {
		if g.name == group {
			return g.title
		}
	}
	first, size := utf8.DecodeRuneInString(group)
	if size == 0 {
		return "Over time"
	}
	return string(unicode.ToUpper(first)) + group[size:]
}

// scale chooses the unit and the axis: bytes in the unit of the largest value, and milliseconds on a logarithmic axis
// where a linear one would press most of a line flat onto the ground.
func (c *chart) scale() {
	const flat = 50 // times
	smallest, largest := math.Inf(1), 0.0
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if y := math.Abs(float64(p[1])); y > 0 && !math.IsInf(y, 0) { // false for NaN too
				smallest, largest = min(smallest, y), max(largest, y)
			}
		}
	}
	c.Log = c.Unit == "ms" && largest > flat*smallest
	factor, unit := scale(largest, c.Unit)
	c.Unit = unit
	for _, l := range c.Lines {
		for i := range l.Points {
			l.Points[i][1] /= value(factor)
		}
	}
}

// extent is what a line is like in numbers: the text alternative of its plot.
type extent struct{ smallest, mean, largest, last float64 }

func (l chartLine) extent() extent {
	e := extent{math.NaN(), math.NaN(), math.NaN(), math.NaN()}
	sum, n := 0.0, 0.0
	for _, p := range l.Points {
		y := float64(p[1])
		if math.IsNaN(y) || math.IsInf(y, 0) {
			continue
		}
		if n == 0 {
			e.smallest, e.largest = y, y
		}
		e.smallest, e.largest, e.last = min(e.smallest, y), max(e.largest, y), y
		sum += y
		n++
	}
	if n > 0 {
		e.mean = sum / n
	}
	return e
}

// alternative describes the plot to who does not see it.
func (c chart) alternative() string {
	parts := make([]string, len(c.Lines))
	for i, l := range c.Lines {
		e := l.extent()
		parts[i] = l.Label + " from " + number(e.smallest) + " to " + number(e.largest)
	}
	return strings.TrimSuffix(c.Title+", "+c.Unit, ", ") + ": " + strings.Join(parts, "; ")
}

// payload is the data of the page: JSON in which no "<" is left, so that nothing in it ends the element it is in.
func payload(list []chart) ([]byte, error) {
	return json.Marshal(list) // which escapes <, > and & by itself
}
