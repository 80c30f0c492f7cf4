package config

import (
	"fmt"
	"regexp"
	"slices"
)

// nodeKind is the form of a value as written.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	booleanNode
	numberNode
	textNode
	oddNode // a plain scalar that readers of YAML disagree about: 017, 0x10, 1_000, True
	listNode
	mappingNode
)

var nodeKindNames = [...]string{"nothing", "true or false", "a number", "text", "ambiguous", "a list", "a mapping"}

func (k nodeKind) String() string { return nodeKindNames[k] }
func (k nodeKind) scalar() bool   { return k < listNode }

// node is one value of the file, or one that came from outside and took its place.
type node struct {
	kind      nodeKind
	text      string // of a scalar: what it says, quotes and escapes resolved
	loose     bool   // came as text from outside, so the key decides what it is
	reference string // the ${…} that text came from, and that is shown in its place
	at        place
	items     []*node
	entries   []entry
}

// entry is a key of a mapping with its value.
type entry struct {
	name  string
	at    place // of the key
	value *node
}

// place is where a value comes from: a position in the file, or outside of it.
type place struct {
	file   string // the file, or "environment variable NAME", or "flag"
	line   int    // from 1; 0 outside of a file
	column int    // from 1, in characters
	from   source
}

type source uint8

const (
	fromDefault source = iota
	fromFile
	fromEnvironment
	fromFlag
)

// String is the origin as the effective configuration shows it.
func (p place) String() string {
	switch p.from {
	case fromFile:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	case fromEnvironment, fromFlag:
		return p.file
	case fromDefault:
	}
	return "default"
}

// plainNumber is a number of JSON.
var plainNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// classify tells what an unquoted scalar is: what JSON and every version of YAML agree about.
func classify(text string) nodeKind {
	switch {
	case text == "" || text == "null" || text == "~":
		return nullNode
	case text == "true" || text == "false":
		return booleanNode
	case plainNumber.MatchString(text):
		return numberNode
	}
	return textNode
}

// get returns the value of a name in a mapping, or nil.
func (n *node) get(name string) *node {
	for _, e := range n.entries {
		if e.name == name {
			return e.value
		}
	}
	return nil
}

// put sets the value at the end of steps, making the mappings on the way.
func (n *node) put(steps []string, value *node) {
	if n.kind != mappingNode {
		n.kind, n.at, n.entries = mappingNode, value.at, nil
	}
	i := slices.IndexFunc(n.entries, func(e entry) bool { return e.name == steps[0] })
	if i < 0 {
		n.entries = append(n.entries, entry{name: steps[0], at: value.at, value: &node{at: value.at}})
		i = len(n.entries) - 1
	}
	if len(steps) == 1 {
		n.entries[i].at, n.entries[i].value = value.at, value
		return
	}
	below := *n.entries[i].value // a copy: an alias may share it
	below.entries = slices.Clone(below.entries)
	below.put(steps[1:], value)
	n.entries[i].value = &below
}
