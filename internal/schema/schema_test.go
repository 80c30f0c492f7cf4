package schema_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/streamweir/weir/internal/schema"
)

// order is a schema as there are many.
const order = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["symbol", "quantity"],
  "properties": {
    "symbol": {"type": "string", "pattern": "^[A-Z]{1,6}$"},
    "quantity": {"type": "integer", "minimum": 1, "maximum": 100000},
    "price": {"type": "number", "exclusiveMinimum": 0},
    "side": {"enum": ["buy", "sell"]},
    "placed": {"type": "string", "format": "date-time"},
    "tags": {"type": "array", "maxItems": 10, "items": {"type": "string"}},
    "scan": true
  },
  "additionalProperties": false
}`

func compile(t testing.TB, files map[string]string, name string) *schema.Schema {
	t.Helper()
	s, err := schema.Compile(directory(files), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func directory(files map[string]string) fstest.MapFS {
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return dir
}

func one(t testing.TB, text string) *schema.Schema {
	t.Helper()
	return compile(t, map[string]string{"one.json": text}, "one.json")
}

func TestViolationNamesThePathAndTheRule(t *testing.T) {
	s := one(t, order)
	for _, c := range []struct{ value, path, rule string }{
		{`{"symbol":"AAPL","quantity":1}`, "", ""},
		{`{"symbol":"AAPL","quantity":1,"price":0.1,"side":"buy","placed":"2026-11-30T12:00:00Z","tags":["a"]}`, "", ""},
		{`{"symbol":"AAPL"}`, "", "required"},
		{`[]`, "", "type"},
		{`{"symbol":"aapl","quantity":1}`, "/symbol", "pattern"},
		{`{"symbol":"AAPL","quantity":0}`, "/quantity", "minimum"},
		{`{"symbol":"AAPL","quantity":1.5}`, "/quantity", "type"},
		{`{"symbol":"AAPL","quantity":1.0}`, "", ""}, // an integer, as JSON Schema has it
		{`{"symbol":"AAPL","quantity":1,"price":0}`, "/price", "exclusiveMinimum"},
		{`{"symbol":"AAPL","quantity":1,"side":"hold"}`, "/side", "enum"},
		{`{"symbol":"AAPL","quantity":1,"placed":"yesterday"}`, "/placed", "format"},
		{`{"symbol":"AAPL","quantity":1,"tags":["a",7]}`, "/tags/1", "type"},
		{`{"symbol":"AAPL","quantity":1,"tags":[7,7]}`, "/tags/0", "type"}, // the first of them
		{`{"symbol":"AAPL","quantity":1,"__proto__":{}}`, "", "additionalProperties"},
		{`{"quantity":0,"symbol":"a"}`, "/quantity", "minimum"}, // the first by its path, whatever the order
		{`{"symbol":"a","quantity":0}`, "/quantity", "minimum"},
	} {
		v := s.Check([]byte(c.value), 0, schema.Limits{})
		switch {
		case v == nil && c.rule != "":
			t.Errorf("%s passed, want %s at %q", c.value, c.rule, c.path)
		case v != nil && (v.Rule != c.rule || v.Path != c.path):
			t.Errorf("%s: %q at %q (%s), want %q at %q", c.value, v.Rule, v.Path, v.Reason, c.rule, c.path)
		case v != nil && v.Reason == "":
			t.Errorf("%s: no reason", c.value)
		}
	}
}

// A pointer escapes what it is made with; what a stranger has written does not come back whole.
func TestViolationIsShortWhateverTheValue(t *testing.T) {
	s := one(t, `{"additionalProperties": {"type": "integer"}}`)
	if v := s.Check([]byte(`{"a/b~c":"x"}`), 0, schema.Limits{}); v == nil || v.Path != "/a~1b~0c" {
		t.Errorf("%+v", v)
	}
	long := `{"` + strings.Repeat("ü", 1000) + `":"x"}`
	if v := s.Check([]byte(long), 0, schema.Limits{}); v == nil || len(v.Path) > 210 || len(v.Reason) > 210 {
		t.Errorf("%+v", v)
	}
	e := one(t, `{"enum": ["a"]}`)
	if v := e.Check([]byte(`"`+strings.Repeat("x", 1000)+`"`), 0, schema.Limits{}); v == nil || len(v.Reason) > 210 {
		t.Errorf("%+v", v)
	}
}

func TestCheckLooksAtSizeAndDepthFirst(t *testing.T) {
	any := one(t, `{}`)
	deep := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	for _, c := range []struct {
		value, rule string
		limits      schema.Limits
	}{
		{`"123"`, "", schema.Limits{Bytes: 5}},
		{`"1234"`, "maxBytes", schema.Limits{Bytes: 5}},
		{`"` + strings.Repeat("x", schema.DefaultBytes-2) + `"`, "", schema.Limits{}},
		{`"` + strings.Repeat("x", schema.DefaultBytes-1) + `"`, "maxBytes", schema.Limits{}},
		{deep(schema.DefaultDepth), "", schema.Limits{}},
		{deep(schema.DefaultDepth + 1), "maxDepth", schema.Limits{}},
		{deep(3), "maxDepth", schema.Limits{Depth: 2}},
		{`{"a":{"b":{}}}`, "maxDepth", schema.Limits{Depth: 2}},
		{`["[[[[","\"[[[[","\\"]`, "", schema.Limits{Depth: 1}},
		{`[[],[],[[]]]`, "", schema.Limits{Depth: 3}},
	} {
		v := any.Check([]byte(c.value), 0, c.limits)
		if (v == nil) != (c.rule == "") || (v != nil && v.Rule != c.rule) {
			t.Errorf("%.40s: %+v, want %q", c.value, v, c.rule)
		}
	}
}

// The library makes a fraction of each number it compares, and has none for an exponent of a million.
func TestNumbersThatNobodyCanReckonWithAreRefused(t *testing.T) {
	s := one(t, `{"type": "number", "minimum": 0, "multipleOf": 0.5}`)
	for value, rule := range map[string]string{
		`1e308`: "", `0.5`: "", `1e400`: "", `-1`: "minimum", `1E+2`: "",
		`1e401`: "number", `1e-401`: "number", `1e1000000`: "number", `1e99999999999999999999`: "number", `-1E+999999`: "number",
		strings.Repeat("1", 128): "", strings.Repeat("1", 129): "number", "0." + strings.Repeat("0", 200) + "1": "number",
	} {
		v := s.Check([]byte(value), 0, schema.Limits{})
		if (v == nil) != (rule == "") || (v != nil && v.Rule != rule) {
			t.Errorf("%.40s: %+v, want %q", value, v, rule)
		}
	}
}

// A placeholder of a binary part is no JSON: no schema that says anything lets one in.
func TestBinaryPartsStandOnlyWhereTheSchemaSaysNothing(t *testing.T) {
	const part = `{"_placeholder":true,"num":0}`
	for _, c := range []struct {
		schema, value string
		parts         int
		rule, path    string
	}{
		{order, `{"symbol":"AAPL","quantity":1,"scan":` + part + `}`, 1, "", ""},
		{order, `{"symbol":"AAPL","quantity":` + part + `}`, 1, "binary", "/quantity"},
		{`{"properties":{"meta":{"type":"object"}}}`, `{"meta":` + part + `}`, 1, "binary", "/meta"},
		{`{"properties":{"meta":{}}}`, `{"meta":` + part + `}`, 1, "", ""},
		{`{"items":{"not":{"type":"string"}}}`, `[` + part + `]`, 1, "binary", "/0"},
		{`{"type":"object"}`, part, 0, "", ""}, // of an event without parts it is an object like any other
		{`{"type":"object"}`, part, 1, "binary", ""},
		{`{"type":"object"}`, `{"_placeholder":true,"num":1}`, 1, "", ""},
		{`{"type":"object"}`, `{"_placeholder":true,"num":-1}`, 1, "", ""},
		{`{"uniqueItems":true}`, `[` + part + `,` + part + `]`, 1, "binary", ""},
		{`{"enum":[{}]}`, part, 1, "binary", ""},
	} {
		v := one(t, c.schema).Check([]byte(c.value), c.parts, schema.Limits{})
		if (v == nil) != (c.rule == "") || (v != nil && (v.Rule != c.rule || v.Path != c.path)) {
			t.Errorf("%s with %d parts: %+v, want %q at %q", c.value, c.parts, v, c.rule, c.path)
		}
	}
	if v := one(t, order).CheckBinary(); v == nil || v.Rule != "binary" {
		t.Errorf("%+v", v)
	}
	if v := one(t, `true`).CheckBinary(); v != nil {
		t.Errorf("%+v", v)
	}
}

// Each format is asserted, or the schema refused that names it.
func TestFormatsAreAsserted(t *testing.T) {
	for format, wrong := range map[string]string{
		"date": "x", "date-time": "x", "time": "x", "duration": "x", "email": "x", "hostname": "-", "ipv4": "x", "ipv6": "x", "iri": ":",
		"iri-reference": "%", "json-pointer": "x", "regex": "(", "relative-json-pointer": "x", "semver": "x", "uri": ":", "uri-reference": "%",
		"uri-template": "{", "uuid": "x", "period": "x",
	} {
		v := one(t, fmt.Sprintf(`{"format": %q}`, format)).Check([]byte(`"`+wrong+`"`), 0, schema.Limits{})
		if v == nil || v.Rule != "format" {
			t.Errorf("%s: %q: %+v", format, wrong, v)
		}
	}
	_, err := schema.Compile(directory(map[string]string{"a.json": "{\n  \"properties\": {\"x\": {\"format\": \"phone\"}}}"}), "a.json")
	if err == nil || !strings.HasPrefix(err.Error(), `a.json:2:34: format "phone" is not known`) {
		t.Errorf("%v", err)
	}
}

// A schema that looks at a value again for every level of it would do so 2^32 times: the check ends.
func TestCheckEndsWhateverTheSchema(t *testing.T) {
	branches := map[string]string{
		"anyOf":             `{"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["x"]}, {"properties": {"a": {"$ref": "#"}}, "required": ["y"]}]}`,
		"oneOf":             `{"oneOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}`,
		"allOf":             `{"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}`,
		"not":               `{"not": {"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}, false]}}`,
		"patternProperties": `{"patternProperties": {"a": {"$ref": "#"}, "a$": {"$ref": "#"}, "^a": {"$ref": "#"}}, "type": "object"}`,
	}
	value := []byte(strings.Repeat(`{"a":`, 30) + `{}` + strings.Repeat(`}`, 30))
	for name, text := range branches {
		v := one(t, text).Check(value, 0, schema.Limits{})
		if v == nil || v.Rule != "effort" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	tree := one(t, `{"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "additionalProperties": false}`)
	if v := tree.Check(value, 0, schema.Limits{}); v != nil {
		t.Errorf("a tree: %+v", v)
	}
	list := one(t, `{"items": {"allOf": [{"type": "integer"}, {"minimum": 0}, {"maximum": 9}, {"not": {"const": 5}}]}}`)
	if v := list.Check([]byte("["+strings.TrimSuffix(strings.Repeat("1,", 32000), ",")+"]"), 0, schema.Limits{}); v != nil {
		t.Errorf("a list as long as may be: %+v", v)
	}
}

