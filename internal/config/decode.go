package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// reader turns one tree into a document. It goes on after a problem, so that all are found.
type reader struct {
	in         *input
	mode       mode
	environ    map[string]string
	known      []string // sorted: variables that override a key of this file
	references references
	places     map[string]place  // by path: where each value that was set comes from
	hidden     map[string]bool   // by path: values read from ${file:…}, which are shown to nobody
	files      []string          // that the file names, and that are read with it
	contents   map[string]string // by path: a digest of the file that a value names, where it is read at once
	warnings   []Warning
	features   map[string]bool // features of later versions already refused, with the section that asked
}

func newReader(in *input, environ map[string]string) *reader {
	return &reader{
		in: in, environ: environ,
		references: references{environ: environ, dir: in.dir, used: map[string]bool{}},
		places:     map[string]place{}, hidden: map[string]bool{}, contents: map[string]string{}, features: map[string]bool{},
	}
}

// problem books what is wrong with the value at path.
func (r *reader) problem(path string, at place, format string, args ...any) {
	r.in.problems.List = append(r.in.problems.List, Problem{
		File: at.file, Line: at.line, Column: at.column, Path: path, Message: fmt.Sprintf(format, args...),
	})
}

// wrong books a problem at the place of the value at path, or of what it would be in.
// What is wrong already is not judged again.
func (r *reader) wrong(path, format string, args ...any) {
	if path == "" || !r.booked(path) {
		r.problem(path, r.at(path), format, args...)
	}
}

