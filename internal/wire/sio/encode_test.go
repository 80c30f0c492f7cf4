package sio_test

import (
	"encoding/json"
	"testing"

	"github.com/streamweir/weir/internal/wire/sio"
)

func TestEncodersWriteTheExamplesOfTheProtocol(t *testing.T) {
	arg := func(s string) []byte { return []byte(s) }
	tests := []struct {
		want string
		got  []byte
	}{
		{`0{"sid":"S"}`, sio.AppendConnect(nil, "/", "S", "")},
		{`0{"sid":"S"}`, sio.AppendConnect(nil, "", "S", "")},
		{`0/admin,{"sid":"S","pid":"P"}`, sio.AppendConnect(nil, "/admin", "S", "P")},
		{`1`, sio.AppendDisconnect(nil, "/")},
		{`1/admin,`, sio.AppendDisconnect(nil, "/admin")},
		{`212["foo",1]`, sio.AppendEvent(nil, sio.EventHeader{ID: 12, HasID: true}, arg(`"foo"`), arg(`1`))},
		{`2/a,["foo"]`, sio.AppendEvent(nil, sio.EventHeader{Namespace: "/a"}, arg(`"foo"`))},
		{`2/a,0["foo"]`, sio.AppendEvent(nil, sio.EventHeader{Namespace: "/a", HasID: true}, arg(`"foo"`))},
		{`312[1,"2"]`, sio.AppendAck(nil, sio.EventHeader{ID: 12}, arg(`1`), arg(`"2"`))},
		{`3/a,0[]`, sio.AppendAck(nil, sio.EventHeader{Namespace: "/a"})},
		{`4/admin,{"message":"Not authorized","data":{"a":1}}`, sio.AppendConnectError(nil, "/admin", "Not authorized", arg(`{"a":1}`))},
		{`4/name,{"message":"Invalid namespace"}`, sio.AppendConnectError(nil, "/name", "Invalid namespace", nil)},
		{
			`51-["foo",{"_placeholder":true,"num":0}]`,
			sio.AppendEvent(nil, sio.EventHeader{Attachments: 1}, arg(`"foo"`), sio.AppendPlaceholder(nil, 0)),
		},
		{
			`61-12[{"_placeholder":true,"num":0}]`,
			sio.AppendAck(nil, sio.EventHeader{ID: 12, Attachments: 1}, sio.AppendPlaceholder(nil, 0)),
		},
		{`40/a,{}`, append(sio.AppendHeader([]byte("4"), sio.Connect, sio.EventHeader{Namespace: "/a"}), "{}"...)},
	}
	for _, tt := range tests {
		if string(tt.got) != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

func TestAppendStringEscapesAsJSONStringify(t *testing.T) {
	tests := map[string]string{
		"":                         `""`,
		"plain ä€😀 </script>&'":    `"plain ä€😀 </script>&'"`,
		"\"\\/":                    `"\"\\/"`,
		"\b\f\n\r\t":               `"\b\f\n\r\t"`,
		"\x00\x1e\x1f\x7f":         `"\u0000\u001e\u001f` + "\x7f" + `"`,
		"\u2028\u2029":             "\"\u2028\u2029\"",
		"a\xffb\xc3":               "\"a\ufffdb\ufffd\"",
		"\ufffd is itself":         "\"\ufffd is itself\"",
		"\xed\xa0\x80 a surrogate": "\"\ufffd\ufffd\ufffd a surrogate\"",
	}
	for s, want := range tests {
		got := sio.AppendString(nil, s)
		if string(got) != want || !json.Valid(got) {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}

func TestEncodingAllocatesNothingWithRoom(t *testing.T) {
	buf := make([]byte, 0, 200)
	name, arg := []byte(`"message"`), []byte(`{"a":1}`)
	h := sio.EventHeader{Namespace: "/chat", ID: 7, HasID: true}
	allocs := testing.AllocsPerRun(100, func() {
		buf = sio.AppendEvent(buf[:0], h, name, arg)
		buf = sio.AppendAck(buf, h, arg)
		buf = sio.AppendString(buf, "a\nb\"c\xff")
	})
	if allocs != 0 {
		t.Fatalf("%.0f allocations, promised none", allocs)
	}
}
