package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong, and where.
type Problem struct {
	File    string // as given to Load; for values from outside "environment variable NAME" or "flag"
	Line    int    // from 1; 0 outside of a file
	Column  int    // from 1, in characters
	Path    string // "servers.feed.port"; empty for the file as a whole
	Message string // what is wrong, with the value unless it is secret, and what is allowed
	Excerpt string // the source line with its number and a caret below; secrets are masked; empty outside of a file
}

// String is "file:line:column: path: message", which editors can jump to.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is the error of a configuration that cannot be used: all its problems, in the order of the file, those
// from outside of it last.
type Problems struct {
	List []Problem
}

// Error has one line for each problem.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, problem := range p.List {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Detail is Error with the source line below each problem, as `weir check` prints it.
func (p *Problems) Detail() string {
	var b strings.Builder
	for _, problem := range p.List {
		fmt.Fprintln(&b, problem)
		b.WriteString(problem.Excerpt)
	}
	return b.String()
}

func (p *Problems) sort() {
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		switch {
		case (a.Line == 0) != (b.Line == 0):
			return b.Line - a.Line
		case a.Line != b.Line:
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// Warning is something that works, but perhaps not as expected.
type Warning struct {
	File    string
	Line    int // from 1
	Column  int
	Path    string
	Message string // the effect, in numbers where there are any
}

// String is "file:line:column: path: message".
func (w Warning) String() string {
	return Problem{File: w.File, Line: w.Line, Column: w.Column, Path: w.Path, Message: w.Message}.String()
}
