package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kind is the form of a key's value.
type kind uint8

const (
	mappingKind kind = iota // a fixed set of keys
	tableKind               // names of the user's choice
	listKind
	textKind
	enumKind
	booleanKind
	integerKind
	durationKind // whole milliseconds
	numberKind
)

var kindNames = [...]string{"a mapping", "a mapping", "a list", "text", "a word", "true or false", "a whole number", "whole milliseconds", "a number"}

func (k kind) String() string { return kindNames[k] }
func (k kind) scalar() bool   { return k > listKind }

// key is one row of the table of keys: a field of document with its tags read. Immutable.
type key struct {
	name       string
	kind       kind
	doc        string
	def        [modes]string
	min        [modes]float64
	max        float64
	enum       []string
	required   bool
	secret     bool
	live       bool   // a server that runs can change it
	only       string // not "" = StreamFence's key; the advice for files with "weir: 1"
	later      string // the feature that is missing
	laterValue string // "" = every value but the default needs it
	idleBut    string // "key=value": without that neighbour a StreamFence file's key has no effect; "" = it always has
	example    string
	closes     bool // of a list: "sub:" with nothing behind it is an empty list; of other keys it is as good as no key

	index  []int  // of the field in its struct
	keys   []*key // of a mapping, in the order of the file
	short  *key   // of a mapping: what a scalar in its place sets
	item   *key   // of a table or a list
	parent *key
}

// mode selects the defaults.
type mode uint8

const (
	weirMode        mode = iota // "weir: 1"
	streamFenceMode             // without
	modes
)

// table is the root of the table of keys.
var table = sync.OnceValue(func() *key {
	return newKey(nil, reflect.StructField{Type: reflect.TypeFor[document]()})
})

// newKey reads one field. It panics on a table that contradicts itself, which is a bug of this package.
func newKey(parent *key, f reflect.StructField) *key {
	tag := f.Tag
	k := &key{
		name: tag.Get("key"), doc: tag.Get("doc"), index: f.Index, parent: parent,
		required: tag.Get("required") == "true", secret: tag.Get("secret") == "true", closes: tag.Get("closes") == "true",
		live: tag.Get("live") == "true",
		only: tag.Get("only"), later: tag.Get("later"), laterValue: tag.Get("laterValue"), example: tag.Get("example"),
		idleBut: tag.Get("idleBut"),
	}
	if parent != nil {
		k.secret, k.live = k.secret || parent.secret, k.live || parent.live
		if k.later == "" && parent.later != "" && parent.laterValue == "" {
			k.later = parent.later
		}
	}
	k.kind = kindOf(f)
	if e := tag.Get("enum"); e != "" {
		k.enum = strings.Split(e, ",")
	}
	k.readDefaults(tag)
	k.readLimits(tag, f.Type)
	switch k.kind {
	case mappingKind:
		k.readFields(f.Type)
	case tableKind, listKind:
		k.item = newKey(k, reflect.StructField{Type: f.Type.Elem(), Tag: reflect.StructTag(fmt.Sprintf("enum:%q", tag.Get("enum")))})
		if k.kind == tableKind && k.item.short != nil {
			k.item.doc = k.item.short.doc
		}
	default: // a scalar has nothing below it
	}
	return k
}

func kindOf(f reflect.StructField) kind {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return durationKind
	case t.Kind() == reflect.Slice:
		return listKind
	case t.Kind() == reflect.Map:
		return tableKind
	case t.Kind() == reflect.Struct:
		return mappingKind
	case f.Tag.Get("enum") != "":
		return enumKind
	}
	switch t.Kind() {
	case reflect.String:
		return textKind
	case reflect.Bool:
		return booleanKind
	case reflect.Int, reflect.Int64:
		return integerKind
	case reflect.Float64:
		return numberKind
	}
	panic(fmt.Sprintf("config: key %q has the unknown type %v", f.Tag.Get("key"), t))
}

func (k *key) readDefaults(tag reflect.StructTag) {
	def, sf := tag.Get("default"), tag.Get("default")
	if v, ok := tag.Lookup("sf"); ok {
		sf = v
	}
	k.def = [modes]string{def, sf}
}

func (k *key) readLimits(tag reflect.StructTag, t reflect.Type) {
	limit := func(name string, without float64) float64 {
		v, ok := tag.Lookup(name)
		if !ok {
			return without
		}
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			panic(fmt.Sprintf("config: key %q: %s: %v", k.name, name, err))
		}
		return n
	}
	most := float64(math.MaxInt32)
	if t.Kind() == reflect.Int64 && k.kind == integerKind {
		most = 1 << 53
	}
	least := limit("min", 0)
	k.min = [modes]float64{least, limit("sfmin", least)}
	k.max = limit("max", most)
}

// readFields lists the fields of a mapping, those of embedded structs in their place.
func (k *key) readFields(t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		child := newKey(k, f)
		if child.name != "" {
			k.keys = append(k.keys, child)
		}
		if f.Tag.Get("short") == "true" {
			k.short = child
		}
	}
}

// child returns the key of that name in a mapping, or nil.
func (k *key) child(name string) *key {
	for _, c := range k.keys {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (k *key) names() []string {
	names := make([]string, len(k.keys))
	for i, c := range k.keys {
		names[i] = c.name
	}
	return names
}

// path is where the key stands in any file: names of the user's choice as NAME, list items as [].
func (k *key) path() string {
	if k.parent == nil {
		return ""
	}
	up := k.parent.path()
	switch {
	case k.parent.kind == listKind:
		return up + "[]"
	case k.parent.kind == tableKind:
		return up + ".NAME"
	case up == "":
		return k.name
	}
	return up + "." + k.name
}

// hides reports whether the key or one below it is secret.
func (k *key) hides() bool {
	if k.secret || (k.item != nil && k.item.hides()) {
		return true
	}
	for _, c := range k.keys {
		if c.hides() {
			return true
		}
	}
	return false
}

// absent reports whether the key only stands for a feature of a later version: there is nothing to choose.
func (k *key) absent() bool {
	if k.kind == mappingKind && k.later == "" {
		return !slices.ContainsFunc(k.keys, func(c *key) bool { return !c.absent() })
	}
	return k.later != "" && k.laterValue == ""
}

// choices are the words allowed, without those of later versions.
func (k *key) choices() []string {
	var words []string
	for _, w := range k.enum {
		if k.later == "" || (k.laterValue != "" && w != k.laterValue) || (k.laterValue == "" && w == k.def[weirMode]) {
			words = append(words, w)
		}
	}
	return words
}

// want says in words what a value may be.
func (k *key) want(m mode) string {
	switch k.kind {
	case enumKind:
		return strings.Join(k.choices(), ", ")
	case integerKind, durationKind, numberKind:
		if k.min[m] < -1 {
			return fmt.Sprintf("%v up to %s", k.kind, plain(k.max))
		}
		return fmt.Sprintf("%v from %s to %s", k.kind, plain(k.min[m]), plain(k.max))
	default:
		return k.kind.String()
	}
}

func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// form is want with the short form that may stand in its place.
func (k *key) form(m mode) string {
	if k.short != nil {
		return k.short.want(m) + " or a mapping"
	}
	return k.want(m)
}

// defaultWords are the default of a list.
func (k *key) defaultWords() []string {
	if k.def[weirMode] == "" {
		return nil
	}
	return strings.Split(k.def[weirMode], ",")
}
