package args

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/wire/sio"
)

// plan is how JSON becomes a value of one Go type in one pass, where encoding/json needs two and a state of its own: most of
// what a handler with a type costs (BenchmarkDecode). A plan does what encoding/json would do or gives up; then encoding/json
// decodes the argument from its beginning, and makes the error if there is one. Code of the application runs once: fields of
// types that a plan does not know are decoded by encoding/json when the plan has come to its end.
type plan struct {
	kind   reflect.Kind // of a scalar; Struct; or Invalid: it is foreign
	fields []field      // of a struct, in their order
	mixed  bool         // some of them are foreign
}

// field is a field of a struct that JSON knows.
type field struct {
	name  string
	index int
	plan  *plan
}

// foreign is the plan of what encoding/json decodes.
var foreign = &plan{}

// late is a foreign field that is still to be decoded.
type late struct {
	name       string
	value      reflect.Value
	begin, end int
}

// decoder follows a plan over b, which is valid JSON.
type decoder struct {
	b     []byte
	later []late
}

// plans are those of types that were decoded into: *plan by reflect.Type.
var plans sync.Map

// planOf is the plan of a type; of one that is foreign there is no point in following it.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(t, newPlan(t))
	return p.(*plan)
}

var (
	ownJSON    = reflect.TypeFor[json.Unmarshaler]()
	ownText    = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonNumber = reflect.TypeFor[json.Number]()
)

func newPlan(t reflect.Type) *plan {
	if to := reflect.PointerTo(t); to.Implements(ownJSON) || to.Implements(ownText) || t == jsonNumber {
		return foreign
	}
	switch t.Kind() {
	case reflect.Struct:
		return structPlan(t)
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return &plan{kind: t.Kind()}
	default:
		return foreign
	}
}

// structPlan is foreign for what has rules of its own, and where most fields are foreign.
func structPlan(t reflect.Type) *plan {
	p, others := &plan{kind: reflect.Struct}, 0
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous, strings.Contains(options, "string"):
			return foreign
		case !f.IsExported(), tag == "-":
			continue
		case !tagged || name == "":
			name = f.Name
		}
		if !plain(name) || p.find([]byte(name), 0) >= 0 {
			return foreign
		}
		of := newPlan(f.Type)
		if of == foreign || of.mixed {
			of = foreign
			others++
		}
		p.fields = append(p.fields, field{name, i, of})
	}
	if p.mixed = others > 0; 2*others > len(p.fields) {
		return foreign
	}
	return p
}

