package sio_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/wire/sio"
)

// member is one member of an object.
type member struct {
	name  string
	value string
}

// readObject is all that an Object has.
func readObject(data []byte) (list []member, err error) {
	for o := sio.NewObject(data); ; {
		key, value, err := o.Next()
		if key == nil || err != nil {
			return list, err
		}
		name, ok := sio.Unquote(key)
		if !ok {
			return list, errHalf
		}
		list = append(list, member{name, string(value)})
	}
}

var errHalf = errors.New("half of a surrogate pair in a name")

// modelObject is the same with encoding/json.
func modelObject(data []byte) (list []member, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.Join(err, errors.New("no object"))
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		list = append(list, member{key.(string), string(value)})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("data after the object")
	}
	return list, nil
}

// FuzzObject: the reader takes the same objects apart as encoding/json, into the same members, but for what is nested
// too deep, and for names that are half a character.
func FuzzObject(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) { // the caller's business: encoding/json mends it
			return
		}
		want, refused := modelObject(data)
		got, err := readObject(data)
		if refused == nil && err != nil {
			if errors.Is(err, errHalf) || depth(data) > sio.MaxDepth {
				return
			}
			t.Fatalf("%q: refused with %v", data, err)
		}
		if err == nil && refused != nil {
			t.Fatalf("%q: accepted, encoding/json says %v", data, refused)
		}
		if err != nil {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d", data, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%q: member %q, want %q", data, got[i], want[i])
			}
		}
	})
}

// FuzzUnquote: a string means what encoding/json says, unless it has half of a surrogate pair, which encoding/json makes
// the character U+FFFD.
func FuzzUnquote(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want string
		if !utf8.Valid(raw) || len(raw) == 0 || raw[0] != '"' || raw[len(raw)-1] != '"' || json.Unmarshal(raw, &want) != nil {
			return
		}
		got, ok := sio.Unquote(raw)
		mended := strings.Count(want, "\ufffd") - strings.Count(string(raw), "\ufffd") - strings.Count(strings.ToLower(string(raw)), `\ufffd`)
		if ok && got != want {
			t.Fatalf("%q is %q, want %q", raw, got, want)
		}
		if !ok && !strings.Contains(want, "\ufffd") {
			t.Fatalf("%q refused, means %q", raw, want)
		}
		if ok && mended > 0 && !strings.Contains(string(raw), `\\`) {
			t.Fatalf("%q: half of a surrogate pair is taken for %q", raw, got)
		}
	})
}

func TestObjectSaysWhereAFaultIs(t *testing.T) {
	for text, want := range map[string]sio.Error{
		``:                 {Reason: "JSON ends where a JSON object should be", Pos: 0},
		` [1]`:             {Reason: `'[' where a JSON object should be`, Pos: 1},
		`{"a":1,}`:         {Reason: `'}' where a key should be`, Pos: 7},
		`{"a":1} x`:        {Reason: "data after the object", Pos: 8},
		`{"a":{"b":]}}`:    {Reason: `']' where a value should be`, Pos: 10},
		`{"a":1 "b":2}`:    {Reason: `'"' where a comma or the end of the object should be`, Pos: 7},
		`{"a";1}`:          {Reason: `';' where a colon should be`, Pos: 4},
		`{"a":"\x"}`:       {Reason: "bad escape in a string", Pos: 6},
		`{"a":1, "b":nul}`: {Reason: "null misspelt", Pos: 12},
	} {
		_, err := readObject([]byte(text))
		var fault *sio.Error
		if !errors.As(err, &fault) || *fault != want {
			t.Errorf("%s: %v, want %v", text, err, &want)
		}
	}
}

func BenchmarkObject(b *testing.B) {
	data := []byte(`{"namespace":"/feed","topic":"prices.AAPL","payload":{"symbol":"AAPL","bid":187.23,"ask":187.25,"size":[100,200],"at":1732905600123},"key":"AAPL"}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for o := sio.NewObject(data); ; {
			key, _, err := o.Next()
			if err != nil {
				b.Fatal(err)
			}
			if key == nil {
				break
			}
		}
	}
}
