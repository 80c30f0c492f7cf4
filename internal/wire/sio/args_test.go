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

func TestTextFieldsFindsTheFirstMemberOfEachName(t *testing.T) {
	for raw, want := range map[string][2]string{
		`["ack",{"topic":"a","id":"1"}]`:                                  {"a", "1"},
		`["ack",{"id":"1","topic":"a"}]`:                                  {"a", "1"},
		` [ "ack" , {"topic":"a","id":"1"}]`:                              {}, // Data has no white space before it
		`[ "ack" , { "x" : {"topic":"no"} , "topic" : "a","id":"1"},3 ] `: {"a", "1"},
		`[7,{"x":["topic"],"topic":"a","topic":"b","id":"1"}]`:            {"a", "1"},
		`["ack",{"to\u0070ic":"a\n\u00e9","id":"1\"2"}]`:                  {"a\né", `1"2`},
		`["ack",{"topic":"é日","id":""}]`:                                  {"é日", ""},
		`["ack",{"topic":1,"id":"1"}]`:                                    {},
		`["ack",{"topic":null,"topic":"b","id":"1"}]`:                     {},
		`["ack",{"topics":"b","id":"1"}]`:                                 {},
		`["ack",{"topic":"b"}]`:                                           {},
		`["ack",["topic","a","id","1"]]`:                                  {},
		`["ack",{}]`:                                                      {},
		`["ack"]`:                                                         {},
		`["ack",[{"topic":"a","id":"1"}]]`:                                {},
		`["ack",{"topic":"a","id":"1"`:                                    {"a", "1"}, // Parse has refused it before, and the next ones
		`["ack",{"topic"`:                                                 {},
		`["ack",{"topic":`:                                                {},
		`["ack",`:                                                         {},
		``:                                                                {},
	} {
		texts, ok := sio.TextFields([]byte(raw), [2]string{"topic", "id"})
		topic, id := texts[0], texts[1]
		if found := want[0] != ""; ok != found || (ok && (string(topic) != want[0] || string(id) != want[1])) {
			t.Errorf("%s: %q %q %v, want %q", raw, topic, id, ok, want)
		}
	}
}

func TestTextFieldsAllocatesNothing(t *testing.T) {
	args := []byte(`["ack",{"topic":"orders","messageId":"01J8Z0000000000000000000"}]`)
	if n := testing.AllocsPerRun(100, func() {
		if texts, ok := sio.TextFields(args, [2]string{"topic", "messageId"}); !ok || len(texts[1]) != 24 {
			t.Fatal(texts, ok)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
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
