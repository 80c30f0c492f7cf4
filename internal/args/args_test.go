package args_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/args"
)

func TestEncodeTakesBinaryPartsOutInOrder(t *testing.T) {
	type inner struct {
		Text string      `json:"text"`
		Blob args.Binary `json:"blob"`
	}
	const p0, p1, p2 = `{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`, `{"_placeholder":true,"num":2}`
	for name, c := range map[string]struct {
		value any
		raw   string
		parts []string
	}{
		"bytes":          {[]byte("a"), p0, []string{"a"}},
		"raw JSON":       {json.RawMessage(`{ "a" : 1 }`), `{ "a" : 1 }`, nil},
		"plain value":    {map[string]any{"b": "<&>", "a": 1}, `{"a":1,"b":"<&>"}`, nil},
		"deep in a map":  {map[string]any{"z": []byte("2"), "a": []any{[]byte("1"), 7}}, `{"a":[` + p0 + `,7],"z":` + p1 + `}`, []string{"1", "2"}},
		"in a struct":    {[]inner{{"x", args.Binary("1")}, {"y", args.Binary("")}}, `[{"text":"x","blob":` + p0 + `},{"text":"y","blob":` + p1 + `}]`, []string{"1", ""}},
		"both":           {[]any{[]byte("1"), inner{"x", args.Binary("2")}, []byte("3")}, `[` + p0 + `,{"text":"x","blob":` + p1 + `},` + p2 + `]`, []string{"1", "2", "3"}},
		"[]byte in type": {struct{ B []byte }{[]byte("a")}, `{"B":"YQ=="}`, nil},
	} {
		raw, attachments, err := args.Encode([]any{c.value})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var parts []string
		for _, a := range attachments {
			parts = append(parts, string(a))
		}
		if got := string(raw[0]); got != c.raw || !cmp.Equal(parts, c.parts) {
			t.Errorf("%s: %s with %q, want %s with %q", name, got, parts, c.raw, c.parts)
		}
	}
}

func TestEncodeRefusesWhatCannotBeSent(t *testing.T) {
	eleven := make([]any, 11)
	for i := range eleven {
		eleven[i] = []byte{1}
	}
	for name, values := range map[string][]any{
		"11 binary parts": eleven,
		"NaN":             {math.NaN()},
		"a channel":       {make(chan int)},
		"broken raw JSON": {json.RawMessage(`{"a":`)},
		"deep":            {map[string]any{"a": []any{[]byte("x"), func() {}}}},
	} {
		if _, _, err := args.Encode(values); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}
