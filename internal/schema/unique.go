package schema

import (
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// unique is uniqueItems. The library hashes items without saying where one ends, so that thousands can be made that collide, and
// compares those in pairs: a value of 64 KiB then costs millions of comparisons. Here each item is written down once, so that two
// are equal if their texts are: the cost is that of the value.
type unique struct{ e *effort }

// Validate implements jsonschema.SchemaExt.
func (u unique) Validate(c *jsonschema.ValidatorContext, v any) {
	u.e.spend(1)
	items, ok := v.([]any)
	if !ok || len(items) < 2 {
		return
	}
	seen := make(map[string]int, len(items))
	var text []byte
	for i, item := range items {
		if text, ok = appendPlain(text[:0], item); !ok {
			c.AddError(&kind.InvalidJsonValue{Value: item})
			return
		}
		u.e.spend(1 + len(text)/16)
		if first, twice := seen[string(text)]; twice {
			c.AddError(&kind.UniqueItems{Duplicates: [2]int{first, i}})
			return
		}
		seen[string(text)] = i
	}
}

// appendPlain appends a value as it is written but in one way: equal values have one text. It reports false for what is no JSON.
func appendPlain(b []byte, v any) (_ []byte, ok bool) {
	switch v := v.(type) {
	case nil:
		return append(b, 'n'), true
	case bool:
		return strconv.AppendBool(b, v), true
	case string:
		return strconv.AppendQuote(b, v), true
	case json.Number:
		n, ok := new(big.Rat).SetString(v.String())
		if !ok {
			return b, false
		}
		return append(b, n.RatString()...), true
	case []any:
		b = append(b, '[')
		for _, item := range v {
			if b, ok = appendPlain(b, item); !ok {
				return b, false
			}
			b = append(b, ',')
		}
		return append(b, ']'), true
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		b = append(b, '{')
		for _, name := range names {
			b = append(strconv.AppendQuote(b, name), ':')
			if b, ok = appendPlain(b, v[name]); !ok {
				return b, false
			}
			b = append(b, ',')
		}
		return append(b, '}'), true
	}
	return b, false
}

// takeUnique takes uniqueItems away from the library, in a schema and all that it leads to: unique stands in its place.
func takeUnique(root *jsonschema.Schema) {
	seen := map[*jsonschema.Schema]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface:
			walk(v.Elem())
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for each := v.MapRange(); each.Next(); {
				walk(each.Value())
			}
		case reflect.Pointer:
			switch s := v.Interface().(type) {
			case *jsonschema.DynamicRef:
				if s != nil {
					walk(reflect.ValueOf(s.Ref))
				}
			case *jsonschema.Schema:
				if s == nil || seen[s] {
					return
				}
				seen[s], s.UniqueItems = true, false
				for i := range v.Elem().NumField() {
					if f := v.Elem().Field(i); v.Elem().Type().Field(i).IsExported() {
						walk(f)
					}
				}
			}
		default: // nothing leads on from there
		}
	}
	walk(reflect.ValueOf(root))
}
