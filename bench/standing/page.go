package main

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"os"
	"slices"

	"github.com/streamweir/weir/internal/loadtest/report"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("standing").Parse(pageSource))

// pageRow is a row of the page: what it has shown, and the page of `weir bench report` over one run of each variant.
type pageRow struct {
	Name, Shows, Verdict, Problem string
	Good                          bool
	Checks                        []pageCheck
	Complaints                    []string
	Charts                        string // a page of its own, for a frame
}

type pageCheck struct{ What, Got, Must, Word string }

// writePage writes all rows as one page that needs no other file.
func writePage(path string, about []string, findings []*finding) error {
	var list []pageRow
	for _, f := range findings {
		charts, err := f.charts()
		if err != nil {
			return fmt.Errorf("write the page: %s: %w", f.row.name, err)
		}
		p := pageRow{
			Name: f.row.name, Shows: f.row.shows, Verdict: f.verdict(), Problem: f.problem, Good: f.verdict() == "reached",
			Complaints: f.complaints, Charts: charts,
		}
		for _, c := range f.checks {
			p.Checks = append(p.Checks, pageCheck{c.what, quantity(c.got, c.unit), c.must(), c.word()})
		}
		list = append(list, p)
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, struct {
		About []string
		Rows  []pageRow
	}{about, list}); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// charts is the report over the middle run of each variant, the last variant first: that is the peer or the floor, and
// everything is compared with the first. "" if there is no run.
func (f *finding) charts() (string, error) {
	var runs []*report.Run
	for _, v := range slices.Backward(f.row.variants) {
		if list := f.runs[v.name]; len(list) > 0 {
			runs = append(runs, list[len(list)/2])
		}
	}
	if len(runs) == 0 {
		return "", nil
	}
	var page bytes.Buffer
	err := report.WriteHTML(&page, runs...)
	return page.String(), err
}