// Items of which each has as many arrays, nested in another way, look alike where nobody writes down the end of one. To compare
// them in pairs would take minutes; that they are written down once each takes what reading them does.
func TestUniqueItemsCostWhatTheValueCosts(t *testing.T) {
	const bits = 15
	var items []string
	for n := range 1 << bits {
		var parts []string
		for bit := range bits {
			parts = append(parts, [...]string{"[[],[]]", "[[[]]]"}[n>>bit&1])
		}
		items = append(items, "["+strings.Join(parts, ",")+"]")
	}
	s := one(t, `{"properties": {"list": {"$ref": "#/$defs/set"}}, "$defs": {"set": {"uniqueItems": true}}}`)
	most := schema.Limits{Bytes: 16 << 20}
	if v := s.Check([]byte(`{"list":[`+strings.Join(items, ",")+`]}`), 0, most); v != nil {
		t.Errorf("%d different items: %+v", len(items), v)
	}
	if v := s.Check([]byte(`{"list":[`+strings.Join(items, ",")+`,`+items[7]+`]}`), 0, most); v == nil || v.Rule != "uniqueItems" || v.Path != "/list" {
		t.Errorf("with one of them again: %+v", v)
	}
}

// Items are equal as JSON Schema says: by value, whatever their spelling.
func TestUniqueItemsComparesValues(t *testing.T) {
	s := one(t, `{"anyOf": [{"type": "string"}, {"items": {"uniqueItems": true}}]}`)
	for value, ok := range map[string]bool{
		`[[1, 1.0]]`: false, `[[1, 10e-1]]`: false, `[[1, "1"]]`: true, `[[null, false, 0, "", [], {}]]`: true, `[[-1, 1]]`: true,
		`[[{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]]`: false, `[[[1, 2], [2, 1]]]`: true, `[["é", "\u00e9"]]`: false, `[[1e2, 100]]`: false,
		`[["a,b"], ["a", "b"]]`: true, `[[{"a": null}, {}]]`: true, `[[0, -0]]`: false,
	} {
		if v := s.Check([]byte(value), 0, schema.Limits{}); (v == nil) != ok {
			t.Errorf("%s: %+v", value, v)
		}
	}
}

