package args_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/args"
)

// An array is the values as Encode returns them, one after another, and fails where that does.
func TestArrayIsWhatEncodeReturns(t *testing.T) {
	type inner struct {
		Text string      `json:"text"`
		Blob args.Binary `json:"blob"`
	}
	many := make([]any, 11)
	for i := range many {
		many[i] = args.Binary("x")
	}
	for name, values := range map[string][]any{
		"none": nil, "one": {1}, "scalars": {1, "<&> \u2028", nil, true, 1.5}, "raw": {json.RawMessage(`{ "a" : 1 }`), 2}, "broken raw": {1, json.RawMessage(`{`)},
		"binary": {[]byte("a"), inner{"x", args.Binary("b")}, map[string]any{"z": []byte("c")}, []any{1, args.Binary("d")}, "e"},
		"maps":   {map[string]any{"b": 1, "a": []int{2}}, []any{}}, "too many": many, "NaN": {"before", math.NaN()}, "fails": {nested{3}, fails{}},
		"not UTF-8": {json.RawMessage("\"\xff\"")}, "not UTF-8 inside": {[]any{1, json.RawMessage("\"\xff\"")}},
	} {
		raw, attachments, err := args.Encode(values)
		for range 2 { // the second time in memory of the first
			array, arrayErr := args.EncodeArray(values)
			if err != nil {
				if arrayErr == nil || arrayErr.Error() != err.Error() {
					t.Errorf("%s: %v, want %v", name, arrayErr, err)
				}
				continue
			}
			if arrayErr != nil {
				t.Errorf("%s: %v", name, arrayErr)
				continue
			}
			want := append(append([]byte("["), bytes.Join(raw, []byte(","))...), ']')
			if !bytes.Equal(array.JSON(), want) || !cmp.Equal(array.Attachments(), attachments) {
				t.Errorf("%s: %s with %q, want %s with %q", name, array.JSON(), array.Attachments(), want, attachments)
			}
			array.Release()
		}
	}
}
