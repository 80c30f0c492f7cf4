package report

import (
	"io"
	"slices"
	"strconv"
)

// WriteComparison writes several runs as text: their figures and latencies below each other with the ratio to the
// first run, then the verdicts of each. One run is written as by WriteText.
func WriteComparison(w io.Writer, runs ...*Run) error {
	if len(runs) == 1 {
		return runs[0].WriteText(w)
	}
	var t text
	names := distinct(runs)
	for i, r := range runs {
		t.paragraph("", names[i]+": "+r.circumstances())
		if i == 0 || r.Machine.sentence() != runs[i-1].Machine.sentence() {
			t.paragraph(blanks(indent), r.Machine.sentence())
		}
		if r.Interrupted {
			t.paragraph(blanks(indent), interruptedAfter(r))
		}
	}
	for _, k := range figureKeys(runs) {
		t.compareFigure(k, runs, names)
	}
	for _, name := range latencyNames(runs) {
		t.compareLatency(name, runs, names)
	}
	for i, r := range runs {
		if len(r.Verdicts) > 0 {
			t.line()
			t.paragraph("", names[i]+":")
			for _, v := range r.Verdicts {
				t.verdict(v)
			}
		}
	}
	_, err := w.Write(t.Bytes())
	return err
}

// distinct names the runs; what has the name of another gets a number.
func distinct(runs []*Run) []string {
	names := make([]string, len(runs))
	taken := map[string]int{}
	for i, r := range runs {
		names[i] = r.name()
		taken[r.name()]++
		if n := taken[r.name()]; n > 1 {
			names[i] += " #" + strconv.Itoa(n)
		}
	}
	return names
}

// figureKey says which figures of several runs are the same one.
type figureKey struct{ name, unit string }

// figureKeys lists the figures of all runs in the order they are first met, those that are main in any run in front.
func figureKeys(runs []*Run) []figureKey {
	var main, other []figureKey
	mains, seen := map[figureKey]bool{}, map[figureKey]bool{}
	for _, r := range runs {
		for _, f := range r.Figures {
			mains[f.key()] = mains[f.key()] || f.Main
		}
	}
	for _, r := range runs {
		for _, f := range r.Figures {
			k := f.key()
			switch {
			case seen[k]:
			case mains[k]:
				main = append(main, k)
			default:
				other = append(other, k)
			}
			seen[k] = true
		}
	}
	return append(main, other...)
}

func (f Figure) key() figureKey { return figureKey{f.Name, f.Unit} }

// figure finds a figure of the run.
func (r *Run) figure(k figureKey) (Figure, bool) {
	for _, f := range r.Figures {
		if f.key() == k {
			return f, true
		}
	}
	return Figure{}, false
}

func latencyNames(runs []*Run) []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range runs {
		for _, l := range r.Latencies {
			if !seen[l.Name] {
				names = append(names, l.Name)
			}
			seen[l.Name] = true
		}
	}
	return names
}

// latencies finds a latency in each run; where it has none, list has an empty one.
func latencies(runs []*Run, name string) (list []Latency, has []bool) {
	list, has = make([]Latency, len(runs)), make([]bool, len(runs))
	for i, r := range runs {
		n := slices.IndexFunc(r.Latencies, func(l Latency) bool { return l.Name == name })
		if has[i] = n >= 0; has[i] {
			list[i] = r.Latencies[n]
		}
	}
	return list, has
}

// relative is the ratio of v to that of the first run, "" in the first one itself.
func relative(i int, v, first float64) string {
	if i == 0 {
		return ""
	}
	return ratio(v, first)
}

func (t *text) compareFigure(k figureKey, runs []*Run, names []string) {
	var rows [][]string
	first, known := runs[0].figure(k)
	for i, r := range runs {
		f, ok := r.figure(k)
		if !ok {
			continue
		}
		times := ""
		if known {
			times = relative(i, f.Value, first.Value)
		}
		rows = append(rows, []string{clean(names[i]), quantity(f.Value, cut(clean(f.Unit), widest)), times})
	}
	t.line()
	t.paragraph("", k.name)
	t.table(rows)
}

// compareLatency shows of each run the durations, and below them what they are of the first run's.
func (t *text) compareLatency(name string, runs []*Run, names []string) {
	list, has := latencies(runs, name)
	first := list[0].durations()
	rows := [][]string{append([]string{"", "count"}, durationNames()...)}
	for i, l := range list {
		if !has[i] {
			continue
		}
		rows = append(rows, l.row(clean(names[i]), places(list)))
		if i == 0 || l.count() == 0 || list[0].count() == 0 {
			continue
		}
		times := []string{"", ""}
		for q, d := range l.durations() {
			times = append(times, relative(i, d, first[q]))
		}
		rows = append(rows, times)
	}
	t.line()
	t.paragraph("", name+", ms")
	t.table(rows)
}
