package sio_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/wire/sio"
)

func TestSplitArgsReturnsTheBytesOfEachElement(t *testing.T) {
	tests := []struct {
		data string
		want []string
	}{
		{`[]`, nil},
		{`[ ]`, nil},
		{`["a"]`, []string{`"a"`}},
		{`["a",1,{"b":[1, 2]},[],null,"],["]`, []string{`"a"`, `1`, `{"b":[1, 2]}`, `[]`, `null`, `"],["`}},
		{"[ \"a\" ,\n1.50 , \t{ }\r] ", []string{`"a"`, `1.50`, `{ }`}},
	}
	for _, tt := range tests {
		var got []string
		for _, arg := range sio.SplitArgs([]byte(tt.data), nil) {
			got = append(got, string(arg))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.data, got, tt.want)
		}
	}
}

func TestSplitArgsKeepsWhatIsThereAndCannotBeOvergrown(t *testing.T) {
	data := []byte(`["a",1]`)
	got := sio.SplitArgs(data, [][]byte{[]byte("kept")})
	if len(got) != 3 || string(got[0]) != "kept" {
		t.Fatalf("got %q", got)
	}
	_ = append(got[1], "xxx"...)
	if string(data) != `["a",1]` {
		t.Fatalf("appending to an argument changed its neighbour: %s", data)
	}
}

func TestSplitArgsOfForeignDataDoesNotPanic(t *testing.T) {
	for _, s := range append(invalidJSON, `{}`, `1`) {
		for _, arg := range sio.SplitArgs([]byte(s), nil) {
			if !json.Valid(arg) {
				t.Errorf("%q: argument %q", s, arg)
			}
		}
	}
}

func TestEventNameMeansWhatJavaScriptWouldEmit(t *testing.T) {
	tests := map[string]string{
		`"foo"`: "foo", `""`: "", `"a\"\\\/\n\u00e4ä"`: "a\"\\/\nää", `"\ud83d\ude00"`: "😀", `"\ud800"`: "\ufffd",
		`1`: "1", `0`: "0", `-0`: "0", `-1.50`: "-1.5", `1e3`: "1000", `1E21`: "1e+21", `123456789012345678901`: "123456789012345680000",
		`0.000001`: "0.000001", `1e-7`: "1e-7", `1e999`: "Infinity", `-1e999`: "-Infinity", `1e-999`: "0",
	}
	for raw, want := range tests {
		if got, err := sio.EventName([]byte(raw)); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", raw, got, err, want)
		}
	}
	for _, raw := range []string{``, `null`, `true`, `[]`, `{}`, `"a`, `"a"b`, `1 `, `-`, "\"\n\"", `1]`} {
		if got, err := sio.EventName([]byte(raw)); err == nil {
			t.Errorf("%q: got %q", raw, got)
		}
	}
}

func TestSplitArgsAllocatesNothingWithRoom(t *testing.T) {
	data := []byte(`["message",{"a":[1,2]},"b"]`)
	room := make([][]byte, 0, 4)
	if allocs := testing.AllocsPerRun(100, func() { room = sio.SplitArgs(data, room[:0]) }); allocs != 0 || len(room) != 3 {
		t.Fatalf("%.0f allocations, promised none; %d arguments", allocs, len(room))
	}
}

func TestStringFieldFindsTheFirstMemberOfThatName(t *testing.T) {
	for raw, want := range map[string]string{
		`{"topic":"a"}`:  "a",
		` {"topic":"a"}`: "", // views have no white space around them
		`{ "x" : {"topic":"no"} , "topic" : "a" }`: "a",
		`{"x":["topic"],"topic":"a","topic":"b"}`:  "a",
		`{"to\u0070ic":"a\n\u00e9"}`:               "a\né",
		`{"topic":1}`:                              "",
		`{"topic":null,"topic":"b"}`:               "",
		`{"topics":"b"}`:                           "",
		`["topic","a"]`:                            "",
		`{}`:                                       "",
		`{"topic":"a"`:                             "a", // Parse has refused it before
		`{"topic"`:                                 "",
		`{"topic":`:                                "",
		``:                                         "",
	} {
		if got, ok := sio.StringField([]byte(raw), "topic"); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", raw, got, ok, want)
		}
	}
}

func TestFirstArgIsTheFirstOfSplitArgs(t *testing.T) {
	for _, raw := range []string{`["a",{"b":1}]`, `[ "a" ]`, `[1.5,2]`, `[{"x":[1]},2]`, `[[],2]`} {
		want := sio.SplitArgs([]byte(raw), nil)[0]
		if got := sio.FirstArg([]byte(raw)); string(got) != string(want) {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
	for _, raw := range []string{`[]`, `[ ]`, ``, `{}`} {
		if got := sio.FirstArg([]byte(raw)); got != nil {
			t.Errorf("%s: %s, want nothing", raw, got)
		}
	}
}
