package args

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Args are the arguments of an event or an answer, as the client wrote them.
type Args struct {
	raw         []byte // the JSON array
	skip        int    // leading elements that are not arguments: the event's name
	attachments [][]byte
}

// New returns the elements of a JSON array from index skip on, and the binary parts their placeholders stand for.
func New(raw []byte, skip int, attachments [][]byte) Args {
	return Args{raw: raw, skip: skip, attachments: attachments}
}

// JSON returns the arguments as raw JSON, byte for byte, attachments as
// placeholder objects.
func (a *Args) JSON() []json.RawMessage {
	if len(a.raw) == 0 {
		return nil
	}
	var few [8][]byte
	parts := split(a.raw, a.skip, few[:0])
	out := make([]json.RawMessage, 0, len(parts))
	for _, p := range parts {
		out = append(out, p)
	}
	return out
}

// split appends the elements of a JSON array from index skip on.
func split(raw []byte, skip int, dst [][]byte) [][]byte {
	parts := sio.SplitArgs(raw, dst)
	return parts[min(skip, len(parts)):]
}

// Raw is the JSON array that the arguments are the elements of, byte for byte, from the first that is one; nil if
// there are none.
func (a *Args) Raw() []byte {
	if a.skip == 0 || len(a.raw) == 0 {
		return a.raw
	}
	return append(append([]byte{'['}, bytes.Join(split(a.raw, a.skip, nil), []byte{','})...), ']')
}

// Sole is the one argument as raw JSON; false: there is none, or more than one.
func (a *Args) Sole() (raw []byte, ok bool) {
	if len(a.raw) == 0 {
		return nil, false
	}
	e := newElements(a.raw, a.skip)
	if !e.more() {
		return nil, false
	}
	raw = e.pass()
	return raw, !e.more()
}

// Attachments returns the binary parts in the order of their placeholders.
func (a *Args) Attachments() [][]byte { return a.attachments }

// Len is the number of arguments.
func (a *Args) Len() int { return len(a.JSON()) }

// Decode decodes the arguments into the given pointers by encoding/json, in
// order; binary parts decode into []byte, wherever they stand. Arguments beyond
// the pointers are ignored; a pointer without an argument is left as it is.
func (a *Args) Decode(into ...any) error {
	raw := a.raw
	if len(a.attachments) > 0 {
		var err error
		if raw, err = sio.Inline(nil, a.raw, a.attachments); err != nil {
			return invalid(err)
		}
	}
	e := newElements(raw, a.skip)
	for i := 0; i < len(into) && e.more(); i++ {
		if err := e.decode(into[i]); err != nil {
			return misfit(i, err)
		}
	}
	return nil
}

// misfit says in JSON's words, not in Go's, why an argument is not what the handler takes: clients read it.
func misfit(i int, err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Type == nil {
		return invalid(fmt.Errorf("argument %d: %w", i, err))
	}
	where := ""
	if wrong.Field != "" {
		where = ", field " + wrong.Field
	}
	return &base.Error{
		Code: base.CodeInvalid, Reason: fmt.Sprintf("argument %d%s: want %s, not %s", i, where, inJSON(wrong.Type), wrong.Value), Cause: err,
	}
}

// inJSON is what a Go type is in JSON.
func inJSON(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return inJSON(t.Elem())
	}
	return "another value"
}

// Values decodes the arguments into plain values: maps, slices, strings,
// json.Number, booleans, nil, and []byte for binary parts. What Values returns can
// be emitted again unchanged.
func (a *Args) Values() ([]any, error) {
	out := make([]any, 0, 4)
	for i, arg := range a.JSON() {
		d := json.NewDecoder(bytes.NewReader(arg))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, invalid(fmt.Errorf("argument %d: %w", i, err))
		}
		out = append(out, a.fill(v))
	}
	return out, nil
}

func invalid(err error) error {
	return &base.Error{Code: base.CodeInvalid, Reason: err.Error(), Cause: err}
}

// fill puts attachments where their placeholders are.
func (a *Args) fill(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v["_placeholder"] == true {
			if n, ok := v["num"].(json.Number); ok {
				if i, err := n.Int64(); err == nil && i >= 0 && int(i) < len(a.attachments) {
					return a.attachments[i]
				}
			}
		}
		for k, x := range v {
			v[k] = a.fill(x)
		}
	case []any:
		for i, x := range v {
			v[i] = a.fill(x)
		}
	}
	return v
}
