package config

import (
	"math"
	"slices"
	"strings"
)

// masks cover the secrets of a file wherever its lines are shown.
type masks struct {
	known bool // the file has a tree, which tells what is secret
	spans []span
}

// span is where one secret is written.
type span struct {
	line     int // from 1
	from, to int // characters of that line, from 0
	last     int // lines after line up to this one are the secret's as a whole
}

// addTree covers every secret scalar below n, and every scalar below an unknown key: it may be a misspelt secret.
func (m *masks) addTree(in *input, root *node) {
	columns := map[int]int{}
	root.eachStart(func(p place) {
		if first, ok := columns[p.line]; !ok || p.column < first {
			columns[p.line] = p.column
		}
	})
	var fresh []int
	for line, column := range columns {
		if line >= 1 && line <= len(in.lines) && beginsAt([]rune(in.lines[line-1]), column-1) {
			fresh = append(fresh, line)
		}
	}
	slices.Sort(fresh)
	m.walk(table(), root, func(n *node) { m.add(in.lines, fresh, n) })
}

// eachStart calls f with every place where a value or a key of the tree begins.
func (n *node) eachStart(f func(place)) {
	f(n.at)
	for _, item := range n.items {
		item.eachStart(f)
	}
	for _, e := range n.entries {
		f(e.at)
		e.value.eachStart(f)
	}
}

// beginsAt reports whether nothing but the dashes of lists stands before character i.
func beginsAt(text []rune, i int) bool {
	return i <= len(text) && strings.Trim(string(text[:i]), " \t-") == ""
}

// walk calls hide with every scalar that is not plainly public. k is nil where the table has no such key.
func (m *masks) walk(k *key, n *node, hide func(*node)) {
	misplaced := k != nil && k.hides() && n.kind != mappingNode && n.kind != listNode
	if n.kind.scalar() {
		if k == nil || k.secret || misplaced {
			hide(n)
		}
		return
	}
	for _, item := range n.items {
		m.walk(itemOf(k, listKind), item, hide)
	}
	for _, e := range n.entries {
		below := itemOf(k, tableKind)
		if k != nil && k.kind == mappingKind {
			below = k.child(e.name)
		}
		m.walk(below, e.value, hide)
	}
}

func itemOf(k *key, want kind) *key {
	if k == nil || k.kind != want {
		return nil
	}
	return k.item
}

// add covers one scalar of the file. fresh are the lines that begin with a key or value, in order: one that goes on
// after its first line ends before the next of them.
func (m *masks) add(lines []string, fresh []int, n *node) {
	if n.at.from != fromFile || n.at.line < 1 || n.at.line > len(lines) || n.kind == nullNode {
		return
	}
	text := []rune(lines[n.at.line-1])
	s := span{line: n.at.line, from: n.at.column - 1}
	var whole bool
	if s.to, whole = endOfScalar(text, s.from, n.text); !whole {
		s.last = math.MaxInt
		if i, _ := slices.BinarySearch(fresh, n.at.line+1); i < len(fresh) {
			s.last = fresh[i] - 1
		}
	}
	m.spans = append(m.spans, s)
}

// endOfScalar is where the scalar at character i ends, and whether it ends on this line.
func endOfScalar(text []rune, i int, value string) (end int, whole bool) {
	if i >= len(text) {
		return len(text), false
	}
	quote := text[i]
	if quote != '"' && quote != '\'' {
		if end := i + len([]rune(value)); end <= len(text) && string(text[i:end]) == value {
			return end, true
		}
		return len(text), false
	}
	for j := i + 1; j < len(text); j++ {
		switch {
		case quote == '"' && text[j] == '\\':
			j++
		case text[j] != quote:
		case quote == '\'' && j+1 < len(text) && text[j+1] == quote:
			j++
		default:
			return j + 1, true
		}
	}
	return len(text), false
}

// split cuts a line before column, with *** for what is secret.
func (m *masks) split(text []rune, line, column int) (before, after []rune) {
	covered := m.covered(text, line)
	cover := func(from, to int) []rune {
		var out []rune
		for i := from; i < to; i++ {
			if !covered(i) {
				out = append(out, text[i])
			} else if i == from || !covered(i-1) {
				out = append(out, []rune("***")...)
			}
		}
		return out
	}
	cut := min(column-1, len(text))
	return cover(0, cut), cover(cut, len(text))
}

// covered tells which characters of a line are secret. In a file that could not be parsed nothing tells, so only the
// punctuation is shown, and the key that the line begins with if it is one of ours.
func (m *masks) covered(text []rune, line int) func(i int) bool {
	if !m.known {
		first := slices.Index(text, ':')
		if name := strings.Trim(string(text[:max(first, 0)]), " \t-{\"'"); table().child(name) == nil && table().find(name) == nil {
			first = -1
		}
		return func(i int) bool { return i > first && !strings.ContainsRune(" []{},:\"'", text[i]) }
	}
	return func(i int) bool {
		return slices.ContainsFunc(m.spans, func(s span) bool {
			if line == s.line {
				return i >= s.from && i < s.to
			}
			return line > s.line && line <= s.last
		})
	}
}