// Expressions that make other engines try all ways are linear here; what the engine does not have is refused at start.
func TestExpressionsAreLinear(t *testing.T) {
	s := one(t, `{"pattern": "^(a+)+$"}`)
	if v := s.Check([]byte(`"`+strings.Repeat("a", 60_000)+`!"`), 0, schema.Limits{}); v == nil || v.Rule != "pattern" {
		t.Errorf("%+v", v)
	}
	_, err := schema.Compile(directory(map[string]string{"a.json": `{"pattern": "^(?=a)"}`}), "a.json")
	if err == nil || !strings.HasPrefix(err.Error(), "a.json:1:13:") {
		t.Errorf("%v", err)
	}
}

func TestFaultsSayWhereAndWhy(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"a.json": "{\n  \"type\": strange\n}"}, "a.json:2:11: not JSON"},
		{map[string]string{"a.json": "{\"type\": \"object\""}, "a.json:1:18: not JSON"},
		{map[string]string{"a.json": "{} {}"}, "a.json:1:3: something follows"},
		{map[string]string{"a.json": "{\n \"properties\": {\n  \"p\": {\"minimum\": \"1\"}}}"}, "a.json:3:20: type: got string, want number"},
		{map[string]string{"a.json": `{"type": "objekt"}`}, "a.json:1:10:"},
		{map[string]string{"a.json": `{"properties": {"x": {"$ref": "#/$defs/x"}}}`}, "a.json:1:31: $ref to a.json#/$defs/x: nothing is there"},
		{map[string]string{"a.json": `{"$ref": "#here"}`}, "a.json:1:10: $ref to a.json#here: there is no such anchor"},
		{map[string]string{"a.json": `{"$ref": "b.json"}`}, "b.json: file does not exist"},
		{map[string]string{"a.json": `{"$ref": "b.json"}`, "b.json": `{"type": 7}`}, "b.json:1:10:"},
		{map[string]string{"a.json": `{"$ref": "https://example.com/s.json"}`}, "a.json:1:10: $ref to https://example.com/s.json: a reference to another place is not followed"},
		{map[string]string{"a.json": `{"$ref": "http://localhost:1/s"}`}, "a reference to another place is not followed"},
		{map[string]string{"a.json": `{"$ref": "file:///etc/passwd"}`}, "a reference to another place is not followed"},
		{map[string]string{"a.json": `{"$id": "https://example.com/a.json", "$ref": "b.json"}`, "b.json": `{}`}, "a reference to another place is not followed"},
		{map[string]string{"d/a.json": `{"$ref": "../b.json"}`, "b.json": `{}`}, "d/a.json:1:10: $ref to schema:///b.json: it leads out of the directory"},
		{map[string]string{"d/a.json": `{"$ref": "%2e%2e/b.json"}`, "b.json": `{}`}, "is not the name of a file"},
		{map[string]string{"d/a.json": `{"$ref": "/etc/passwd"}`}, "it leads out of the directory"},
		{map[string]string{"a.json": `{"$schema": "http://json-schema.org/draft-07/schema#"}`}, "a.json:1:13: $schema http://json-schema.org/draft-07/schema#: want"},
		{map[string]string{"b.json": `{}`}, "a.json: file does not exist"},
		{map[string]string{"a.json": `7`}, "a.json:1:1:"},
		{map[string]string{"a.json": `"` + strings.Repeat("x", 1<<20) + `"`}, "a.json: has 1048578 bytes: want at most 1048576"},
	} {
		name := "a.json"
		if _, in := c.files["d/a.json"]; in {
			name = "d/a.json"
		}
		_, err := schema.Compile(directory(c.files), name)
		var fault *schema.Fault
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v\n\twant %s", c.files[name], err, c.want)
		}
	}
	for _, name := range []string{"../a.json", "/a.json", "", "."} {
		if _, err := schema.Compile(directory(map[string]string{"a.json": "{}"}), name); err == nil {
			t.Errorf("%q was read", name)
		}
	}
}

