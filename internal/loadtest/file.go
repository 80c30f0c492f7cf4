package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// A scenario file is YAML:
//
//	defaults:                          # of every step whose scenario knows the key
//	  url: http://127.0.0.1:3000
//	  clients: 1000
//	steps:
//	  - {scenario: connect, rate: 500}
//	  - {scenario: fanout, title: as fast as it goes, window: 16}
//
// The keys are those of Options.Settings, and url, scenario, title.

// maxFile bounds a scenario file, in bytes.
const maxFile = 1 << 20

// FileError is everything that is wrong with a scenario file, one problem a line.
type FileError struct{ Lines []string }

func (e *FileError) Error() string { return strings.Join(e.Lines, "\n") }

// ReadFile reads the steps of a scenario file. override is called on each step before it is judged; nil changes
// nothing. The error is a *FileError with every problem and where it is, or that of reading.
func ReadFile(path string, override func(*Options)) ([]Options, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the scenario file: %w", err)
	}
	f := &file{path: path, override: override}
	if len(text) > maxFile {
		f.fault(nil, "larger than %s", sizeText(maxFile))
	} else if root := f.parse(string(text)); root != nil {
		f.read(root)
	}
	if len(f.problems.Lines) > 0 {
		return nil, &f.problems
	}
	return f.steps, nil
}

// file is one while it is read. It goes on after a problem, so that all are found.
type file struct {
	path     string
	override func(*Options)
	steps    []Options
	problems FileError
}

// fault books a problem at a node, or at the beginning.
func (f *file) fault(at ast.Node, format string, args ...any) {
	line, column := 1, 1
	if at != nil {
		p := at.GetToken().Position
		line, column = p.Line, p.Column
	}
	f.problems.Lines = append(f.problems.Lines, fmt.Sprintf("%s:%d:%d: %s", f.path, line, column, fmt.Sprintf(format, args...)))
}

// parse returns the mapping the file is. A defect of the parser becomes a problem, not a crash.
func (f *file) parse(text string) (root *ast.MappingNode) {
	defer func() {
		if recover() != nil {
			f.fault(nil, "the YAML parser gave up on this file: write it more plainly")
			root = nil
		}
	}()
	parsed, err := parser.Parse(lexer.Tokenize(text), 0)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		p := syntax.GetToken().Position
		f.problems.Lines = append(f.problems.Lines, fmt.Sprintf("%s:%d:%d: %s", f.path, p.Line, p.Column, syntax.GetMessage()))
		return nil
	case err != nil:
		f.fault(nil, "%v", err)
		return nil
	case len(parsed.Docs) != 1 || parsed.Docs[0].Body == nil:
		f.fault(nil, "want one document with steps")
		return nil
	}
	m, ok := mapping(parsed.Docs[0].Body)
	if !ok {
		f.fault(parsed.Docs[0].Body, "want a mapping with defaults and steps")
	}
	return m
}

// mapping is a node as a mapping: one of a single key is a node of its own kind.
func mapping(n ast.Node) (*ast.MappingNode, bool) {
	switch v := n.(type) {
	case *ast.MappingNode:
		return v, true
	case *ast.MappingValueNode:
		return &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: v.GetToken(), Values: []*ast.MappingValueNode{v}}, true
	}
	return nil, false
}

func (f *file) read(root *ast.MappingNode) {
	var defaults *ast.MappingNode
	var steps *ast.SequenceNode
	for _, v := range root.Values {
		ok := true
		switch key := v.Key.GetToken().Value; key {
		case "defaults":
			if v.Value.Type() != ast.NullType {
				defaults, ok = mapping(v.Value)
			}
			if !ok {
				f.fault(v.Value, "defaults: want a mapping")
			}
		case "steps":
			if steps, ok = v.Value.(*ast.SequenceNode); !ok {
				f.fault(v.Value, "steps: want a list")
			}
		default:
			f.fault(v.Key, "unknown key %q: want defaults, steps", key)
		}
	}
	if steps == nil || len(steps.Values) == 0 {
		f.fault(root, "steps: want at least one")
		return
	}
	f.checkDefaults(defaults)
	for _, s := range steps.Values {
		f.step(s, defaults)
	}
}