// at is where the value at path was set, or else what it would be in.
func (r *reader) at(path string) place {
	for {
		if p, ok := r.places[path]; ok || path == "" {
			return p
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// isSet reports whether the file, the environment or a flag gives the value at path.
func (r *reader) isSet(path string) bool {
	_, ok := r.places[path]
	return ok
}

// defaults gives v and everything in it the values of the table.
func (r *reader) defaults(k *key, v reflect.Value) {
	switch k.kind {
	case mappingKind:
		for _, c := range k.keys {
			r.defaults(c, v.FieldByIndex(c.index))
		}
	case listKind:
		for _, word := range k.defaultWords() {
			v.Set(reflect.Append(v, reflect.ValueOf(word)))
		}
	case tableKind:
	default:
		n := &node{kind: textNode, text: k.def[r.mode], loose: true}
		if k.required || (n.text == "" && k.kind != textKind) {
			return
		}
		if message := r.convert(k, n, v); message != "" {
			panic(fmt.Sprintf("config: default of %s: %s", k.path(), message))
		}
	}
}

// decode sets v, which has its defaults, to what n says.
func (r *reader) decode(k *key, n *node, v reflect.Value, path string) {
	if k.only != "" && r.mode == weirMode {
		r.problem(path, n.at, `is a key of StreamFence files, not used with "weir: 1": %s`, k.only)
		return
	}
	if n.kind == nullNode && !k.kind.scalar() {
		if k.closes {
			r.places[path] = n.at
		}
		return // "tls:" with nothing below it is as good as no key
	}
	r.places[path] = n.at
	switch {
	case k.kind == mappingKind && n.kind == mappingNode:
		r.decodeMapping(k, n, v, path)
	case k.kind == mappingKind && k.short != nil && n.kind.scalar():
		r.decodeScalar(k.short, n, v.FieldByIndex(k.short.index), path)
		if long := below(path, k.short.name); k.short.name != "" {
			r.places[long], r.hidden[long] = n.at, r.hidden[path]
		}
	case k.kind == tableKind && n.kind == mappingNode:
		r.decodeTable(k, n, v, path)
	case k.kind == listKind && n.kind == listNode:
		r.decodeList(k, n, v, path)
	case k.kind.scalar() && n.kind.scalar():
		r.decodeScalar(k, n, v, path)
	case k.absent():
		r.refuse(k, n, path)
	default:
		r.problem(path, n.at, "is %v, want %s", n.kind, k.form(r.mode))
	}
}

func (r *reader) decodeMapping(k *key, n *node, v reflect.Value, path string) {
	seen := map[string]place{}
	for _, e := range n.entries {
		at := below(path, e.name)
		c := k.child(e.name)
		if first, twice := seen[e.name]; twice {
			r.problem(at, e.at, "is set twice, first in line %d", first.line)
			continue
		}
		seen[e.name] = e.at
		if c == nil {
			r.problem(at, e.at, "unknown key %q%s", e.name, k.advice(e.name))
			continue
		}
		if r.idle(c, n) {
			r.places[at] = e.value.at
			r.warn(at, "has no effect without %s, as in StreamFence", strings.Replace(c.idleBut, "=", ": ", 1))
			continue
		}
		r.decode(c, e.value, v.FieldByIndex(c.index), at)
	}
	for _, c := range k.keys {
		if value := n.get(c.name); c.required && (value == nil || (value.kind == nullNode && !c.kind.scalar())) {
			r.problem(below(path, c.name), n.at, "is missing: want %s", c.want(r.mode))
		}
	}
	if k.short != nil && k.short.kind == booleanKind {
		v.FieldByIndex(k.short.index).SetBool(true)
	}
}

// idle reports whether a key of a StreamFence file has no effect, as its neighbour in the mapping n says.
func (r *reader) idle(k *key, n *node) bool {
	if k.idleBut == "" || r.mode != streamFenceMode {
		return false
	}
	name, value, _ := strings.Cut(k.idleBut, "=")
	neighbour := n.get(name)
	return neighbour == nil || neighbour.text != value
}

// advice is what an unknown key of this mapping may have meant, as the end of a message.
func (k *key) advice(name string) string {
	names := k.names()
	if hint := didYouMean(name, names); hint != "" {
		return hint
	}
	if home := table().find(name); home != nil {
		return "; it belongs to " + home.parent.path()
	}
	return "; want one of " + strings.Join(names, ", ")
}

// find returns a key of that name anywhere at or below k, or nil.
func (k *key) find(name string) *key {
	if k.name == name && k.parent != nil && k.parent.parent != nil {
		return k
	}
	for _, c := range k.keys {
		if found := c.find(name); found != nil {
			return found
		}
	}
	if k.item != nil {
		return k.item.find(name)
	}
	return nil
}

func (r *reader) decodeTable(k *key, n *node, v reflect.Value, path string) {
	if k.absent() && len(n.entries) > 0 {
		r.refuse(k, n, path)
		return
	}
	if len(n.entries) == 0 && k.required {
		r.problem(path, n.at, "is empty: want at least one entry")
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range n.entries {
		at := below(path, e.name)
		if strings.TrimSpace(e.name) == "" {
			r.problem(at, e.at, "the name is empty")
			continue
		}
		name := reflect.ValueOf(e.name)
		if v.MapIndex(name).IsValid() {
			r.problem(at, e.at, "is set twice")
			continue
		}
		v.SetMapIndex(name, r.element(k.item, e.value, v.Type().Elem(), at))
	}
}

func (r *reader) decodeList(k *key, n *node, v reflect.Value, path string) {
	if k.absent() {
		if len(n.items) > 0 && !r.isDefaultList(k, n) {
			r.refuse(k, n, path)
		}
		return
	}
	if len(n.items) == 0 && k.required {
		r.problem(path, n.at, "is empty: want at least one entry")
	}
	v.SetZero()
	for i, item := range n.items {
		v.Set(reflect.Append(v, r.element(k.item, item, v.Type().Elem(), fmt.Sprintf("%s[%d]", path, i))))
	}
}

// element decodes one entry of a table or list.
func (r *reader) element(k *key, n *node, t reflect.Type, path string) reflect.Value {
	pointer := t.Kind() == reflect.Pointer
	if pointer {
		t = t.Elem()
	}
	v := reflect.New(t)
	r.defaults(k, v.Elem())
	if n.kind == nullNode && !k.kind.scalar() {
		r.problem(path, n.at, "is empty: want %s", k.form(r.mode))
	}
	r.decode(k, n, v.Elem(), path)
	if pointer {
		return v
	}
	return v.Elem()
}

func (r *reader) decodeScalar(k *key, n *node, v reflect.Value, path string) {
	r.places[path] = n.at
	given := *n
	if n.at.from == fromFile && n.kind == textNode {
		text, found, err := r.references.expand(n.text)
		if err != nil {
			r.problem(path, n.at, "%v", err)
			return
		}
		given.text, given.loose = text, found
		if found {
			given.reference = n.text
		}
		r.hidden[path] = found && strings.Contains(n.text, "${file:")
	}
	if k.absent() || (k.laterValue != "" && given.text == k.laterValue) {
		r.decodeLater(k, &given, v, path)
		return
	}
	if message := r.convert(k, &given, v); message != "" {
		r.problem(path, n.at, "%s", message)
	}
}

// decodeLater accepts the default of a key whose feature does not exist yet, and nothing else.
func (r *reader) decodeLater(k *key, n *node, v reflect.Value, path string) {
	given := reflect.New(v.Type()).Elem()
	if k.laterValue == "" && r.convert(k, n, given) == "" && given.Equal(v) {
		return
	}
	r.refuse(k, n, path)
}

func (r *reader) isDefaultList(k *key, n *node) bool {
	return slices.EqualFunc(n.items, k.defaultWords(), func(item *node, word string) bool { return item.text == word })
}

// refuse books one sentence for each feature and section that asks for it.
func (r *reader) refuse(k *key, n *node, path string) {
	section := path
	for up := k; up.parent != nil && up.parent.later == k.later; up = up.parent {
		section = section[:max(strings.LastIndexAny(section, ".["), 0)]
	}
	id := section + "\x00" + k.later
	if section != path && r.features[id] {
		return
	}
	r.features[id] = true
	value := ""
	if k.kind == enumKind && n.reference == "" && n.kind.scalar() {
		value = n.text + " "
	}
	r.problem(path, n.at, "%sneeds %s, which this version of Weir does not have", value, k.later)
}