// plain reports whether encoding/json takes a name as it is, and finds it in JSON without looking at escapes.
func plain(name string) bool {
	for _, c := range []byte(name) {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return name != ""
}

// find is the index of the field of that name, -1 if there is none. It begins to look where the name is expected.
func (p *plan) find(name []byte, expected int) int {
	for i := expected; i < len(p.fields); i++ {
		if p.fields[i].name == string(name) {
			return i
		}
	}
	for i := range min(expected, len(p.fields)) {
		if p.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

// resembles reports whether a name that is none of the fields' may yet mean one: encoding/json is not strict about letters.
func (p *plan) resembles(name []byte) bool {
	for _, c := range name {
		if c == '\\' || c >= utf8.RuneSelf {
			return true
		}
	}
	for i := range p.fields {
		if len(p.fields[i].name) == len(name) && strings.EqualFold(p.fields[i].name, string(name)) {
			return true
		}
	}
	return false
}

// decode decodes the value that begins at i, and returns where it ends; false where it gives up.
func (d *decoder) decode(p *plan, i int, v reflect.Value) (end int, ok bool) {
	switch c := at(d.b, i); {
	case c == 'n':
		return i + len("null"), true // changes nothing
	case c == '{' && p.kind == reflect.Struct:
		return d.object(p, i, v)
	case c == '"' && p.kind == reflect.String:
		return d.text(i, v)
	case (c == 't' || c == 'f') && p.kind == reflect.Bool:
		v.SetBool(c == 't')
		return i + len(strconv.FormatBool(c == 't')), true
	case c == '-' || c >= '0' && c <= '9':
		return d.number(p, i, v)
	}
	return 0, false
}

func (d *decoder) object(p *plan, i int, v reflect.Value) (end int, ok bool) {
	b := d.b
	i = space(b, i+1)
	if at(b, i) == '}' {
		return i + 1, true
	}
	for expected := 0; at(b, i) == '"'; i = space(b, i+1) {
		n := bytes.IndexByte(b[i+1:], '"')
		if n < 0 {
			return 0, false
		}
		name := b[i+1 : i+1+n]
		i = space(b, space(b, i+1+n+1)+1) // behind the colon
		if i, expected, ok = d.member(p, name, i, expected, v); !ok {
			return 0, false
		}
		if i = space(b, i); at(b, i) != ',' {
			return i + 1, at(b, i) == '}'
		}
	}
	return 0, false
}

// member decodes the value of a member of an object into the field of its name, which is expected to be a certain one.
func (d *decoder) member(p *plan, name []byte, i, expected int, v reflect.Value) (end, next int, ok bool) {
	at := p.find(name, expected)
	if at < 0 {
		if p.resembles(name) {
			return 0, 0, false
		}
		end, ok = sio.ValueEnd(d.b, i)
		return end, expected, ok
	}
	f := &p.fields[at]
	if f.plan != foreign {
		end, ok = d.decode(f.plan, i, v.Field(f.index))
		return end, at + 1, ok
	}
	end, ok = sio.ValueEnd(d.b, i)
	d.later = append(d.later, late{f.name, v.Field(f.index), i, end})
	return end, at + 1, ok
}

// finish decodes what is foreign. As with encoding/json the first value that does not fit is the error, and others are decoded
// all the same; an error of the application's code ends it.
func (d *decoder) finish() (first error) {
	for _, l := range d.later {
		err := json.Unmarshal(d.b[l.begin:l.end], l.value.Addr().Interface())
		if err == nil {
			continue
		}
		wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
		if !ok {
			return err
		}
		if first == nil {
			first, wrong.Field = err, strings.TrimSuffix(l.name+"."+wrong.Field, ".")
		}
	}
	return first
}

// text leaves escapes to encoding/json.
func (d *decoder) text(i int, v reflect.Value) (end int, ok bool) {
	n := bytes.IndexByte(d.b[i+1:], '"')
	if n < 0 {
		return 0, false
	}
	s := d.b[i+1 : i+1+n]
	if bytes.IndexByte(s, '\\') >= 0 || !utf8.Valid(s) {
		end, ok = sio.ValueEnd(d.b, i)
		return end, ok && json.Unmarshal(d.b[i:end], v.Addr().Interface()) == nil
	}
	v.SetString(string(s))
	return i + 1 + n + 1, true
}

func (d *decoder) number(p *plan, i int, v reflect.Value) (end int, ok bool) {
	whole := true
	for end = i + 1; ; end++ {
		switch c := at(d.b, end); {
		case c >= '0' && c <= '9':
		case c == '.', c == 'e', c == 'E', c == '+', c == '-':
			whole = false
		default:
			return end, p.setNumber(d.b[i:end], whole, v)
		}
	}
}

func (p *plan) setNumber(text []byte, whole bool, v reflect.Value) bool {
	switch p.kind {
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(string(text), v.Type().Bits())
		if err == nil {
			v.SetFloat(f)
		}
		return err == nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(string(text), 10, v.Type().Bits())
		if whole = whole && err == nil; whole {
			v.SetInt(n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, err := strconv.ParseUint(string(text), 10, v.Type().Bits())
		if whole = whole && err == nil; whole {
			v.SetUint(n)
		}
	default:
		return false
	}
	return whole
}

// at is b[i], or 0, which JSON allows nowhere, at the end.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// space is the index of the first byte from i on that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}
