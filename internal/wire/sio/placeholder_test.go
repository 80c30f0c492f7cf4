package sio_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/sio"
)

func TestInlineReplacesWhatJavaScriptWouldReplace(t *testing.T) {
	const p0, p1 = `{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`
	tests := []struct{ name, data, want string }{
		{"none", `["a",{"num":0}]`, `["a",{"num":0}]`},
		{"one", `["a",` + p0 + `]`, `["a","AP8="]`},
		{"in order", `["a",` + p0 + `,` + p1 + `]`, `["a","AP8=","YmM="]`},
		{"out of order", `["a",` + p1 + `,` + p0 + `]`, `["a","YmM=","AP8="]`},
		{"deep", `["a",{"x":[1,{"y":` + p1 + `}]},[[` + p0 + `]]]`, `["a",{"x":[1,{"y":"YmM="}]},[["AP8="]]]`},
		{"white space is kept", "[ \"a\" ,\n" + p0 + " , 1 ]", "[ \"a\" ,\n\"AP8=\" , 1 ]"},
		{"spaced placeholder", `["a",{ "num" : 1 , "_placeholder" : true } ]`, `["a","YmM=" ]`},
		{"other members are lost", `["a",{"x":[1],"_placeholder":true,"y":{},"num":1}]`, `["a","YmM="]`},
		{"escaped keys", `["a",{"\u005fplaceholder":true,"n\u0075m":1}]`, `["a","YmM="]`},
		{"last of equal keys", `["a",{"_placeholder":false,"num":9,"_placeholder":true,"num":1}]`, `["a","YmM="]`},
		{"revoked", `["a",{"_placeholder":true,"num":9,"_placeholder":false}]`, `["a",{"_placeholder":true,"num":9,"_placeholder":false}]`},
		{"only true is true", `["a",{"_placeholder":1,"num":0},{"_placeholder":"true","num":0}]`, `["a",{"_placeholder":1,"num":0},{"_placeholder":"true","num":0}]`},
		{"inside a placeholder nothing counts", `["a",{"_placeholder":true,"x":{"_placeholder":true,"num":99},"num":0}]`, `["a","AP8="]`},
		{"repeated, one unused", `["a",` + p0 + `,` + p0 + `]`, `["a","AP8=","AP8="]`},
		{"integers in other clothes", `["a",{"_placeholder":true,"num":1.0},{"_placeholder":true,"num":10e-1},{"_placeholder":true,"num":-0}]`, `["a","YmM=","YmM=","AP8="]`},
	}
	attachments := [][]byte{{0, 255}, []byte("bc")}
	for _, tt := range tests {
		got, err := sio.Inline([]byte("x"), []byte(tt.data), attachments)
		if err != nil || string(got) != "x"+tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestInlineRefusesAnIndexWithoutAttachment(t *testing.T) {
	for _, num := range []string{`2`, `-1`, `0.5`, `"0"`, `null`, `true`, `1e999`, `99999999999999999999`, `[0]`} {
		data := `["a",{"_placeholder":true,"num":` + num + `}]`
		got, err := sio.Inline(nil, []byte(data), [][]byte{{1}, {2}})
		var fault *sio.Error
		if !errors.As(err, &fault) || fault.Pos != 5 || len(got) != 0 {
			t.Errorf("num %s: got %q, %v", num, got, err)
		}
	}
}

func TestInlinedAttachmentsDecodeIntoByteSlices(t *testing.T) {
	want := bytes.Repeat([]byte{0, 1, 254, 255}, 99)
	raw, err := sio.Inline(nil, []byte(`{"file":{"_placeholder":true,"num":0}}`), [][]byte{want})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		File []byte `json:"file"`
	}
	if err := json.Unmarshal(raw, &got); err != nil || !bytes.Equal(got.File, want) {
		t.Fatalf("got % x, %v", got.File, err)
	}
}

// A hundred kilobytes of placeholders for one large attachment must not become gigabytes.
func TestInlineBoundsRepeatedAttachments(t *testing.T) {
	attachment := [][]byte{make([]byte, 1<<20)}
	place := func(n int) []byte {
		return []byte("[" + strings.TrimSuffix(strings.Repeat(`{"_placeholder":true,"num":0},`, n), ",") + "]")
	}
	if _, err := sio.Inline(nil, place(4), attachment); err != nil {
		t.Errorf("four times: %v", err)
	}
	if got, err := sio.Inline(nil, place(5), attachment); err == nil || cap(got) != 0 {
		t.Errorf("five times: %d bytes allocated, %v", cap(got), err)
	}
}

func TestPlaceholdersNamesWhereTheyStand(t *testing.T) {
	data := []byte(`["a",{"_placeholder":true,"num":1},[{"num":0,"_placeholder":true}]]`)
	got, err := sio.Placeholders(nil, data, 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	for i, want := range []string{`{"_placeholder":true,"num":1}`, `{"num":0,"_placeholder":true}`} {
		if s := string(data[got[i].Start:got[i].End]); s != want || got[i].Num != 1-i {
			t.Errorf("placeholder %d: %s, num %d", i, s, got[i].Num)
		}
	}
}
