package sio_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/sio"
)

func TestParseReadsTheGrammar(t *testing.T) {
	none := sio.Packet{}
	id := func(n uint64) sio.Packet { return sio.Packet{HasID: true, ID: n} }
	attached := func(n int) sio.Packet { return sio.Packet{Attachments: n} }
	tests := []struct {
		text string
		typ  sio.Type
		nsp  string
		rest sio.Packet
		data string
	}{
		{`0`, sio.Connect, "/", none, ""},
		{`0{"token":"x"}`, sio.Connect, "/", none, `{"token":"x"}`},
		{`0/admin,{"token":"x"}`, sio.Connect, "/admin", none, `{"token":"x"}`},
		{`0/admin,`, sio.Connect, "/admin", none, ""},
		{`0/custom`, sio.Connect, "/custom", none, ""},
		{`0/?a=1,`, sio.Connect, "/?a=1", none, ""},
		{`1`, sio.Disconnect, "/", none, ""},
		{`1/admin,`, sio.Disconnect, "/admin", none, ""},
		{`2["foo"]`, sio.Event, "/", none, `["foo"]`},
		{`2["foo"] `, sio.Event, "/", none, `["foo"] `},
		{`212["foo",1]`, sio.Event, "/", id(12), `["foo",1]`},
		{`2/a,007["foo"]`, sio.Event, "/a", id(7), `["foo"]`},
		{`218446744073709551615["foo"]`, sio.Event, "/", id(18446744073709551615), `["foo"]`},
		{`2[1,2]`, sio.Event, "/", none, `[1,2]`},
		{`2[-1.5]`, sio.Event, "/", none, `[-1.5]`},
		{`2["error"]`, sio.Event, "/", none, `["error"]`},
		{`2["connection"]`, sio.Event, "/", none, `["connection"]`},
		{`2["removeListeners"]`, sio.Event, "/", none, `["removeListeners"]`},
		{`312[1,"2"]`, sio.Ack, "/", id(12), `[1,"2"]`},
		{`3/a,0[]`, sio.Ack, "/a", id(0), `[]`},
		{`4/admin,{"message":"m"}`, sio.ConnectError, "/admin", none, `{"message":"m"}`},
		{`4"message"`, sio.ConnectError, "/", none, `"message"`},
		{`51-["foo",{"_placeholder":true,"num":0}]`, sio.BinaryEvent, "/", attached(1), `["foo",{"_placeholder":true,"num":0}]`},
		{`510-/a,["foo"]`, sio.BinaryEvent, "/a", attached(10), `["foo"]`},
		{`61-/a,12[{"_placeholder":true,"num":0}]`, sio.BinaryAck, "/a", sio.Packet{Attachments: 1, HasID: true, ID: 12}, `[{"_placeholder":true,"num":0}]`},
	}
	for _, tt := range tests {
		p, err := sio.Parse([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if p.Type != tt.typ || string(p.Namespace) != tt.nsp || string(p.Data) != tt.data ||
			p.HasID != tt.rest.HasID || p.ID != tt.rest.ID || p.Attachments != tt.rest.Attachments {
			t.Errorf("%s: got %v namespace %q id %v %d attachments %d data %s",
				tt.text, p.Type, p.Namespace, p.HasID, p.ID, p.Attachments, p.Data)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		pos        int
	}{
		{"nothing", ``, 0},
		{"unknown type", `7`, 0},
		{"letter", `x["a"]`, 0},
		{"no attachment count", `5-["a"]`, 1},
		{"no attachment count and no dash", `5["a"]`, 1},
		{"no dash", `51["a"]`, 1},
		{"count cut off", `51`, 1},
		{"zero attachments", `50-["a"]`, 1},
		{"eleven attachments", `511-["a"]`, 1},
		{"very many attachments", `599999999999999999999-["a"]`, 1},
		{"negative count", `5-1-["a"]`, 1},
		{"fractional count", `51.0-["a"]`, 1},
		{"count with a leading zero", `501-["a"]`, 1},
		{"attachments of an event", `21-["a"]`, 2},
		{"id beyond 64 bits", `2/a,18446744073709551616["a"]`, 4},
		{"connect with an array", `0[1]`, 1},
		{"connect with a string", `0"abc"`, 1},
		{"connect with null", `0null`, 1},
		{"connect with broken JSON", `0/a,{"a":}`, 9},
		{"disconnect with a payload", `1{}`, 1},
		{"disconnect with null", `1/a,null`, 4},
		{"event without data", `2`, 1},
		{"event of a namespace without data", `2/a,1`, 5},
		{"event with an object", `2{}`, 1},
		{"event without a name", `2[]`, 2},
		{"event without a name, spaces", `2[ ]`, 3},
		{"event named null", `2[null]`, 2},
		{"event named by an object", `2[{"a":1}]`, 2},
		{"event named true", `2[true]`, 2},
		{"event with broken JSON", `2["a",]`, 6},
		{"event with more behind", `2["a"]x`, 6},
		{"event cut off", `2["a"`, 5},
		{"space before the JSON", `2 ["a"]`, 1},
		{"connect as a name", `2["connect"]`, 2},
		{"connect_error as a name", `2["connect_error",1]`, 2},
		{"disconnect as a name", `2/a,1["disconnect"]`, 6},
		{"disconnecting as a name", `2["disconnecting"]`, 2},
		{"newListener as a name", `2[ "newListener"]`, 3},
		{"removeListener as a name", `2["removeListener"]`, 2},
		{"reserved name with escapes", `2["\u0063onnec\u0074"]`, 2},
		{"reserved name of escapes only", `2["\u0072\u0065\u006d\u006f\u0076\u0065\u004c\u0069\u0073\u0074\u0065\u006e\u0065\u0072"]`, 2},
		{"reserved name of a binary event", `51-["connect",{"_placeholder":true,"num":0}]`, 4},
		{"ack with an object", `31{}`, 2},
		{"ack without data", `31`, 2},
		{"connect error with null", `4/a,null`, 4},
		{"connect error with an array", `4[]`, 1},
		{"placeholder out of range", `51-["a",{"_placeholder":true,"num":1}]`, 8},
		{"placeholder below range", `51-["a",{"_placeholder":true,"num":-1}]`, 8},
		{"placeholder without an index", `61-1[{"_placeholder":true}]`, 5},
		{"placeholder as a name", `51-[{"_placeholder":true,"num":0}]`, 4},
		{"nested too deep", `2["a",` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + `]`, 6 + 511},
	}
	for _, tt := range tests {
		p, err := sio.Parse([]byte(tt.text))
		var fault *sio.Error
		if !errors.As(err, &fault) || fault.Pos != tt.pos {
			t.Errorf("%s: got %v %q, %v; want a fault at byte %d", tt.name, p.Type, p.Data, err, tt.pos)
		}
	}
}

func TestParseAllocatesNothingWithoutAttachments(t *testing.T) {
	for _, text := range []string{
		`2/chat,12["message",{"a":[1,2.5,null,true],"b":"ä\n"}]`,
		`0/admin,{"token":"x"}`,
		`3/chat,12[]`,
	} {
		b := []byte(text)
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := sio.Parse(b); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %.0f allocations, promised none", text, allocs)
		}
	}
}

func TestEventNameIsBounded(t *testing.T) {
	const most = 64 << 10 // of JSON
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{`2["` + strings.Repeat("n", most-2) + `"]`, true},
		{`2["` + strings.Repeat("n", most-1) + `"]`, false},
		{`51-["` + strings.Repeat("n", most-1) + `",{"_placeholder":true,"num":0}]`, false},
		{`2[` + strings.Repeat("1", most) + `]`, true},
		{`2[` + strings.Repeat("1", most+1) + `]`, false},
		{`3["` + strings.Repeat("n", 2*most) + `"]`, true},
	} {
		if _, err := sio.Parse([]byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%.20s… of %d bytes: %v", c.text, len(c.text), err)
		}
	}
}
