package pointer_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/weir/internal/pointer"
)

func TestKeyIsWhatThePointerNames(t *testing.T) {
	payload := []byte(`{"symbol":"A","n":1.50,"a/b":{"c~d":"deep"},"list":[{"x":"first"},true],"dots.in|names":"dots","":"empty"}`)
	for p, want := range map[string]string{
		"/symbol": "A", "/n": "\x0015e-1", "/a~1b/c~0d": "deep", "/list/0/x": "first", "/list/1": "\x00true",
		"/dots.in|names": "dots", "/missing": "", "/symbol/deeper": "", "/list/7": "",
	} {
		if got := pointer.Key(p)(payload); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	if pointer.Key("") != nil {
		t.Error("no pointer has a key")
	}
}

// TestKeysAreEqualByTypeAndValue: what is written in two ways is one key, and what is two values is two, so that no value
// takes another's place in a lane.
func TestKeysAreEqualByTypeAndValue(t *testing.T) {
	key := func(value string) string { return pointer.Key("/k")([]byte(`{"k":` + value + `}`)) }
	for _, same := range [][]string{
		{`1`, `1.0`, `1e0`, `10E-1`, `0.1e+1`},
		{`0`, `-0`, `0.0`, `0e9`},
		{`150`, `1.5e2`, `150.000`},
		{`12345678901234567890`, `1234567890123456789e1`},
		{`"é"`, `"\u00e9"`},
	} {
		for _, v := range same[1:] {
			if key(v) != key(same[0]) {
				t.Errorf("%s and %s: %q and %q", same[0], v, key(same[0]), key(v))
			}
		}
	}
	seen := make(map[string]string)
	for _, v := range []string{
		`1`, `"1"`, `-1`, `10`, `0`, `"0"`, `12345678901234567890`, `12345678901234567891`, `1e400`, `1e401`, `1e99999999999999999999`,
		`true`, `"true"`, `false`, `null`, `"null"`, `""`, `[1]`, `{"a":1}`,
		`"\ud800"`, `"\ud801"`, `"\udfff"`, `"a\ud800"`, `"\ufffd"`, `"\u0000true"`, `"\u0000"`,
	} {
		if other, taken := seen[key(v)]; taken || key(v) == "" {
			t.Errorf("%s has the key of %s: %q", v, other, key(v))
		}
		seen[key(v)] = v
	}
}

func TestNumbersHaveOneKeyIfTheyAreEqual(t *testing.T) {
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?([eE][-+]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if !json.Valid([]byte(a)) || !json.Valid([]byte(b)) {
			t.Fatalf("not JSON: %s, %s", a, b)
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		key := pointer.Key("/k")
		same := key([]byte(`{"k":`+a+`}`)) == key([]byte(`{"k":`+b+`}`))
		if same != (x.Cmp(y) == 0) {
			t.Errorf("%s and %s: the same key: %v", a, b, same)
		}
	})
}