// References lead to files beside the schema and below it; a link that leads out of the directory is not followed.
func TestReferencesStayBelowTheDirectory(t *testing.T) {
	files := map[string]string{
		"s/order.json": `{"properties": {"money": {"$ref": "types/money.json#/$defs/amount"}, "next": {"$ref": "#"}}}`, "s/types/money.json": `{"$defs": {"amount": {"$ref": "../sign.json"}}}`,
		"s/sign.json": `{"minimum": 0}`,
	}
	s := compile(t, files, "s/order.json")
	if v := s.Check([]byte(`{"next":{"money":-1}}`), 0, schema.Limits{}); v == nil || v.Path != "/next/money" || v.Rule != "minimum" {
		t.Errorf("%+v", v)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in, "a.json"), []byte(`{"$ref": "link.json"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../secret.json", filepath.Join(in, "link.json")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(in)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if _, err := schema.Compile(root.FS(), "a.json"); err == nil {
		t.Error("a link out of the directory was followed")
	}
}

// Any goroutine may check, and more may than there are copies.
func TestChecksSideBySide(t *testing.T) {
	s := one(t, order)
	var wg sync.WaitGroup
	for g := range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range 50 {
				v := s.Check(fmt.Appendf(nil, `{"symbol":"AAPL","quantity":%d}`, (g+i)%2), 0, schema.Limits{})
				if (v == nil) != ((g+i)%2 == 1) {
					t.Errorf("%d: %+v", (g+i)%2, v)
				}
			}
		})
	}
	wg.Wait()
}

// The memory that a check holds at most for each byte, which the budget counts.
func TestCheckHoldsWhatItSays(t *testing.T) {
	s := one(t, `true`)
	for name, value := range map[string]string{
		"arrays": strings.Repeat(`[],`, 20_000), "objects": strings.Repeat(`{},`, 20_000), "numbers": strings.Repeat(`1,`, 30_000),
		"texts": strings.Repeat(`"",`, 20_000), "members": strings.Repeat(`{"a":1},`, 8_000), "nested": strings.Repeat(`[[[[[[[[[[[[]]]]]]]]]]]],`, 2_400),
	} {
		raw := []byte("[" + strings.TrimSuffix(value, ",") + "]")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if v := s.Check(raw, 0, schema.Limits{}); v != nil {
			t.Fatalf("%s: %v", name, v)
		}
		runtime.ReadMemStats(&after)
		if per := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(raw)); per > schema.HeldPerByte {
			t.Errorf("%s: %.1f bytes are allocated for each, want at most %d", name, per, schema.HeldPerByte)
		} else {
			t.Logf("%s: %.1f", name, per)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	s := one(b, order)
	for name, value := range map[string]string{
		"valid":   `{"symbol":"AAPL","quantity":100,"price":187.25,"side":"buy","placed":"2026-11-30T12:00:00Z","tags":["a","b"]}`,
		"invalid": `{"symbol":"AAPL","quantity":0,"price":187.25,"side":"buy","placed":"2026-11-30T12:00:00Z","tags":["a","b"]}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = s.Check([]byte(value), 0, schema.Limits{})
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	s := one(f, order)
	l := schema.Limits{Bytes: 1 << 10}
	f.Fuzz(func(t *testing.T, raw []byte, parts int) {
		v := s.Check(raw, parts, l)
		if v != nil && (v.Rule == "" || v.Rule == "schema" || len(v.Error()) > 500) {
			t.Errorf("%+v", v)
		}
	})
}
