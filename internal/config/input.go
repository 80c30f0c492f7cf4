package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFile bounds a configuration in bytes. The YAML parser's time grows with the square of a mapping's length.
const maxFile = 1 << 20

// input is one file while it is read: its text for excerpts, and what was found wrong.
type input struct {
	name     string
	dir      string // relative ${file:…} are looked up here
	lines    []string
	problems Problems
	masks    masks
}

func newInput(name string, src []byte) *input {
	return &input{name: name, dir: filepath.Dir(name), lines: strings.Split(string(src), "\n")}
}

// parse reads the tree of the file, by the extension of its name. src has no byte order mark. It returns nil after
// booking what is wrong.
func (in *input) parse(src []byte) *node {
	if i := invalidUTF8(src); i >= 0 {
		before := src[:i]
		line := bytes.Count(before, []byte("\n")) + 1
		in.fault(line, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])+1, "not UTF-8")
		return nil
	}
	var root *node
	switch filepath.Ext(in.name) {
	case ".json":
		root = parseJSON(in, string(src))
	case ".yaml", ".yml":
		root = parseYAML(in, string(src))
	default:
		in.fault(0, 0, "want a file that ends in .yaml, .yml or .json")
	}
	in.masks.known = root != nil
	return root
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// readFile reads a whole regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

func (in *input) place(line, column int) place {
	return place{file: in.name, line: line, column: max(column, 1), from: fromFile}
}

// fault books a problem of the file's form, before there is a tree.
func (in *input) fault(line, column int, message string) {
	in.problems.List = append(in.problems.List, Problem{File: in.name, Line: line, Column: column, Message: message})
}

// finish sorts the problems and adds the excerpts, once all masks are known. It returns nil if there are none.
func (in *input) finish() error {
	if len(in.problems.List) == 0 {
		return nil
	}
	in.problems.sort()
	for i := range in.problems.List {
		p := &in.problems.List[i]
		if p.Line > 0 && p.Line <= len(in.lines) {
			p.Excerpt = in.excerpt(p.Line, p.Column)
		}
	}
	return &in.problems
}

// excerpt is the line with its number, and a caret below column:
//
//	12 |     port: "3000"
//	   |           ^
func (in *input) excerpt(line, column int) string {
	text := []rune(strings.TrimRight(in.lines[line-1], "\r"))
	for i, r := range text {
		if !unicode.IsPrint(r) {
			text[i] = ' '
		}
	}
	column = min(column, len(text)+1)
	before, after := in.masks.split(text, line, column)
	const most = 100 // characters on each side
	if len(before) > most {
		before = append([]rune("…"), before[len(before)-most:]...)
	}
	if len(after) > most {
		after = append(after[:most:most], '…')
	}
	number := fmt.Sprintf("%5d", line)
	return fmt.Sprintf("%s | %s%s\n%s | %s^\n", number, string(before), string(after),
		strings.Repeat(" ", len(number)), strings.Repeat(" ", len(before)))
}
