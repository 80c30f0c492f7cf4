package report

import (
	"bytes"
	"io"
	"strings"
)

// The text form, at most width columns, is for a person at a terminal: what was run, the main figures, latencies,
// the rest, and last, where the eye is when the run ends, the verdicts.
const (
	width   = 100
	indent  = 2
	between = 2  // blanks between two columns
	widest  = 40 // columns of a name; more is cut
)

// WriteText writes the run as text, in one Write.
func (r *Run) WriteText(w io.Writer) error {
	var t text
	t.heading(r)
	main, other := divide(r.Figures)
	t.figures(main)
	t.latencies(r.Latencies)
	t.figures(other)
	t.counts(r.Counts)
	t.settings(r.Settings)
	t.verdicts(r.Verdicts)
	_, err := w.Write(t.Bytes())
	return err
}

// divide separates the main figures from the others.
func divide(figures []Figure) (main, other []Figure) {
	for _, f := range figures {
		if f.Main {
			main = append(main, f)
		} else {
			other = append(other, f)
		}
	}
	return main, other
}

// text is a page under way. Each part of it begins with an empty line.
type text struct{ bytes.Buffer }

// line writes one line without blanks at its end.
func (t *text) line(parts ...string) {
	t.WriteString(strings.TrimRight(strings.Join(parts, ""), " "))
	t.WriteByte('\n')
}

// paragraph writes prose, if there is any, behind a mark, if there is one; the lines after the first are indented as
// far as the mark is wide.
func (t *text) paragraph(mark, prose string) {
	lines := wrap(clean(prose), width-columns(mark))
	if len(lines) == 0 && mark != "" {
		t.line(mark)
	}
	for i, l := range lines {
		if i > 0 {
			mark = blanks(columns(mark))
		}
		t.line(mark, l)
	}
}

func (t *text) heading(r *Run) {
	t.paragraph("", r.headline())
	t.paragraph("", r.circumstances())
	t.paragraph("", r.Machine.sentence())
	if r.Interrupted {
		t.paragraph("", interruptedAfter(r))
	}
}

// headline is what was done: the title, with the scenario in front unless the title begins with it.
func (r *Run) headline() string {
	switch {
	case r.Scenario == "" || r.Title == "":
		return r.Scenario + r.Title
	case strings.HasPrefix(r.Title, r.Scenario+": "):
		return r.Title
	}
	return r.Scenario + ": " + r.Title
}

// circumstances are where, when and for how long.
func (r *Run) circumstances() string {
	parts := []string{}
	if r.Target != "" {
		parts = append(parts, r.Target)
	}
	if !r.Started.IsZero() {
		parts = append(parts, r.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return strings.Join(append(parts, lasted(r.Seconds)), ", ")
}

func interruptedAfter(r *Run) string {
	return "INTERRUPTED after " + lasted(r.Seconds) + ": this is the result so far"
}

func (t *text) figures(figures []Figure) {
	if len(figures) == 0 {
		return
	}
	t.line()
	rows := make([][]string, len(figures))
	for i, f := range figures {
		value, unit := amount(f.Value, f.Unit)
		rows[i] = []string{cut(clean(f.Name), widest), value, cut(clean(unit), widest)}
	}
	widths := measure(rows)
	for i, f := range figures {
		name, value, unit := rows[i][0], rows[i][1], rows[i][2]
		gap := blanks(between)
		t.noted(blanks(indent)+pad(name, widths[0])+gap+padLeft(value, widths[1])+" "+pad(unit, widths[2]), f.Note)
	}
}

// noted writes a line with its note behind it, or below it where there is no room.
func (t *text) noted(line, note string) {
	note = clean(note)
	if columns(line)+between+columns(note) <= width {
		t.line(line, blanks(between), note)
		return
	}
	t.line(line)
	t.paragraph(blanks(2*indent), note)
}

// measure returns the width of each column.
func measure(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], columns(c))
		}
	}
	return widths
}

func (t *text) latencies(list []Latency) {
	if len(list) == 0 {
		return
	}
	t.line()
	rows := [][]string{append([]string{"latency, ms", "count"}, durationNames()...)}
	for _, l := range list {
		rows = append(rows, l.row(clean(l.Name), places(list)))
	}
	t.table(rows)
}

// row is the line of l in a table of latencies.
func (l Latency) row(name string, places int) []string {
	row := []string{name, integer(l.count())}
	for _, d := range l.durations() {
		row = append(row, milliseconds(d, places))
	}
	return row
}

// table writes rows whose first column is a name and whose others are numbers. The name gets the columns the numbers
// leave.
func (t *text) table(rows [][]string) {
	widths := measure(rows)
	left := width - indent
	for _, w := range widths[1:] {
		left -= between + w
	}
	widths[0] = max(1, min(widths[0], left))
	for _, row := range rows {
		parts := []string{blanks(indent), pad(cut(row[0], widths[0]), widths[0])}
		for i, c := range row[1:] {
			parts = append(parts, blanks(between), padLeft(c, widths[i+1]))
		}
		t.line(parts...)
	}
}

func (t *text) counts(counts []Count) {
	if len(counts) == 0 {
		return
	}
	t.line()
	number := 0
	for _, c := range counts {
		number = max(number, columns(integer(c.Value)))
	}
	for _, c := range counts {
		t.paragraph(blanks(indent)+padLeft(integer(c.Value), number)+blanks(between), c.Name)
	}
}

func (t *text) settings(settings []Setting) {
	if len(settings) == 0 {
		return
	}
	t.line()
	parts := make([]string, len(settings))
	for i, s := range settings {
		parts[i] = strings.TrimSpace(s.Name + " " + s.Value)
	}
	t.paragraph("with ", strings.Join(parts, ", "))
}

func (t *text) verdicts(verdicts []Verdict) {
	if len(verdicts) == 0 {
		return
	}
	t.line()
	for _, v := range verdicts {
		t.verdict(v)
	}
}

func (t *text) verdict(v Verdict) {
	mark := "ok    "
	if !v.OK {
		mark = "FAIL  "
	}
	t.paragraph(mark, v.Text)
}
