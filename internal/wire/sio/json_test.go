package sio_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/sio"
)

var validJSON = []string{
	`{}`, `[]`, ` [ ] `, `{ }`, `null`, `true`, `false`, `""`, `0`, `-0`, `1.5e-10`, `1E+5`, `-12.0`,
	`[1,[2,{"a":[]}],{}]`, `[{"a":1},[2],{"b":[3,{"c":4},[5]]}]`, `{"a":{"b":[1,2]},"a":2}`, "\t{\r\n\"a\" : 1 }\n",
	`"\"\\\/\b\f\n\r\t\u00e4\ud800"`, `"ä€😀` + "\u2028\x7f" + `"`,
}

var invalidJSON = []string{
	``, ` `, `[`, `{`, `]`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{1:1}`,
	`{"a":1]`, `[1}`, `[[]`, `{"a" 1}`, `01`, `-`, `+1`, `.5`, `1.`, `1.e5`, `1e`, `1e+`, `0x1`, `NaN`, `Infinity`,
	`tru`, `truee`, `nul`, `True`, `"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"a\nb\"", "\"\x00\"", "\"\x1f\"",
	`'a'`, `1 2`, `[] []`, `/**/1`, "\v1", "\u00a01", "1\x00", "\ufeff1",
}

func TestCheckJSONAgreesWithEncodingJSON(t *testing.T) {
	for _, s := range validJSON {
		if err := sio.CheckJSON([]byte(s)); err != nil || !json.Valid([]byte(s)) {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range invalidJSON {
		if err := sio.CheckJSON([]byte(s)); err == nil || json.Valid([]byte(s)) {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestCheckJSONNamesTheOffendingByte(t *testing.T) {
	tests := map[string]int{
		`[1,]`: 3, `[1`: 2, `{"a":tru}`: 5, `"ab` + "\n" + `"`: 3, `1 2`: 2, `{"a":"b\q"}`: 7, `[1.x]`: 3,
	}
	for s, pos := range tests {
		var fault *sio.Error
		if err := sio.CheckJSON([]byte(s)); !errors.As(err, &fault) || fault.Pos != pos {
			t.Errorf("%s: %v, want byte %d", s, err, pos)
		}
	}
}

func TestCheckJSONBoundsTheDepth(t *testing.T) {
	for _, kind := range []struct{ open, end string }{{"[", "]"}, {`{"a":`, "}"}} {
		nested := func(n int) []byte {
			return []byte(strings.Repeat(kind.open, n) + "1" + strings.Repeat(kind.end, n))
		}
		if err := sio.CheckJSON(nested(sio.MaxDepth)); err != nil {
			t.Errorf("%d of %s: %v", sio.MaxDepth, kind.open, err)
		}
		if err := sio.CheckJSON(nested(sio.MaxDepth + 1)); err == nil {
			t.Errorf("%d of %s were accepted", sio.MaxDepth+1, kind.open)
		}
	}
	if err := sio.CheckJSON([]byte(strings.Repeat("[", 1<<20))); err == nil {
		t.Error("a million brackets were accepted")
	}
}

// Arrays and objects alternate so that every bit of the stack is set and cleared in turn.
func TestCheckJSONTellsArraysFromObjectsAtEveryDepth(t *testing.T) {
	opens, ends := "", ""
	for i := range sio.MaxDepth {
		if i%3 == 0 {
			opens, ends = opens+"[", "]"+ends
		} else {
			opens, ends = opens+`{"a":`, "}"+ends
		}
	}
	if err := sio.CheckJSON([]byte(opens + "1" + ends)); err != nil {
		t.Fatal(err)
	}
	for i := range ends {
		wrong := []byte(ends)
		wrong[i] ^= ']' ^ '}'
		if sio.CheckJSON([]byte(opens+"1"+string(wrong))) == nil {
			t.Fatalf("wrong end %d of %d was accepted", i, len(ends))
		}
	}
}

// Eight bytes of a string are looked at in one step: whatever one of them is, and wherever it stands, encoding/json agrees.
func TestCheckJSONSeesEveryByteOfAString(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				s := []byte(`"` + strings.Repeat("é", n)[:n&^1] + strings.Repeat("x", n-n&^1) + `"`)
				s[1+at] = byte(c)
				if err := sio.CheckJSON(s); (err == nil) != json.Valid(s) {
					t.Fatalf("%q: %v", s, err)
				}
			}
		}
	}
}

func TestNameOfIsTheFirstArgumentsName(t *testing.T) {
	for _, args := range []string{`["a",1]`, `[ "a"]`, `["a\"b"]`, `["é",{}]`, `["\u0061"]`, `[5]`, `[-1e3,2]`, `["",1]`} {
		got, err := sio.NameOf([]byte(args))
		want, wantErr := sio.EventName(sio.FirstArg([]byte(args)))
		if got != want || err != nil || wantErr != nil {
			t.Errorf("%s: %q, %v; want %q, %v", args, got, err, want, wantErr)
		}
	}
}