// checkDefaults finds keys that no scenario knows, and those that belong to a step. Values are judged with the steps.
func (f *file) checkDefaults(defaults *ast.MappingNode) {
	if defaults == nil {
		return
	}
	any := Defaults("")
	for _, v := range defaults.Values {
		key := v.Key.GetToken().Value
		if key == "url" {
			continue
		}
		if !slices.ContainsFunc(any.all(), func(s Setting) bool { return s.Name == key }) {
			f.fault(v.Key, "defaults: unknown key %q", key)
		}
	}
}

// step reads one and judges it.
func (f *file) step(n ast.Node, defaults *ast.MappingNode) {
	m, ok := mapping(n)
	if !ok {
		f.fault(n, "want a mapping, such as {scenario: connect, clients: 1000}")
		return
	}
	scenario, at := "", ast.Node(m)
	for _, v := range m.Values {
		if v.Key.GetToken().Value == "scenario" {
			scenario, at = v.Value.GetToken().Value, v.Value
		}
	}
	if !slices.Contains(Names(), scenario) {
		f.fault(at, "scenario %q: want one of %s", scenario, strings.Join(Names(), ", "))
		return
	}
	before := len(f.problems.Lines)
	o := Defaults(scenario)
	places := map[string]ast.Node{}
	if defaults != nil {
		for _, v := range defaults.Values {
			f.set(&o, v, places, notOurs)
		}
	}
	for _, v := range m.Values {
		f.set(&o, v, places, unknown)
	}
	if f.override != nil {
		f.override(&o)
	}
	if len(f.problems.Lines) == before { // else what follows from a value that was not taken is told too
		f.judge(&o, m, places)
	}
	f.steps = append(f.steps, o)
}

// stranger is what a key is that the scenario does not have.
type stranger int

const (
	unknown stranger = iota // a mistake
	notOurs                 // a default for other scenarios
)

// set gives one value to the step.
func (f *file) set(o *Options, v *ast.MappingValueNode, places map[string]ast.Node, s stranger) {
	key := v.Key.GetToken().Value
	value, err := scalar(v.Value)
	if err != nil {
		f.fault(v.Value, "%s: %v", key, err)
		return
	}
	places[key] = v.Value
	settings := o.Settings()
	i := slices.IndexFunc(settings, func(s Setting) bool { return s.Name == key })
	switch {
	case key == "scenario" && s == unknown:
	case key == "title" && s == unknown:
		o.Title = value
	case key == "url":
		o.Target.URL = value
	case i >= 0:
		if err := settings[i].Value.Set(value); err != nil {
			f.fault(v.Value, "%s %q: %v", key, value, err)
		}
	case s == unknown:
		f.fault(v.Key, "unknown key %q of %s: it has %s", key, o.Scenario, names(settings))
	}
}

// judge books what does not fit together, at the value that is to blame or at the step.
func (f *file) judge(o *Options, step ast.Node, places map[string]ast.Node) {
	for _, p := range o.Validate() {
		at, ok := places[p.Setting]
		if !ok {
			at = step
		}
		f.fault(at, "%s: %s", p.Setting, p.Text)
	}
}

func names(settings []Setting) string {
	list := make([]string, len(settings))
	for i, s := range settings {
		list[i] = s.Name
	}
	return strings.Join(list, ", ")
}

// scalar is a value as a flag would have it: a mapping becomes JSON (auth), a list lines (header).
func scalar(n ast.Node) (string, error) {
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		var content map[string]any
		if err := yaml.NodeToValue(v, &content); err != nil {
			return "", errors.New("want a plain mapping")
		}
		text, err := json.Marshal(content)
		return string(text), err
	case *ast.SequenceNode:
		lines := make([]string, 0, len(v.Values))
		for _, item := range v.Values {
			line, err := scalar(item)
			if err != nil {
				return "", err
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "\n"), nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.NullNode:
		return "", nil
	case ast.ScalarNode:
		return v.GetToken().Value, nil
	}
	return "", errors.New("this form of YAML is not used in this file")
}
