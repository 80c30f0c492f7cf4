// Package schema holds JSON of strangers to JSON Schemas (draft 2020-12). What a check costs is bounded whatever the value and
// whatever the schema: its bytes, its depth, its numbers and the work done for it.
package schema

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"runtime"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits bound a value that is checked. Zero fields are defaults.
type Limits struct {
	Bytes int // of its JSON; default 64 KiB
	Depth int // of arrays and objects in it; default 32, MaxDepth at most
}

// The default limits, and the most that Depth may be: what Socket.IO's decoder lets through.
const (
	DefaultBytes = 64 << 10
	DefaultDepth = 32
	MaxDepth     = 512
)

// HeldPerByte is how many bytes a value takes for each byte of its JSON while it is checked, at most: `{},` becomes a map, `1,` a
// text of its own (TestCheckHoldsWhatItSays). A value in which much is wrong takes more, for what is wrong is listed first, some
// hundred bytes for each: places bounds how many there are at a time.
const HeldPerByte = 64

// places has a place for each check of the process that goes on at the same time: they need nothing but a CPU.
var places = make(chan struct{}, min(runtime.NumCPU(), 8))

// Schema is a compiled JSON Schema. It does not change. Any goroutine may use it; of all checks of the process as many go on at the
// same time as there are CPUs, eight at most, and others wait for them.
type Schema struct {
	name    string
	sources *sources
	// free has the copies nobody uses; nil in the place of one that was not needed yet. A copy counts the work of its one check:
	// the library has no other place for that.
	free chan *compiled
}

// Compile compiles a schema, a file of fsys. References may lead to files in the same directory and below it, and nowhere else; a
// regular expression is one of Go (RE2), whose cost is linear in the text. A format is asserted. The error is a *Fault.
func Compile(fsys fs.FS, name string) (*Schema, error) {
	from, err := newSources(fsys, name)
	if err != nil {
		return nil, err
	}
	return from.schema()
}

// Parse is Compile for a schema that is not in a file, and refers to none: it is called name.
func Parse(name string, text []byte) (*Schema, error) {
	from := &sources{name: name, texts: map[string][]byte{name: text}}
	if _, err := from.document(name); err != nil {
		return nil, err
	}
	return from.schema()
}

func (s *sources) schema() (*Schema, error) {
	sc := &Schema{name: s.file(s.name), sources: s, free: make(chan *compiled, cap(places))}
	first, err := s.compile()
	if err != nil {
		return nil, err
	}
	sc.free <- first
	for len(sc.free) < cap(sc.free) {
		sc.free <- nil
	}
	return sc, nil
}

// Name is the file's.
func (s *Schema) Name() string { return s.name }

// Check holds JSON, which is valid, to the schema; nil: it is as the schema says. attachments is how many binary parts go with
// it: their placeholders are no JSON, and only where the schema says nothing at all, true or {}, may one stand.
func (s *Schema) Check(raw []byte, attachments int, l Limits) *Violation {
	if v := l.check(raw); v != nil {
		return v
	}
	places <- struct{}{}
	defer func() { <-places }()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return &Violation{Rule: "json", Reason: err.Error()}
	}
	if attachments > 0 {
		value = markBinary(value, attachments)
	}
	return s.checkValue(value, len(raw))
}

// CheckBinary holds a value that is a binary part, and no JSON, to the schema.
func (s *Schema) CheckBinary() *Violation {
	places <- struct{}{}
	defer func() { <-places }()
	return s.checkValue(binary{}, 0)
}

// checkValue is called by who has a place.
func (s *Schema) checkValue(value any, size int) *Violation {
	c := <-s.free
	if c == nil {
		var err error
		if c, err = s.sources.compile(); err != nil { // not reached: it has been compiled before
			s.free <- nil
			return &Violation{Rule: "schema", Reason: err.Error()}
		}
	}
	defer func() { s.free <- c }()
	return c.check(value, size)
}

// binary stands in a value for a binary part: the library takes it for no JSON.
type binary struct{}

// markBinary puts binary where placeholders of attachments are.
func markBinary(v any, attachments int) any {
	switch v := v.(type) {
	case map[string]any:
		if v["_placeholder"] == true {
			if n, ok := v["num"].(json.Number); ok {
				if i, err := n.Int64(); err == nil && i >= 0 && i < int64(attachments) {
					return binary{}
				}
			}
		}
		for k, x := range v {
			v[k] = markBinary(x, attachments)
		}
	case []any:
		for i, x := range v {
			v[i] = markBinary(x, attachments)
		}
	}
	return v
}

// compiled is one copy of a schema.
type compiled struct {
	root *jsonschema.Schema
	effort
}

func (c *compiled) check(value any, size int) (v *Violation) {
	c.begin(size)
	defer func() {
		if r := recover(); r != nil {
			if _, spent := r.(tooMuch); !spent {
				panic(r)
			}
			v = &Violation{Rule: "effort", Reason: "the value takes too much work to check: the schema looks at it again and again"}
		}
	}()
	err := c.root.Validate(value)
	if err == nil {
		return nil
	}
	return newViolation(err.(*jsonschema.ValidationError)) //nolint:errorlint,forcetypeassert // it is its only type
}
