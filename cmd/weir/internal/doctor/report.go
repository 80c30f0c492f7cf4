package doctor

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Report is what doctor found.
type Report struct {
	Connections int       `json:"connections"` // reckoned with
	Assumed     bool      `json:"assumed"`     // nobody said how many there will be
	Findings    []Finding `json:"findings"`    // worst first, else in the order of the checks
}

// checks of the machine, in the order of a report.
var checks = []func(Machine, Needs) Finding{
	descriptors, descriptorCeiling, openFiles, threads,
	backlog, synBacklog, ports, tcpMemory, tcpSendBuffer, notSent, conntrack,
	memory, goMemory, swap, cpu,
	clock, clockSource, journal, journalSpeed, certificates,
}

// Examine looks at everything. Without a proxy (nil) what stands in front is not tried. Only Linux machines are known.
func Examine(ctx context.Context, m Machine, n Needs, p *Proxy) *Report {
	r := &Report{Connections: n.Connections, Assumed: n.Assumed}
	if m.System == "linux" {
		for _, check := range checks {
			r.Findings = append(r.Findings, check(m, n))
		}
	} else {
		r.Findings = append(r.Findings, Finding{
			Name: "machine", Level: Unknown, Found: m.System, Wanted: "linux",
			Why: "The limits of other systems are not known to doctor. Weir is made for Linux; elsewhere it is for development.",
		})
	}
	r.Findings = append(r.Findings, broker(ctx, n))
	if p != nil {
		r.Findings = append(r.Findings, p.examine(ctx, n)...)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(a.Level, b.Level) })
	return r
}

// Failed reports whether something will break.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Fail })
}

// WriteJSON writes the report as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Detail says how much WriteText explains.
type Detail uint8

// The details.
const (
	Bad        Detail = iota // reasons and fixes of what is not good
	Everything               // reasons of what is good too
)

// WriteText writes the report for people, worst first: what is not good with its reason and fix, what is good in a line
// each, and a line that sums up.
func (r *Report) WriteText(w io.Writer, detail Detail) error {
	t := bufio.NewWriter(w) // keeps the first error
	names := 0
	for _, f := range r.Findings {
		names = max(names, len(f.Name))
	}
	for _, f := range r.Findings {
		line(t, fmt.Sprintf("%-7s  %-*s  %s", f.Level, names, f.Name, f.Found))
		if f.Level != OK || detail == Everything {
			paragraph(t, "wanted", fill(f.Wanted))
			paragraph(t, "why", fill(f.Why))
			paragraph(t, "fix", []string{f.Fix}) // whole, to be copied
		}
	}
	line(t, "")
	line(t, r.sum())
	return t.Flush()
}

func line(t *bufio.Writer, text string) {
	_, _ = t.WriteString(text + "\n") // Flush reports it
}

// paragraph writes lines below a finding, a word before the first. Empty text is left out.
func paragraph(t *bufio.Writer, word string, lines []string) {
	for i, text := range lines {
		if i > 0 {
			word = ""
		}
		if text != "" {
			line(t, fmt.Sprintf("         %-6s  %s", word, text))
		}
	}
}

// width is how many characters of a reason stand on a line.
const width = 96

// fill breaks text into lines.
func fill(text string) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// sum is the last line: how many of each level, and for how many connections.
func (r *Report) sum() string {
	var n [OK + 1]int
	for _, f := range r.Findings {
		n[f.Level]++
	}
	text := fmt.Sprintf("For %s connections: %d will break, %d could be better, %d unknown, %d good.",
		count(r.Connections), n[Fail], n[Warn], n[Unknown], n[OK])
	if r.Assumed {
		text += " Nobody said how many connections there will be: --connections N does."
	}
	return text
}
