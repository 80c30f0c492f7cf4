package report

// grid is a table of the HTML form. With several runs each of them has its colour in every table.
type grid struct {
	Caption string
	ID      string
	Head    []heading // the first is above the names of the rows
	Rows    []gridRow
}

type heading struct {
	Text   string
	Colour int  // of a run, from 0, or none
	Words  bool // above text rather than numbers
}

const (
	none    = -1 // no colour
	colours = 8  // that assets/report.css has; more runs than these share them
)

type gridRow struct {
	Name  string
	Note  string
	Main  bool
	Cells []cell
}

type cell struct {
	Text   string
	Ratio  string // to the first run
	Words  bool   // text rather than a number
	Colour int
}

func plain(text string) cell { return cell{Text: text, Colour: none} }
func words(text string) cell { return cell{Text: text, Colour: none, Words: true} }

func above(text string) heading { return heading{Text: text, Colour: none} }

// sheet makes the grids of some runs.
type sheet struct {
	runs  []*Run
	names []string
}

func (s sheet) several() bool { return len(s.runs) > 1 }

// heads are the headings of a grid with a column for each run.
func (s sheet) heads(first, single string) []heading {
	list := []heading{above(first)}
	if !s.several() {
		return append(list, above(single))
	}
	for i, name := range s.names {
		list = append(list, heading{Text: name, Colour: i % colours})
	}
	return list
}

func (s sheet) figures() grid {
	g := grid{Caption: "Figures", ID: "figures", Head: s.heads("figure", "value")}
	for _, k := range figureKeys(s.runs) {
		row := gridRow{Name: k.name}
		first, known := s.runs[0].figure(k)
		for i, r := range s.runs {
			f, ok := r.figure(k)
			if !ok {
				row.Cells = append(row.Cells, plain(missing))
				continue
			}
			c := plain(quantity(f.Value, f.Unit))
			if known {
				c.Ratio = relative(i, f.Value, first.Value)
			}
			row.Cells = append(row.Cells, c)
			row.Main = row.Main || f.Main
			if row.Note == "" {
				row.Note = f.Note
			}
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

// latencies has a row for each distribution and, with several runs, each run.
func (s sheet) latencies() grid {
	g := grid{Caption: "Latencies, ms", ID: "latencies", Head: []heading{above("latency")}}
	if s.several() {
		g.Head = append(g.Head, heading{Text: "run", Colour: none, Words: true})
	}
	for _, name := range append([]string{"count"}, durationNames()...) {
		g.Head = append(g.Head, above(name))
	}
	for _, name := range latencyNames(s.runs) {
		g.Rows = append(g.Rows, s.latency(name)...)
	}
	return g
}

func (s sheet) latency(name string) []gridRow {
	list, has := latencies(s.runs, name)
	first := list[0].durations()
	var rows []gridRow
	for i, l := range list {
		if !has[i] {
			continue
		}
		row := gridRow{Name: name}
		if s.several() {
			row.Cells = append(row.Cells, cell{Text: s.names[i], Words: true, Colour: i % colours})
		}
		row.Cells = append(row.Cells, plain(integer(l.count())))
		for q, d := range l.durations() {
			c := plain(milliseconds(d, places(list)))
			c.Ratio = relative(i, d, first[q])
			row.Cells = append(row.Cells, c)
		}
		rows = append(rows, row)
	}
	return rows
}

// list makes a grid of one column a run, its rows by the names that items gives, in the order they are first met.
func (s sheet) list(g grid, items func(*Run) [][2]string, show func(string) cell) grid {
	g.Head = s.heads(g.Head[0].Text, g.Head[1].Text)
	for i := range g.Head[1:] {
		g.Head[1+i].Words = show("").Words
	}
	at := map[string]int{}
	for i, r := range s.runs {
		for _, item := range items(r) {
			n, ok := at[item[0]]
			if !ok {
				n = len(g.Rows)
				at[item[0]] = n
				g.Rows = append(g.Rows, gridRow{Name: item[0], Cells: make([]cell, len(s.runs))})
				for j := range s.runs {
					g.Rows[n].Cells[j] = show(missing)
				}
			}
			g.Rows[n].Cells[i] = show(item[1])
		}
	}
	return g
}

func (s sheet) counts() grid {
	g := grid{Caption: "Counts", ID: "counts", Head: []heading{{Text: "what"}, {Text: "how often"}}}
	return s.list(g, func(r *Run) (items [][2]string) {
		for _, c := range r.Counts {
			items = append(items, [2]string{c.Name, integer(c.Value)})
		}
		return items
	}, plain)
}

func (s sheet) settings() grid {
	g := grid{Caption: "Settings", ID: "settings", Head: []heading{{Text: "setting"}, {Text: "value"}}}
	return s.list(g, func(r *Run) (items [][2]string) {
		for _, c := range r.Settings {
			items = append(items, [2]string{c.Name, c.Value})
		}
		return items
	}, words)
}

// surroundings are what was run, where and when.
func (s sheet) surroundings() grid {
	g := grid{Caption: "Run and machine", ID: "machine", Head: []heading{{Text: ""}, {Text: "value"}}}
	return s.list(g, func(r *Run) (items [][2]string) {
		m := r.Machine
		for _, item := range [][2]string{
			{"scenario", r.Scenario}, {"title", r.Title}, {"target and time", r.circumstances()}, {"processor", m.cores()},
			{"memory", m.memory()}, {"system", m.systemAndKernel()}, {"Go", m.Go}, {"load tool", m.version()},
			{"load average before", m.load()},
		} {
			if item[1] != "" {
				items = append(items, item)
			}
		}
		return items
	}, words)
}

// numbers is the text alternative of a plot over time.
func (c chart) numbers() grid {
	g := grid{Head: []heading{above("line"), above("lowest"), above("mean"), above("highest"), above("last")}}
	for _, l := range c.Lines {
		e := l.extent()
		row := gridRow{Name: l.Label}
		for _, v := range []float64{e.smallest, e.mean, e.largest, e.last} {
			row.Cells = append(row.Cells, plain(number(v)))
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}
